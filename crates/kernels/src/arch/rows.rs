//! What the loops over a row's features of DSP and Thumb-2 cores share: the input is widened once, its offset added, a piece of it at a time.

use super::quads;
use crate::tile::Row;
use core::mem::MaybeUninit;

/// The room for a piece of a widened input.
const WORDS: usize = 256;
/// The features of inputs longer than a piece, in fours, whose sums are kept from one piece to the next.
const SUMS: usize = 32;
/// Stands for the elements besides blocks where sums are to be kept rather than finished.
const KEEP: usize = usize::MAX;

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

/// Computes all features of a row. `widen` brings four inputs and the offset into the form in which `run` reads them, and `block` is the
/// number of elements that it takes at a time.
///
/// # Safety
/// `run` reads a piece of the widened input, as much of four rows of weights for each four features, their constants, and writes as many
/// outputs or sums.
#[inline(always)]
pub(super) unsafe fn compute<const N: usize>(
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
    let at_a_time = if depth > piece { SUMS } else { row.constants.len() };
    let mut first = 0;
    while first < row.constants.len() {
        let count = at_a_time.min(row.constants.len() - first);
        let mut start = 0;
        loop {
            let length = piece.min(depth - start);
            let (is_first, is_last) = (start == 0, start + length == depth);
            let (quads, rest) = row.input.get(start..)?.get(..length)?.as_chunks::<4>();
            let wide = input.as_chunks_mut::<N>().0;
            for (wide, quad) in wide.iter_mut().zip(quads) {
                *wide = widen(*quad).map(MaybeUninit::new);
            }
            if !rest.is_empty() {
                // Not by a loop, which would become a call of `memcpy`.
                let at = |index: usize| rest.get(index).copied().unwrap_or(0);
                let last = [at(0), at(1), at(2), 0];
                *wide.get_mut(quads.len())? = widen(last).map(MaybeUninit::new);
            }
            let sums: *mut [i32; 4] = sums.as_mut_ptr().cast();
            // With factors of their own, fours are finished one by one.
            let is_whole = row.has_one_factor() || !is_last;
            let mut state = Features {
                constants: match is_first {
                    true => row.constants.as_ptr().wrapping_add(first),
                    false => sums,
                },
                out: out.as_mut_ptr().wrapping_add(4 * first),
                count: if is_whole { count } else { 1 },
                input: input.as_ptr().cast(),
                depth,
                weights: row.weights.as_ptr().wrapping_add(4 * first * depth + start),
                blocks: length / block,
                rest: if is_last { length % block } else { KEEP },
                gap: 4 * depth - length,
                doubled: [0; 4],
                shifts: [0; 4],
                offset: 2 * row.output_offset + 1,
                sums,
            };
            for index in first..if is_whole { first + 1 } else { first + count } {
                let factors = if row.has_one_factor() { 0 } else { index };
                let (multipliers, shifts) =
                    (row.multipliers.get(factors)?, row.shifts.get(factors)?);
                (state.doubled, state.shifts) = quads::prepared(multipliers, shifts);
                // SAFETY: `fits` holds that there are weights and outputs for all constants, and as many sums are kept as there is room
                // for. The caller's promise.
                unsafe { run(&mut state) };
                state.count = 1;
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
