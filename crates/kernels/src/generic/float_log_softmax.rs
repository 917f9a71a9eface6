//! The logarithms of a softmax, in `float32`.
//!
//! ```text
//! for each row:
//!     greatest = max_j input[j]
//!     logarithm = ln Σ_j exp(input[j] − greatest), in float64
//!     out[j] = input[j] − greatest − logarithm
//! ```

use super::{math, require_disjoint};
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::float::Rows;
use cortado_contract::ops::FloatLogSoftmax;
use cortado_contract::ops::float_log_softmax::argument;
use cortado_contract::value::Violation;

/// Word 0, input, output, and the rows.
pub const STATE_WORDS: usize = 6;

/// Computes the logarithms of a softmax. `None` when a slice is shorter than the rows say.
pub fn log_softmax(rows: Rows, input: &[f32], out: &mut [f32]) -> Option<()> {
    let Rows { outer, length, inner } = rows;
    let block = length.checked_mul(inner)?;
    if block == 0 {
        return Some(());
    }
    let count = outer.checked_mul(block)?;
    let (input, out) = (input.get(..count)?, out.get_mut(..count)?);
    for (input, out) in input.chunks_exact(block).zip(out.chunks_exact_mut(block)) {
        for start in 0..inner {
            log_softmax_row(inner, input.get(start..)?, out.get_mut(start..)?);
        }
    }
    Some(())
}

/// One row, whose elements lie `step` apart.
fn log_softmax_row(step: usize, input: &[f32], out: &mut [f32]) {
    let greater = |greatest: f32, x: &f32| if *x > greatest { *x } else { greatest };
    let greatest = input.iter().step_by(step).fold(f32::NEG_INFINITY, greater);
    let distance = |x: &f32| f64::from(*x) - f64::from(greatest);
    let mut sum = 0.0f64;
    for x in input.iter().step_by(step) {
        sum += math::exp_f64(distance(x));
    }
    let logarithm = math::log_f64(sum);
    for (out, x) in out.iter_mut().step_by(step).zip(input.iter().step_by(step)) {
        *out = (distance(x) - logarithm) as f32;
    }
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatLogSoftmax<Loaded<L>>,
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
    log_softmax(rows, reader.read(Location::from_word(source)?, count)?, out)
}
