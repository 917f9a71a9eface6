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
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::float::Rows;
use cortado_contract::ops::FloatSoftmax;
use cortado_contract::ops::float_softmax::argument;
use cortado_contract::value::Violation;

/// Word 0, input, output, and the rows.
pub const STATE_WORDS: usize = 6;

/// Computes a softmax. `None` when a slice is shorter than the rows say.
pub fn softmax(rows: Rows, input: &[f32], out: &mut [f32]) -> Option<()> {
    for_each_row(rows, input, out, softmax_row)
}

/// Calls `compute` with the step between a row's elements, and the input and the result from each row's first element on.
#[inline(always)]
pub(super) fn for_each_row(
    rows: Rows,
    input: &[f32],
    out: &mut [f32],
    compute: fn(usize, &[f32], &mut [f32]),
) -> Option<()> {
    let Rows { outer, length, inner } = rows;
    let block = length.checked_mul(inner)?;
    if block == 0 {
        return Some(());
    }
    let count = outer.checked_mul(block)?;
    let (input, out) = (input.get(..count)?, out.get_mut(..count)?);
    for (input, out) in input.chunks_exact(block).zip(out.chunks_exact_mut(block)) {
        for start in 0..inner {
            compute(inner, input.get(start..)?, out.get_mut(start..)?);
        }
    }
    Some(())
}

/// The greatest number of a row.
#[inline(always)]
pub(super) fn greatest(step: usize, input: &[f32]) -> f32 {
    let greater = |greatest: f32, x: &f32| if *x > greatest { *x } else { greatest };
    input.iter().step_by(step).fold(f32::NEG_INFINITY, greater)
}

/// One row, whose elements lie `step` apart.
fn softmax_row(step: usize, input: &[f32], out: &mut [f32]) {
    let greatest = greatest(step, input);
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
    pack(&arguments.input, (&arguments.out, argument::out), arguments.rows(), state)
}

/// Packs an operator that goes row by row.
pub(super) fn pack(
    input: &LoadedTensor,
    (out, out_argument): (&LoadedTensor, u8),
    rows: Option<Rows>,
    state: &mut [u32],
) -> Result<(), Violation> {
    require_disjoint(out, out_argument, &[Some(input)])?;
    let rows = rows.unwrap_or(Rows { outer: 0, length: 0, inner: 0 });
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
    execute_rows(state, memory, softmax)
}

/// Runs a packed operator that goes row by row.
#[inline(always)]
pub(super) fn execute_rows(
    state: &[u32],
    memory: &mut Memory<'_>,
    kernel: fn(Rows, &[f32], &mut [f32]) -> Option<()>,
) -> Option<()> {
    let [_, source, target, outer, length, inner] = *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let rows = Rows { outer: outer as usize, length: length as usize, inner: inner as usize };
    let count = rows.outer * rows.length * rows.inner;
    let (reader, out) = memory.write::<f32>(Location::from_word(target)?, count)?;
    kernel(rows, reader.read(Location::from_word(source)?, count)?, out)
}
