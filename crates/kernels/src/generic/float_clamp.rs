//! Limits, in `float32`.

use super::float::{UNARY_WORDS, execute_unary, prepare_unary};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::ops::FloatClamp;
use cortado_contract::ops::float_clamp::argument;
use cortado_contract::value::Violation;

/// Those of a function of one number, and the limits.
pub const STATE_WORDS: usize = UNARY_WORDS + 2;

/// A number within limits, of which the greatest one is applied last; NaN stays NaN.
#[inline(always)]
pub fn limit(x: f32, min: f32, max: f32) -> f32 {
    let x = if x < min { min } else { x };
    if x > max { max } else { x }
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatClamp<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let min = arguments.min.unwrap_or(f64::NEG_INFINITY);
    let max = arguments.max.unwrap_or(f64::INFINITY);
    prepare_limits(&arguments.input, [min, max], &arguments.out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_limits::<M>(state, memory)
}

/// Packs an operator that applies limits.
pub(super) fn prepare_limits(
    input: &LoadedTensor,
    limits: [f64; 2],
    out: &LoadedTensor,
    out_argument: u8,
    state: &mut [u32],
) -> Result<(), Violation> {
    if let Some((_, words)) = state.split_first_chunk_mut::<UNARY_WORDS>() {
        words.iter_mut().zip(limits).for_each(|(word, limit)| *word = (limit as f32).to_bits());
    }
    prepare_unary(input, out, out_argument, state)
}

/// Runs a packed operator that applies limits.
pub(super) fn execute_limits<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let (_, [min, max]) = state.split_first_chunk::<UNARY_WORDS>()? else { return None };
    let (min, max) = (f32::from_bits(*min), f32::from_bits(*max));
    execute_unary::<M>(state, memory, |x| limit(x, min, max))
}
