//! Quotients of `int8` or `int16` tensors, element by element.

use super::broadcast::{self, BINARY_WORDS, FREE_SHIFT, for_each_run};
use super::{halves, unpack_halves};
use crate::memory::{Memory, Source};
use crate::micro::{Integer, Micro};
use crate::operand::{Lists, Loaded};
use cortado_contract::DType;
use cortado_contract::broadcast::Broadcast;
use cortado_contract::ops::QuantizedDiv;
use cortado_contract::ops::quantized_div::{DivParams, INT16, argument};
use cortado_contract::quant::{Activation, InputOffset, OutputOffset};
use cortado_contract::value::{TensorMeta, Violation};

/// Operands and axes, the scale, the operands' zero points, and the result's.
pub const STATE_WORDS: usize = BINARY_WORDS + 3;

/// Word 0: the elements are `int16`.
const IS_INT16: u32 = 1 << FREE_SHIFT;

/// Computes a quotient within `range`, that of `T`; see [`cortado_contract::ops::quantized_div::reference`] for its bits.
///
/// `None` when a slice is shorter than [`Broadcast::element_counts`] says or an operand in place is repeated; nothing useful is
/// in `out` then.
pub fn div<T: Integer + Default>(
    broadcast: &Broadcast,
    params: &DivParams,
    range: Activation,
    lhs: Source<'_, T>,
    rhs: Source<'_, T>,
    out: &mut [T],
) -> Option<()> {
    for_each_run(broadcast, lhs, rhs, out, |run, out| {
        run.apply(out, |lhs, rhs| T::from_i32(params.apply(lhs.to_i32(), rhs.to_i32(), range)));
    })
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedDiv<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let broadcast = arguments.broadcast()?;
    if let Some((words, numbers)) = state.split_first_chunk_mut::<BINARY_WORDS>() {
        let operands = [&arguments.lhs, &arguments.rhs, &arguments.out];
        broadcast::pack(&broadcast, operands, argument::out, words)?;
        if arguments.out.dtype() == DType::I16 {
            words[0] |= IS_INT16;
        }
        super::store(
            numbers,
            [
                arguments.params().scale.to_bits(),
                halves(arguments.lhs_zero_point.0, arguments.rhs_zero_point.0),
                arguments.output_zero_point.0 as u32,
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let (words, numbers) = state.split_first_chunk::<BINARY_WORDS>()?;
    let &[scale, zero_points, output_offset] = numbers else { return None };
    let (lhs_zero_point, rhs_zero_point) = unpack_halves(zero_points);
    let params = DivParams {
        lhs_offset: InputOffset(-lhs_zero_point),
        rhs_offset: InputOffset(-rhs_zero_point),
        output_offset: OutputOffset(output_offset as i32),
        scale: f32::from_bits(scale),
    };
    if words[0] & IS_INT16 == 0 {
        execute_as::<i8>(words, &params, Activation::INT8, memory)
    } else {
        execute_as::<i16>(words, &params, INT16, memory)
    }
}

fn execute_as<T: Integer + Default>(
    words: &[u32; BINARY_WORDS],
    params: &DivParams,
    range: Activation,
    memory: &mut Memory<'_>,
) -> Option<()> {
    let operands = broadcast::borrow::<T>(words, memory)?;
    div(&operands.broadcast, params, range, operands.lhs, operands.rhs, operands.out)
}
