//! The Gaussian error linear unit, in `float32`.

use super::float::{UNARY_WORDS, execute_unary, prepare_unary};
use super::math;
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::float::GeluForm;
use cortado_contract::ops::FloatGelu;
use cortado_contract::ops::float_gelu::argument;
use cortado_contract::value::Violation;

/// Those of a function of one number; bit 8 of word 0 stands for the form with a hyperbolic tangent.
pub const STATE_WORDS: usize = UNARY_WORDS;

const IS_TANH: u32 = 1 << 8;

pub(super) fn prepare<L: Lists>(
    arguments: &FloatGelu<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    if let ([head, ..], GeluForm::Tanh) = (&mut *state, arguments.approximate) {
        *head |= IS_TANH;
    }
    prepare_unary(&arguments.input, &arguments.out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    if state.first()? & IS_TANH != 0 {
        execute_unary::<M>(state, memory, math::gelu_tanh)
    } else {
        execute_unary::<M>(state, memory, math::gelu)
    }
}
