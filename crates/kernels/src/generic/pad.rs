//! Padding of tensors.
//!
//! ```text
//! for each image of the result:
//!     fill what is around the input's image with the value
//!     copy the input's rows to their places
//! ```
//!
//! Inner axes without a frame belong to the row.

use super::require_disjoint;
use crate::Native;
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
pub fn pad(frame: &Frame, value: &[u8], input: &[u8], out: &mut [u8]) -> Option<()> {
    let element = value.len();
    let out = out.get_mut(..out_count(frame).checked_mul(element)?)?;
    let input = input.get(..in_count(frame).checked_mul(element)?)?;
    let [n, h, w, c] = frame.extents.map(|extent| extent as usize);
    let [before_n, before_h, before_w, before_c] = frame.pre.map(|count| count as usize);
    let [_, all_h, all_w, all_c] =
        core::array::from_fn(|position| frame.out_extent(position) as usize);
    if input.is_empty() || all_c != c {
        fill(value, out);
    }
    if input.is_empty() {
        return Some(());
    }
    // A row is all of W and C where C has no frame, else C alone.
    let (rows, row) = if all_c == c { (1, w * c * element) } else { (w, c * element) };
    let line = all_w * all_c * element;
    let images = out.chunks_exact_mut((all_h * line).max(1)).enumerate();
    let mut input = input.chunks_exact((h * rows * row).max(1));
    for (image, out) in images {
        if !(before_n..before_n + n).contains(&image) {
            fill(value, out);
            continue;
        }
        let (input, first) = (input.next()?, (before_w * all_c + before_c) * element);
        if all_c == c {
            // What is around the image: before it, between its rows, and after it.
            let mut rest = &mut *out;
            let mut around = before_h * line + first;
            for _ in 0..h {
                let (frame, image) = rest.split_at_mut_checked(around)?;
                fill(value, frame);
                rest = image.get_mut(row..)?;
                around = line - row;
            }
            fill(value, rest);
        }
        let (mut from, mut to) = (0, before_h * line + first);
        // Rows of W and C all at once, else those of C line by line.
        let (times, count, step) =
            if rows == 1 { (1, h, line) } else { (h, rows, all_c * element) };
        for _ in 0..times {
            let source = (cast(input.get(from..)?)?, row);
            Native::copy_rows(source, (cast_mut(out.get_mut(to..)?)?, step), count, row)?;
            from += count * row;
            to += line;
        }
    }
    Some(())
}

/// Fills elements with a value.
fn fill(value: &[u8], out: &mut [u8]) {
    match value {
        [byte] => out.fill(*byte),
        _ => out.chunks_exact_mut(value.len().max(1)).for_each(|out| out.copy_from_slice(value)),
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
    execute_frame(state, &value, memory)
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
pub(super) fn execute_frame(state: &[u32], value: &[u8], memory: &mut Memory<'_>) -> Option<()> {
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
    pad(&frame, value, input, out)
}
