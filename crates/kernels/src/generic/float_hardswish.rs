//! A piecewise approximation of `x · sigmoid(x)`, in `float32`.

use super::float::{UNARY_WORDS, execute_unary, prepare_unary};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatHardswish;
use cortado_contract::ops::float_hardswish::argument;
use cortado_contract::value::Violation;

/// Those of a function of one number.
pub const STATE_WORDS: usize = UNARY_WORDS;

/// `x · min(max(x + 3, 0), 6) · (1/6)`; NaN stays NaN.
pub fn hardswish(x: f32) -> f32 {
    // NaN passes.
    let limited = (x + 3.0).clamp(0.0, 6.0);
    x * limited * (1.0 / 6.0)
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatHardswish<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    prepare_unary(&arguments.input, &arguments.out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_unary::<M>(state, memory, hardswish)
}
