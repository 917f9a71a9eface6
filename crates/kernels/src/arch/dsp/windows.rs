//! Two windows, widened beforehand, with two rows of weights at a time: four sums, three loads and twelve more instructions per four
//! products of each.
//!
//! A pair of windows is widened once for all channels: of each four bytes of both, even and odd ones of the first, then of the second.
//! The rest is as in [`super::quad`].

use crate::tile::Quads;

/// The largest windows that are widened.
pub(super) const DEPTH_MAX: usize = 576;

/// What the loop over channels needs.
#[repr(C)]
struct Channels {
    wholes: *const [i32; 2],
    multipliers: *const [i32; 2],
    shifts: *const [i32; 2],
    /// Twice the output's zero point, and one to round.
    offset: i32,
    out: *mut i8,
    out_step: usize,
    /// How many pairs of channels.
    count: usize,
    windows: *const [u32; 4],
    depth: usize,
    weights: *const i8,
    /// The elements of a window as multiples of 16, of 4 besides, and of 1 besides.
    blocks: [usize; 3],
}

/// [`Quads::model`], for two windows and more, of at most [`DEPTH_MAX`] elements, that [`Quads::fits`] holds for.
pub(super) fn multiply(tile: &Quads<'_>, pixels: usize, out: &mut [i8]) {
    match tile.depth {
        0..=128 => multiply_in::<32>(tile, pixels, out),
        _ => multiply_in::<{ DEPTH_MAX / 4 }>(tile, pixels, out),
    }
}

#[inline(never)]
fn multiply_in<const WORDS: usize>(tile: &Quads<'_>, pixels: usize, out: &mut [i8]) {
    let depth = tile.depth;
    let mut wide = [[0u32; 4]; WORDS];
    let mut window = 0;
    while window < pixels {
        // An odd one goes with the one before it.
        window = window.min(pixels - 2);
        let first = tile.windows.as_ptr().wrapping_add(window * depth);
        // SAFETY: two windows of `depth` bytes lie from `first` on, and `wide` has four words for each four bytes, those of the last begun
        // included.
        unsafe { widen(first, depth, wide.as_mut_ptr(), first.wrapping_add(depth)) };
        let mut channels = Channels {
            wholes: tile.whole.as_ptr().cast(),
            multipliers: tile.multipliers.as_ptr().cast(),
            shifts: tile.shifts.as_ptr().cast(),
            offset: 2 * tile.output_offset + 1,
            out: out.as_mut_ptr().wrapping_add(window * tile.out_step),
            out_step: tile.out_step,
            count: 2 * tile.whole.len(),
            windows: wide.as_ptr(),
            depth,
            weights: tile.weights.as_ptr(),
            blocks: [depth / 16, depth / 4 % 4, depth % 4],
        };
        if channels.count > 0 {
            // SAFETY: `Quads::fits` holds that there are weights and constants for each channel, and outputs of them for both windows.
            unsafe { multiply_pairs(&mut channels) };
        }
        window += 2;
    }
}

/// Widens two windows.
#[unsafe(naked)]
unsafe extern "C" fn widen(first: *const i8, depth: usize, wide: *mut [u32; 4], second: *const i8) {
    core::arch::naked_asm!(
        concat!(".cpu ", env!("CORTADO_DSP_CPU")),
        "push {{r4-r7, lr}}",
        "lsrs lr, r1, #2",
        "beq 2f",
        "1:",
        "ldr r4, [r0], #4",
        "ldr r6, [r3], #4",
        "sxtb16 r5, r4, ror #8",
        "sxtb16 r7, r6, ror #8",
        "sxtb16 r4, r4",
        "sxtb16 r6, r6",
        "subs lr, #1",
        "stm r2!, {{r4-r7}}",
        "bne 1b",
        "2:",
        "ands lr, r1, #3",
        "beq 4f",
        // Up to three bytes: the first two and the third.
        "ldrb r4, [r0]",
        "ldrb r6, [r3]",
        "movs r5, #0",
        "movs r7, #0",
        "cmp lr, #2",
        "blo 3f",
        "ldrb r5, [r0, #1]",
        "ldrb r7, [r3, #1]",
        "sxth r5, r5",
        "beq 3f",
        "ldrb r12, [r0, #2]",
        "orr r4, r4, r12, lsl #16",
        "ldrb r12, [r3, #2]",
        "orr r6, r6, r12, lsl #16",
        "3:",
        "sxtb16 r4, r4",
        "sxtb16 r5, r5",
        "sxtb16 r6, r6",
        "sxtb16 r7, r7",
        "stm r2!, {{r4-r7}}",
        "4:",
        "pop {{r4-r7, pc}}",
    )
}

/// Computes pairs of channels of two widened windows.
#[unsafe(naked)]
unsafe extern "C" fn multiply_pairs(channels: &mut Channels) {
    core::arch::naked_asm!(
        concat!(".cpu ", env!("CORTADO_DSP_CPU")),
        "push {{r4-r11, lr}}",
        "push {{r0}}",
        "10:",
        "ldr r12, [sp]",
        "ldr r2, [r12]",
        "ldrd r0, r1, [r12, #28]",
        "ldrd r3, r5, [r2], #8",
        "str r2, [r12]",
        "mov r4, r3",
        "ldr r2, [r12, #36]",
        "mov r6, r5",
        "ldr lr, [r12, #40]",
        "cmp lr, #0",
        "beq 30f",
        "20:",
        "ldm r0!, {{r7-r10}}",
        "ldr r12, [r2, r1]",
        "sxtb16 r11, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r5, r7, r12, r5",
        "smlad r6, r9, r12, r6",
        "smlad r5, r8, r11, r5",
        "smlad r6, r10, r11, r6",
        "ldr r12, [r2], #4",
        "sxtb16 r11, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r3, r7, r12, r3",
        "smlad r4, r9, r12, r4",
        "smlad r3, r8, r11, r3",
        "smlad r4, r10, r11, r4",
        "ldm r0!, {{r7-r10}}",
        "ldr r12, [r2, r1]",
        "sxtb16 r11, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r5, r7, r12, r5",
        "smlad r6, r9, r12, r6",
        "smlad r5, r8, r11, r5",
        "smlad r6, r10, r11, r6",
        "ldr r12, [r2], #4",
        "sxtb16 r11, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r3, r7, r12, r3",
        "smlad r4, r9, r12, r4",
        "smlad r3, r8, r11, r3",
        "smlad r4, r10, r11, r4",
        "ldm r0!, {{r7-r10}}",
        "ldr r12, [r2, r1]",
        "sxtb16 r11, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r5, r7, r12, r5",
        "smlad r6, r9, r12, r6",
        "smlad r5, r8, r11, r5",
        "smlad r6, r10, r11, r6",
        "ldr r12, [r2], #4",
        "sxtb16 r11, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r3, r7, r12, r3",
        "smlad r4, r9, r12, r4",
        "smlad r3, r8, r11, r3",
        "smlad r4, r10, r11, r4",
        "ldm r0!, {{r7-r10}}",
        "ldr r12, [r2, r1]",
        "sxtb16 r11, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r5, r7, r12, r5",
        "smlad r6, r9, r12, r6",
        "smlad r5, r8, r11, r5",
        "smlad r6, r10, r11, r6",
        "ldr r12, [r2], #4",
        "sxtb16 r11, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r3, r7, r12, r3",
        "smlad r4, r9, r12, r4",
        "smlad r3, r8, r11, r3",
        "smlad r4, r10, r11, r4",
        "subs lr, #1",
        "bne 20b",
        "30:",
        "ldr r12, [sp]",
        "ldr lr, [r12, #44]",
        "cmp lr, #0",
        "beq 50f",
        "40:",
        "ldm r0!, {{r7-r10}}",
        "ldr r12, [r2, r1]",
        "sxtb16 r11, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r5, r7, r12, r5",
        "smlad r6, r9, r12, r6",
        "smlad r5, r8, r11, r5",
        "smlad r6, r10, r11, r6",
        "ldr r12, [r2], #4",
        "sxtb16 r11, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r3, r7, r12, r3",
        "smlad r4, r9, r12, r4",
        "smlad r3, r8, r11, r3",
        "smlad r4, r10, r11, r4",
        "subs lr, #1",
        "bne 40b",
        "50:",
        "ldr r12, [sp]",
        "ldr lr, [r12, #48]",
        "cmp lr, #0",
        "beq 70f",
        "ldm r0, {{r7-r10}}",
        "ldrsb r12, [r2, r1]",
        "ldrsb r11, [r2], #1",
        "smlabb r5, r7, r12, r5",
        "smlabb r6, r9, r12, r6",
        "smlabb r3, r7, r11, r3",
        "smlabb r4, r9, r11, r4",
        "cmp lr, #1",
        "beq 70f",
        "ldrsb r12, [r2, r1]",
        "ldrsb r11, [r2], #1",
        "smlabb r5, r8, r12, r5",
        "smlabb r6, r10, r12, r6",
        "smlabb r3, r8, r11, r3",
        "smlabb r4, r10, r11, r4",
        "cmp lr, #2",
        "beq 70f",
        "ldrsb r12, [r2, r1]",
        "ldrsb r11, [r2], #1",
        "smlatb r5, r7, r12, r5",
        "smlatb r6, r9, r12, r6",
        "smlatb r3, r7, r11, r3",
        "smlatb r4, r9, r11, r4",
        "70:",
        "ldr r12, [sp]",
        "add r2, r1",
        "ldrd r0, r1, [r12, #4]",
        "str r2, [r12, #36]",
        "ldrd r7, r8, [r0], #8",
        "ldrd r9, r10, [r1], #8",
        "lsls r7, r7, #1",
        "lsl r8, r8, #1",
        "strd r0, r1, [r12, #4]",
        "ldr r11, [r12, #12]",
        "smmlar r3, r3, r7, r3",
        "smmlar r4, r4, r7, r4",
        "smmlar r5, r5, r8, r5",
        "smmlar r6, r6, r8, r6",
        "ldrd r7, r8, [r12, #16]",
        "mvn r9, r9",
        "mvn r10, r10",
        "add r3, r3, r3, asr #31",
        "add r4, r4, r4, asr #31",
        "add r5, r5, r5, asr #31",
        "add r6, r6, r6, asr #31",
        "asrs r3, r9",
        "asrs r4, r9",
        "asr r5, r5, r10",
        "asr r6, r6, r10",
        "add r3, r11",
        "add r4, r11",
        "add r5, r11",
        "add r6, r11",
        "ssat r3, #8, r3, asr #1",
        "ssat r4, #8, r4, asr #1",
        "ssat r5, #8, r5, asr #1",
        "ssat r6, #8, r6, asr #1",
        "ldr r9, [r12, #24]",
        "add r8, r7",
        "strb r5, [r7, #1]",
        "strb r3, [r7], #2",
        "strb r4, [r8]",
        "strb r6, [r8, #1]",
        "str r7, [r12, #16]",
        "subs r9, #1",
        "str r9, [r12, #24]",
        "bne 10b",
        "add sp, #4",
        "pop {{r4-r11, pc}}",
    )
}
