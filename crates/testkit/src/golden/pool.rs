//! `avgpool_s8` and `max_pool_s8`.

use super::{Case, check};
use crate::suite::What;
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_avg_pool2d::{Pool, Windows};
use cortado_contract::quant::Activation;
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_avg_pool2d::avg_pool;
use cortado_kernels::generic::quantized_max_pool2d::max_pool;

pub(super) fn average<M: Micro>(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
) -> Option<Result<(), What>> {
    replay(case, workspace, avg_pool::<M>)
}

pub(super) fn maximum<M: Micro>(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
) -> Option<Result<(), What>> {
    replay(case, workspace, max_pool::<M>)
}

fn replay(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
    kernel: fn(&Pool, Activation, &[i8], &mut [i8]) -> Option<()>,
) -> Option<Result<(), What>> {
    let number = |path: &str| u32::try_from(case.number(path)?).ok();
    let pool = Pool {
        batch: number("input_dims.n")?,
        channels: number("input_dims.c")?,
        height: Windows {
            input: number("input_dims.h")?,
            out: number("output_dims.h")?,
            kernel: number("filter_dims.h")?,
            stride: number("pool_params.stride.h")?,
            padding: number("pool_params.padding.h")?,
            dilation: 1,
        },
        width: Windows {
            input: number("input_dims.w")?,
            out: number("output_dims.w")?,
            kernel: number("filter_dims.w")?,
            stride: number("pool_params.stride.w")?,
            padding: number("pool_params.padding.w")?,
            dilation: 1,
        },
    };
    let activation = Activation {
        min: case.number("pool_params.activation.min")?,
        max: case.number("pool_params.activation.max")?,
    };
    let input = case.tensor::<i8>("inputs.input")?;
    let expected = case.tensor::<i8>("expected.output")?;
    let out = workspace.start().guarded::<i8>(expected.len(), 0x5a);
    let outcome = kernel(&pool, activation, input, out.values);
    Some(check(outcome, &out, expected))
}
