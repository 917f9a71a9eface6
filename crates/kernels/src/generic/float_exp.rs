//! The exponential function, in `float32`.

use super::float::{UNARY_WORDS, execute_unary, prepare_unary};
use super::math;
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatExp;
use cortado_contract::ops::float_exp::argument;
use cortado_contract::value::Violation;

/// Those of a function of one number.
pub const STATE_WORDS: usize = UNARY_WORDS;

pub(super) fn prepare<L: Lists>(
    arguments: &FloatExp<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    prepare_unary(&arguments.input, &arguments.out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_unary::<M>(state, memory, math::exp)
}
