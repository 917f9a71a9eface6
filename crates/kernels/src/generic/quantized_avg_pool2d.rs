//! Average pooling over `int8` images in NHWC.
//!
//! ```text
//! for each window:
//!     for each 4 or 16 channels:                                 (1)
//!         sums = 0
//!         for each position that the window covers:              (2)
//!             sums += input[position]
//!         out = clamp(round(sums / count))                       (3)
//! ```
//!
//! 1. The sums stay in registers or on the stack, so that no scratch buffer is needed.
//! 2. Both axes' ranges are found once per window, so the loop has no conditions.
//! 3. Ties go away from zero.

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::{Micro, POSITIONS_MAX, Window, Windows};
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::ops::QuantizedAvgPool2d;
use cortado_contract::ops::quantized_avg_pool2d::{self, Pool, argument};
use cortado_contract::quant::Activation;
use cortado_contract::value::Violation;

/// The pool's words.
pub const STATE_WORDS: usize = POOL_WORDS;

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
    for_each_run(pool, input, out, |windows, out| {
        M::average_windows::<true>(windows, activation, out)
    })
}

/// [`avg_pool`] of windows all of which lie in the image, without gaps between their positions, over all of `int8`.
fn avg_pool_whole<M: Micro>(
    pool: &Pool,
    _: Activation,
    input: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let Pool { batch, channels, height, width } = pool;
    let channels = *channels as usize;
    let (pixels, row_step) = (width.out as usize * channels, width.input as usize * channels);
    let mut windows = Windows {
        first: Window { elements: input, row_step, column_step: channels },
        rows: height.kernel as usize,
        columns: width.kernel as usize,
        count: width.out as usize,
        step: width.stride as usize * channels,
    };
    let mut out = out;
    for image in 0..*batch as usize {
        let mut row = image * height.input as usize;
        for _ in 0..height.out {
            windows.first.elements = input.get(row * row_step..)?;
            let (pixels, rest) = out.split_at_mut_checked(pixels)?;
            M::average_windows::<false>(&windows, Activation::INT8, pixels)?;
            out = rest;
            row += height.stride as usize;
        }
    }
    Some(())
}

/// Calls `compute` with windows that follow each other in a row of the result and have the same extents, and with their pixels of it.
#[inline(always)]
pub(super) fn for_each_run(
    pool: &Pool,
    input: &[i8],
    out: &mut [i8],
    mut compute: impl FnMut(&Windows<'_>, &mut [i8]) -> Option<()>,
) -> Option<()> {
    let Pool { batch, channels, height, width } = pool;
    let channels = *channels as usize;
    let out_bytes = *batch as usize * height.out as usize * width.out as usize * channels;
    let mut out = out.get_mut(..out_bytes)?;
    if out.is_empty() {
        return Some(());
    }
    let row_bytes = width.input as usize * channels;
    let image_bytes = height.input as usize * row_bytes;
    // Windows before this one end on the image.
    let reach = width.kernel.saturating_sub(1) * width.dilation;
    let last = (width.padding + width.input).checked_sub(reach + 1);
    let whole = last.map_or(0, |last| last / width.stride.max(1) + 1);
    for image in 0..*batch as usize {
        let input = input.get(image * image_bytes..)?.get(..image_bytes)?;
        for y in 0..height.out {
            let rows = height.taps(y);
            let mut x = 0;
            while x < width.out {
                let columns = width.taps(x);
                let count = match columns.count == width.kernel {
                    true => width.out.min(whole).saturating_sub(x).max(1) as usize,
                    false => 1,
                };
                let is_empty = rows.count == 0 || columns.count == 0;
                let start = rows.first as usize * row_bytes + columns.first as usize * channels;
                let (elements, step) = match is_empty {
                    true => (&[][..], 0),
                    false => (input.get(start..)?, width.stride as usize * channels),
                };
                let first = Window {
                    elements,
                    row_step: height.dilation as usize * row_bytes,
                    column_step: width.dilation as usize * channels,
                };
                let (rows, columns) = (rows.count as usize, columns.count as usize);
                let (pixels, rest) = out.split_at_mut_checked(count * channels)?;
                compute(&Windows { first, rows, columns, count, step }, pixels)?;
                out = rest;
                x += count as u32;
            }
        }
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedAvgPool2d<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let QuantizedAvgPool2d { input, out, .. } = arguments;
    let pool = arguments.pool()?;
    pack(&pool, Activation::INT8, input, out, argument::out, state)?;
    if let [head, ..] = state {
        *head |= u32::from(form_of(&pool)) << FORM_SHIFT;
    }
    Ok(())
}

/// Windows all of which lie in the image, without gaps between their positions, of which there are at most [`POSITIONS_MAX`].
const WHOLE: u16 = 1;
/// Anything else.
const OTHER: u16 = 2;

fn form_of(pool: &Pool) -> u16 {
    let is_inside = |axis: &quantized_avg_pool2d::Windows| {
        let last = u64::from(axis.out.saturating_sub(1)) * u64::from(axis.stride);
        axis.padding == 0
            && axis.dilation == 1
            && last + u64::from(axis.kernel) <= u64::from(axis.input)
    };
    let positions = u64::from(pool.height.kernel) * u64::from(pool.width.kernel);
    let is_whole = is_inside(&pool.height) && is_inside(&pool.width);
    if is_whole && positions <= POSITIONS_MAX as u64 { WHOLE } else { OTHER }
}

/// See [`super::form`].
pub(super) const fn form(state: &[u32]) -> u16 {
    if let [head, ..] = state { (*head >> FORM_SHIFT) as u16 } else { OTHER }
}

/// Word 0 has the form from this bit on.
const FORM_SHIFT: u32 = 24;

pub(super) const fn narrowed<M: Micro>(forms: u16) -> Option<super::Execute> {
    if forms == WHOLE { Some(execute_whole::<M>) } else { None }
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_pool(state, memory, avg_pool::<M>)
}

fn execute_whole<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    if form(state) != WHOLE {
        return None;
    }
    execute_pool(state, memory, avg_pool_whole::<M>)
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
    let pair =
        |field: fn(&quantized_avg_pool2d::Windows) -> u32| field(&height) | field(&width) << 16;
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
    let windows = |half: fn(u32) -> u32| quantized_avg_pool2d::Windows {
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
