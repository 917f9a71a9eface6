//! Products, element by element.

use super::elementwise::{Binary, sweep};
use super::quantized_add::activation;
use crate::random::Random;
use crate::suite::Suite;
use crate::workspace::Workspace;
use core::marker::PhantomData;
use cortado_contract::broadcast::Broadcast;
use cortado_contract::ops::quantized_mul::{MulParams, reference};
use cortado_contract::quant::{InputOffset, OutputOffset, Requantize};
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_mul::mul_s8;
use cortado_kernels::memory::Source;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep::<Mul<M>>(workspace, suite);
}

struct Mul<M>(PhantomData<M>);

impl<M: Micro> Binary for Mul<M> {
    type Element = i8;
    type Params = MulParams;
    const NAME: &'static str = "cortex_m::quantized_mul";

    fn params(random: &mut Random, seed: u32) -> MulParams {
        // Compilers write zero points of int8, except for shifted ones as in `x + 3`.
        let limit = if seed.is_multiple_of(5) { 32_767 } else { 127 };
        MulParams {
            lhs_offset: InputOffset(random.between(-limit, limit)),
            rhs_offset: InputOffset(random.between(-limit, limit)),
            output_offset: OutputOffset(random.between(-128, 127)),
            factor: Requantize {
                multiplier: random.between(0, i32::MAX),
                shift: if seed.is_multiple_of(7) { 3 } else { random.between(-22, -2) },
            },
            activation: activation(random, seed),
        }
    }

    fn apply(params: &MulParams, lhs: i8, rhs: i8) -> i8 {
        params.apply(lhs, rhs)
    }

    fn reference(
        broadcast: &Broadcast,
        params: &MulParams,
        lhs: &[i8],
        rhs: &[i8],
        out: &mut [i8],
    ) {
        reference(broadcast, params, lhs, rhs, out);
    }

    fn kernel(
        broadcast: &Broadcast,
        params: &MulParams,
        lhs: Source<'_, i8>,
        rhs: Source<'_, i8>,
        out: &mut [i8],
    ) -> Option<()> {
        mul_s8::<M>(broadcast, params, lhs, rhs, out)
    }
}
