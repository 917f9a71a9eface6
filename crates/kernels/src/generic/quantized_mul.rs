//! Products of `int8` tensors, element by element.

use super::broadcast::{self, BINARY_WORDS, for_each_run};
use super::{halves, unpack_halves};
use crate::memory::{Memory, Source};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::broadcast::Broadcast;
use cortado_contract::ops::QuantizedMul;
use cortado_contract::ops::quantized_mul::{MulParams, argument};
use cortado_contract::quant::{Activation, InputOffset, OutputOffset, Requantize};
use cortado_contract::value::Violation;

/// Operands and axes, the multiplier, the operands' zero points, and the result's with the shift.
pub const STATE_WORDS: usize = BINARY_WORDS + 3;

/// Computes a product; see [`cortado_contract::ops::quantized_mul::reference`] for its bits.
///
/// `None` when a slice is shorter than [`Broadcast::element_counts`] says or an operand in place is repeated; nothing useful is
/// in `out` then.
pub fn mul_s8<M: Micro>(
    broadcast: &Broadcast,
    params: &MulParams,
    lhs: Source<'_, i8>,
    rhs: Source<'_, i8>,
    out: &mut [i8],
) -> Option<()> {
    for_each_run(broadcast, lhs, rhs, out, |run, out| M::multiply(params, run, out))
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedMul<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let broadcast = arguments.broadcast()?;
    if let Some((words, numbers)) = state.split_first_chunk_mut::<BINARY_WORDS>() {
        let operands = [&arguments.lhs, &arguments.rhs, &arguments.out];
        broadcast::pack(&broadcast, operands, argument::out, words)?;
        super::store(
            numbers,
            [
                arguments.output_multiplier as u32,
                halves(arguments.lhs_zero_point.0, arguments.rhs_zero_point.0),
                halves(arguments.output_zero_point.0, arguments.output_shift),
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let (words, numbers) = state.split_first_chunk::<BINARY_WORDS>()?;
    let &[multiplier, zero_points, output] = numbers else { return None };
    let (lhs_zero_point, rhs_zero_point) = unpack_halves(zero_points);
    let (output_offset, shift) = unpack_halves(output);
    let params = MulParams {
        lhs_offset: InputOffset(-lhs_zero_point),
        rhs_offset: InputOffset(-rhs_zero_point),
        output_offset: OutputOffset(output_offset),
        factor: Requantize { multiplier: multiplier as i32, shift },
        activation: Activation::INT8,
    };
    let operands = broadcast::borrow(words, memory)?;
    mul_s8::<M>(&operands.broadcast, &params, operands.lhs, operands.rhs, operands.out)
}
