//! What the loops over windows and channels of DSP and scalar cores share: a pair of output channels at a time.

#[cfg(not(cortado_thumb = "1"))]
use crate::tile::Quads;

/// What a loop needs; it advances `windows` and `out`, and counts `count` down.
#[cfg(not(cortado_thumb = "1"))]
#[repr(C)]
pub(super) struct Pair {
    /// What both channels' sums start with.
    pub(super) whole: [i32; 2],
    /// Twice each channel's multiplier, wrapped.
    pub(super) doubled: [u32; 2],
    /// One less than each channel's shift to the right.
    pub(super) right_shifts: [u32; 2],
    /// Twice the output's zero point, and one to round.
    pub(super) offset: i32,
    pub(super) out: *mut i8,
    pub(super) out_step: usize,
    /// How often as many windows as the loop takes at a time are to be computed.
    pub(super) count: usize,
    pub(super) windows: *const i8,
    pub(super) depth: usize,
    pub(super) weights: *const i8,
    /// The elements of a window as multiples of 16, of 4 besides, and of 1 besides.
    pub(super) blocks: [usize; 3],
}

/// Runs `pairs` on every two channels and all windows, `at_a_time` and more of them; a rest overlaps what comes before it.
///
/// # Safety
/// `pairs` reads `at_a_time · count` windows and two rows of weights, and writes two elements for each window, `out_step` apart.
#[cfg(not(cortado_thumb = "1"))]
pub(super) unsafe fn for_each_pair(
    quads: &Quads<'_>,
    pixels: usize,
    at_a_time: usize,
    out: &mut [i8],
    pairs: unsafe extern "C" fn(&mut Pair),
) {
    let (depth, start) = (quads.depth, out.as_mut_ptr());
    let (count, rest) = (pixels / at_a_time, pixels % at_a_time);
    let wholes = quads.whole.as_flattened().as_chunks::<2>().0.iter();
    let factors = quads.multipliers.as_flattened().as_chunks::<2>().0.iter();
    let factors = factors.zip(quads.shifts.as_flattened().as_chunks::<2>().0);
    for (index, (whole, (multipliers, shifts))) in wholes.zip(factors).enumerate() {
        let (doubled, right_shifts) = prepared(multipliers, shifts);
        let pair = |window: usize, count: usize| Pair {
            whole: *whole,
            doubled,
            right_shifts,
            offset: 2 * quads.output_offset + 1,
            out: start.wrapping_add(window * quads.out_step + 2 * index),
            out_step: quads.out_step,
            count,
            windows: quads.windows.as_ptr().wrapping_add(window * depth),
            depth,
            weights: quads.weights.as_ptr().wrapping_add(2 * index * depth),
            blocks: [depth / 16, depth / 4 % 4, depth % 4],
        };
        // SAFETY: the caller's promise; the windows and the rows of these channels are those of `quads`.
        unsafe {
            pairs(&mut pair(0, count));
            if rest > 0 {
                pairs(&mut pair(pixels - at_a_time, 1));
            }
        }
    }
}

/// Twice each multiplier, or with Thumb-1 itself, and one less than each shift to the right. Factors must be short.
pub(super) fn prepared<const N: usize>(
    multipliers: &[i32; N],
    shifts: &[i32; N],
) -> ([u32; N], [u32; N]) {
    let doubling = if cfg!(cortado_thumb = "1") { 0 } else { 1 };
    (
        multipliers.map(|multiplier| (multiplier as u32) << doubling),
        shifts.map(|shift| !shift as u32),
    )
}
