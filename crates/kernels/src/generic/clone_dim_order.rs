//! Tensors with their axes in another order in memory. The moves themselves are [`super::strided`].

use super::strided;
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::CloneDimOrder;
use cortado_contract::ops::clone_dim_order::argument;
use cortado_contract::value::Violation;

/// The moves' words.
pub const STATE_WORDS: usize = strided::STATE_WORDS;

pub(super) fn prepare<L: Lists>(
    arguments: &CloneDimOrder<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    strided::prepare(&arguments.input, &arguments.out, argument::out, &arguments.gather(), state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    strided::execute::<M>(state, memory)
}
