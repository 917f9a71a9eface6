//! Sums and differences.

use super::elementwise::{Binary, sweep};
use crate::random::Random;
use crate::suite::Suite;
use crate::workspace::Workspace;
use core::marker::PhantomData;
use cortado_contract::broadcast::{Advance, Axis, Broadcast};
use cortado_contract::ops::quantized_add::{AddParams, Addend, LEFT_SHIFT, reference};
use cortado_contract::quant::{Activation, InputOffset, OutputOffset, Requantize};
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_add::add_s8;
use cortado_kernels::memory::Source;
use cortado_kernels::micro::{Run, is_plain};

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep::<Add<M>>(workspace, suite);
}

struct Add<M>(PhantomData<M>);

impl<M: Micro> Binary for Add<M> {
    type Element = i8;
    type Params = AddParams;
    const NAME: &'static str = "cortex_m::quantized_add";

    fn params(random: &mut Random, seed: u32) -> AddParams {
        let addend = |random: &mut Random, subtracts: bool| {
            let multiplier = random.between(1 << 30, i32::MAX);
            Addend {
                offset: InputOffset(random.between(-127, 128)),
                factor: Requantize {
                    multiplier: if subtracts { -multiplier } else { multiplier },
                    shift: random.between(-9, 0),
                },
            }
        };
        AddParams {
            lhs: addend(random, false),
            rhs: addend(random, seed.is_multiple_of(3)),
            left_shift: LEFT_SHIFT,
            output_offset: OutputOffset(random.between(-128, 127)),
            factor: Requantize {
                multiplier: random.between(1 << 30, i32::MAX),
                // Every seventh case wraps around in 32 bits.
                shift: if seed.is_multiple_of(7) { 4 } else { random.between(-26, -14) },
            },
            activation: activation(random, seed),
        }
    }

    fn apply(params: &AddParams, lhs: i8, rhs: i8) -> i8 {
        params.apply(lhs, rhs)
    }

    fn reference(
        broadcast: &Broadcast,
        params: &AddParams,
        lhs: &[i8],
        rhs: &[i8],
        out: &mut [i8],
    ) {
        reference(broadcast, params, lhs, rhs, out);
    }

    fn kernel(
        broadcast: &Broadcast,
        params: &AddParams,
        lhs: Source<'_, i8>,
        rhs: Source<'_, i8>,
        out: &mut [i8],
    ) -> Option<()> {
        let operands = (lhs, rhs);
        add_s8::<M>(broadcast, params, lhs, rhs, out)?;
        // What is narrowed to such sums.
        let is_flat = matches!(broadcast.axes(), [Axis { advance: Advance::Both, .. }]);
        if let (Source::Apart(lhs), Source::Apart(rhs)) = operands
            && is_flat
            && is_plain(params)
        {
            let mut narrowed = [0; 50];
            for (out, (lhs, rhs)) in out.chunks(50).zip(lhs.chunks(50).zip(rhs.chunks(50))) {
                let narrowed = narrowed.get_mut(..out.len())?;
                M::add::<false>(params, Run::Both(lhs, rhs), narrowed);
                if narrowed != out {
                    return None;
                }
            }
        }
        Some(())
    }
}

/// All of `int8`, or in every other case a part of it.
pub(super) fn activation(random: &mut Random, seed: u32) -> Activation {
    let (min, max) = (random.between(-128, 127), random.between(-128, 127));
    if seed.is_multiple_of(2) {
        Activation::INT8
    } else {
        Activation { min: min.min(max), max: min.max(max) }
    }
}
