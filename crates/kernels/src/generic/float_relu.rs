//! The rectifier, in `float32`.

use super::float::{UNARY_WORDS, execute_unary, prepare_unary};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatRelu;
use cortado_contract::ops::float_relu::argument;
use cortado_contract::value::Violation;

/// Those of a function of one number.
pub const STATE_WORDS: usize = UNARY_WORDS;

/// The greater of a number and 0; NaN stays NaN.
#[inline(always)]
pub fn rectify(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatRelu<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    prepare_unary(&arguments.input, &arguments.out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_unary::<M>(state, memory, rectify)
}
