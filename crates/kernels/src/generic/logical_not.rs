//! The other truth value.

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::LogicalNot;
use cortado_contract::ops::logical_not::argument;
use cortado_contract::value::{TensorMeta, Violation};

/// Word 0, input, output, number of elements.
pub const STATE_WORDS: usize = 4;

/// `out[i] = input[i] == 0`, over the shorter of both.
pub fn negate(input: &[u8], out: &mut [u8]) {
    for (out, input) in out.iter_mut().zip(input) {
        *out = u8::from(*input == 0);
    }
}

pub(super) fn prepare<L: Lists>(
    arguments: &LogicalNot<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let LogicalNot { input, out } = arguments;
    require_disjoint(out, argument::out, &[Some(input)])?;
    if let [_, words @ ..] = state {
        super::store(
            words,
            [
                Location::to_word(Some(input.location)),
                Location::to_word(Some(out.location)),
                input.element_count().unwrap_or(0),
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, input, out, count] = *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let count = count as usize;
    let (reader, out) = memory.write::<u8>(Location::from_word(out)?, count)?;
    negate(reader.read(Location::from_word(input)?, count)?, out);
    Some(())
}
