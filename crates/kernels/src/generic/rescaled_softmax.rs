//! Softmax over `int8` whose result has a scale of its own. The rows themselves are [`super::softmax`].

use super::softmax::{self, execute_rows, pack};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::RescaledSoftmax;
use cortado_contract::ops::rescaled_softmax::argument;
use cortado_contract::ops::softmax::SoftmaxResult;
use cortado_contract::quant::{OutputOffset, Requantize};
use cortado_contract::value::Violation;

/// Softmax's words, the factor's multiplier, and its shift with the zero point.
pub const STATE_WORDS: usize = softmax::STATE_WORDS + 2;

pub(super) fn prepare<L: Lists>(
    arguments: &RescaledSoftmax<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let RescaledSoftmax { input, out, output_multiplier, output_shift, output_offset, .. } =
        arguments;
    pack(arguments.rows(), arguments.scale(), input, out, argument::out, state)?;
    if let Some([multiplier, numbers]) = state.last_chunk_mut() {
        *multiplier = *output_multiplier as u32;
        *numbers = super::halves(*output_shift, output_offset.0);
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let (words, [multiplier, numbers]) = state.split_last_chunk()?;
    let (shift, offset) = super::unpack_halves(*numbers);
    let factor = Requantize { multiplier: *multiplier as i32, shift };
    let result = SoftmaxResult::Rescaled { factor, offset: OutputOffset(offset) };
    execute_rows::<M>(words, result, memory)
}
