//! Padding of tensors.
//!
//! ```text
//! copy all rows of the input to their places
//! value in what is before, between and behind them
//! ```
//!
//! Inner axes without a frame belong to the row.

use super::require_disjoint;
use crate::memory::{Location, Memory, cast, cast_mut};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::ops::Pad;
use cortado_contract::ops::pad::{Frame, MAX_AXES, argument};
use cortado_contract::value::Violation;

/// Word 0 (the value), input, output, extents, and the frame in halves.
pub const STATE_WORDS: usize = 3 + 2 * MAX_AXES;

/// Pads a tensor with elements of as many bytes as `value` has; see the operator's contract for its meaning and
/// [`cortado_contract::ops::pad::reference`] for its bits.
///
/// `None` when a slice is shorter than the extents say.
pub fn pad<M: Micro>(frame: &Frame, value: &[u8], input: &[u8], out: &mut [u8]) -> Option<()> {
    let element = value.len();
    let [n, h, w, c] = frame.extents.map(|extent| extent as usize);
    let [before_n, before_h, before_w, before_c] = frame.pre.map(|count| count as usize);
    let [all_n, all_h, all_w, all_c] =
        core::array::from_fn(|position| frame.out_extent(position) as usize);
    let out = out.get_mut(..(all_n * all_h * all_w * all_c).checked_mul(element)?)?;
    let input = input.get(..(n * h * w * c).checked_mul(element)?)?;
    // Bytes have no sign here.
    let (input, out) = (cast::<i8>(input)?, cast_mut::<i8>(out)?);
    // A row is all of W and C where C has no frame, else C alone.
    let (rows, row) = if all_c == c { (1, w * c) } else { (w, c) };
    let row = row * element;
    let mut done = 0;
    // Neither an empty input nor an empty result has a row to copy.
    if !input.is_empty() && !out.is_empty() {
        let place = |image: usize, line: usize| {
            let start = ((image + before_n) * all_h + line + before_h) * all_w + before_w;
            (start * all_c + before_c) * element
        };
        let step = all_c * element;
        // Lines of a single row are the rows of one.
        let (lines, line_step, rows, row_step) = match rows {
            1 => (1, 0, h, all_w * step),
            _ => (h, all_w * step, rows, step),
        };
        for image in 0..n {
            let input = input.get(image * lines * rows * row..)?;
            let steps = [row_step, line_step];
            let out = out.get_mut(place(image, 0)..)?;
            M::copy_windows((input, [row, rows * row]), (out, steps), lines, rows, row)?;
        }
        for image in 0..n {
            for line in 0..lines {
                let mut to = place(image, 0) + line * line_step;
                for _ in 0..rows {
                    fill::<M>(out.get_mut(done..to)?, value);
                    done = to + row;
                    to += row_step;
                }
            }
        }
    }
    fill::<M>(out.get_mut(done..)?, value);
    Some(())
}

/// Writes a value's bytes again and again.
fn fill<M: Micro>(out: &mut [i8], value: &[u8]) {
    match value {
        [byte] => M::fill(out, *byte as i8),
        _ => {
            for (out, byte) in out.iter_mut().zip(value.iter().cycle()) {
                *out = *byte as i8;
            }
        }
    }
}

fn in_count(frame: &Frame) -> usize {
    frame.extents.iter().map(|extent| *extent as usize).product()
}

fn out_count(frame: &Frame) -> usize {
    (0..MAX_AXES).map(|position| frame.out_extent(position) as usize).product()
}

pub(super) fn prepare<L: Lists>(
    arguments: &Pad<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let Pad { input, out, pad_value, .. } = arguments;
    if let Some(head) = state.first_mut() {
        *head |= u32::from(*pad_value as u8) << 8;
    }
    pack(&arguments.frame()?, input, out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let value = [(state.first()? >> 8) as u8];
    execute_frame::<M>(state, &value, memory)
}

/// Packs what both padding operators have into the first words.
pub(super) fn pack(
    frame: &Frame,
    input: &LoadedTensor,
    out: &LoadedTensor,
    out_argument: u8,
    state: &mut [u32],
) -> Result<(), Violation> {
    require_disjoint(out, out_argument, &[Some(input)])?;
    if let [_, source, target, words @ ..] = state {
        *source = Location::to_word(Some(input.location));
        *target = Location::to_word(Some(out.location));
        let borders = frame.pre.iter().zip(frame.post).map(|(pre, post)| pre | post << 16);
        for (word, value) in words.iter_mut().zip(frame.extents.into_iter().chain(borders)) {
            *word = value;
        }
    }
    Ok(())
}

/// Pads from the first words.
pub(super) fn execute_frame<M: Micro>(
    state: &[u32],
    value: &[u8],
    memory: &mut Memory<'_>,
) -> Option<()> {
    let [_, source, target, words @ ..] = state.first_chunk::<STATE_WORDS>()?;
    let (extents, borders) = words.split_first_chunk::<MAX_AXES>()?;
    let borders = *borders.first_chunk::<MAX_AXES>()?;
    let frame = Frame {
        extents: *extents,
        pre: borders.map(|border| border & 0xffff),
        post: borders.map(|border| border >> 16),
    };
    let bytes = |count: usize| count * value.len();
    let (reader, out) =
        memory.write::<u8>(Location::from_word(*target)?, bytes(out_count(&frame)))?;
    let input = reader.read::<u8>(Location::from_word(*source)?, bytes(in_count(&frame)))?;
    pad::<M>(&frame, value, input, out)
}
