//! Transposed convolutions over `int8`.
//!
//! ```text
//! for each remainder of an output's row and column by the stride:               (1)
//!     for each block of output channels:
//!         collect the weights of the taps that reach such positions, lowest input position first
//!         whole = bias + input_offset · (their sum)
//!         for each row of these positions:
//!             gather what reaches them, with the zero point where nothing does   (2)
//!             out = clamp(requantize(whole + window · weights) + output_offset)
//! ```
//!
//! 1. Positions of the same remainders are reached by the same taps, so that they make up a convolution of their own.
//! 2. Gathering what reaches an output position, rather than spreading out the input, needs no memory for partial sums.
//!
//! Where a block's weights do not fit a small buffer, positions are computed one by one.

use super::convolution::{self, axes};
use super::quantized_conv2d::{Block, CHANNELS_MAX, Channels, TURNED_BYTES, Windows, dot_each};
use super::quantized_depthwise_conv2d::for_each_tap;
use super::taps::{Phase, Taps};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedTransposeConv2d;
use cortado_contract::ops::quantized_conv2d::{ConvParams, ConvShape};
use cortado_contract::quant::Activation;
use cortado_contract::value::Violation;

/// The words of a prepared convolution.
pub const STATE_WORDS: usize = convolution::STATE_WORDS;

/// Computes a transposed convolution; see the operator's contract for its meaning and
/// [`cortado_contract::ops::quantized_transpose_conv2d::reference`] for its bits.
///
/// `None` when a slice is shorter than the extents say; nothing useful is in `out` then.
pub fn transpose_conv_s8<M: Micro>(
    shape: &ConvShape,
    params: &ConvParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    if shape.out_channels == 0 {
        return Some(());
    }
    let layer = Layer { shape, params, input, weights };
    let (rows, columns) = axes(shape);
    for batch in 0..shape.batches {
        for row in 0..shape.stride.height.min(shape.output.height) {
            let row = rows.phase(row, shape.output.height);
            for column in 0..shape.stride.width.min(shape.output.width) {
                let column = columns.phase(column, shape.output.width);
                let depth = row.count * column.count * shape.in_channels;
                match shape.out_channels >= 4 && (1..=DEPTH_MAX).contains(&depth) {
                    true => layer.convolve_phase::<M>(batch, &row, &column, out)?,
                    false => layer.convolve_pixels::<M>(batch, &row, &column, out)?,
                }
            }
        }
    }
    if params.activation != Activation::INT8 {
        let count = shape.batches * shape.output.area() * shape.out_channels;
        M::clamp(out.get_mut(..count)?, params.activation);
    }
    Some(())
}

/// The most weights that a channel of a phase may have: four channels of them fit the buffer.
const DEPTH_MAX: usize = TURNED_BYTES / 4;

struct Layer<'a> {
    shape: &'a ConvShape,
    params: &'a ConvParams<'a>,
    input: &'a [i8],
    weights: &'a [i8],
}

/// What reaches an output position.
struct Window {
    batch: usize,
    row: Taps,
    column: Taps,
}

impl Layer<'_> {
    /// Computes all channels of the positions of a phase.
    #[inline(never)]
    fn convolve_phase<M: Micro>(
        &self,
        batch: usize,
        row: &Phase,
        column: &Phase,
        out: &mut [i8],
    ) -> Option<()> {
        let ConvShape { output, stride, kernel, in_channels, out_channels, .. } = *self.shape;
        let depth = row.count * column.count * in_channels;
        let kernel_size = self.shape.kernel_size();
        let mut weights = [0; TURNED_BYTES];
        let at_a_time = CHANNELS_MAX.min(TURNED_BYTES.checked_div(depth)? / 4 * 4);
        let mut first = 0;
        while first < out_channels {
            // The last four channels overlap those before rather than being less than four.
            first = first.min(out_channels.checked_sub(4)?);
            let count = at_a_time.min(out_channels - first);
            for (tap, place) in (0..row.count * column.count).zip((0..).step_by(in_channels.max(1)))
            {
                let columns = column.count.max(1);
                let tap_row = row.tap - tap / columns * row.tap_step;
                let tap = tap_row * kernel.width + column.tap - tap % columns * column.tap_step;
                let source = self.weights.get(first * kernel_size + tap * in_channels..)?;
                let to = weights.get_mut(place..)?;
                M::copy_rows((source, kernel_size), (to, depth), count, in_channels)?;
            }
            let mut whole = [0; CHANNELS_MAX];
            let weights = weights.get(..count * depth)?;
            let out_step = stride.width * out_channels;
            let block =
                Block::new::<M>(self.params, weights, first, out_step, whole.get_mut(..count)?)?;
            for index in 0..row.outputs {
                let line = batch * output.height + row.output + index * stride.height;
                let place = (line * output.width + column.output) * out_channels;
                let out = out.get_mut(place..)?;
                self.convolve_line::<M>(&block, (batch, index), row, column, out)?;
            }
            first += count;
        }
        Some(())
    }

    /// Computes the channels of a block at all positions of a row of a phase.
    fn convolve_line<M: Micro>(
        &self,
        block: &Block<'_>,
        (batch, index): (usize, usize),
        row: &Phase,
        column: &Phase,
        out: &mut [i8],
    ) -> Option<()> {
        let ConvShape { input, in_channels, .. } = *self.shape;
        let depth = row.count * column.count * in_channels;
        let zero_point = self.params.input_offset.0.wrapping_neg() as i8;
        let mut buffer = Windows::new();
        let room = buffer.0.len().checked_div(depth)?.max(1);
        let (rows, top) = row.on_input(index, input.height);
        let mut done = 0;
        while done < column.outputs {
            let windows = room.min(column.outputs - done);
            let buffer = buffer.0.get_mut(..windows * depth)?;
            let mut at = 0;
            while at < windows {
                let (columns, left) = column.on_input(done + at, input.width);
                let count = column.alike(done + at, input.width).min(windows - at);
                let buffer = buffer.get_mut(at * depth..(at + count) * depth)?;
                if rows.len() < row.count || columns.len() < column.count {
                    M::fill(buffer, zero_point);
                }
                // Neighbouring positions are copied together.
                let (runs, length) = match column.position_step {
                    0 | 1 => (columns.len().min(1), columns.len() * in_channels),
                    _ => (columns.len(), in_channels),
                };
                for run in 0..if rows.is_empty() { 0 } else { runs } {
                    let pixel = (batch * input.height + top) * input.width + left;
                    let source = (pixel + run * column.position_step) * in_channels;
                    let tap = rows.start * column.count + columns.start + run;
                    let row_step = row.position_step * input.width * in_channels;
                    M::copy_windows(
                        (self.input.get(source..)?, [row_step, in_channels]),
                        (buffer.get_mut(tap * in_channels..)?, [column.count * in_channels, depth]),
                        count,
                        rows.len(),
                        length,
                    )?;
                }
                at += count;
            }
            block.multiply::<M>(buffer, windows, out.get_mut(done * block.out_step..)?)?;
            done += windows;
        }
        Some(())
    }

    /// Computes the positions of a phase one by one.
    #[inline(never)]
    fn convolve_pixels<M: Micro>(
        &self,
        batch: usize,
        row: &Phase,
        column: &Phase,
        out: &mut [i8],
    ) -> Option<()> {
        let ConvShape { output, stride, out_channels, .. } = *self.shape;
        let (rows, columns) = axes(self.shape);
        for row in (row.output..output.height).step_by(stride.height.max(1)) {
            for column in (column.output..output.width).step_by(stride.width.max(1)) {
                let pixel = (batch * output.height + row) * output.width + column;
                let (row, column) = (rows.transposed_taps(row), columns.transposed_taps(column));
                let window = Window { batch, row, column };
                let out = out.get_mut(pixel * out_channels..)?.get_mut(..out_channels)?;
                for first in 0..out_channels {
                    self.convolve::<M, 1>(&window, first, out)?;
                }
            }
        }
        Some(())
    }

    /// Computes the channels from `first` on.
    #[inline(always)]
    fn convolve<M: Micro, const CHANNELS: usize>(
        &self,
        window: &Window,
        first: usize,
        out: &mut [i8],
    ) -> Option<()> {
        let depth = self.shape.in_channels;
        let channels = Channels::<CHANNELS>::read(self.shape, self.params, self.weights, first)?;
        let mut sums = channels.bias;
        let Window { batch, row, column } = window;
        for_each_tap(self.shape, *batch, row, column, |pixel, tap| {
            let run = self.input.get(pixel * depth..)?.get(..depth)?;
            let offset = self.params.input_offset.0;
            dot_each::<M, CHANNELS>(run, offset, &channels.weights, tap * depth, &mut sums)
        })?;
        channels.store(self.params, sums, out)
    }
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedTransposeConv2d<Loaded<L>>,
    program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    convolution::prepare(&arguments.common(), arguments.shape(), program, state, |_, _| 1)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    convolution::execute(state, memory, transpose_conv_s8::<M>)
}
