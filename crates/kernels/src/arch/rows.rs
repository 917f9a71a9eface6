//! What the loops over a row's features of DSP and Thumb-2 cores share: the input is widened once, its offset added, a piece of it at a time.

use super::{hidden, quads};
use crate::tile::Row;
use core::mem::MaybeUninit;

/// The room for a piece of a widened input.
const WORDS: usize = 256;
/// The features of inputs longer than a piece, in fours, whose sums are kept from one piece to the next.
const SUMS: usize = 32;
/// Stands for the elements besides blocks where sums are to be kept rather than finished: negative, with an odd one and no pairs.
const KEEP: usize = 1 << 31 | 1;

/// What a loop over fours of features needs; it advances what is pointed to, apart from the input.
#[repr(C)]
pub(super) struct Features {
    constants: *const [i32; 4],
    out: *mut i8,
    /// How many fours.
    count: usize,
    /// The widened input.
    input: *const u32,
    depth: usize,
    weights: *const i8,
    /// The blocks of a piece.
    blocks: usize,
    /// The elements of a piece besides blocks, or [`KEEP`].
    rest: usize,
    /// From the end of a piece of a row of weights to the row after the next three.
    gap: usize,
    /// Twice each feature's multiplier, wrapped.
    doubled: [u32; 4],
    /// One less than each feature's shift to the right.
    shifts: [u32; 4],
    /// Twice the output's zero point, and one to round.
    offset: i32,
    /// Where sums are kept.
    sums: *mut [i32; 4],
}

/// Computes all features of `ANY` row, or one with a single factor. `widen` brings four inputs and the offset into the form in which
/// `run` reads them, and `block` is the number of elements that it takes at a time.
///
/// # Safety
/// `run` reads a piece of the widened input, as much of four rows of weights for each four features, their constants, and writes as many
/// outputs or sums.
#[inline(always)]
pub(super) unsafe fn compute<const N: usize, const ANY: bool>(
    row: &Row<'_>,
    out: &mut [i8],
    block: usize,
    widen: impl Fn([i8; 4]) -> [u32; N],
    run: unsafe extern "C" fn(&mut Features),
) -> Option<()> {
    if !row.fits(out) {
        return None;
    }
    let (depth, piece) = (row.input.len(), WORDS / N * 4);
    let mut input = [const { MaybeUninit::<u32>::uninit() }; WORDS];
    let mut sums = MaybeUninit::<[[i32; 4]; SUMS]>::uninit();
    let features = row.constants.len();
    let at_a_time = if depth > piece { SUMS } else { features };
    let has_one_factor = !ANY || row.has_one_factor();
    let (multipliers, shifts) = (row.multipliers.first()?, row.shifts.first()?);
    // Four features alone may have different ones.
    let (doubled, shifts) = match ANY {
        true => quads::prepared(multipliers, shifts),
        false => quads::prepared(&[multipliers[0]; 4], &[shifts[0]; 4]),
    };
    let mut state = Features {
        constants: row.constants.as_ptr(),
        out: out.as_mut_ptr(),
        count: 0,
        input: input.as_ptr().cast(),
        depth,
        weights: row.weights.as_ptr(),
        blocks: 0,
        rest: 0,
        gap: 0,
        doubled,
        shifts,
        offset: 2 * row.output_offset + 1,
        sums: sums.as_mut_ptr().cast(),
    };
    let mut first = 0;
    while first < features {
        let count = at_a_time.min(features - first);
        let mut start = 0;
        loop {
            let length = piece.min(depth - start);
            let is_last = start + length == depth;
            let (mut quads, rest) = row.input.get(start..)?.get(..length)?.as_chunks::<4>();
            let at = |index: usize| rest.get(index).copied().unwrap_or(0);
            let last = [at(0), at(1), at(2), 0];
            let mut has_last = rest.len();
            let mut wide = input.as_mut_ptr().cast::<[u32; N]>();
            loop {
                let mut index = 0;
                while let Some(quad) = quads.get(index) {
                    // SAFETY: there is room for a piece, whose elements do not begin more fours than are widened.
                    unsafe { wide.write(widen(*quad)) };
                    (index, wide) = (hidden(index + 1), wide.wrapping_add(1));
                }
                if has_last == 0 {
                    break;
                }
                // Once more for the elements besides fours, by the same code.
                (quads, has_last) = (core::slice::from_ref(&last), hidden(0));
            }
            state.sums = sums.as_mut_ptr().cast();
            state.constants = match start {
                0 => row.constants.as_ptr().wrapping_add(first),
                _ => state.sums,
            };
            state.weights = row.weights.as_ptr().wrapping_add(4 * first * depth + start);
            state.blocks = length / block;
            state.rest = if is_last { length % block } else { KEEP };
            state.gap = 4 * depth - length;
            state.count = count;
            if has_one_factor || !is_last {
                // SAFETY: `fits` holds that there are weights and outputs for all constants, and as many sums are kept as there is room
                // for. The caller's promise.
                unsafe { run(&mut state) };
            } else {
                // With factors of their own, fours are finished one by one.
                for index in first..first + count {
                    let (multipliers, shifts) =
                        (row.multipliers.get(index)?, row.shifts.get(index)?);
                    (state.doubled, state.shifts) = quads::prepared(multipliers, shifts);
                    state.count = 1;
                    // SAFETY: as above.
                    unsafe { run(&mut state) };
                }
            }
            start += length;
            if is_last {
                break;
            }
        }
        first += count;
    }
    Some(())
}
