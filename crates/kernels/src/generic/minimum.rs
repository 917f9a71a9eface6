//! The smaller of two `int8` numbers, element by element.

use super::broadcast::{self, BINARY_WORDS, for_each_run};
use crate::memory::{Memory, Source};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::broadcast::Broadcast;
use cortado_contract::ops::Minimum;
use cortado_contract::ops::minimum::argument;
use cortado_contract::value::Violation;

/// Operands and axes.
pub const STATE_WORDS: usize = BINARY_WORDS;

/// Computes the smaller of two numbers, element by element; see [`cortado_contract::ops::minimum::reference`] for its bits.
///
/// `None` when a slice is shorter than [`Broadcast::element_counts`] says or an operand in place is repeated; nothing useful is
/// in `out` then.
pub fn minimum_s8<M: Micro>(
    broadcast: &Broadcast,
    lhs: Source<'_, i8>,
    rhs: Source<'_, i8>,
    out: &mut [i8],
) -> Option<()> {
    for_each_run(broadcast, lhs, rhs, out, M::minimum)
}

pub(super) fn prepare<L: Lists>(
    arguments: &Minimum<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let broadcast = arguments.broadcast()?;
    if let Some(words) = state.first_chunk_mut::<BINARY_WORDS>() {
        let operands = [&arguments.lhs, &arguments.rhs, &arguments.out];
        broadcast::pack(&broadcast, operands, argument::out, words)?;
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let operands = broadcast::borrow(state.first_chunk::<BINARY_WORDS>()?, memory)?;
    minimum_s8::<M>(&operands.broadcast, operands.lhs, operands.rhs, operands.out)
}
