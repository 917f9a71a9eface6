//! Tensors of one number with the extents of another one, in `float32`.

use super::float_full::{self, execute_fill, prepare_fill};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatFullLike;
use cortado_contract::ops::float_full_like::argument;
use cortado_contract::value::Violation;

/// Those of the operator with extents of its own.
pub const STATE_WORDS: usize = float_full::STATE_WORDS;

pub(super) fn prepare<L: Lists>(
    arguments: &FloatFullLike<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    prepare_fill(arguments.fill_value, &arguments.out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_fill(state, memory)
}
