//! `convolve_wrapper_*`, `depthwise_conv_wrapper_*` and `transpose_conv_wrapper_s8`.
//!
//! Where a case records that CMSIS-NN departs from the operation's definition, the definition counts. With 8-bit weights the
//! recorded sizes of scratch memory are compared as well.

use super::Case;
use crate::suite::{What, compare};
use crate::workspace::Workspace;
use cortado_contract::Isa;
use cortado_contract::ops::quantized_conv2d::{
    self, BiasS16, ConvParams, ConvParamsS16, ConvShape, Plane,
};
use cortado_contract::ops::quantized_linear::Rescale;
use cortado_contract::ops::{quantized_depthwise_conv2d, quantized_transpose_conv2d};
use cortado_contract::quant::{Activation, InputOffset, OutputOffset};
use cortado_kernels::Micro;
use cortado_kernels::generic::conv_s4::conv_s4;
use cortado_kernels::generic::conv_s16::conv_s16;
use cortado_kernels::generic::depthwise_s4::depthwise_conv_s4;
use cortado_kernels::generic::depthwise_s16::depthwise_conv_s16;
use cortado_kernels::generic::int16::Int16Params;
use cortado_kernels::generic::quantized_conv2d::conv_s8;
use cortado_kernels::generic::quantized_depthwise_conv2d::depthwise_conv_s8;
use cortado_kernels::generic::quantized_transpose_conv2d::transpose_conv_s8;
use cortado_kernels::memory::Element;

type Outcome = Option<Result<(), What>>;

pub(super) fn conv<M: Micro>(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    let shape = grouped(case)?;
    if let Some(what) = scratch(case, |isa| quantized_conv2d::scratch_bytes(&shape, isa))? {
        return Some(Err(what));
    }
    s8(case, workspace, "conv_params", &shape, conv_s8::<M>)
}

pub(super) fn conv_packed<M: Micro>(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    s8(case, workspace, "conv_params", &grouped(case)?, conv_s4::<M>)
}

pub(super) fn conv_wide<M: Micro>(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    s16(
        case,
        workspace,
        "conv_params",
        &grouped(case)?,
        conv_s16::<M>,
        quantized_conv2d::reference_s16,
    )
}

pub(super) fn depthwise<M: Micro>(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    let shape = shape(case, "dw_conv_params", 1)?;
    let bytes = |isa| quantized_depthwise_conv2d::scratch_bytes(&shape, isa);
    if let Some(what) = scratch(case, bytes)? {
        return Some(Err(what));
    }
    s8(case, workspace, "dw_conv_params", &shape, depthwise_conv_s8::<M>)
}

pub(super) fn depthwise_packed(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    let shape = shape(case, "dw_conv_params", 1)?;
    s8(case, workspace, "dw_conv_params", &shape, depthwise_conv_s4)
}

pub(super) fn depthwise_wide(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    let shape = shape(case, "dw_conv_params", 1)?;
    s16(
        case,
        workspace,
        "dw_conv_params",
        &shape,
        depthwise_conv_s16,
        quantized_depthwise_conv2d::reference_s16,
    )
}

pub(super) fn transposed<M: Micro>(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    let shape = shape(case, "transpose_conv_params", case.count("input_dims.c")?)?;
    // Recorded is what both buffers take together.
    let bytes = |isa| quantized_transpose_conv2d::scratch_bytes(&shape, isa).iter().sum();
    if let Some(what) = scratch(case, bytes)? {
        return Some(Err(what));
    }
    s8(case, workspace, "transpose_conv_params", &shape, transpose_conv_s8::<M>)
}

fn s8(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
    group: &str,
    shape: &ConvShape,
    kernel: impl Fn(&ConvShape, &ConvParams<'_>, &[i8], &[i8], &mut [i8]) -> Option<()>,
) -> Outcome {
    let params = ConvParams {
        input_offset: InputOffset(case.number_at(&[group, "input_offset"])?),
        output_offset: OutputOffset(case.number_at(&[group, "output_offset"])?),
        bias: case.tensor("inputs.bias"),
        rescale: rescale(case)?,
        activation: activation(case, group)?,
    };
    let (input, filter) = (case.tensor("inputs.input")?, case.tensor("inputs.filter")?);
    check(case, workspace, |out| kernel(shape, &params, input, filter, out))
}

fn s16(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
    group: &str,
    shape: &ConvShape,
    kernel: impl Fn(&ConvShape, &Int16Params<'_>, &[i16], &[i8], &mut [i16]) -> Option<()>,
    reference: fn(&ConvShape, &ConvParamsS16<'_>, &[i16], &[i8], &mut [i16]),
) -> Outcome {
    let (rescale, activation) = (rescale(case)?, activation(case, group)?);
    let (input, filter) = (case.tensor("inputs.input")?, case.tensor("inputs.filter")?);
    // No operator has a bias of 32 bits, so there is no kernel for it: the contract alone says what CMSIS-NN does then.
    if case.number("bias_is_int32") == Some(1) {
        let bias = BiasS16::Narrow(case.tensor("inputs.bias"));
        let params = ConvParamsS16 { bias, rescale, activation };
        return check(case, workspace, |out| {
            reference(shape, &params, input, filter, out);
            Some(())
        });
    }
    let Rescale::PerChannel { multipliers, shifts } = rescale else { return None };
    let bias = case.tensor("inputs.bias");
    let params = Int16Params { bias, multipliers, shifts, activation };
    check(case, workspace, |out| kernel(shape, &params, input, filter, out))
}

/// Compares a kernel's output with the definition's where it is recorded, else with CMSIS-NN's.
fn check<T: Element + PartialEq + Into<i64>>(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
    kernel: impl Fn(&mut [T]) -> Option<()>,
) -> Outcome {
    let expected =
        case.tensor::<T>("reference.output").or_else(|| case.tensor("expected.output"))?;
    let mut memory = workspace.start();
    let out = memory.guarded::<T>(expected.len(), 0x5a);
    if kernel(out.values).is_none() {
        return Some(Err(What::Refused));
    }
    if !out.is_intact() {
        return Some(Err(What::Guard));
    }
    Some(compare(out.values, expected).map_or(Ok(()), Err))
}

/// Compares the sizes of scratch memory on every instruction set.
fn scratch(case: &Case<'_>, bytes: impl Fn(Isa) -> u32) -> Option<Option<What>> {
    for isa in Isa::ALL {
        let recorded = case.number_at(&["scratch_bytes", isa.name()])?;
        let what = compare(&[i64::from(bytes(isa))], &[i64::from(recorded)]);
        if what.is_some() {
            return Some(what);
        }
    }
    Some(None)
}

fn grouped(case: &Case<'_>) -> Option<ConvShape> {
    shape(case, "conv_params", case.count("filter_dims.c")?)
}

fn shape(case: &Case<'_>, group: &str, group_channels: usize) -> Option<ConvShape> {
    let plane = |field: &str| {
        let number = |axis: &str| usize::try_from(case.number_at(&[group, field, axis])?).ok();
        Some(Plane { height: number("h")?, width: number("w")? })
    };
    let extents = |dims: &str| {
        let number = |axis: &str| usize::try_from(case.number_at(&[dims, axis])?).ok();
        Some(Plane { height: number("h")?, width: number("w")? })
    };
    Some(ConvShape {
        batches: case.count("input_dims.n")?,
        input: extents("input_dims")?,
        in_channels: case.count("input_dims.c")?,
        output: extents("output_dims")?,
        out_channels: case.count("output_dims.c")?,
        kernel: extents("filter_dims")?,
        group_channels,
        stride: plane("stride")?,
        padding: plane("padding")?,
        dilation: plane("dilation")?,
    })
}

fn rescale<'s>(case: &Case<'s>) -> Option<Rescale<'s>> {
    Some(Rescale::PerChannel {
        multipliers: case.tensor("inputs.quant_params.multiplier")?,
        shifts: case.tensor("inputs.quant_params.shift")?,
    })
}

fn activation(case: &Case<'_>, group: &str) -> Option<Activation> {
    Some(Activation {
        min: case.number_at(&[group, "activation", "min"])?,
        max: case.number_at(&[group, "activation", "max"])?,
    })
}
