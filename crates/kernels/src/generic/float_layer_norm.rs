//! Rows brought to mean 0 and variance 1, in `float32`, with mean and variance in `float64`.

use super::{math, require_disjoint};
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatLayerNorm;
use cortado_contract::ops::float_layer_norm::argument;
use cortado_contract::value::{TensorMeta, Violation};

/// Word 0, input, weight, bias, output, row length, number of elements, and what is added to the variance, in two words.
pub const STATE_WORDS: usize = 9;

/// The rows' length and numbers that do not depend on the row.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// The elements of a row; not 0.
    pub length: usize,
    /// A factor of each position.
    pub weight: Option<&'a [f32]>,
    /// What is added to each position.
    pub bias: Option<&'a [f32]>,
    /// What is added to the variance.
    pub epsilon: f64,
}

/// Normalizes all rows of `input`. `None` when `weight` or `bias` is shorter than a row.
pub fn layer_norm(norm: &LayerNorm<'_>, input: &[f32], out: &mut [f32]) -> Option<()> {
    let LayerNorm { length, weight, bias, epsilon } = *norm;
    let parameter = |values: Option<&[f32]>, index: usize, default: f32| match values {
        Some(values) => values.get(index).copied(),
        None => Some(default),
    };
    if length == 0 {
        return Some(());
    }
    for (input, out) in input.chunks_exact(length).zip(out.chunks_exact_mut(length)) {
        let (mean, scale) = row_statistics(input, epsilon);
        for (index, (out, x)) in out.iter_mut().zip(input).enumerate() {
            let normal = ((f64::from(*x) - mean) * scale) as f32;
            *out = normal * parameter(weight, index, 1.0)? + parameter(bias, index, 0.0)?;
        }
    }
    Some(())
}

/// The mean of a row, and `1 / √(variance + epsilon)`.
pub fn row_statistics(row: &[f32], epsilon: f64) -> (f64, f64) {
    let length = row.len() as f64;
    let mean = row.iter().fold(0.0, |sum, x| sum + f64::from(*x)) / length;
    let squares = row.iter().fold(0.0, |sum, x| {
        let difference = f64::from(*x) - mean;
        sum + difference * difference
    });
    let deviation = squares / length + epsilon;
    // Where nothing varies and nothing is added, the quotient is undefined, as in PyTorch.
    let scale = if deviation > 0.0 { 1.0 / math::sqrt_f64(deviation) } else { f64::INFINITY };
    (mean, scale)
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatLayerNorm<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    prepare_norm(arguments, state)
}

/// Packs a checked normalization.
pub(super) fn prepare_norm<L: Lists>(
    arguments: &FloatLayerNorm<Loaded<L>>,
    state: &mut [u32],
) -> Result<(), Violation> {
    let FloatLayerNorm { input, weight, bias, out, .. } = arguments;
    require_disjoint(out, argument::out, &[Some(input), weight.as_ref(), bias.as_ref()])?;
    let bits = arguments.eps.to_bits();
    if let [_, words @ ..] = state {
        super::store(
            words,
            [
                Location::to_word(Some(input.location)),
                Location::to_word(weight.as_ref().map(|weight| weight.location)),
                Location::to_word(bias.as_ref().map(|bias| bias.location)),
                Location::to_word(Some(out.location)),
                arguments.row_length().unwrap_or(1),
                input.element_count().unwrap_or(0),
                bits as u32,
                (bits >> 32) as u32,
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, input, weight, bias, out, length, count, low, high] =
        *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let (length, count) = (length as usize, count as usize);
    let (reader, out) = memory.write::<f32>(Location::from_word(out)?, count)?;
    let input = reader.read(Location::from_word(input)?, count)?;
    let parameter = |word| match Location::from_word(word) {
        Some(location) => reader.read::<f32>(location, length).map(Some),
        None => Some(None),
    };
    let norm = LayerNorm {
        length,
        weight: parameter(weight)?,
        bias: parameter(bias)?,
        epsilon: f64::from_bits(u64::from(low) | u64::from(high) << 32),
    };
    layer_norm(&norm, input, out)
}

/// Where the operand of a packed normalization is, the elements of a row and of all, and what is added to the variance.
pub(super) fn operand(state: &[u32]) -> Option<(Location, usize, usize, f64)> {
    let [_, input, _, _, _, length, count, low, high] =
        *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let epsilon = f64::from_bits(u64::from(low) | u64::from(high) << 32);
    Some((Location::from_word(input)?, length as usize, count as usize, epsilon))
}
