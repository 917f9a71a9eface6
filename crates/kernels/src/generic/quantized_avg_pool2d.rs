//! Average pooling over `int8` images in NHWC.
//!
//! ```text
//! for each window:
//!     for each 16 channels:                                      (1)
//!         sums = 0
//!         for each position that the window covers:              (2)
//!             sums += input[position]
//!         out = clamp(round(sums / count))                       (3)
//! ```
//!
//! 1. The sums stay in registers or on the stack, so that no scratch buffer is needed.
//! 2. Both axes' ranges are found once per window, so the loop has no conditions.
//! 3. Ties go away from zero: half of the count is added with the sum's sign before the division, which truncates.

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::{self, Micro};
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::ops::QuantizedAvgPool2d;
use cortado_contract::ops::quantized_avg_pool2d::{Pool, Taps, Windows, argument};
use cortado_contract::quant::Activation;
use cortado_contract::value::Violation;

/// The pool's words.
pub const STATE_WORDS: usize = POOL_WORDS;

/// The number of channels that are summed at once.
const BLOCK: usize = 16;

/// Averages each window; see the operator's contract for its meaning and
/// [`cortado_contract::ops::quantized_avg_pool2d::reference`] for its bits.
///
/// `None` when a slice is shorter than the extents say or a window covers nothing.
pub fn avg_pool<M: Micro>(
    pool: &Pool,
    activation: Activation,
    input: &[i8],
    out: &mut [i8],
) -> Option<()> {
    for_each_window(pool, input, out, |window, out| {
        let count = i32::try_from(window.count()).ok().filter(|count| *count > 0)?;
        let half = count / 2;
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let mut sums = [0i32; BLOCK];
            let sums = sums.get_mut(..out.len())?;
            window.accumulate::<M>(block * BLOCK, sums)?;
            for (out, sum) in out.iter_mut().zip(sums) {
                let rounded = if *sum > 0 { *sum + half } else { *sum - half };
                *out = activation.clamp(rounded.checked_div(count)?) as i8;
            }
        }
        Some(())
    })
}

/// Calls `compute` with each window and its pixel of the result.
#[inline(always)]
pub(super) fn for_each_window(
    pool: &Pool,
    input: &[i8],
    out: &mut [i8],
    mut compute: impl FnMut(&Window<'_>, &mut [i8]) -> Option<()>,
) -> Option<()> {
    let Pool { batch, channels, height, width } = pool;
    let channels = *channels as usize;
    let out_bytes = *batch as usize * height.out as usize * width.out as usize * channels;
    let out = out.get_mut(..out_bytes)?;
    if out.is_empty() {
        return Some(());
    }
    let row_bytes = width.input as usize * channels;
    let image_bytes = height.input as usize * row_bytes;
    let out_image_bytes = height.out as usize * width.out as usize * channels;
    for (image, out) in out.chunks_exact_mut(out_image_bytes.max(1)).enumerate() {
        let input = input.get(image * image_bytes..)?.get(..image_bytes)?;
        for (y, out) in (0..).zip(out.chunks_exact_mut((width.out as usize * channels).max(1))) {
            let rows = height.taps(y);
            for (x, out) in (0..).zip(out.chunks_exact_mut(channels.max(1))) {
                let window = Window {
                    input,
                    channels,
                    row_bytes,
                    rows,
                    columns: width.taps(x),
                    row_step: height.dilation as usize,
                    column_step: width.dilation as usize,
                };
                compute(&window, out)?;
            }
        }
    }
    Some(())
}

/// The positions of one image that a window covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'i> {
    input: &'i [i8],
    channels: usize,
    row_bytes: usize,
    rows: Taps,
    columns: Taps,
    row_step: usize,
    column_step: usize,
}

impl Window<'_> {
    /// Adds the channels from `first` on at all positions.
    #[inline(always)]
    fn accumulate<M: Micro>(&self, first: usize, sums: &mut [i32]) -> Option<()> {
        let column = self.columns.first as usize * self.channels;
        let start = self.rows.first as usize * self.row_bytes + column + first;
        let window = micro::Window {
            elements: self.input.get(start..)?,
            row_step: self.row_step * self.row_bytes,
            column_step: self.column_step * self.channels,
        };
        M::accumulate_window(window, self.rows.count as usize, self.columns.count as usize, sums)
    }

    /// The number of positions.
    #[inline(always)]
    fn count(&self) -> usize {
        self.rows.count as usize * self.columns.count as usize
    }

    /// Calls `visit` with each pixel that the window covers.
    #[inline(always)]
    pub(super) fn for_each_position(
        &self,
        mut visit: impl FnMut(&[i8]) -> Option<()>,
    ) -> Option<()> {
        let first = self.columns.first as usize * self.channels;
        let mut row = self.rows.first as usize * self.row_bytes;
        for _ in 0..self.rows.count {
            let mut pixel = row + first;
            for _ in 0..self.columns.count {
                visit(self.input.get(pixel..)?.get(..self.channels)?)?;
                pixel += self.column_step * self.channels;
            }
            row += self.row_step * self.row_bytes;
        }
        Some(())
    }
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedAvgPool2d<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let QuantizedAvgPool2d { input, out, .. } = arguments;
    pack(&arguments.pool()?, Activation::INT8, input, out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_pool(state, memory, avg_pool::<M>)
}

/// Word 0 (the range of results), input, output, batch, channels, and pairs of extents.
pub(super) const POOL_WORDS: usize = 11;

/// Packs a checked pooling operator, whose extents fit 16 bits. The range of results is in bits 8–23 of word 0.
pub(super) fn pack(
    pool: &Pool,
    activation: Activation,
    input: &LoadedTensor,
    out: &LoadedTensor,
    out_argument: u8,
    state: &mut [u32],
) -> Result<(), Violation> {
    require_disjoint(out, out_argument, &[Some(input)])?;
    let Pool { batch, channels, height, width } = *pool;
    let pair = |field: fn(&Windows) -> u32| field(&height) | field(&width) << 16;
    if let Some(words) = state.first_chunk_mut::<POOL_WORDS>() {
        let [min, max] = [activation.min, activation.max].map(|bound| u32::from(bound as u8));
        *words = [
            words[0] | min << 8 | max << 16,
            Location::to_word(Some(input.location)),
            Location::to_word(Some(out.location)),
            batch,
            channels,
            pair(|windows| windows.input),
            pair(|windows| windows.out),
            pair(|windows| windows.kernel),
            pair(|windows| windows.stride),
            pair(|windows| windows.padding),
            pair(|windows| windows.dilation),
        ];
    }
    Ok(())
}

/// Runs a packed pooling operator.
pub(super) fn execute_pool(
    state: &[u32],
    memory: &mut Memory<'_>,
    kernel: fn(&Pool, Activation, &[i8], &mut [i8]) -> Option<()>,
) -> Option<()> {
    let [head, input, out, batch, channels, inputs, outs, kernels, strides, paddings, dilations] =
        *<&[u32; POOL_WORDS]>::try_from(state).ok()?;
    let windows = |half: fn(u32) -> u32| Windows {
        input: half(inputs),
        out: half(outs),
        kernel: half(kernels),
        stride: half(strides),
        padding: half(paddings),
        dilation: half(dilations),
    };
    let (height, width) = (windows(|word| word & 0xffff), windows(|word| word >> 16));
    let [_, min, max, _] = head.to_le_bytes().map(|byte| i32::from(byte as i8));
    let images = (batch * channels) as usize;
    let out_count = images * (height.out * width.out) as usize;
    let in_count = images * (height.input * width.input) as usize;
    let (reader, out) = memory.write::<i8>(Location::from_word(out)?, out_count)?;
    let input = reader.read::<i8>(Location::from_word(input)?, in_count)?;
    let pool = Pool { batch, channels, height, width };
    kernel(&pool, Activation { min, max }, input, out)
}
