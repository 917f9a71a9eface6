//! Layer normalization with its rows' means and reciprocal deviations, in `float32`.
//!
//! Memory is written one span at a time, so each result is a pass of its own over the operand.

use super::float_layer_norm::{self, prepare_norm, row_statistics};
use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatNativeLayerNorm;
use cortado_contract::ops::float_native_layer_norm::argument;
use cortado_contract::value::{Rule, Violation, require};

/// Those of the normalization alone, then means and deviations.
pub const STATE_WORDS: usize = float_layer_norm::STATE_WORDS + 2;

pub(super) fn prepare<L: Lists>(
    arguments: &FloatNativeLayerNorm<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let FloatNativeLayerNorm { input, out0, out1, out, .. } = arguments;
    require_disjoint(out1, argument::out1, &[Some(input), Some(out0)])?;
    require_disjoint(out, argument::out, &[Some(input), Some(out0), Some(out1)])?;
    for parameter in [&arguments.weight, &arguments.bias].into_iter().flatten() {
        let is_apart = !parameter.overlaps(out1) && !parameter.overlaps(out);
        require(is_apart, argument::out, Rule::Overlap)?;
    }
    if let Some((words, [means, deviations])) = state.split_last_chunk_mut() {
        prepare_norm(&arguments.normalization(), words)?;
        *means = Location::to_word(Some(out1.location));
        *deviations = Location::to_word(Some(out.location));
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let (words, [means, deviations]) = state.split_last_chunk()?;
    float_layer_norm::execute::<M>(words, memory)?;
    let (input, length, count, epsilon) = float_layer_norm::operand(words)?;
    let rows = count.checked_div(length)?;
    for (word, is_mean) in [(*means, true), (*deviations, false)] {
        let (reader, out) = memory.write::<f32>(Location::from_word(word)?, rows)?;
        let input = reader.read::<f32>(input, count)?;
        for (row, out) in input.chunks_exact(length).zip(out) {
            let (mean, scale) = row_statistics(row, epsilon);
            *out = if is_mean { mean as f32 } else { scale as f32 };
        }
    }
    Some(())
}
