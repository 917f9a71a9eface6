//! Depthwise convolutions over `int8`.
//!
//! ```text
//! for each image, and each rectangle of output positions whose windows have the same taps on the input:    (1)
//!     for each block of channels:                                                                           (2)
//!         whole = bias + input_offset · (sum of the channels' weights at these taps)
//!         for each window: out = clamp(requantize(whole + inputs · weights) + output_offset)
//! ```
//!
//! 1. Rows with the same taps follow each other, and so do columns: nine rectangles for a window of 3 × 3 with a frame of one. Within
//!    one, no loop has a condition.
//! 2. A block's constants stay in registers or close by. Channels lie next to each other in memory, in the input as in the weights.
//!
//! Some instruction sets compute a small image from a copy in a frame of its zero point, four channels at a time: one rectangle.
//!
//! A single input channel is convolved as any image, with the weights turned around. Where several input channels feed several output
//! channels each, four of them are done at a time.

use super::convolution::{self, axes};
use super::quantized_conv2d::{
    self, Channels, GATHERED, SMALL_TURNED_BYTES, TURNED_BYTES, convolve_turned,
};
use super::taps::{Axis, Taps};
use super::{ALL_FORMS, has};
use crate::memory::Memory;
use crate::micro::{Micro, Window};
use crate::operand::{Lists, Loaded};
use crate::tile::{Depthwise, FRAME_PIXELS, Framed, Steps, TAPS_MAX};
use cortado_contract::ops::QuantizedDepthwiseConv2d;
use cortado_contract::ops::quantized_conv2d::{ConvParams, ConvShape, Plane};
use cortado_contract::ops::quantized_linear::Rescale;
use cortado_contract::quant::{Activation, Requantize};
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
    depthwise_of::<M, ALL_FORMS>(shape, params, input, weights, out)
}

/// [`depthwise_conv_s8`] for some forms.
fn depthwise_of<M: Micro, const FORMS: u16>(
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
    let is_turned = is_turned(shape);
    for batch in 0..batches {
        let image = Image { shape, params, input, weights, batch, multiplier };
        if has(FORMS, FRAMED | RECTANGLES | OTHER) && multiplier == 1 {
            image.convolve_alike::<M, FORMS>(out)?;
            continue;
        }
        if has(FORMS, TURNED | OTHER) && is_turned {
            match has(FORMS, OTHER) {
                true => convolve_turned::<M, ALL_FORMS>(shape, params, input, weights, batch, out)?,
                false => convolve_turned::<M, GATHERED>(shape, params, input, weights, batch, out)?,
            }
            continue;
        }
        if !has(FORMS, OTHER) {
            return None;
        }
        if M::SPREADS {
            image.convolve_alike::<M, FORMS>(out)?;
            continue;
        }
        let mut first = 0;
        while first < out_channels {
            first += match out_channels - first {
                4.. => image.convolve::<M, 4>(first, out)?,
                _ => image.convolve::<M, 1>(first, out)?,
            };
        }
    }
    let is_clamped = multiplier == 1 || is_turned || M::SPREADS;
    if is_clamped && params.activation != Activation::INT8 {
        let count = batches * shape.output.area() * out_channels;
        M::clamp(out.get_mut(..count)?, params.activation);
    }
    Some(())
}

const ONE: Plane = Plane::square(1);

/// Whether a convolution is that of a single input channel with its weights turned around.
fn is_turned(shape: &ConvShape) -> bool {
    shape.in_channels == 1
        && shape.out_channels >= 4
        && (1..=TURNED_BYTES / 4).contains(&shape.kernel.area())
}

/// A step over positions whose rows have `width` of them, in elements.
fn steps(step: Plane, width: usize, channels: usize) -> Steps {
    Steps { rows: step.height * width * channels, columns: step.width * channels }
}

/// The width of an image in its frame, if it has one and is small enough.
fn frame_width(shape: &ConvShape) -> Option<usize> {
    let ConvShape { input, output, in_channels, .. } = *shape;
    let (rows, columns) = axes(shape);
    let height = rows.framed(output.height)?;
    let width = columns.framed(output.width)?;
    let is_small = height.checked_mul(width)? <= FRAME_PIXELS && in_channels >= 4;
    // Nothing is copied from an image without pixels.
    let has_pixels = input.area() != 0;
    (is_small && has_pixels && (height, width) != (input.height, input.width)).then_some(width)
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
    /// Computes all channels in a frame or by rectangles of windows with the same taps.
    #[inline(never)]
    fn convolve_alike<M: Micro, const FORMS: u16>(&self, out: &mut [i8]) -> Option<()> {
        let ConvShape { output, .. } = *self.shape;
        let (rows, columns) = axes(self.shape);
        let Rescale::PerChannel { multipliers, shifts } = self.params.rescale else { return None };
        // Other forms were prepared with short ones.
        let mut factors = multipliers.iter().zip(shifts);
        let are_short = !has(FORMS, OTHER)
            || factors.all(|(multiplier, shift)| {
                M::is_short(Requantize { multiplier: *multiplier, shift: *shift })
            });
        if M::FRAMES
            && has(FORMS, FRAMED | OTHER)
            && let Some(framed) = self.framed(are_short)
        {
            let image = self.batch.checked_mul(output.area() * self.shape.out_channels)?;
            let out = out.get_mut(image..)?;
            return match has(FORMS, OTHER) {
                true => M::depthwise_framed::<true>(&framed, out),
                false => M::depthwise_framed::<false>(&framed, out),
            };
        }
        if M::FRAMES && !has(FORMS, RECTANGLES | OTHER) {
            return None;
        }
        let mut row = 0;
        while row < output.height {
            let (row_taps, row_count) = rows.alike(row, output.height);
            let mut column = 0;
            while column < output.width {
                let (column_taps, column_count) = columns.alike(column, output.width);
                let count = Steps { rows: row_count, columns: column_count };
                let taps = (&row_taps, &column_taps);
                self.rectangle::<M, FORMS>((row, column), count, taps, are_short, out)?;
                column += column_count;
            }
            row += row_count;
        }
        Some(())
    }

    /// The image in its frame, if it has one and is small enough.
    #[inline(never)]
    fn framed(&self, are_short: bool) -> Option<Framed<'_>> {
        let ConvShape { input, output, kernel, stride, padding, dilation, in_channels, .. } =
            *self.shape;
        let width = frame_width(self.shape)?;
        let Rescale::PerChannel { multipliers, shifts } = self.params.rescale else { return None };
        Some(Framed {
            tile: Depthwise {
                input: self.input.get(self.batch * input.area() * in_channels..)?,
                weights: self.weights,
                channels: in_channels,
                multiplier: 1,
                taps: Steps { rows: kernel.height, columns: kernel.width },
                input_taps: steps(dilation, width, 4),
                weight_taps: steps(ONE, kernel.width, in_channels),
                windows: Steps { rows: output.height, columns: output.width },
                input_steps: steps(stride, width, 4),
                out_steps: steps(ONE, output.width, in_channels),
                bias: self.params.bias,
                multipliers,
                shifts,
                are_short,
                input_offset: self.params.input_offset.0,
                output_offset: self.params.output_offset.0,
            },
            image: Steps { rows: input.height, columns: input.width },
            first: padding.height * width + padding.width,
            width,
        })
    }

    /// Computes `count` windows from a position on, all with the same taps.
    #[inline(never)]
    fn rectangle<M: Micro, const FORMS: u16>(
        &self,
        (row, column): (usize, usize),
        count: Steps,
        (row_taps, column_taps): (&Taps, &Taps),
        are_short: bool,
        out: &mut [i8],
    ) -> Option<()> {
        let ConvShape { input, output, kernel, stride, dilation, .. } = *self.shape;
        let ConvShape { in_channels, out_channels, .. } = *self.shape;
        let Rescale::PerChannel { multipliers, shifts } = self.params.rescale else { return None };
        let has_taps = row_taps.count > 0 && column_taps.count > 0;
        let first = match has_taps {
            true => {
                (self.batch * input.height + row_taps.position) * input.width + column_taps.position
            }
            false => 0,
        };
        let tap = row_taps.tap * kernel.width + column_taps.tap;
        let tile = Depthwise {
            input: self.input.get(first * in_channels..)?,
            weights: self.weights.get(if has_taps { tap * out_channels } else { 0 }..)?,
            channels: out_channels,
            multiplier: self.multiplier,
            taps: Steps { rows: row_taps.count, columns: column_taps.count },
            input_taps: steps(dilation, input.width, in_channels),
            weight_taps: steps(ONE, kernel.width, out_channels),
            windows: count,
            input_steps: steps(stride, input.width, in_channels),
            out_steps: steps(ONE, output.width, out_channels),
            bias: self.params.bias,
            multipliers,
            shifts,
            are_short,
            input_offset: self.params.input_offset.0,
            output_offset: self.params.output_offset.0,
        };
        let pixel = (self.batch * output.height + row) * output.width + column;
        let out = out.get_mut(pixel * out_channels..)?;
        match has(FORMS, OTHER) {
            true if !has_taps => tile.fill(out),
            true => M::depthwise::<true>(&tile, out),
            false => M::depthwise::<false>(&tile, out),
        }
    }

    /// Computes the output channels from `first` on and returns their number.
    #[inline(never)]
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
        let mut pixels = out.get_mut(image..)?.chunks_exact_mut(out_channels.max(1));
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
        let multiplier = self.multiplier.max(1);
        let (source, last) = (first / multiplier, (first + CHANNELS - 1) / multiplier);
        if source == last {
            let inputs = inputs(source)?;
            return M::multiply_add_windows::<CHANNELS, true>(
                inputs, offset, weights, rows, columns, sums,
            );
        }
        for (index, sum) in sums.iter_mut().enumerate() {
            let inputs = inputs((first + index) / multiplier)?;
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
    convolution::prepare(&arguments.common(), arguments.shape(), program, state, form_of)
}

/// Small images that have a frame. With [`RECTANGLES`], what compilers write: an output channel for each input channel, four and more, at
/// most [`TAPS_MAX`] taps, on the input in each window, and short factors.
const FRAMED: u16 = 1;
/// Other images.
const RECTANGLES: u16 = 2;
/// A single input channel, whose convolution with its weights turned around is [`GATHERED`].
const TURNED: u16 = 4;
/// Anything else.
const OTHER: u16 = 8;

fn form_of(shape: &ConvShape, are_short: bool) -> u16 {
    let (rows, columns) = axes(shape);
    // Windows without gaps between their taps have the fewest of them on the input at its edges.
    let has_taps = |axis: &Axis, outputs: usize| {
        axis.taps(0).count > 0 && axis.taps(outputs.saturating_sub(1)).count > 0
    };
    let is_plain = are_short
        && shape.in_channels == shape.out_channels
        && shape.out_channels >= 4
        && shape.kernel.area() <= TAPS_MAX
        && shape.dilation == ONE
        && has_taps(&rows, shape.output.height)
        && has_taps(&columns, shape.output.width);
    match frame_width(shape) {
        // What the smallest cores turn around as well.
        _ if is_turned(shape)
            && shape.kernel.area() <= SMALL_TURNED_BYTES / 4
            && quantized_conv2d::form_of(shape, are_short) == GATHERED =>
        {
            TURNED
        }
        _ if !is_plain => OTHER,
        Some(_) => FRAMED,
        None => RECTANGLES,
    }
}

pub(super) use convolution::form;

pub(super) const fn narrowed<M: Micro>(forms: u16) -> Option<super::Execute> {
    match forms {
        FRAMED => Some(execute_of::<M, FRAMED>),
        RECTANGLES => Some(execute_of::<M, RECTANGLES>),
        ALIKE => Some(execute_of::<M, ALIKE>),
        TURNED => Some(execute_of::<M, TURNED>),
        FRAMED_TURNED => Some(execute_of::<M, FRAMED_TURNED>),
        RECTANGLES_TURNED => Some(execute_of::<M, RECTANGLES_TURNED>),
        ALIKE_TURNED => Some(execute_of::<M, ALIKE_TURNED>),
        _ => None,
    }
}
const ALIKE: u16 = FRAMED | RECTANGLES;
const FRAMED_TURNED: u16 = FRAMED | TURNED;
const RECTANGLES_TURNED: u16 = RECTANGLES | TURNED;
const ALIKE_TURNED: u16 = ALIKE | TURNED;

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_of::<M, ALL_FORMS>(state, memory)
}

fn execute_of<M: Micro, const FORMS: u16>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    if form(state) & !FORMS != 0 {
        return None;
    }
    convolution::execute(state, memory, depthwise_of::<M, FORMS>)
}
