//! `fully_connected_s8`, `_per_channel_s8`, `_s4` and `_s16`.

use super::Case;
use crate::suite::{What, compare};
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_linear::{
    LinearConstants, LinearParams, LinearShape, Rescale, kernel_sums,
};
use cortado_contract::quant::{Activation, FilterOffset, InputOffset, OutputOffset, Requantize};
use cortado_kernels::Micro;
use cortado_kernels::generic::int16::Int16Params;
use cortado_kernels::generic::linear_s4::linear_s4;
use cortado_kernels::generic::linear_s16::linear_s16;
use cortado_kernels::generic::quantized_linear::linear_s8;

type Kernel = fn(LinearShape, &LinearParams<'_>, &[i8], &[i8], &mut [i8]) -> Option<()>;

/// Both constant forms, and the kernel sums themselves where they are recorded.
pub(super) fn s8<M: Micro>(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
) -> Option<Result<(), What>> {
    replay(case, workspace, linear_s8::<M>, case.tensor("inputs.filter")?)
}

pub(super) fn s4<M: Micro>(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
) -> Option<Result<(), What>> {
    replay(case, workspace, linear_s4::<M>, case.tensor("inputs.filter_unpacked")?)
}

fn replay(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
    kernel: Kernel,
    unpacked: &[i8],
) -> Option<Result<(), What>> {
    let (input, filter) = (case.tensor::<i8>("inputs.input")?, case.tensor::<i8>("inputs.filter")?);
    let expected = case.tensor::<i8>("expected.output")?;
    let shape = shape(case)?;
    let bias = case.tensor::<i32>("inputs.bias");
    let input_offset = InputOffset(case.number("fc_params.input_offset")?);
    let filter_offset = FilterOffset(case.number("fc_params.filter_offset")?);
    let mut memory = workspace.start();
    let sums = memory.take::<i32>(shape.out_features);
    kernel_sums(shape.in_features, unpacked, input_offset, filter_offset, bias, sums);
    if let Some(recorded) = case.tensor::<i32>("expected.kernel_sum")
        && let Some(what) = compare(sums, recorded)
    {
        return Some(Err(what));
    }
    let rescale = match (
        case.tensor("inputs.quant_params.multiplier"),
        case.tensor("inputs.quant_params.shift"),
    ) {
        (Some(multipliers), Some(shifts)) => Rescale::PerChannel { multipliers, shifts },
        _ => Rescale::PerTensor(factor(case)?),
    };
    let out = memory.guarded::<i8>(expected.len(), 0x5a);
    for constants in [LinearConstants::Bias(bias), LinearConstants::KernelSum(sums)] {
        let output_offset = OutputOffset(case.number("fc_params.output_offset")?);
        let activation = activation(case)?;
        let params = LinearParams {
            input_offset,
            filter_offset,
            output_offset,
            constants,
            rescale,
            activation,
        };
        out.values.fill(0x5a);
        if kernel(shape, &params, input, filter, out.values).is_none() {
            return Some(Err(What::Refused));
        }
        if !out.is_intact() {
            return Some(Err(What::Guard));
        }
        if let Some(what) = compare(out.values, expected) {
            return Some(Err(what));
        }
    }
    Some(Ok(()))
}

pub(super) fn s16<M: Micro>(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
) -> Option<Result<(), What>> {
    let (input, filter) =
        (case.tensor::<i16>("inputs.input")?, case.tensor::<i8>("inputs.filter")?);
    let expected = case.tensor::<i16>("expected.output")?;
    let (shape, factor) = (shape(case)?, factor(case)?);
    let mut memory = workspace.start();
    // CMSIS-NN has one factor for all output features.
    let (multipliers, shifts) =
        (memory.take::<i32>(shape.out_features), memory.take::<i32>(shape.out_features));
    multipliers.fill(factor.multiplier);
    shifts.fill(factor.shift);
    let (bias, activation) = (case.tensor("inputs.bias"), activation(case)?);
    let params = Int16Params { bias, multipliers, shifts, activation };
    let out = memory.guarded::<i16>(expected.len(), 0x5a);
    if linear_s16::<M>(shape, &params, input, filter, out.values).is_none() {
        return Some(Err(What::Refused));
    }
    if !out.is_intact() {
        return Some(Err(What::Guard));
    }
    Some(compare(out.values, expected).map_or(Ok(()), Err))
}

/// Everything after the batch axis is summed over, as the depth of the filter says.
fn shape(case: &Case<'_>) -> Option<LinearShape> {
    Some(LinearShape {
        rows: case.count("input_dims.n")?,
        in_features: case.count("filter_dims.n")?,
        out_features: case.count("filter_dims.c")?,
    })
}

fn factor(case: &Case<'_>) -> Option<Requantize> {
    Some(Requantize {
        multiplier: case.number("quant_params.multiplier")?,
        shift: case.number("quant_params.shift")?,
    })
}

fn activation(case: &Case<'_>) -> Option<Activation> {
    Some(Activation {
        min: case.number("fc_params.activation.min")?,
        max: case.number("fc_params.activation.max")?,
    })
}
