//! Convolutions over 16-bit activations and 8-bit weights (`arm_convolve_wrapper_s16`).
//!
//! ```text
//! for each window, and each group of channels:
//!     gather the window, unless it lies in the input as it is      (1)
//!     for each two output channels: sums = dot products            (2)
//! ```
//!
//! 1. Windows that are too long for the buffer are read in runs instead.
//! 2. Two rows of weights share each load of the input.

use super::convolution::axes;
use super::int16::{Int16Params, finish};
use super::quantized_conv2d::for_each_run;
use super::taps::Taps;
use crate::micro::Micro;
use cortado_contract::ops::quantized_conv2d::ConvShape;

/// The longest window that is gathered.
const WINDOW: usize = if cfg!(cortado_thumb = "1") { 320 } else { 864 };
/// The channels whose sums are rescaled together.
const TOGETHER: usize = 8;

/// Computes a convolution over `int16`; see [`cortado_contract::ops::quantized_conv2d::reference_s16`] for its bits.
///
/// `None` when a slice is shorter than the extents say.
pub fn conv_s16<M: Micro>(
    shape: &ConvShape,
    params: &Int16Params<'_>,
    input: &[i16],
    weights: &[i8],
    out: &mut [i16],
) -> Option<()> {
    let groups = shape.in_channels.checked_div(shape.group_channels)?;
    let group_outputs = shape.out_channels.checked_div(groups)?;
    let (rows, columns) = axes(shape);
    if group_outputs == 0 {
        return Some(());
    }
    let mut outputs = out.chunks_exact_mut(group_outputs);
    for batch in 0..shape.batches {
        for row in 0..shape.output.height {
            let row = rows.taps(row);
            for column in 0..shape.output.width {
                let window = Window { shape, input, batch, row, column: columns.taps(column) };
                for group in 0..groups {
                    let first = group * group_outputs;
                    let weights = weights.get(first * shape.kernel_size()..)?;
                    window.convolve::<M>(group, params, weights, first, outputs.next()?)?;
                }
            }
        }
    }
    Some(())
}

/// A window of an image, with the taps of it that fall on the input.
struct Window<'a> {
    shape: &'a ConvShape,
    input: &'a [i16],
    batch: usize,
    row: Taps,
    column: Taps,
}

impl Window<'_> {
    /// Computes the channels from `channel` on, those of a group, with just their weights.
    fn convolve<M: Micro>(
        &self,
        group: usize,
        params: &Int16Params<'_>,
        weights: &[i8],
        channel: usize,
        out: &mut [i16],
    ) -> Option<()> {
        let depth = self.shape.kernel_size();
        if self.is_single_run() {
            let pixel = (self.batch * self.shape.input.height + self.row.position)
                * self.shape.input.width
                + self.column.position;
            let start = pixel * self.shape.in_channels + group * self.shape.group_channels;
            let window = self.input.get(start..)?.get(..depth)?;
            return multiply_row::<M>(window, params, weights, channel, out);
        }
        match depth <= WINDOW {
            true => self.convolve_gathered::<M>(group, params, weights, channel, out),
            false => self.convolve_runs::<M>(group, params, weights, channel, out),
        }
    }

    /// Whether the elements of the whole window lie in the input one after the other.
    fn is_single_run(&self) -> bool {
        let ConvShape { kernel, group_channels, in_channels, .. } = *self.shape;
        let is_whole = (self.row.count, self.column.count) == (kernel.height, kernel.width);
        let is_row = group_channels == in_channels && self.column.position_step == 1;
        is_whole && kernel.height == 1 && (kernel.width == 1 || is_row)
    }

    /// Never inlined: the buffer is on the stack only while it is needed.
    #[inline(never)]
    fn convolve_gathered<M: Micro>(
        &self,
        group: usize,
        params: &Int16Params<'_>,
        weights: &[i8],
        channel: usize,
        out: &mut [i16],
    ) -> Option<()> {
        let mut window = [0i16; WINDOW];
        let window = window.get_mut(..self.shape.kernel_size())?;
        let Window { shape, input, batch, row, column } = self;
        for_each_run(shape, *batch, group, row, column, |start, tap, length| {
            let run = input.get(start..)?.get(..length)?;
            window.get_mut(tap..)?.get_mut(..length)?.copy_from_slice(run);
            Some(())
        })?;
        multiply_row::<M>(window, params, weights, channel, out)
    }

    /// Reads the window in runs, for two channels at a time.
    #[inline(never)]
    fn convolve_runs<M: Micro>(
        &self,
        group: usize,
        params: &Int16Params<'_>,
        weights: &[i8],
        channel: usize,
        out: &mut [i16],
    ) -> Option<()> {
        let Window { shape, input, batch, row, column } = self;
        let depth = shape.kernel_size();
        for (pair, out) in out.chunks_mut(2).enumerate() {
            let rows = pair_of_rows(weights, depth, 2 * pair, out.len())?;
            let mut sums = [0i64; 2];
            for_each_run(shape, *batch, group, row, column, |start, tap, length| {
                let run = input.get(start..)?.get(..length)?;
                let [first, second] = rows;
                let rows = [first.get(tap..)?.get(..length)?, second.get(tap..)?.get(..length)?];
                let [first, second] = M::dot_pair_s16(run, rows);
                sums = [sums[0] + first, sums[1] + second];
                Some(())
            })?;
            finish(params, &sums, channel + 2 * pair, out)?;
        }
        Some(())
    }
}

/// Two rows of weights from the one at `row` on, or one twice where there are not so many channels.
fn pair_of_rows(weights: &[i8], depth: usize, row: usize, channels: usize) -> Option<[&[i8]; 2]> {
    let (first, rest) = weights.get(row * depth..)?.split_at_checked(depth)?;
    let second = if channels < 2 { first } else { rest.get(..depth)? };
    Some([first, second])
}

/// Computes the channels from `channel` on, whose weights stand one after the other, of a row of inputs.
pub(super) fn multiply_row<M: Micro>(
    row: &[i16],
    params: &Int16Params<'_>,
    weights: &[i8],
    channel: usize,
    out: &mut [i16],
) -> Option<()> {
    for (block, out) in out.chunks_mut(TOGETHER).enumerate() {
        let mut sums = [0i64; TOGETHER];
        let first = block * TOGETHER;
        for (pair, sums) in sums.chunks_exact_mut(2).take(out.len().div_ceil(2)).enumerate() {
            let left = out.len() - 2 * pair;
            let rows = pair_of_rows(weights, row.len(), first + 2 * pair, left)?;
            sums.copy_from_slice(&M::dot_pair_s16(row, rows));
        }
        finish(params, &sums, channel + first, out)?;
    }
    Some(())
}
