//! Convolutions over `int8`.
//!
//! ```text
//! for each image, each group of channels, and each four output channels of it:          (1)
//!     whole = bias + input_offset · (sum of the channels' weights)                       (2)
//!     for each output position:
//!         accumulators = whole, or bias where the window leaves the input
//!         for each row of the window that falls on the input:
//!             for each run of it:                                                        (3)
//!                 accumulators += (run of the input + offset) · (the channels' weights)
//!         out = clamp(requantize(accumulators) + output_offset)
//! ```
//!
//! 1. Four rows of weights share each load of the input. They stay the same for a whole image, so what depends on them alone is
//!    computed once. Channels left over are done one by one.
//! 2. The input offset distributes over the sum. Where the whole window falls on the input, nothing is left of it in the loop.
//!    At borders only the taps on the input count, so there it is added in the loop.
//! 3. A row of a dense, undilated window is one run of bytes in NHWC memory; otherwise each tap is a run.

use super::convolution::{self, axes};
use super::taps::Taps;
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedConv2d;
use cortado_contract::ops::quantized_conv2d::{ConvParams, ConvShape};
use cortado_contract::value::Violation;

/// The words of a prepared convolution.
pub const STATE_WORDS: usize = convolution::STATE_WORDS;

/// Computes a convolution; see the operator's contract for its meaning and
/// [`cortado_contract::ops::quantized_conv2d::reference`] for its bits.
///
/// `None` when a slice is shorter than the extents say, or channels do not come in groups; nothing useful is in `out` then.
pub fn conv_s8<M: Micro>(
    shape: &ConvShape,
    params: &ConvParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let groups = shape.in_channels.checked_div(shape.group_channels)?;
    let group_outputs = shape.out_channels.checked_div(groups)?;
    for batch in 0..shape.batches {
        for group in 0..groups {
            let mut first = group * group_outputs;
            let end = first + group_outputs;
            let image = Image { shape, params, input, weights, batch, group };
            while first < end {
                if end - first >= 4 {
                    image.convolve::<M, 4>(first, out)?;
                    first += 4;
                } else {
                    image.convolve::<M, 1>(first, out)?;
                    first += 1;
                }
            }
        }
    }
    Some(())
}

/// One image and one group of channels.
struct Image<'a> {
    shape: &'a ConvShape,
    params: &'a ConvParams<'a>,
    input: &'a [i8],
    weights: &'a [i8],
    batch: usize,
    group: usize,
}

impl Image<'_> {
    /// Computes the output channels from `first` on.
    fn convolve<M: Micro, const CHANNELS: usize>(
        &self,
        first: usize,
        out: &mut [i8],
    ) -> Option<()> {
        let ConvShape { output, kernel, out_channels, .. } = *self.shape;
        let (rows, columns) = axes(self.shape);
        let weights = channel_weights::<CHANNELS>(self.shape, self.weights, first)?;
        let offset = self.params.input_offset.0;
        let bias = channel_bias::<CHANNELS>(self.params, first)?;
        let mut whole = bias;
        for (whole, weights) in whole.iter_mut().zip(&weights) {
            *whole = whole.wrapping_add(offset.wrapping_mul(M::sum(weights)));
        }
        let image = self.batch.checked_mul(output.area() * out_channels)?;
        let mut pixels = out.get_mut(image..)?.chunks_exact_mut(out_channels);
        for row in 0..output.height {
            let row = rows.taps(row);
            for column in 0..output.width {
                let column = columns.taps(column);
                let is_whole = row.count == kernel.height && column.count == kernel.width;
                let (mut sums, offset) = if is_whole { (whole, 0) } else { (bias, offset) };
                self.add_window::<M, CHANNELS>(&row, &column, offset, &weights, &mut sums)?;
                let out = pixels.next()?.get_mut(first..)?.first_chunk_mut::<CHANNELS>()?;
                for (index, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
                    *out = self.params.finish(sum, first + index);
                }
            }
        }
        Some(())
    }

    /// Adds the products of the taps on the input.
    #[inline(always)]
    fn add_window<M: Micro, const CHANNELS: usize>(
        &self,
        row: &Taps,
        column: &Taps,
        offset: i32,
        weights: &[&[i8]; CHANNELS],
        sums: &mut [i32; CHANNELS],
    ) -> Option<()> {
        for_each_run(self.shape, self.batch, self.group, row, column, |start, tap_start, length| {
            let run = self.input.get(start..)?.get(..length)?;
            dot_each::<M, CHANNELS>(run, offset, weights, tap_start, sums)
        })
    }
}

/// All weights of each of some channels, from `first` on.
#[inline(always)]
pub(super) fn channel_weights<'w, const CHANNELS: usize>(
    shape: &ConvShape,
    weights: &'w [i8],
    first: usize,
) -> Option<[&'w [i8]; CHANNELS]> {
    let size = shape.kernel_size();
    let mut rows = [&[][..]; CHANNELS];
    for (index, row) in rows.iter_mut().enumerate() {
        *row = weights.get((first + index).checked_mul(size)?..)?.get(..size)?;
    }
    Some(rows)
}

/// The bias of some channels, from `first` on.
#[inline(always)]
pub(super) fn channel_bias<const CHANNELS: usize>(
    params: &ConvParams<'_>,
    first: usize,
) -> Option<[i32; CHANNELS]> {
    match params.bias {
        Some(bias) => bias.get(first..)?.first_chunk().copied(),
        None => Some([0; CHANNELS]),
    }
}

/// Calls `visit` with each run of consecutive bytes that a window reads from the input: where it starts in the input, where its
/// weights start among those of a channel, and its length.
#[inline(always)]
pub(super) fn for_each_run(
    shape: &ConvShape,
    batch: usize,
    group: usize,
    row: &Taps,
    column: &Taps,
    mut visit: impl FnMut(usize, usize, usize) -> Option<()>,
) -> Option<()> {
    let ConvShape { input, in_channels, kernel, group_channels: depth, .. } = *shape;
    let is_run = depth == in_channels && shape.dilation.width == 1;
    for (tap_row, row) in row.iter() {
        let row = (batch * input.height + row) * input.width;
        let tap_row = tap_row * kernel.width;
        if !is_run {
            for (tap, column) in column.iter() {
                let start = (row + column) * in_channels + group * depth;
                visit(start, (tap_row + tap) * depth, depth)?;
            }
        } else if column.count > 0 {
            let start = (row + column.position) * in_channels;
            visit(start, (tap_row + column.tap) * depth, column.count * depth)?;
        }
    }
    Some(())
}

/// Adds the dot products of `run` with as many weights of each channel, from `start` on.
#[inline(always)]
pub(super) fn dot_each<M: Micro, const CHANNELS: usize>(
    run: &[i8],
    offset: i32,
    weights: &[&[i8]; CHANNELS],
    start: usize,
    sums: &mut [i32; CHANNELS],
) -> Option<()> {
    if let ([a, b, c, d], Some(sums)) = (weights.as_slice(), sums.first_chunk_mut::<4>()) {
        let rows = [a.get(start..)?, b.get(start..)?, c.get(start..)?, d.get(start..)?];
        M::dot_rows(run, offset, rows, sums);
        return Some(());
    }
    for (sum, weights) in sums.iter_mut().zip(weights) {
        let weights = weights.get(start..)?.get(..run.len())?;
        *sum = sum.wrapping_add(M::dot(run, offset, weights));
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedConv2d<Loaded<L>>,
    program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    convolution::prepare(&arguments.common(), arguments.shape(), program, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    convolution::execute(state, memory, conv_s8::<M>)
}
