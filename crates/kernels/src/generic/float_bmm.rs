//! Products of matrices, in `float32`.
//!
//! ```text
//! for each matrix, and each row of the left one:
//!     for each of the row's numbers: add its product with a row of the right matrix to the result's row      (1)
//! ```
//!
//! 1. So that all memory is gone along in order.

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::float::MatrixShape;
use cortado_contract::ops::FloatBmm;
use cortado_contract::ops::float_bmm::argument;
use cortado_contract::value::Violation;

/// Word 0, both operands, output, and the extents.
pub const STATE_WORDS: usize = 8;

/// `out[b,r,c] = Σ_i lhs[b,r,i] · rhs[b,i,c]`. `None` when a slice is shorter than the extents say.
pub fn multiply(shape: MatrixShape, lhs: &[f32], rhs: &[f32], out: &mut [f32]) -> Option<()> {
    let MatrixShape { batches, rows, inner, cols } = shape;
    for batch in 0..batches {
        let rhs = rhs.get(batch.checked_mul(inner.checked_mul(cols)?)?..)?;
        for row in 0..rows {
            let row = batch.checked_mul(rows)?.checked_add(row)?;
            let lhs = lhs.get(row.checked_mul(inner)?..)?.get(..inner)?;
            let out = out.get_mut(row.checked_mul(cols)?..)?.get_mut(..cols)?;
            out.fill(0.0);
            for (index, factor) in lhs.iter().enumerate() {
                let rhs = rhs.get(index.checked_mul(cols)?..)?.get(..cols)?;
                for (sum, rhs) in out.iter_mut().zip(rhs) {
                    *sum += factor * rhs;
                }
            }
        }
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatBmm<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let FloatBmm { input, mat2, out } = arguments;
    require_disjoint(out, argument::out, &[Some(input), Some(mat2)])?;
    let MatrixShape { batches, rows, inner, cols } = arguments.shape();
    if let [_, words @ ..] = state {
        super::store(
            words,
            [
                Location::to_word(Some(input.location)),
                Location::to_word(Some(mat2.location)),
                Location::to_word(Some(out.location)),
                batches as u32,
                rows as u32,
                inner as u32,
                cols as u32,
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, lhs, rhs, out, extents @ ..] = *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let [batches, rows, inner, cols] = extents.map(|extent| extent as usize);
    let (reader, out) = memory.write::<f32>(Location::from_word(out)?, batches * rows * cols)?;
    let lhs = reader.read(Location::from_word(lhs)?, batches * rows * inner)?;
    let rhs = reader.read(Location::from_word(rhs)?, batches * inner * cols)?;
    multiply(MatrixShape { batches, rows, inner, cols }, lhs, rhs, out)
}
