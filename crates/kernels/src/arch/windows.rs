//! What the loops over windows and channels of DSP and Thumb-2 cores share: several windows are widened together, a piece of them at a
//! time, and multiplied with the weights of all channels.

use crate::tile::Quads;
use core::mem::MaybeUninit;

/// The most windows that a loop takes at a time.
const WINDOWS_MAX: usize = 4;
/// The room for a piece of widened windows.
const WIDE_WORDS: usize = 288;
/// The most channels of windows that are longer than a piece, whose sums are kept from one piece to the next.
const CHANNELS_MAX: usize = 64;
/// Stands for the elements besides blocks where sums are to be kept rather than finished.
const KEEP: usize = usize::MAX;

/// What a loop over channels needs; it advances `index`.
#[repr(C)]
pub(super) struct Channels {
    /// Each window's outputs, past the last channel.
    out: [*mut i8; WINDOWS_MAX],
    /// The constants of the channels, past the last one.
    wholes: *const i32,
    multipliers: *const i32,
    shifts: *const i32,
    /// Twice the output's zero point, and one to round.
    offset: i32,
    /// Minus the number of channels.
    index: usize,
    wide: *const u32,
    /// The blocks of a piece, or none where sums are resumed.
    first_blocks: usize,
    blocks: usize,
    /// The elements of a piece besides blocks, or [`KEEP`].
    rest: usize,
    weights: *const i8,
    /// From the end of a piece of a row of weights to the next row's, to be added before sums are resumed.
    gap: usize,
    /// The distance between rows of weights.
    depth: usize,
    /// Sums that are kept, past those of the last channel.
    sums: *mut i32,
    resumes: usize,
    /// The same distance as `gap`, to be added after sums are kept that were not resumed.
    gap_after: usize,
    /// What the loop for Thumb-2 adds to sums besides products.
    surplus: i32,
}

/// An instruction set's loops.
pub(super) struct Loops {
    /// The windows that they take at a time.
    pub(super) windows: usize,
    /// The elements of a block.
    pub(super) block: usize,
    /// The words that an element of all these windows takes when it is widened.
    pub(super) words: usize,
    /// What is added to sums for each two elements that are begun.
    pub(super) surplus: i32,
    /// Widens as many elements of each window, and adds the offset where the instruction set does so.
    pub(super) widen: unsafe extern "C" fn(&[*const i8; WINDOWS_MAX], usize, *mut u32, i32),
    /// Multiplies a piece of the windows with all channels' weights; keeps or finishes the sums.
    pub(super) multiply: unsafe extern "C" fn(&mut Channels),
}

/// [`Quads::model`].
///
/// Windows at the end overlap those before; where there are fewer than the loops take, the last one is computed repeatedly.
///
/// # Safety
/// The loops read and write what is described above, and keep no more sums than one per window and channel.
pub(super) unsafe fn multiply(
    loops: &Loops,
    quads: &Quads<'_>,
    pixels: usize,
    out: &mut [i8],
) -> Option<()> {
    if !quads.fits(pixels, out) {
        return None;
    }
    // SAFETY: the caller's promise; a single piece keeps no sums.
    unsafe {
        match quads.depth <= WIDE_WORDS / loops.words {
            true => multiply_pieces(loops, quads, pixels, out, core::ptr::null_mut()),
            false => multiply_long(loops, quads, pixels, out)?,
        }
    }
    Some(())
}

/// Computes windows that are longer than a piece; `None` when there are too many channels.
///
/// # Safety
/// As [`multiply`].
#[inline(never)]
unsafe fn multiply_long(
    loops: &Loops,
    quads: &Quads<'_>,
    pixels: usize,
    out: &mut [i8],
) -> Option<()> {
    let mut sums = MaybeUninit::<[i32; WINDOWS_MAX * CHANNELS_MAX]>::uninit();
    if 4 * quads.whole.len() > CHANNELS_MAX {
        return None;
    }
    // SAFETY: the caller's promise; there is room for the sums of so many channels.
    unsafe { multiply_pieces(loops, quads, pixels, out, sums.as_mut_ptr().cast()) };
    Some(())
}

/// Computes windows piece by piece.
///
/// # Safety
/// As [`multiply`]; `sums` holds as many sums as are kept where there are several pieces.
#[inline(never)]
unsafe fn multiply_pieces(
    loops: &Loops,
    quads: &Quads<'_>,
    pixels: usize,
    out: &mut [i8],
    sums: *mut i32,
) {
    let Quads { depth, out_step, .. } = *quads;
    let channels = 4 * quads.whole.len();
    let piece = WIDE_WORDS / loops.words;
    let mut wide = MaybeUninit::<[u32; WIDE_WORDS]>::uninit();
    let mut first = 0;
    while first < pixels && channels > 0 {
        first = first.min(pixels.saturating_sub(loops.windows));
        let window: [usize; WINDOWS_MAX] =
            core::array::from_fn(|index| (first + index).min(pixels - 1));
        let past = |constants: *const [i32; 4]| constants.cast::<i32>().wrapping_add(channels);
        let mut state = Channels {
            out: window.map(|window| out.as_mut_ptr().wrapping_add(window * out_step + channels)),
            wholes: past(quads.whole.as_ptr()),
            multipliers: past(quads.multipliers.as_ptr()),
            shifts: past(quads.shifts.as_ptr()),
            offset: 2 * quads.output_offset + 1,
            index: 0,
            wide: wide.as_ptr().cast(),
            first_blocks: 0,
            blocks: 0,
            rest: 0,
            weights: core::ptr::null(),
            gap: 0,
            depth,
            sums: sums.wrapping_add(loops.windows * channels),
            resumes: 0,
            gap_after: 0,
            surplus: (depth.div_ceil(2) as i32).wrapping_mul(loops.surplus),
        };
        let mut start = 0;
        loop {
            let length = piece.min(depth - start);
            let (is_first, is_last) = (start == 0, start + length == depth);
            let gap = depth - length;
            let [before, after] = if is_first { [0, gap] } else { [gap, 0] };
            state.index = channels.wrapping_neg();
            state.blocks = length / loops.block;
            state.first_blocks = if is_first { state.blocks } else { 0 };
            state.rest = if is_last { length % loops.block } else { KEEP };
            (state.gap, state.gap_after) = (gap, after);
            state.resumes = usize::from(!is_first);
            state.weights = quads.weights.as_ptr().wrapping_add(start).wrapping_sub(before);
            let sources =
                window.map(|window| quads.windows.as_ptr().wrapping_add(window * depth + start));
            // SAFETY: `length` elements of windows below `pixels` lie from `start` on, and take at most `WIDE_WORDS` words. The constants,
            // the weights and the outputs of all channels are those that `fits` holds; the caller's promise.
            unsafe {
                (loops.widen)(&sources, length, wide.as_mut_ptr().cast(), quads.input_offset);
                (loops.multiply)(&mut state);
            }
            start += length;
            if is_last {
                break;
            }
        }
        first += loops.windows;
    }
}
