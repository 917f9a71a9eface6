//! Products of matrices of activations: the loop of [`super::quantized_linear`] for one after the other.

use super::quantized_linear::linear_s8;
use super::{halves, require_disjoint, unpack_halves};
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedBatchMatmul;
use cortado_contract::ops::quantized_batch_matmul::{
    BatchMatmulParams, BatchMatmulShape, argument,
};
use cortado_contract::quant::{Activation, FilterOffset, InputOffset, OutputOffset, Requantize};
use cortado_contract::value::Violation;

/// Word 0 with shift and output offset, three locations, extents, multiplier and operand offsets.
pub const STATE_WORDS: usize = 11;

/// Computes products of matrices; see the operator's contract for their meaning and
/// [`cortado_contract::ops::quantized_batch_matmul::reference`] for their bits.
///
/// `None` when a slice is shorter than the extents say; nothing useful is in `out` then.
pub fn batch_matmul_s8<M: Micro>(
    shape: &BatchMatmulShape,
    params: &BatchMatmulParams,
    lhs: &[i8],
    rhs_transposed: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let BatchMatmulShape { lhs_batches, rhs_batches, rows, cols, depth } = *shape;
    let (product, params) = (shape.product(), params.product());
    for batch in 0..shape.batches() {
        let lhs_batch = if lhs_batches == 1 { 0 } else { batch };
        let rhs_batch = if rhs_batches == 1 { 0 } else { batch };
        let lhs = lhs.get(lhs_batch * rows * depth..)?;
        let rhs = rhs_transposed.get(rhs_batch * cols * depth..)?;
        let out = out.get_mut(batch * rows * cols..)?;
        linear_s8::<M>(product, &params, lhs, rhs, out)?;
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedBatchMatmul<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let QuantizedBatchMatmul { lhs, rhs_transposed: rhs, out, .. } = arguments;
    // The operands stand at positions 0 and 2.
    require_disjoint(out, argument::out, &[Some(lhs), None, Some(rhs)])?;
    let BatchMatmulShape { lhs_batches, rhs_batches, rows, cols, depth } = arguments.shape();
    let Requantize { multiplier, shift } = arguments.requantize();
    if let Some(words) = state.first_chunk_mut::<STATE_WORDS>() {
        let head = [0, shift as u8, arguments.output_zero_point.0 as u8, 0];
        *words = [
            words[0] & 0xff | u32::from_le_bytes(head),
            Location::to_word(Some(lhs.location)),
            Location::to_word(Some(rhs.location)),
            Location::to_word(Some(out.location)),
            lhs_batches as u32,
            rhs_batches as u32,
            rows as u32,
            cols as u32,
            depth as u32,
            multiplier as u32,
            halves(arguments.lhs_zero_point.0, arguments.rhs_zero_point.0),
        ];
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let words = state.first_chunk::<STATE_WORDS>()?;
    let [head, lhs, rhs, out, lhs_batches, rhs_batches, rows, cols, depth, multiplier, offsets] =
        *words;
    let shape = BatchMatmulShape {
        lhs_batches: lhs_batches as usize,
        rhs_batches: rhs_batches as usize,
        rows: rows as usize,
        cols: cols as usize,
        depth: depth as usize,
    };
    let [_, shift, output_offset, _] = head.to_le_bytes().map(|byte| i32::from(byte as i8));
    let (lhs_offset, rhs_offset) = unpack_halves(offsets);
    let params = BatchMatmulParams {
        lhs_offset: InputOffset(lhs_offset),
        rhs_offset: FilterOffset(rhs_offset),
        output_offset: OutputOffset(output_offset),
        requantize: Requantize { multiplier: multiplier as i32, shift },
        activation: Activation::INT8,
    };
    let BatchMatmulShape { rows, cols, depth, .. } = shape;
    let (reader, out) =
        memory.write::<i8>(Location::from_word(out)?, shape.batches() * rows * cols)?;
    let lhs = reader.read(Location::from_word(lhs)?, shape.lhs_batches * rows * depth)?;
    let rhs = reader.read(Location::from_word(rhs)?, shape.rhs_batches * cols * depth)?;
    batch_matmul_s8::<M>(&shape, &params, lhs, rhs, out)
}
