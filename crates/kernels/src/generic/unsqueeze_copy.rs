//! Copies with one more axis. The moves themselves are [`super::strided`].

use super::strided;
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::UnsqueezeCopy;
use cortado_contract::ops::unsqueeze_copy::argument;
use cortado_contract::value::Violation;

/// The moves' words.
pub const STATE_WORDS: usize = strided::STATE_WORDS;

pub(super) fn prepare<L: Lists>(
    arguments: &UnsqueezeCopy<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    strided::prepare(&arguments.input, &arguments.out, argument::out, &arguments.gather(), state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    strided::execute::<M>(state, memory)
}
