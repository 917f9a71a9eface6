//! Exponentials that sum to one, in `float32`.
//!
//! ```text
//! for each row:
//!     greatest = max_j input[j]
//!     out[j] = exp(input[j] − greatest), and sum of them in float64
//!     out[j] = out[j] / sum
//! ```

use super::{math, require_disjoint};
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::float::Rows;
use cortado_contract::ops::FloatSoftmax;
use cortado_contract::ops::float_softmax::argument;
use cortado_contract::value::Violation;

/// Word 0, input, output, and the rows.
pub const STATE_WORDS: usize = 6;

/// Computes a softmax. `None` when a slice is shorter than the rows say.
pub fn softmax(rows: Rows, input: &[f32], out: &mut [f32]) -> Option<()> {
    let Rows { outer, length, inner } = rows;
    let block = length.checked_mul(inner)?;
    if block == 0 {
        return Some(());
    }
    let count = outer.checked_mul(block)?;
    let (input, out) = (input.get(..count)?, out.get_mut(..count)?);
    for (input, out) in input.chunks_exact(block).zip(out.chunks_exact_mut(block)) {
        for start in 0..inner {
            softmax_row(inner, input.get(start..)?, out.get_mut(start..)?);
        }
    }
    Some(())
}

/// One row, whose elements lie `step` apart.
fn softmax_row(step: usize, input: &[f32], out: &mut [f32]) {
    let greater = |greatest: f32, x: &f32| if *x > greatest { *x } else { greatest };
    let greatest = input.iter().step_by(step).fold(f32::NEG_INFINITY, greater);
    let mut sum = 0.0f64;
    for (out, x) in out.iter_mut().step_by(step).zip(input.iter().step_by(step)) {
        *out = math::exp(*x - greatest);
        sum += f64::from(*out);
    }
    for out in out.iter_mut().step_by(step) {
        *out = (f64::from(*out) / sum) as f32;
    }
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatSoftmax<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    require_disjoint(&arguments.out, argument::out, &[Some(&arguments.input)])?;
    let rows = arguments.rows().unwrap_or(Rows { outer: 0, length: 0, inner: 0 });
    if let [_, words @ ..] = state {
        super::store(
            words,
            [
                Location::to_word(Some(arguments.input.location)),
                Location::to_word(Some(arguments.out.location)),
                rows.outer as u32,
                rows.length as u32,
                rows.inner as u32,
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, source, target, outer, length, inner] = *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let rows = Rows { outer: outer as usize, length: length as usize, inner: inner as usize };
    let count = rows.outer * rows.length * rows.inner;
    let (reader, out) = memory.write::<f32>(Location::from_word(target)?, count)?;
    softmax(rows, reader.read(Location::from_word(source)?, count)?, out)
}
