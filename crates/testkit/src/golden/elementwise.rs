//! `elementwise_add_s8`, `elementwise_mul_s8`, `minimum_s8` and `maximum_s8`.

use super::Case;
use crate::suite::{What, compare};
use crate::workspace::Workspace;
use cortado_contract::broadcast::{Advance, Axis, Broadcast};
use cortado_contract::ops::quantized_add::{AddParams, Addend};
use cortado_contract::ops::quantized_mul::MulParams;
use cortado_contract::quant::{Activation, InputOffset, OutputOffset, Requantize};
use cortado_kernels::Micro;
use cortado_kernels::generic::maximum::maximum_s8;
use cortado_kernels::generic::minimum::minimum_s8;
use cortado_kernels::generic::quantized_add::add_s8;
use cortado_kernels::generic::quantized_mul::mul_s8;

type Outcome = Option<Result<(), What>>;

pub(super) fn add<M: Micro>(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    let addend = |name: [&str; 3]| {
        Some(Addend {
            offset: InputOffset(case.number(name[0])?),
            factor: Requantize { multiplier: case.number(name[1])?, shift: case.number(name[2])? },
        })
    };
    let params = AddParams {
        lhs: addend(["input_1_offset", "input_1_mult", "input_1_shift"])?,
        rhs: addend(["input_2_offset", "input_2_mult", "input_2_shift"])?,
        left_shift: u32::try_from(case.number("left_shift")?).ok()?,
        output_offset: OutputOffset(case.number("out_offset")?),
        factor: factor(case)?,
        activation: activation(case)?,
    };
    let broadcast = Broadcast::elementwise(u32::try_from(case.number("block_size")?).ok()?);
    replay(case, workspace, |lhs, rhs, out| {
        add_s8::<M>(&broadcast, &params, lhs.into(), rhs.into(), out)
    })
}

pub(super) fn mul<M: Micro>(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    let params = MulParams {
        lhs_offset: InputOffset(case.number("input_1_offset")?),
        rhs_offset: InputOffset(case.number("input_2_offset")?),
        output_offset: OutputOffset(case.number("out_offset")?),
        factor: factor(case)?,
        activation: activation(case)?,
    };
    let broadcast = Broadcast::elementwise(u32::try_from(case.number("block_size")?).ok()?);
    replay(case, workspace, |lhs, rhs, out| {
        mul_s8::<M>(&broadcast, &params, lhs.into(), rhs.into(), out)
    })
}

pub(super) fn minimum<M: Micro>(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    let broadcast = broadcast(case)?;
    replay(case, workspace, |lhs, rhs, out| {
        minimum_s8::<M>(&broadcast, lhs.into(), rhs.into(), out)
    })
}

pub(super) fn maximum<M: Micro>(case: &Case<'_>, workspace: &mut Workspace<'_>) -> Outcome {
    let broadcast = broadcast(case)?;
    replay(case, workspace, |lhs, rhs, out| {
        maximum_s8::<M>(&broadcast, lhs.into(), rhs.into(), out)
    })
}

fn replay(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
    kernel: impl Fn(&[i8], &[i8], &mut [i8]) -> Option<()>,
) -> Outcome {
    let (lhs, rhs) = (case.tensor::<i8>("inputs.input_1")?, case.tensor::<i8>("inputs.input_2")?);
    let expected = case.tensor::<i8>("expected.output")?;
    let mut memory = workspace.start();
    let out = memory.guarded::<i8>(expected.len(), 0x5a);
    if kernel(lhs, rhs, out.values).is_none() {
        return Some(Err(What::Refused));
    }
    if !out.is_intact() {
        return Some(Err(What::Guard));
    }
    Some(compare(out.values, expected).map_or(Ok(()), Err))
}

/// The axes of `input_1_dims` and `input_2_dims`, which are in memory order.
fn broadcast(case: &Case<'_>) -> Option<Broadcast> {
    let mut broadcast = Broadcast::SCALAR;
    for (lhs, rhs) in [
        ("input_1_dims.n", "input_2_dims.n"),
        ("input_1_dims.h", "input_2_dims.h"),
        ("input_1_dims.w", "input_2_dims.w"),
        ("input_1_dims.c", "input_2_dims.c"),
    ] {
        let (lhs, rhs) = (case.count(lhs)?, case.count(rhs)?);
        let advance = match (lhs, rhs) {
            (1, _) => Advance::Rhs,
            (_, 1) => Advance::Lhs,
            _ => Advance::Both,
        };
        broadcast.push(Axis { extent: lhs.max(rhs) as u32, advance });
    }
    Some(broadcast)
}

fn factor(case: &Case<'_>) -> Option<Requantize> {
    Some(Requantize { multiplier: case.number("out_mult")?, shift: case.number("out_shift")? })
}

fn activation(case: &Case<'_>) -> Option<Activation> {
    Some(Activation {
        min: case.number("out_activation_min")?,
        max: case.number("out_activation_max")?,
    })
}
