//! Convolutions over `int16`, dense and grouped: the glue of [`super::conv_s16`].

use super::conv_s16::conv_s16;
use super::convolution;
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedConv2dInt16;
use cortado_contract::value::Violation;

/// The words of a prepared convolution.
pub const STATE_WORDS: usize = convolution::STATE_WORDS;

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedConv2dInt16<Loaded<L>>,
    program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    convolution::prepare_int16(&arguments.common(), arguments.shape(), program, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    convolution::execute_int16(state, memory, conv_s16::<M>)
}
