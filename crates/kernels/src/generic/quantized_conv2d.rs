//! Convolutions over `int8`.
//!
//! ```text
//! for each image, each group of channels, and each block of 64 output channels of it:
//!     whole = bias + input_offset · (sum of the channels' weights)                       (1)
//!     for each batch of windows:                                                         (2)
//!         gather them, with the zero point where they leave the input                    (3)
//!         for each four output channels:                                                 (4)
//!             for each window: out = clamp(requantize(whole + window · weights) + output_offset)
//! ```
//!
//! 1. The input offset distributes over the sum, so nothing is left of it in the loops. Where loops add it at no cost, it is left to them.
//! 2. As many as fit a small buffer. Windows of a single tap that visit every pixel lie in the input one after the other: nothing is
//!    gathered then. Windows larger than the buffer are read from the input, run by run.
//! 3. The zero point plus the input offset is 0, so what is not there contributes nothing.
//! 4. Four rows of weights share the loads of the windows. The last four overlap those before where channels do not come in fours;
//!    fewer than four are done one by one.

use super::convolution::{self, axes};
use super::taps::{Axis, Taps};
use super::{ALL_FORMS, has};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use crate::tile::{Quads, dot, finish};
use core::ops::Range;
use cortado_contract::ops::QuantizedConv2d;
use cortado_contract::ops::quantized_conv2d::{ConvParams, ConvShape, Plane};
use cortado_contract::ops::quantized_linear::Rescale;
use cortado_contract::quant::{Activation, Requantize};
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
    conv_of::<M, ALL_FORMS>(shape, params, input, weights, out)
}

/// [`conv_s8`] for some forms.
fn conv_of<M: Micro, const FORMS: u16>(
    shape: &ConvShape,
    params: &ConvParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let groups = shape.in_channels.checked_div(shape.group_channels)?;
    let group_outputs = shape.out_channels.checked_div(groups)?;
    let depth = shape.kernel_size();
    for batch in 0..shape.batches {
        for group in 0..groups {
            let image = Image { shape, params, input, weights, batch, group };
            let (mut first, end) = (group * group_outputs, (group + 1) * group_outputs);
            if group_outputs < 4 || depth > WINDOWS_BYTES && !is_pointwise(shape) {
                if !has(FORMS, OTHER) {
                    return None;
                }
                image.convolve_runs::<M>(first, end, out)?;
                continue;
            }
            while first < end {
                // The last four channels overlap those before rather than being less than four.
                first = first.min(end - 4);
                let count = CHANNELS_MAX.min(end - first);
                let weights = weights.get(first * depth..)?.get(..count * depth)?;
                image.convolve::<M, FORMS>(weights, first, count, out)?;
                first += count;
            }
        }
    }
    if params.activation != Activation::INT8 {
        let count = shape.batches * shape.output.area() * shape.out_channels;
        M::clamp(out.get_mut(..count)?, params.activation);
    }
    Some(())
}

/// Computes a convolution of a single input channel whose weights stand tap by tap instead of channel by channel, as depthwise
/// convolutions have them: they are turned around, some channels at a time.
///
/// `None` when a slice is shorter than the extents say, or there are less than four channels or more than [`TURNED_BYTES`]` / 4` taps.
/// `FORMS` are those of a convolution with its weights turned around.
#[inline(never)]
pub(super) fn convolve_turned<M: Micro, const FORMS: u16>(
    shape: &ConvShape,
    params: &ConvParams<'_>,
    input: &[i8],
    weights: &[i8],
    batch: usize,
    out: &mut [i8],
) -> Option<()> {
    let ConvShape { kernel, out_channels, .. } = *shape;
    let (taps, last) = (kernel.area(), out_channels.checked_sub(4)?);
    let at_a_time = CHANNELS_MAX.min(TURNED_BYTES.checked_div(taps)? / 4 * 4);
    let image = Image { shape, params, input, weights, batch, group: 0 };
    let mut turned = [0; TURNED_BYTES];
    let mut first = 0;
    while first < out_channels && at_a_time > 0 {
        // The last four channels overlap those before rather than being less than four.
        first = first.min(last);
        let count = at_a_time.min(out_channels - first);
        let turned = turned.get_mut(..count * taps)?;
        for (channel, row) in (first..).zip(turned.chunks_exact_mut(taps.max(1))) {
            let column = weights.get(channel..)?.iter().step_by(out_channels);
            row.iter_mut().zip(column).for_each(|(turned, weight)| *turned = *weight);
        }
        image.convolve::<M, FORMS>(turned, first, count, out)?;
        first += count;
    }
    (at_a_time > 0).then_some(())
}

/// The buffer for weights that are turned around.
pub(super) const TURNED_BYTES: usize = if IS_SMALL { SMALL_TURNED_BYTES } else { 1024 };
pub(super) const SMALL_TURNED_BYTES: usize = 512;

/// The channels whose constants are kept at a time.
pub(super) const CHANNELS_MAX: usize = 64;
/// The buffer for gathered windows: twelve of 3 × 3 pixels with 16 channels, three of 64; a fourth one for the loops that take four at a
/// time. Less on the smallest cores, whose loops take one window at a time and whose stacks are short.
const WINDOWS_BYTES: usize = match (IS_SMALL, cfg!(cortado_isa = "scalar")) {
    (true, _) => SMALL_WINDOWS_BYTES,
    (_, true) => 2304,
    _ => 1728,
};
const SMALL_WINDOWS_BYTES: usize = 640;
const IS_SMALL: bool = cfg!(cortado_thumb = "1");

/// Windows start at words where their extents allow it, so that they can be copied by words.
#[repr(align(4))]
pub(super) struct Windows(pub(super) [i8; WINDOWS_BYTES]);

impl Windows {
    pub(super) const fn new() -> Windows {
        Windows([0; WINDOWS_BYTES])
    }
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
    /// Computes `count` output channels from `first` on, four and more, at most [`CHANNELS_MAX`], with just their weights.
    ///
    /// Never inlined: the buffer for windows is on the stack only while it is needed.
    #[inline(never)]
    fn convolve<M: Micro, const FORMS: u16>(
        &self,
        weights: &[i8],
        first: usize,
        count: usize,
        out: &mut [i8],
    ) -> Option<()> {
        let ConvShape { input, output, in_channels, out_channels, .. } = *self.shape;
        let depth = self.shape.kernel_size();
        let mut whole = [0; CHANNELS_MAX];
        let weights = weights.get(..count * depth)?;
        let whole = whole.get_mut(..count)?;
        let block = Block::of::<M, FORMS>(self.params, weights, first, out_channels, whole)?;
        let image = self.batch.checked_mul(output.area() * out_channels)?;
        let out = out.get_mut(image..)?.get_mut(..output.area() * out_channels)?;
        let is_gathered = has(FORMS, GATHERED | OTHER);
        if has(FORMS, POINTWISE | OTHER) && (!is_gathered || is_pointwise(self.shape)) {
            let image = self.batch.checked_mul(input.area() * in_channels)?;
            return block.multiply_of::<M, FORMS>(self.input.get(image..)?, output.area(), out);
        }
        if !is_gathered {
            return None;
        }
        let mut buffer = Windows::new();
        let mut windows = Gathering::new(self);
        let room = WINDOWS_BYTES / depth.max(1);
        let at_a_time = if room > M::WINDOWS { room - room % M::WINDOWS } else { room };
        for out in out.chunks_mut((at_a_time * out_channels).max(1)) {
            let pixels = out.len().checked_div(out_channels)?;
            windows.gather::<M, FORMS>(pixels, &mut buffer.0)?;
            block.multiply_of::<M, FORMS>(&buffer.0, pixels, out)?;
        }
        Some(())
    }

    /// Computes the output channels from `first` up to `end` one by one, reading windows from the input.
    #[inline(never)]
    fn convolve_runs<M: Micro>(&self, first: usize, end: usize, out: &mut [i8]) -> Option<()> {
        let ConvShape { output, out_channels, .. } = *self.shape;
        let (offset, depth) = (self.params.input_offset.0, self.shape.kernel_size());
        let (rows, columns) = axes(self.shape);
        let mut pixel = self.batch.checked_mul(output.area() * out_channels)?;
        for row in 0..output.height {
            let row = rows.taps(row);
            for column in 0..output.width {
                let column = columns.taps(column);
                for channel in first..end {
                    let weights = self.weights.get(channel.checked_mul(depth)?..)?.get(..depth)?;
                    let mut sum = self.bias(channel);
                    let (batch, group) = (self.batch, self.group);
                    for_each_run(self.shape, batch, group, &row, &column, |start, tap, length| {
                        let run = self.input.get(start..)?.get(..length)?;
                        let weights = weights.get(tap..)?.get(..length)?;
                        sum = sum.wrapping_add(dot::<M>(run, offset, weights));
                        Some(())
                    })?;
                    let factor = self.params.rescale.factor(channel);
                    *out.get_mut(pixel + channel)? =
                        finish(sum, factor, self.params.output_offset.0);
                }
                pixel += out_channels;
            }
        }
        Some(())
    }

    fn bias(&self, channel: usize) -> i32 {
        self.params.bias.and_then(|bias| bias.get(channel)).copied().unwrap_or(0)
    }
}

/// Output channels with their constants.
pub(super) struct Block<'a> {
    weights: &'a [i8],
    depth: usize,
    whole: &'a [i32],
    multipliers: &'a [i32],
    shifts: &'a [i32],
    /// A bit for every four channels some factor of which is not short.
    long_quads: u32,
    first: usize,
    /// Added to each input.
    input_offset: i32,
    output_offset: i32,
    pub(super) out_step: usize,
}

/// A bit for every four channels some factor of which is not short for the loops of `M`.
fn long_quads<M: Micro>(multipliers: &[i32], shifts: &[i32]) -> u32 {
    let factors = multipliers.iter().zip(shifts).enumerate();
    factors.fold(0, |quads, (index, (multiplier, shift))| {
        let factor = Requantize { multiplier: *multiplier, shift: *shift };
        quads | u32::from(!M::is_short(factor)) << (index / 4)
    })
}

impl<'a> Block<'a> {
    /// As many channels as `whole` has, from `first` on, with just their weights; what their sums start with is put into `whole`, unless
    /// it is their bias.
    pub(super) fn new<M: Micro>(
        params: &ConvParams<'a>,
        weights: &'a [i8],
        first: usize,
        out_step: usize,
        whole: &'a mut [i32],
    ) -> Option<Self> {
        Self::of::<M, ALL_FORMS>(params, weights, first, out_step, whole)
    }

    fn of<M: Micro, const FORMS: u16>(
        params: &ConvParams<'a>,
        weights: &'a [i8],
        first: usize,
        out_step: usize,
        whole: &'a mut [i32],
    ) -> Option<Self> {
        let depth = weights.len().checked_div(whole.len())?;
        let bias = match params.bias {
            Some(bias) => Some(bias.get(first..)?),
            None => None,
        };
        let input_offset = params.input_offset.0;
        let (folded, added) = if M::ADDS_OFFSETS { (0, input_offset) } else { (input_offset, 0) };
        let whole = match bias {
            // Taken as it is where nothing is folded into it.
            Some(bias) if folded == 0 => bias.get(..whole.len())?,
            _ => {
                M::fold(weights, bias, folded, whole)?;
                whole
            }
        };
        let Rescale::PerChannel { multipliers, shifts } = params.rescale else { return None };
        let multipliers = multipliers.get(first..)?.get(..whole.len())?;
        let shifts = shifts.get(first..)?.get(..whole.len())?;
        Some(Block {
            weights,
            depth,
            whole,
            multipliers,
            shifts,
            long_quads: if has(FORMS, OTHER) { long_quads::<M>(multipliers, shifts) } else { 0 },
            first,
            input_offset: added,
            output_offset: params.output_offset.0,
            out_step,
        })
    }

    /// Computes the channels of `pixels` windows that lie one after the other.
    pub(super) fn multiply<M: Micro>(
        &self,
        windows: &[i8],
        pixels: usize,
        out: &mut [i8],
    ) -> Option<()> {
        self.multiply_of::<M, ALL_FORMS>(windows, pixels, out)
    }

    /// [`Self::multiply`] for some forms: without [`OTHER`], channels come in fours, and all factors are short.
    fn multiply_of<M: Micro, const FORMS: u16>(
        &self,
        windows: &[i8],
        pixels: usize,
        out: &mut [i8],
    ) -> Option<()> {
        if !has(FORMS, OTHER) {
            return M::multiply_quads(&self.tile(windows, 0)?, pixels, out.get_mut(self.first..)?);
        }
        let count = self.whole.len();
        if self.long_quads == 0 {
            self.part::<M>(windows, 0, count / 4, true, pixels, out)?;
        } else {
            for index in 0..count / 4 {
                let is_short = self.long_quads >> index & 1 == 0;
                self.part::<M>(windows, 4 * index, 1, is_short, pixels, out)?;
            }
        }
        match count % 4 {
            0 => Some(()),
            // The last four channels overlap those before.
            _ => self.part::<M>(windows, count - 4, 1, self.long_quads == 0, pixels, out),
        }
    }

    /// Computes `quads` times four channels from the one at `index` on.
    fn part<M: Micro>(
        &self,
        windows: &[i8],
        index: usize,
        quads: usize,
        is_short: bool,
        pixels: usize,
        out: &mut [i8],
    ) -> Option<()> {
        let mut tile = self.tile(windows, index)?;
        tile.whole = tile.whole.get(..quads)?;
        let out = out.get_mut(self.first + index..)?;
        match is_short && self.depth > 0 {
            true => M::multiply_quads(&tile, pixels, out),
            false => tile.model::<M>(pixels, out),
        }
    }

    /// All channels in fours from the one at `index` on.
    #[inline(always)]
    fn tile<'t>(&'t self, windows: &'t [i8], index: usize) -> Option<Quads<'t>> {
        Some(Quads {
            windows,
            weights: self.weights.get(index * self.depth..)?,
            depth: self.depth,
            whole: self.whole.get(index..)?.as_chunks::<4>().0,
            multipliers: self.multipliers.get(index..)?.as_chunks::<4>().0,
            shifts: self.shifts.get(index..)?.as_chunks::<4>().0,
            input_offset: self.input_offset,
            output_offset: self.output_offset,
            out_step: self.out_step,
        })
    }
}

/// Windows of an image, gathered one after the other.
struct Gathering<'a> {
    image: &'a Image<'a>,
    rows: Axis,
    columns: Axis,
    /// The output position whose window comes next, and the taps of its row.
    row: usize,
    column: usize,
    row_taps: Taps,
    /// The output columns all of whose taps fall on the input.
    inner: Range<usize>,
}

impl<'a> Gathering<'a> {
    fn new(image: &'a Image<'a>) -> Self {
        let (rows, columns) = axes(image.shape);
        let (row_taps, inner) = (rows.taps(0), columns.inner(image.shape.output.width));
        Gathering { image, rows, columns, row: 0, column: 0, row_taps, inner }
    }

    /// Gathers the next `pixels` windows: those of a row that have all columns together, others one by one.
    fn gather<M: Micro, const FORMS: u16>(
        &mut self,
        pixels: usize,
        buffer: &mut [i8],
    ) -> Option<()> {
        let Image { shape, params, input, batch, group, .. } = *self.image;
        let depth = shape.kernel_size();
        let is_run = !has(FORMS, OTHER) || has_runs(shape);
        // Minus the input offset is a zero point, which `int8` holds.
        let zero_point = params.input_offset.0.wrapping_neg() as i8;
        let row_step = shape.input.width * shape.in_channels;
        let mut buffer = buffer.get_mut(..pixels * depth)?;
        let mut left = pixels;
        while left > 0 {
            let count = match is_run && self.inner.contains(&self.column) {
                true => left.min(self.inner.end - self.column),
                false => 1,
            };
            let (windows, rest) = buffer.split_at_mut_checked(count * depth)?;
            buffer = rest;
            let (row, column) = (self.row_taps, self.columns.taps(self.column));
            if row.count < shape.kernel.height || column.count < shape.kernel.width {
                M::fill(windows, zero_point);
            }
            if is_run && row.count > 0 && column.count > 0 {
                let pixel = (batch * shape.input.height + row.position) * shape.input.width;
                let source = input.get((pixel + column.position) * shape.in_channels..)?;
                let tap = row.tap * shape.kernel.width + column.tap;
                let steps =
                    [shape.dilation.height * row_step, shape.stride.width * shape.in_channels];
                M::copy_windows(
                    (source, steps),
                    (
                        windows.get_mut(tap * shape.in_channels..)?,
                        [shape.kernel.width * shape.in_channels, depth],
                    ),
                    count,
                    row.count,
                    column.count * shape.in_channels,
                )?;
            } else if !is_run {
                for_each_run(shape, batch, group, &row, &column, |start, tap, length| {
                    let run = input.get(start..)?.get(..length)?;
                    M::copy_rows((run, 0), (windows.get_mut(tap..)?, 0), 1, length)
                })?;
            }
            left -= count;
            self.column += count;
            if self.column == shape.output.width {
                (self.row, self.column) = (self.row + 1, 0);
                self.row_taps = self.rows.taps(self.row);
            }
        }
        Some(())
    }
}

/// Whether the taps of a window's row lie in the input one after the other, with all channels.
fn has_runs(shape: &ConvShape) -> bool {
    shape.group_channels == shape.in_channels && shape.dilation.width == 1
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
    let is_run = has_runs(shape);
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
    convolution::prepare(&arguments.common(), arguments.shape(), program, state, form_of)
}

/// Windows that lie in the input one after the other. With [`GATHERED`], what compilers write: a single group of channels, which come in
/// fours, and short factors.
const POINTWISE: u16 = 1;
/// Windows that are gathered, row by row.
pub(super) const GATHERED: u16 = 2;
/// Anything else.
const OTHER: u16 = 4;

/// The form of a convolution, whose factors may all be short for the loops of every instruction set.
pub(super) fn form_of(shape: &ConvShape, are_short: bool) -> u16 {
    let is_plain = are_short
        && has_runs(shape)
        && shape.out_channels >= 4
        && shape.out_channels.is_multiple_of(4)
        && shape.kernel_size() > 0;
    match (is_plain, is_pointwise(shape)) {
        (true, true) => POINTWISE,
        (true, false) if shape.kernel_size() <= SMALL_WINDOWS_BYTES => GATHERED,
        _ => OTHER,
    }
}

pub(super) use convolution::form;

pub(super) const fn narrowed<M: Micro>(forms: u16) -> Option<super::Execute> {
    match forms {
        POINTWISE => Some(execute_of::<M, POINTWISE>),
        GATHERED => Some(execute_of::<M, GATHERED>),
        BOTH => Some(execute_of::<M, BOTH>),
        _ => None,
    }
}
const BOTH: u16 = POINTWISE | GATHERED;

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_of::<M, ALL_FORMS>(state, memory)
}

fn execute_of<M: Micro, const FORMS: u16>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    if form(state) & !FORMS != 0 {
        return None;
    }
    convolution::execute(state, memory, conv_of::<M, FORMS>)
}
