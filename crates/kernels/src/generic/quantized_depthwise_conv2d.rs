//! Depthwise convolutions over `int8`.
//!
//! ```text
//! for each image and each block of channels:                                            (1)
//!     whole = bias + input_offset · (sum of the channels' weights)                       (2)
//!     for each output position:
//!         accumulators = whole, or bias where the window leaves the input
//!         for each tap of the window that falls on the input:
//!             accumulators += (inputs + offset) · weights, channel by channel             (3)
//!         out = clamp(requantize(accumulators) + output_offset)
//! ```
//!
//! 1. A block's accumulators stay in registers: four of them, or eight or sixteen with Helium. Channels left over are done one by
//!    one.
//! 2. As in [`super::quantized_conv2d`].
//! 3. Channels lie next to each other in memory, in the input as in the weights. Where one input channel feeds the whole block it
//!    is repeated; where several feed parts of it, channels are done one by one.

use super::convolution::{self, axes};
use super::quantized_conv2d::Channels;
use super::taps::Taps;
use crate::memory::Memory;
use crate::micro::{Micro, Window};
use crate::operand::{Lists, Loaded};
use cortado_contract::Isa;
use cortado_contract::ops::QuantizedDepthwiseConv2d;
use cortado_contract::ops::quantized_conv2d::{ConvParams, ConvShape};
use cortado_contract::value::Violation;

/// The words of a prepared convolution.
pub const STATE_WORDS: usize = convolution::STATE_WORDS;

/// Computes a depthwise convolution; see the operator's contract for its meaning and
/// [`cortado_contract::ops::quantized_depthwise_conv2d::reference`] for its bits.
///
/// `None` when a slice is shorter than the extents say, or when output channels are no multiple of input channels; nothing
/// useful is in `out` then.
pub fn depthwise_conv_s8<M: Micro>(
    shape: &ConvShape,
    params: &ConvParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let ConvShape { batches, in_channels, out_channels, .. } = *shape;
    let multiplier = out_channels.checked_div(in_channels)?;
    if multiplier == 0 || multiplier * in_channels != out_channels {
        return None;
    }
    for batch in 0..batches {
        let image = Image { shape, params, input, weights, batch, multiplier };
        let mut first = 0;
        while first < out_channels {
            first += match out_channels - first {
                16.. if M::ISA == Isa::Mve => image.convolve::<M, 16>(first, out)?,
                8.. if M::ISA == Isa::Mve => image.convolve::<M, 8>(first, out)?,
                4.. => image.convolve::<M, 4>(first, out)?,
                _ => image.convolve::<M, 1>(first, out)?,
            };
        }
    }
    Some(())
}

/// One image.
struct Image<'a> {
    shape: &'a ConvShape,
    params: &'a ConvParams<'a>,
    input: &'a [i8],
    weights: &'a [i8],
    batch: usize,
    multiplier: usize,
}

impl Image<'_> {
    /// Computes the output channels from `first` on and returns their number.
    fn convolve<M: Micro, const CHANNELS: usize>(
        &self,
        first: usize,
        out: &mut [i8],
    ) -> Option<usize> {
        let ConvShape { output, kernel, out_channels, .. } = *self.shape;
        let (rows, columns) = axes(self.shape);
        let channels = Channels::<CHANNELS>::without_weights(self.params, first)?;
        let offset = self.params.input_offset.0;
        let mut whole = channels.bias;
        for (whole, sum) in whole.iter_mut().zip(self.weight_sums::<CHANNELS>(first)?) {
            *whole = whole.wrapping_add(offset.wrapping_mul(sum));
        }
        let image = self.batch.checked_mul(output.area() * out_channels)?;
        let mut pixels = out.get_mut(image..)?.chunks_exact_mut(out_channels);
        for row in 0..output.height {
            let row = rows.taps(row);
            for column in 0..output.width {
                let column = columns.taps(column);
                let is_whole = row.count == kernel.height && column.count == kernel.width;
                let (mut sums, offset) = match is_whole {
                    true => (whole, 0),
                    false => (channels.bias, offset),
                };
                if row.count > 0 && column.count > 0 {
                    self.add_window::<M, CHANNELS>(first, &row, &column, offset, &mut sums)?;
                }
                channels.store(self.params, sums, pixels.next()?)?;
            }
        }
        Some(CHANNELS)
    }

    /// The sums of the weights of each channel.
    fn weight_sums<const CHANNELS: usize>(&self, first: usize) -> Option<[i32; CHANNELS]> {
        let mut sums = [0i32; CHANNELS];
        let ConvShape { kernel, out_channels, .. } = *self.shape;
        for tap in 0..kernel.area() {
            let weights = self.weights.get(tap * out_channels + first..)?;
            for (sum, weight) in sums.iter_mut().zip(weights.first_chunk::<CHANNELS>()?) {
                *sum = sum.wrapping_add(i32::from(*weight));
            }
        }
        Some(sums)
    }

    /// Adds the products of the taps on the input to `sums`; there is at least one.
    #[inline(always)]
    fn add_window<M: Micro, const CHANNELS: usize>(
        &self,
        first: usize,
        row: &Taps,
        column: &Taps,
        offset: i32,
        sums: &mut [i32; CHANNELS],
    ) -> Option<()> {
        let ConvShape { input, kernel, dilation, in_channels, out_channels, .. } = *self.shape;
        let pixel = (self.batch * input.height + row.position) * input.width + column.position;
        let tap = row.tap * kernel.width + column.tap;
        let weights = Window {
            elements: self.weights.get(tap * out_channels + first..)?,
            row_step: kernel.width * out_channels,
            column_step: out_channels,
        };
        let inputs = |channel: usize| {
            let window = Window {
                elements: self.input.get(pixel * in_channels + channel..)?,
                row_step: dilation.height * input.width * in_channels,
                column_step: dilation.width * in_channels,
            };
            Some(window)
        };
        let (rows, columns) = (row.count, column.count);
        if self.multiplier == 1 {
            let inputs = inputs(first)?;
            return M::multiply_add_windows::<CHANNELS, false>(
                inputs, offset, weights, rows, columns, sums,
            );
        }
        let (source, last) = (first / self.multiplier, (first + CHANNELS - 1) / self.multiplier);
        if source == last {
            let inputs = inputs(source)?;
            return M::multiply_add_windows::<CHANNELS, true>(
                inputs, offset, weights, rows, columns, sums,
            );
        }
        for (index, sum) in sums.iter_mut().enumerate() {
            let inputs = inputs((first + index) / self.multiplier)?;
            let weights = Window { elements: weights.elements.get(index..)?, ..weights };
            let mut single = [*sum];
            M::multiply_add_windows::<1, false>(
                inputs,
                offset,
                weights,
                rows,
                columns,
                &mut single,
            )?;
            [*sum] = single;
        }
        Some(())
    }
}

/// Calls `visit` with each tap of a window that falls on the input: the number of the input pixel and that of the tap.
#[inline(always)]
pub(super) fn for_each_tap(
    shape: &ConvShape,
    batch: usize,
    row: &Taps,
    column: &Taps,
    mut visit: impl FnMut(usize, usize) -> Option<()>,
) -> Option<()> {
    for (tap_row, row) in row.iter() {
        let row = (batch * shape.input.height + row) * shape.input.width;
        for (tap, column) in column.iter() {
            visit(row + column, tap_row * shape.kernel.width + tap)?;
        }
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedDepthwiseConv2d<Loaded<L>>,
    program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    convolution::prepare(&arguments.common(), arguments.shape(), program, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    convolution::execute(state, memory, depthwise_conv_s8::<M>)
}
