//! What the loops over a row's features of DSP and Thumb-2 cores share: the input is widened once, its offset added.

use super::quads;
use crate::micro::Micro;
use crate::tile::Row;

/// The longest inputs that are widened in a small and in a large buffer.
const SMALL: usize = 128;
const LARGE: usize = 1024;

/// What a loop over fours of features needs; it advances what is pointed to.
#[repr(C)]
pub(super) struct Features {
    pub(super) constants: *const [i32; 4],
    pub(super) out: *mut i8,
    /// How many fours.
    pub(super) count: usize,
    /// The widened input.
    pub(super) input: *const u32,
    pub(super) depth: usize,
    pub(super) weights: *const i8,
    /// The elements of the input as multiples of 16, of 4 besides, and of 1 besides.
    pub(super) blocks: [usize; 3],
    /// Twice each feature's multiplier, wrapped.
    pub(super) doubled: [u32; 4],
    /// One less than each feature's shift to the right.
    pub(super) shifts: [u32; 4],
    /// Twice the output's zero point, and one to round.
    pub(super) offset: i32,
}

/// Computes all features of a row in a buffer that the row needs; see [`compute_in`].
///
/// # Safety
/// As [`compute_in`].
pub(super) unsafe fn compute<M: Micro>(
    row: &Row<'_>,
    out: &mut [i8],
    widen: impl Fn([i8; 4]) -> [u32; 2],
    run: unsafe extern "C" fn(&mut Features),
) -> Option<()> {
    // SAFETY: the caller's promise.
    unsafe {
        match row.input.len() {
            0..=SMALL => compute_in::<M, { SMALL / 4 }>(row, out, widen, run),
            ..=LARGE => compute_in::<M, { LARGE / 4 }>(row, out, widen, run),
            _ => row.model::<M>(out),
        }
    }
}

/// Computes all features of a row of up to `4 · QUADS` inputs. `widen` brings four inputs and the offset into the form in which `run` reads them.
///
/// # Safety
/// `run` reads the widened input, four rows of weights for each four features, their constants, and writes as many outputs.
#[inline(never)]
unsafe fn compute_in<M: Micro, const QUADS: usize>(
    row: &Row<'_>,
    out: &mut [i8],
    widen: impl Fn([i8; 4]) -> [u32; 2],
    run: unsafe extern "C" fn(&mut Features),
) -> Option<()> {
    let depth = row.input.len();
    if !row.fits(out) {
        return None;
    }
    if row.constants.is_empty() {
        return Some(());
    }
    let mut input = [[0; 2]; QUADS];
    let (quads, rest) = row.input.as_chunks::<4>();
    for (wide, quad) in input.iter_mut().zip(quads) {
        *wide = widen(*quad);
    }
    if let Some(wide) = input.get_mut(quads.len()) {
        let mut last = [0; 4];
        last.iter_mut().zip(rest).for_each(|(last, rest)| *last = *rest);
        *wide = widen(last);
    }
    let mut features = Features {
        constants: row.constants.as_ptr(),
        out: out.as_mut_ptr(),
        count: row.constants.len(),
        input: input.as_flattened().as_ptr(),
        depth,
        weights: row.weights.as_ptr(),
        blocks: [depth / 16, depth / 4 % 4, depth % 4],
        doubled: [0; 4],
        shifts: [0; 4],
        offset: 2 * row.output_offset + 1,
    };
    if let ([multipliers], [shifts]) = (row.multipliers, row.shifts) {
        (features.doubled, features.shifts) = quads::prepared(multipliers, shifts);
        // SAFETY: `fits` holds that there are weights and outputs for all constants; the caller's promise.
        unsafe { run(&mut features) };
        return Some(());
    }
    for (multipliers, shifts) in row.multipliers.iter().zip(row.shifts).take(features.count) {
        features.count = 1;
        (features.doubled, features.shifts) = quads::prepared(multipliers, shifts);
        // SAFETY: as above; the loop advances by one four of the features each time.
        unsafe { run(&mut features) };
    }
    Some(())
}
