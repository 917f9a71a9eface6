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
//! 3. A row of a dense, undilated window is one run of bytes in NHWC memory; otherwise each tap is a run. Windows of a single
//!    tap that visit every pixel are runs one after the other.

use super::convolution::{self, axes};
use super::taps::Taps;
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedConv2d;
use cortado_contract::ops::quantized_conv2d::{ConvParams, ConvShape, Plane};
use cortado_contract::quant::Requantize;
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
            let image = Image { shape, params, input, weights, batch, group };
            let mut first = group * group_outputs;
            let end = first + group_outputs;
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
        let ConvShape { input, output, in_channels, out_channels, .. } = *self.shape;
        let channels = Channels::<CHANNELS>::read(self.shape, self.params, self.weights, first)?;
        let mut whole = channels.bias;
        for (whole, weights) in whole.iter_mut().zip(&channels.weights) {
            let offset = self.params.input_offset.0;
            *whole = whole.wrapping_add(offset.wrapping_mul(M::sum(weights)));
        }
        let image = self.batch.checked_mul(output.area() * out_channels)?;
        let out = out.get_mut(image..)?.get_mut(..output.area() * out_channels)?;
        if is_pointwise(self.shape) {
            let image = self.batch.checked_mul(input.area() * in_channels)?;
            let pixels = self.input.get(image..)?.chunks_exact(in_channels);
            for (pixel, out) in pixels.zip(out.chunks_exact_mut(out_channels)) {
                let mut sums = whole;
                dot_each::<M, CHANNELS>(pixel, 0, &channels.weights, 0, &mut sums)?;
                channels.store(self.params, sums, out)?;
            }
            return Some(());
        }
        self.windows::<M, CHANNELS>(&channels, whole, out)
    }

    /// Computes an image window by window; `whole` holds the sums' constant terms where a window falls on the input as a whole.
    fn windows<M: Micro, const CHANNELS: usize>(
        &self,
        channels: &Channels<'_, CHANNELS>,
        whole: [i32; CHANNELS],
        out: &mut [i8],
    ) -> Option<()> {
        let ConvShape { output, kernel, out_channels, .. } = *self.shape;
        let (rows, columns) = axes(self.shape);
        let (input, weights) = (self.input, &channels.weights);
        let mut pixels = out.chunks_exact_mut(out_channels);
        for row in 0..output.height {
            let row = rows.taps(row);
            for column in 0..output.width {
                let column = columns.taps(column);
                let is_whole = row.count == kernel.height && column.count == kernel.width;
                let (mut sums, offset) = match is_whole {
                    true => (whole, 0),
                    false => (channels.bias, self.params.input_offset.0),
                };
                let (batch, group) = (self.batch, self.group);
                for_each_run(self.shape, batch, group, &row, &column, |start, tap, length| {
                    let run = input.get(start..)?.get(..length)?;
                    dot_each::<M, CHANNELS>(run, offset, weights, tap, &mut sums)
                })?;
                channels.store(self.params, sums, pixels.next()?)?;
            }
        }
        Some(())
    }
}

/// Whether every output pixel reads just the input pixel at its place, with all channels.
fn is_pointwise(shape: &ConvShape) -> bool {
    let one = Plane::square(1);
    shape.kernel == one
        && shape.stride == one
        && shape.padding == Plane::square(0)
        && shape.group_channels == shape.in_channels
        && shape.input == shape.output
}

/// The constants of some output channels, from `first` on.
pub(super) struct Channels<'w, const CHANNELS: usize> {
    first: usize,
    /// All weights of each channel.
    pub(super) weights: [&'w [i8]; CHANNELS],
    /// The bias of each channel.
    pub(super) bias: [i32; CHANNELS],
    factors: [Requantize; CHANNELS],
}

impl<'w, const CHANNELS: usize> Channels<'w, CHANNELS> {
    /// Collects the constants; weights are those of a convolution that has them channel by channel.
    #[inline(always)]
    pub(super) fn read(
        shape: &ConvShape,
        params: &ConvParams<'_>,
        weights: &'w [i8],
        first: usize,
    ) -> Option<Self> {
        let size = shape.kernel_size();
        let mut rows = [&[][..]; CHANNELS];
        for (index, row) in rows.iter_mut().enumerate() {
            *row = weights.get((first + index).checked_mul(size)?..)?.get(..size)?;
        }
        Self::without_weights(params, first).map(|channels| Channels { weights: rows, ..channels })
    }

    /// Collects the constants apart from the weights.
    #[inline(always)]
    pub(super) fn without_weights(params: &ConvParams<'_>, first: usize) -> Option<Self> {
        let bias = match params.bias {
            Some(bias) => *bias.get(first..)?.first_chunk()?,
            None => [0; CHANNELS],
        };
        let mut factors = [Requantize { multiplier: 0, shift: 0 }; CHANNELS];
        for (index, factor) in factors.iter_mut().enumerate() {
            *factor = params.rescale.factor(first + index);
        }
        Some(Channels { first, weights: [&[]; CHANNELS], bias, factors })
    }

    /// Writes these channels of a pixel.
    #[inline(always)]
    pub(super) fn store(
        &self,
        params: &ConvParams<'_>,
        sums: [i32; CHANNELS],
        pixel: &mut [i8],
    ) -> Option<()> {
        let out = pixel.get_mut(self.first..)?.first_chunk_mut::<CHANNELS>()?;
        for ((out, sum), factor) in out.iter_mut().zip(sums).zip(self.factors) {
            let value = factor.apply(sum).wrapping_add(params.output_offset.0);
            *out = params.activation.clamp(value) as i8;
        }
        Some(())
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
    let end = start.checked_add(run.len())?;
    if let ([a, b, c, d], Some(sums)) = (weights.as_slice(), sums.first_chunk_mut::<4>()) {
        let rows = [a.get(start..end)?, b.get(start..end)?, c.get(start..end)?, d.get(start..end)?];
        M::dot_rows(run, offset, rows, sums);
        return Some(());
    }
    for (sum, weights) in sums.iter_mut().zip(weights) {
        *sum = sum.wrapping_add(M::dot(run, offset, weights.get(start..end)?));
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
