//! The logarithms of a softmax, in `float32`.
//!
//! ```text
//! for each row:
//!     greatest = max_j input[j]
//!     logarithm = ln Σ_j exp(input[j] − greatest), in float64
//!     out[j] = input[j] − greatest − logarithm
//! ```

use super::float_softmax::{self, execute_rows, for_each_row, greatest, pack};
use super::math;
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::float::Rows;
use cortado_contract::ops::FloatLogSoftmax;
use cortado_contract::ops::float_log_softmax::argument;
use cortado_contract::value::Violation;

/// As those of a softmax.
pub const STATE_WORDS: usize = float_softmax::STATE_WORDS;

/// Computes the logarithms of a softmax. `None` when a slice is shorter than the rows say.
pub fn log_softmax(rows: Rows, input: &[f32], out: &mut [f32]) -> Option<()> {
    for_each_row(rows, input, out, log_softmax_row)
}

/// One row, whose elements lie `step` apart.
fn log_softmax_row(step: usize, input: &[f32], out: &mut [f32]) {
    let greatest = greatest(step, input);
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
    pack(&arguments.input, (&arguments.out, argument::out), arguments.rows(), state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_rows(state, memory, log_softmax)
}
