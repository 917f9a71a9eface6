//! Joining tensors along an axis.
//!
//! ```text
//! for each tensor:
//!     for each round:
//!         copy its next chunk to its place in the round
//! ```

use super::require_disjoint;
use crate::memory::{Location, Memory, copy};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::Cat;
use cortado_contract::ops::cat::{MAX_TENSORS, argument};
use cortado_contract::value::{TensorList, Violation};

/// Word 0 (the number of tensors), output, rounds, and location and chunk of each tensor.
pub const STATE_WORDS: usize = 3 + 2 * MAX_TENSORS;

/// Copies the chunks of one tensor to their places, `start` bytes into each of the rounds of `round_bytes` that `out` consists of.
///
/// `None` when a slice is shorter than that says.
pub fn place(
    input: &[u8],
    chunk_bytes: usize,
    start: usize,
    round_bytes: usize,
    out: &mut [u8],
) -> Option<()> {
    if chunk_bytes == 0 || round_bytes == 0 {
        return Some(());
    }
    let mut chunks = input.chunks_exact(chunk_bytes.max(1));
    for round in out.chunks_exact_mut(round_bytes.max(1)) {
        copy(chunks.next()?, round.get_mut(start..)?.get_mut(..chunk_bytes)?)?;
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &Cat<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let Cat { tensors, out, .. } = arguments;
    let rounds = arguments.rounds();
    if let [head, target, count, words @ ..] = state {
        *head |= (tensors.len() as u32) << 8;
        *target = Location::to_word(Some(out.location));
        *count = rounds;
        let pairs = words.as_chunks_mut().0.iter_mut();
        for ([location, chunk], tensor) in pairs.zip((0..).map_while(|item| tensors.get(item))) {
            require_disjoint(out, argument::out, &[Some(&tensor)])?;
            *location = Location::to_word(Some(tensor.location));
            *chunk = tensor.size_bytes().unwrap_or(0).checked_div(rounds).unwrap_or(0);
        }
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [head, target, rounds, words @ ..] = <&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let tensors = words.as_chunks::<2>().0.get(..(*head >> 8) as usize)?;
    let round_bytes = tensors.iter().map(|[_, chunk]| *chunk as usize).sum::<usize>();
    let rounds = *rounds as usize;
    let (reader, out) = memory.write::<u8>(Location::from_word(*target)?, rounds * round_bytes)?;
    let mut start = 0;
    for [location, chunk] in tensors {
        let chunk = *chunk as usize;
        let input = reader.read::<u8>(Location::from_word(*location)?, rounds * chunk)?;
        place(input, chunk, start, round_bytes, out)?;
        start += chunk;
    }
    Some(())
}
