//! Depthwise convolutions over 16-bit activations and 8-bit weights (`arm_depthwise_conv_wrapper_s16`).
//!
//! Neighbouring channels are computed together, one tap after the other: those of inputs that lie next to each other, or all that one input
//! feeds. So the inner loop runs over memory without a condition.

use super::convolution::axes;
use super::int16::{Int16Params, finish};
use super::taps::Taps;
use crate::micro::PRODUCTS_S16;
use cortado_contract::ops::quantized_conv2d::ConvShape;

/// The channels that are computed together.
const TOGETHER: usize = 64;

/// Computes a depthwise convolution over `int16`; see
/// [`cortado_contract::ops::quantized_depthwise_conv2d::reference_s16`] for its bits.
///
/// `None` when a slice is shorter than the extents say.
pub fn depthwise_conv_s16(
    shape: &ConvShape,
    params: &Int16Params<'_>,
    input: &[i16],
    weights: &[i8],
    out: &mut [i16],
) -> Option<()> {
    let ConvShape { in_channels, out_channels, .. } = *shape;
    let multiplier = out_channels.checked_div(in_channels)?;
    let (rows, columns) = axes(shape);
    let mut pixels = out.chunks_exact_mut(out_channels.max(1));
    for batch in 0..shape.batches {
        for row in 0..shape.output.height {
            let row = rows.taps(row);
            for column in 0..shape.output.width {
                let column = columns.taps(column);
                if out_channels == 0 {
                    continue;
                }
                let out = pixels.next()?;
                let window = Window { shape, input, weights, batch, row, column };
                if multiplier == 1 {
                    window.channels::<false>(params, 0, 0, out)?;
                    continue;
                }
                for (source, out) in out.chunks_mut(multiplier.max(1)).enumerate() {
                    window.channels::<true>(params, source, source * multiplier, out)?;
                }
            }
        }
    }
    Some(())
}

/// A window, with the taps of it that fall on the input.
struct Window<'a> {
    shape: &'a ConvShape,
    input: &'a [i16],
    weights: &'a [i8],
    batch: usize,
    row: Taps,
    column: Taps,
}

impl Window<'_> {
    /// Computes the output channels from `channel` on, whose inputs are the channels from `source` on; if `REPEAT`, just that one.
    #[inline(never)]
    fn channels<const REPEAT: bool>(
        &self,
        params: &Int16Params<'_>,
        source: usize,
        channel: usize,
        out: &mut [i16],
    ) -> Option<()> {
        let walk = self.walk(source, channel)?;
        for (block, out) in out.chunks_mut(TOGETHER).enumerate() {
            let first = block * TOGETHER;
            if walk.rows * walk.columns > PRODUCTS_S16 {
                for (at, out) in out.chunks_mut(1).enumerate() {
                    let sum = walk.long_sum::<REPEAT>(first + at)?;
                    finish(params, &[sum], channel + first + at, out)?;
                }
                continue;
            }
            let mut sums = [0i32; TOGETHER];
            let sums = sums.get_mut(..out.len())?;
            walk.add::<REPEAT>(first, sums)?;
            finish(params, sums, channel + first, out)?;
        }
        Some(())
    }

    /// The taps on the input, of the channels from these on.
    fn walk(&self, source: usize, channel: usize) -> Option<Walk<'_>> {
        let ConvShape { input, in_channels, out_channels, kernel, .. } = *self.shape;
        let Window { row, column, .. } = self;
        let has_taps = row.count > 0 && column.count > 0;
        let pixel = (self.batch * input.height + row.position) * input.width + column.position;
        let tap = row.tap * kernel.width + column.tap;
        Some(Walk {
            inputs: if has_taps { self.input.get(pixel * in_channels + source..)? } else { &[] },
            weights: if has_taps { self.weights.get(tap * out_channels + channel..)? } else { &[] },
            input_steps: [
                row.position_step * input.width * in_channels,
                column.position_step * in_channels,
            ],
            weight_steps: [kernel.width * out_channels, out_channels],
            rows: if has_taps { row.count } else { 0 },
            columns: column.count,
        })
    }
}

/// Taps of a window: their inputs and their weights from the first one on, and the distances from row to row and from column to column.
struct Walk<'a> {
    inputs: &'a [i16],
    weights: &'a [i8],
    input_steps: [usize; 2],
    weight_steps: [usize; 2],
    rows: usize,
    columns: usize,
}

impl Walk<'_> {
    /// Adds the products of the channels from `at` on, one tap after the other.
    fn add<const REPEAT: bool>(&self, at: usize, sums: &mut [i32]) -> Option<()> {
        let source = if REPEAT { 0 } else { at };
        for row in 0..self.rows {
            let mut inputs = self.inputs.get(source + row * self.input_steps[0]..)?;
            let mut weights = self.weights.get(at + row * self.weight_steps[0]..)?;
            for column in 0..self.columns {
                let weights_here = weights.get(..sums.len())?;
                if REPEAT {
                    let input = i32::from(*inputs.first()?);
                    for (sum, weight) in sums.iter_mut().zip(weights_here) {
                        *sum = sum.wrapping_add(input * i32::from(*weight));
                    }
                } else {
                    let pairs = inputs.get(..sums.len())?.iter().zip(weights_here);
                    for (sum, (input, weight)) in sums.iter_mut().zip(pairs) {
                        *sum = sum.wrapping_add(i32::from(*input) * i32::from(*weight));
                    }
                }
                if column + 1 < self.columns {
                    inputs = inputs.get(self.input_steps[1]..)?;
                    weights = weights.get(self.weight_steps[1]..)?;
                }
            }
        }
        Some(())
    }

    /// The sum of products of the channel at `at`, however many there are.
    #[inline(never)]
    fn long_sum<const REPEAT: bool>(&self, at: usize) -> Option<i64> {
        let source = if REPEAT { 0 } else { at };
        let mut sum = 0;
        for row in 0..self.rows {
            let inputs = self.inputs.get(source + row * self.input_steps[0]..)?;
            let weights = self.weights.get(at + row * self.weight_steps[0]..)?;
            for column in 0..self.columns {
                let input = i32::from(*inputs.get(column * self.input_steps[1])?);
                let weight = i32::from(*weights.get(column * self.weight_steps[1])?);
                sum += i64::from(input * weight);
            }
        }
        Some(sum)
    }
}
