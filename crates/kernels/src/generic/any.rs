//! Whether any element along an axis is true.

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::float::Rows;
use cortado_contract::ops::Any;
use cortado_contract::ops::any::argument;
use cortado_contract::value::{Rule, Violation, require_some};

/// Word 0, input, output, and the product of the extents outside of the axis, its own, and inside of it.
pub const STATE_WORDS: usize = 6;

/// For each outer and inner position, whether any element along the axis is not 0.
///
/// `input` is `[outer, length, inner]`, `out` is `[outer, inner]`; `None` when a slice is shorter.
pub fn any_along(rows: &Rows, input: &[u8], out: &mut [u8]) -> Option<()> {
    let Rows { outer, length, inner } = *rows;
    let out = out.get_mut(..outer * inner)?;
    out.fill(0);
    if inner == 0 || length == 0 {
        return Some(());
    }
    let input = input.get(..outer * length * inner)?;
    for (block, out) in input.chunks_exact((length * inner).max(1)).zip(out.chunks_exact_mut(inner))
    {
        for row in block.chunks_exact(inner) {
            for (out, value) in out.iter_mut().zip(row) {
                *out |= u8::from(*value != 0);
            }
        }
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &Any<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let Any { input, out, .. } = arguments;
    require_disjoint(out, argument::out, &[Some(input)])?;
    let rows = require_some(arguments.rows(), argument::dim, Rule::Range)?;
    if let [_, words @ ..] = state {
        super::store(
            words,
            [
                Location::to_word(Some(input.location)),
                Location::to_word(Some(out.location)),
                rows.outer as u32,
                rows.length as u32,
                rows.inner as u32,
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, input, out, outer, length, inner] = *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let rows = Rows { outer: outer as usize, length: length as usize, inner: inner as usize };
    let (reader, out) = memory.write::<u8>(Location::from_word(out)?, rows.outer * rows.inner)?;
    let count = rows.outer * rows.length * rows.inner;
    any_along(&rows, reader.read(Location::from_word(input)?, count)?, out)
}
