//! Quotients, element by element, of both types.

use super::elementwise::{Binary, sweep};
use crate::random::Random;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::broadcast::Broadcast;
use cortado_contract::ops::quantized_div::{DivParams, INT16, reference, reference_s16};
use cortado_contract::quant::{Activation, InputOffset, OutputOffset};
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_div::div;
use cortado_kernels::memory::Source;

/// Runs all cases; the kernel is the same on every instruction set.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep::<DivS8>(workspace, suite);
    sweep::<DivS16>(workspace, suite);
}

struct DivS8;

impl Binary for DivS8 {
    type Element = i8;
    type Params = DivParams;
    const NAME: &'static str = "cortex_m::quantized_div (int8)";

    fn params(random: &mut Random, _: u32) -> DivParams {
        params(random, Activation::INT8)
    }

    fn apply(params: &DivParams, lhs: i8, rhs: i8) -> i8 {
        params.apply(i32::from(lhs), i32::from(rhs), Activation::INT8) as i8
    }

    fn reference(
        broadcast: &Broadcast,
        params: &DivParams,
        lhs: &[i8],
        rhs: &[i8],
        out: &mut [i8],
    ) {
        reference(broadcast, params, lhs, rhs, out);
    }

    fn kernel(
        broadcast: &Broadcast,
        params: &DivParams,
        lhs: Source<'_, i8>,
        rhs: Source<'_, i8>,
        out: &mut [i8],
    ) -> Option<()> {
        div(broadcast, params, Activation::INT8, lhs, rhs, out)
    }
}

struct DivS16;

impl Binary for DivS16 {
    type Element = i16;
    type Params = DivParams;
    const NAME: &'static str = "cortex_m::quantized_div (int16)";

    fn params(random: &mut Random, _: u32) -> DivParams {
        params(random, INT16)
    }

    fn apply(params: &DivParams, lhs: i16, rhs: i16) -> i16 {
        params.apply(i32::from(lhs), i32::from(rhs), INT16) as i16
    }

    fn reference(
        broadcast: &Broadcast,
        params: &DivParams,
        lhs: &[i16],
        rhs: &[i16],
        out: &mut [i16],
    ) {
        reference_s16(broadcast, params, lhs, rhs, out);
    }

    fn kernel(
        broadcast: &Broadcast,
        params: &DivParams,
        lhs: Source<'_, i16>,
        rhs: Source<'_, i16>,
        out: &mut [i16],
    ) -> Option<()> {
        div(broadcast, params, INT16, lhs, rhs, out)
    }
}

fn params(random: &mut Random, range: Activation) -> DivParams {
    // Halves and small integers make ties.
    let scale = match random.between(0, 2) {
        0 => random.between(1, 64) as f32 / 2.0,
        1 => random.between(1, 1 << 20) as f32 / 65536.0,
        _ => random.between(1, i32::MAX) as f32,
    };
    DivParams {
        lhs_offset: InputOffset(-random.between(range.min, range.max)),
        rhs_offset: InputOffset(-random.between(range.min, range.max)),
        output_offset: OutputOffset(random.between(range.min, range.max)),
        scale,
    }
}
