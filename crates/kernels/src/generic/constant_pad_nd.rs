//! Padding of tensors of any element type. The frame itself is [`super::pad`].

use super::pad::{self, execute_frame, pack};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::ConstantPadNd;
use cortado_contract::ops::constant_pad_nd::{Pattern, argument};
use cortado_contract::value::{Rule, Violation, require_some};

/// The frame's words (with an element's size in word 0) and the value.
pub const STATE_WORDS: usize = pad::STATE_WORDS + 2;

pub(super) fn prepare<L: Lists>(
    arguments: &ConstantPadNd<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let ConstantPadNd { input, out, .. } = arguments;
    let pattern = require_some(arguments.pattern(), argument::value, Rule::Range)?;
    if let Some(words) = state.last_chunk_mut() {
        *words = pattern.to_words();
    }
    if let Some(head) = state.first_mut() {
        *head |= (pattern.bytes().len() as u32) << 8;
    }
    pack(&arguments.frame()?, input, out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let pattern = Pattern::from_words(*state.last_chunk()?, (state.first()? >> 8) as u8);
    execute_frame::<M>(state, pattern.bytes(), memory)
}
