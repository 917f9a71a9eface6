//! Differences of two tensors, in `float32`.

use super::float::{BINARY_STATE_WORDS, execute_binary, prepare_binary};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatSub;
use cortado_contract::ops::float_sub::argument;
use cortado_contract::value::Violation;

/// Those of a function of two numbers; the factor is that of the second operand.
pub const STATE_WORDS: usize = BINARY_STATE_WORDS;

pub(super) fn prepare<L: Lists>(
    arguments: &FloatSub<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let tensors = [&arguments.input, &arguments.other, &arguments.out];
    let positions = [argument::input, argument::other, argument::out];
    prepare_binary(tensors, positions, arguments.alpha, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_binary(state, memory, |lhs, rhs, alpha| lhs - alpha * rhs)
}
