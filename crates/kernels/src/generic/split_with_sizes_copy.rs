//! Copies of consecutive parts along an axis.
//!
//! ```text
//! for each part:
//!     for each round:
//!         copy the part's chunk of the round
//! ```

use super::require_disjoint;
use crate::memory::{Location, Memory, copy};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::SplitWithSizesCopy;
use cortado_contract::ops::split_with_sizes_copy::{MAX_TENSORS, argument};
use cortado_contract::value::{Rule, TensorList, Violation, require};

/// Word 0 (the number of parts), input, rounds, and location and chunk of each part.
pub const STATE_WORDS: usize = 3 + 2 * MAX_TENSORS;

/// Copies the chunk of one part out of each of the rounds of `round_bytes` that `input` consists of, `start` bytes into it.
///
/// `None` when a slice is shorter than that says.
pub fn take(
    input: &[u8],
    round_bytes: usize,
    start: usize,
    chunk_bytes: usize,
    out: &mut [u8],
) -> Option<()> {
    if chunk_bytes == 0 || round_bytes == 0 {
        return Some(());
    }
    let mut rounds = input.chunks_exact(round_bytes.max(1));
    for chunk in out.chunks_exact_mut(chunk_bytes.max(1)) {
        copy(rounds.next()?.get(start..)?.get(..chunk_bytes)?, chunk)?;
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &SplitWithSizesCopy<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let SplitWithSizesCopy { input, out, .. } = arguments;
    let rounds = arguments.rounds();
    let parts = || (0..).map_while(|item| out.get(item));
    if let [head, source, count, words @ ..] = state {
        *head |= (out.len() as u32) << 8;
        *source = Location::to_word(Some(input.location));
        *count = rounds;
        let pairs = words.as_chunks_mut().0.iter_mut();
        for (index, ([location, chunk], part)) in pairs.zip(parts()).enumerate() {
            require_disjoint(&part, argument::out, &[Some(input)])?;
            let is_alone = parts().take(index).all(|other| !other.overlaps(&part));
            require(is_alone, argument::out, Rule::Overlap)?;
            *location = Location::to_word(Some(part.location));
            *chunk = part.size_bytes().unwrap_or(0).checked_div(rounds).unwrap_or(0);
        }
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [head, source, rounds, words @ ..] = <&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let parts = words.as_chunks::<2>().0.get(..(*head >> 8) as usize)?;
    let round_bytes = parts.iter().map(|[_, chunk]| *chunk as usize).sum::<usize>();
    let rounds = *rounds as usize;
    let mut start = 0;
    for [location, chunk] in parts {
        let chunk = *chunk as usize;
        let (reader, out) = memory.write::<u8>(Location::from_word(*location)?, rounds * chunk)?;
        let input = reader.read::<u8>(Location::from_word(*source)?, rounds * round_bytes)?;
        take(input, round_bytes, start, chunk, out)?;
        start += chunk;
    }
    Some(())
}
