//! Fully connected layers, in `float32`.

use super::float::dot;
use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::float::MatrixShape;
use cortado_contract::ops::FloatLinear;
use cortado_contract::ops::float_linear::argument;
use cortado_contract::value::Violation;

/// Word 0, input, weight, bias, output, and the extents.
pub const STATE_WORDS: usize = 8;

/// `out[r,o] = Σ_i input[r,i] · weight[o,i] + bias[o]`, with `inner` inputs and `cols` outputs per row.
///
/// `None` when a slice is shorter than the extents say.
pub fn linear(
    shape: MatrixShape,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) -> Option<()> {
    let MatrixShape { rows, inner, cols, .. } = shape;
    for row in 0..rows {
        let input = input.get(row.checked_mul(inner)?..)?.get(..inner)?;
        let out = out.get_mut(row.checked_mul(cols)?..)?.get_mut(..cols)?;
        for (channel, out) in out.iter_mut().enumerate() {
            let weight = weight.get(channel.checked_mul(inner)?..)?.get(..inner)?;
            let constant = match bias {
                Some(bias) => *bias.get(channel)?,
                None => 0.0,
            };
            *out = dot(input, weight) + constant;
        }
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatLinear<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let FloatLinear { input, weight, bias, out } = arguments;
    require_disjoint(out, argument::out, &[Some(input), Some(weight), bias.as_ref()])?;
    let MatrixShape { rows, inner, cols, .. } = arguments.shape();
    if let [_, words @ ..] = state {
        super::store(
            words,
            [
                Location::to_word(Some(input.location)),
                Location::to_word(Some(weight.location)),
                Location::to_word(bias.as_ref().map(|bias| bias.location)),
                Location::to_word(Some(out.location)),
                rows as u32,
                inner as u32,
                cols as u32,
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, input, weight, bias, out, rows, inner, cols] =
        *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let shape =
        MatrixShape { batches: 1, rows: rows as usize, inner: inner as usize, cols: cols as usize };
    let (reader, out) = memory.write::<f32>(Location::from_word(out)?, shape.rows * shape.cols)?;
    let input = reader.read(Location::from_word(input)?, shape.rows * shape.inner)?;
    let weight = reader.read(Location::from_word(weight)?, shape.cols * shape.inner)?;
    let bias = match Location::from_word(bias) {
        Some(bias) => Some(reader.read::<f32>(bias, shape.cols)?),
        None => None,
    };
    linear(shape, input, weight, bias, out)
}
