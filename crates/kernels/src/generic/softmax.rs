//! Softmax over `int8`, in integers throughout.
//!
//! ```text
//! for each row:
//!     greatest = max(row)
//!     sum = Σ exponential(row − greatest)
//!     out = exponential(row − greatest) / sum
//! ```

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::ops::Softmax;
use cortado_contract::ops::softmax::{SoftmaxResult, SoftmaxRows, SoftmaxScale, argument};
use cortado_contract::value::{Rule, Violation, require_some};

/// Word 0 (the shift), input, output, outer, length, inner, multiplier and least difference.
pub const STATE_WORDS: usize = 8;

/// Computes softmax; see the operator's contract for its meaning and [`cortado_contract::ops::softmax::reference`] for its bits.
///
/// `None` when a slice is shorter than the rows say.
pub fn softmax<M: Micro>(
    rows: SoftmaxRows,
    scale: &SoftmaxScale,
    result: SoftmaxResult,
    input: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let SoftmaxRows { outer, length, inner } = rows;
    let block = length.checked_mul(inner)?;
    let count = outer.checked_mul(block)?;
    let (input, out) = (input.get(..count)?, out.get_mut(..count)?);
    if count == 0 {
        return Some(());
    }
    for (input, out) in input.chunks_exact(block.max(1)).zip(out.chunks_exact_mut(block.max(1))) {
        for column in 0..inner {
            let (input, out) = (input.get(column..)?, out.get_mut(column..)?);
            M::softmax_row(scale, result, (length, inner), input, out)?;
        }
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &Softmax<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let Softmax { input, out, .. } = arguments;
    pack(arguments.rows(), arguments.scale(), input, out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_rows::<M>(state, SoftmaxResult::Standard, memory)
}

/// Packs what both softmax operators have into the first words.
pub(super) fn pack(
    rows: Option<SoftmaxRows>,
    scale: SoftmaxScale,
    input: &LoadedTensor,
    out: &LoadedTensor,
    out_argument: u8,
    state: &mut [u32],
) -> Result<(), Violation> {
    require_disjoint(out, out_argument, &[Some(input)])?;
    let rows = require_some(rows, argument::input, Rule::TooLarge)?;
    if let Some(words) = state.first_chunk_mut::<STATE_WORDS>() {
        *words = [
            words[0] | (scale.shift as u32) << 8,
            Location::to_word(Some(input.location)),
            Location::to_word(Some(out.location)),
            rows.outer as u32,
            rows.length as u32,
            rows.inner as u32,
            scale.multiplier as u32,
            scale.diff_min as u32,
        ];
    }
    Ok(())
}

/// Runs softmax from its first words.
pub(super) fn execute_rows<M: Micro>(
    state: &[u32],
    result: SoftmaxResult,
    memory: &mut Memory<'_>,
) -> Option<()> {
    let [head, input, out, outer, length, inner, multiplier, diff_min] =
        *state.first_chunk::<STATE_WORDS>()?;
    let rows =
        SoftmaxRows { outer: outer as usize, length: length as usize, inner: inner as usize };
    let scale = SoftmaxScale {
        multiplier: multiplier as i32,
        shift: (head >> 8 & 0xff) as i32,
        diff_min: diff_min as i32,
    };
    let count = rows.outer * rows.length * rows.inner;
    let (reader, out) = memory.write::<i8>(Location::from_word(out)?, count)?;
    let input = reader.read::<i8>(Location::from_word(input)?, count)?;
    softmax::<M>(rows, &scale, result, input, out)
}
