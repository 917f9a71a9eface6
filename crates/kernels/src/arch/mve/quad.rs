//! Two windows with four rows of weights at a time: eight sums in registers, from six loads per sixteen products of each.
//!
//! ```text
//! for each four channels, and each two windows:
//!     eight accumulators = whole                                                        (1)
//!     for each 144 elements: for each 16 of them:                                       (2)
//!         load both windows; for each row: load it, accumulate both products
//!     the elements left over likewise, predicated
//!     rescale both windows' sums as vectors, narrow them with saturation, store them    (3)
//! ```
//!
//! 1. Accumulators of `VMLADAVA` are even registers, so pointers take the odd ones. Everything else lives on the stack.
//! 2. Nine blocks stand one after the other, as many as 3 × 3 pixels of 16 channels have; the first time, it is entered where as many
//!    blocks as remain of a multiple of nine are left. Two of them move the pointers, which start so that the first block falls right.
//! 3. `VQRDMULH` is the doubling high multiplication; a rounding shift rounds ties up, so that negative numbers are decremented before
//!    it to round them away from zero.
//!
//! Rows of up to 16 elements stay in registers, so that nothing is on the stack. A window left over is computed as two that are the
//! same one.

use crate::tile::Quads;

/// What the loops need; they advance all pointers but those of the windows.
#[repr(C)]
struct Frame {
    /// Two windows, and four rows.
    windows: [*const i8; 2],
    rows: [*const i8; 4],
    /// Four rows.
    rows_step: usize,
    out: *mut i8,
    out_step: usize,
    pairs: usize,
    /// From where the loop leaves a window to the one after the next.
    window_step: usize,
    output_offset: i32,
    /// The blocks of the first pass.
    first_blocks: usize,
    /// The passes after the first one.
    passes: usize,
    tail: usize,
    quads: usize,
    wholes: *const [i32; 4],
    multipliers: *const [i32; 4],
    shifts: *const [i32; 4],
}

/// The elements of a vector, and the blocks that stand one after the other.
const LANES: usize = 16;
const BLOCKS: usize = 9;

/// [`Quads::model`], for a depth of one and more and short factors.
#[inline(never)]
pub(super) fn multiply(quads: &Quads<'_>, pixels: usize, out: &mut [i8]) -> Option<()> {
    if quads.depth == 0 || !quads.fits(pixels, out) {
        return None;
    }
    if quads.whole.is_empty() {
        return Some(());
    }
    let (depth, out) = (quads.depth, out.as_mut_ptr());
    let (blocks, tail) = (depth / LANES, depth % LANES);
    // 1 to 9 of them, 0 when there is no whole block.
    let first_blocks = if blocks == 0 { 0 } else { (blocks - 1) % BLOCKS + 1 };
    let skipped = if blocks == 0 { 0 } else { BLOCKS - first_blocks };
    let is_narrow = depth <= LANES;
    // Pointers are a vector behind, and have passed the fourth block's step when they skip it.
    let back = LANES * (skipped + 1) - if skipped < 4 { 0 } else { 4 * LANES };
    let at = |start: *const i8, index: usize| {
        start.wrapping_add(index * depth).wrapping_sub(if is_narrow { 0 } else { back })
    };
    let run = |first: usize, second: usize, pairs: usize, out_step: usize| {
        let row = quads.weights.as_ptr();
        let mut frame = Frame {
            windows: [first, second].map(|index| at(quads.windows.as_ptr(), index)),
            rows: [0, 1, 2, 3].map(|index| at(row, index)),
            rows_step: 4 * depth,
            out: out.wrapping_add(first * quads.out_step),
            out_step,
            pairs,
            window_step: match is_narrow {
                true => (second - first) * depth,
                false => (2 * depth + LANES).wrapping_sub(back + LANES * blocks),
            },
            output_offset: quads.output_offset,
            first_blocks,
            passes: (blocks - first_blocks) / BLOCKS,
            tail: if is_narrow { depth } else { tail },
            quads: quads.whole.len(),
            wholes: quads.whole.as_ptr(),
            multipliers: quads.multipliers.as_ptr(),
            shifts: quads.shifts.as_ptr(),
        };
        // SAFETY: `fits` holds that the windows have `pixels · depth` elements, and that there are constants and a row of `depth`
        // elements for each of `4 · quads` channels, which is all that is read; and that the outputs have as many elements at each
        // multiple of `out_step`, which is all that is written.
        unsafe {
            match is_narrow {
                true => multiply_narrow(&mut frame),
                false => multiply_frame(&mut frame),
            }
        }
    };
    if pixels > 1 {
        run(0, 1, pixels / 2, quads.out_step);
    }
    if pixels % 2 == 1 {
        run(pixels - 1, pixels - 1, 1, 0);
    }
    Some(())
}

#[unsafe(naked)]
unsafe extern "C" fn multiply_frame(frame: &mut Frame) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d9}}",
        // Whole, rows; where the first pass starts, the step of outputs, the output, pairs, the step of windows, the zero point, passes
        // and those left, where the first pass and where the last goes on, a register that is put aside, the frame.
        "sub sp, #80",
        "str r0, [sp, #76]",
        "ldrd r1, r2, [r0, #48]",
        "ldr r3, [r0, #56]",
        "strd r2, r2, [sp, #56]",
        "vctp.8 r3",
        "adr.w r4, 20f",
        "rsb r1, r1, #9",
        "movs r5, #56",
        "mla r4, r1, r5, r4",
        "adds r4, #1",
        "adr.w r5, 40f",
        "cbz r3, 2f",
        "adr.w r5, 30f",
        "2:",
        "adds r5, #1",
        "str r5, [sp, #68]",
        "cbz r2, 3f",
        "adr.w r5, 50f",
        "adds r5, #1",
        "3:",
        "str r5, [sp, #64]",
        "ldr r5, [r0, #32]",
        "strd r4, r5, [sp, #32]",
        "ldrd r4, r5, [r0, #40]",
        "strd r4, r5, [sp, #48]",
        // Four channels.
        "8:",
        "ldrd r1, r2, [r0, #64]",
        "ldr r3, [r0, #72]",
        "vldrw.32 q0, [r1], #16",
        "vldrw.32 q3, [r2], #16",
        "vldrw.32 q4, [r3], #16",
        "vstrw.32 q0, [sp]",
        "strd r1, r2, [r0, #64]",
        "str r3, [r0, #72]",
        "ldrd r4, r5, [r0, #24]",
        "vldrw.32 q0, [r0, #8]",
        "vstrw.32 q0, [sp, #16]",
        "vadd.i32 q0, q0, r4",
        "vstrw.32 q0, [r0, #8]",
        "ldr r4, [r0, #36]",
        "strd r5, r4, [sp, #40]",
        "adds r5, #4",
        "str r5, [r0, #28]",
        "ldrd r1, r3, [r0]",
        // Two windows.
        "10:",
        "add r0, sp, #16",
        "ldm r0, {{r5, r7, r9, r11}}",
        "ldm.w sp, {{r0, r2, r4, r6}}",
        "ldm.w sp, {{r8, r10, r12, lr}}",
        "ldr pc, [sp, #32]",
        // Nine blocks.
        "20:",
        "vldrb.8 q0, [r1, #16]",
        "vldrb.8 q2, [r5, #16]",
        "vmladava.s8 r0, q0, q2",
        "vldrb.8 q1, [r3, #16]",
        "vmladava.s8 r8, q1, q2",
        "vldrb.8 q2, [r7, #16]",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.8 q2, [r9, #16]",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.8 q2, [r11, #16]",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "vldrb.8 q0, [r1, #32]",
        "vldrb.8 q2, [r5, #32]",
        "vmladava.s8 r0, q0, q2",
        "vldrb.8 q1, [r3, #32]",
        "vmladava.s8 r8, q1, q2",
        "vldrb.8 q2, [r7, #32]",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.8 q2, [r9, #32]",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.8 q2, [r11, #32]",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "vldrb.8 q0, [r1, #48]",
        "vldrb.8 q2, [r5, #48]",
        "vmladava.s8 r0, q0, q2",
        "vldrb.8 q1, [r3, #48]",
        "vmladava.s8 r8, q1, q2",
        "vldrb.8 q2, [r7, #48]",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.8 q2, [r9, #48]",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.8 q2, [r11, #48]",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "vldrb.8 q0, [r1, #64]!",
        "vldrb.8 q2, [r5, #64]!",
        "vmladava.s8 r0, q0, q2",
        "vldrb.8 q1, [r3, #64]!",
        "vmladava.s8 r8, q1, q2",
        "vldrb.8 q2, [r7, #64]!",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.8 q2, [r9, #64]!",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.8 q2, [r11, #64]!",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "vldrb.8 q0, [r1, #16]",
        "vldrb.8 q2, [r5, #16]",
        "vmladava.s8 r0, q0, q2",
        "vldrb.8 q1, [r3, #16]",
        "vmladava.s8 r8, q1, q2",
        "vldrb.8 q2, [r7, #16]",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.8 q2, [r9, #16]",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.8 q2, [r11, #16]",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "vldrb.8 q0, [r1, #32]",
        "vldrb.8 q2, [r5, #32]",
        "vmladava.s8 r0, q0, q2",
        "vldrb.8 q1, [r3, #32]",
        "vmladava.s8 r8, q1, q2",
        "vldrb.8 q2, [r7, #32]",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.8 q2, [r9, #32]",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.8 q2, [r11, #32]",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "vldrb.8 q0, [r1, #48]",
        "vldrb.8 q2, [r5, #48]",
        "vmladava.s8 r0, q0, q2",
        "vldrb.8 q1, [r3, #48]",
        "vmladava.s8 r8, q1, q2",
        "vldrb.8 q2, [r7, #48]",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.8 q2, [r9, #48]",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.8 q2, [r11, #48]",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "vldrb.8 q0, [r1, #64]",
        "vldrb.8 q2, [r5, #64]",
        "vmladava.s8 r0, q0, q2",
        "vldrb.8 q1, [r3, #64]",
        "vmladava.s8 r8, q1, q2",
        "vldrb.8 q2, [r7, #64]",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.8 q2, [r9, #64]",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.8 q2, [r11, #64]",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "vldrb.8 q0, [r1, #80]!",
        "vldrb.8 q2, [r5, #80]!",
        "vmladava.s8 r0, q0, q2",
        "vldrb.8 q1, [r3, #80]!",
        "vmladava.s8 r8, q1, q2",
        "vldrb.8 q2, [r7, #80]!",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.8 q2, [r9, #80]!",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.8 q2, [r11, #80]!",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "ldr pc, [sp, #64]",
        // Another pass, if one is left; else the count starts anew.
        "50:",
        "str r0, [sp, #72]",
        "ldr r0, [sp, #60]",
        "subs r0, #1",
        "str r0, [sp, #60]",
        "bmi 55f",
        "ldr r0, [sp, #72]",
        "b 20b",
        "55:",
        "ldr r0, [sp, #56]",
        "str r0, [sp, #60]",
        "ldr r0, [sp, #72]",
        "ldr pc, [sp, #68]",
        // The elements left over.
        "30:",
        "vpsttt",
        "vldrbt.8 q0, [r1, #16]",
        "vldrbt.8 q1, [r3, #16]",
        "vldrbt.8 q2, [r5, #16]",
        "vmladava.s8 r0, q0, q2",
        "vmladava.s8 r8, q1, q2",
        "vpst",
        "vldrbt.8 q2, [r7, #16]",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vpst",
        "vldrbt.8 q2, [r9, #16]",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vpst",
        "vldrbt.8 q2, [r11, #16]",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        // From sums to results.
        "40:",
        "vmov q0[2], q0[0], r0, r4",
        "vmov q0[3], q0[1], r2, r6",
        "vmov q1[2], q1[0], r8, r12",
        "vmov q1[3], q1[1], r10, lr",
        "vqrdmulh.s32 q0, q0, q3",
        "ldrd r0, r2, [sp, #40]",
        "vqrdmulh.s32 q1, q1, q3",
        "ldrd r4, r6, [sp, #48]",
        "vshr.s32 q2, q0, #31",
        "add r1, r4",
        "vqadd.s32 q0, q0, q2",
        "add r3, r4",
        "vshr.s32 q2, q1, #31",
        "ldr r8, [sp, #36]",
        "vqadd.s32 q1, q1, q2",
        "vrshl.s32 q0, q0, q4",
        "vrshl.s32 q1, q1, q4",
        "vqmovnb.s32 q0, q0",
        "vqmovnt.s32 q0, q1",
        "vqadd.s16 q0, q0, r6",
        "vqmovnb.s16 q0, q0",
        "vstrb.32 q0, [r0]",
        "add r0, r8",
        "vshr.u32 q0, q0, #16",
        "vstrb.32 q0, [r0]",
        "add r0, r8",
        "subs r2, #1",
        "strd r0, r2, [sp, #40]",
        "bne 10b",
        "ldr r0, [sp, #76]",
        "ldr r1, [r0, #60]",
        "subs r1, #1",
        "str r1, [r0, #60]",
        "bne 8b",
        "add sp, #80",
        "vpop {{d8-d9}}",
        "pop {{r4-r11, pc}}",
    )
}

/// The same for rows of up to 16 elements, which stay in registers.
#[unsafe(naked)]
unsafe extern "C" fn multiply_narrow(frame: &mut Frame) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        // Whole, shifts, the frame.
        "sub sp, #40",
        "str r0, [sp, #32]",
        "ldr r1, [r0, #56]",
        "vctp.8 r1",
        "1:",
        "ldrd r1, r2, [r0, #64]",
        "ldr r3, [r0, #72]",
        "vldrw.32 q0, [r1], #16",
        "vldrw.32 q3, [r2], #16",
        "vldrw.32 q1, [r3], #16",
        "vstrw.32 q0, [sp]",
        "vstrw.32 q1, [sp, #16]",
        "strd r1, r2, [r0, #64]",
        "str r3, [r0, #72]",
        "add r6, r0, #8",
        "ldm r6, {{r1-r5}}",
        "vpstttt",
        "vldrbt.8 q4, [r1]",
        "vldrbt.8 q5, [r2]",
        "vldrbt.8 q6, [r3]",
        "vldrbt.8 q7, [r4]",
        "vldrw.32 q0, [r6]",
        "vadd.i32 q0, q0, r5",
        "vstrw.32 q0, [r6]",
        "ldr r1, [r0]",
        "ldr r3, [r0, #40]",
        "ldrd r5, r7, [r0, #28]",
        "ldr r9, [r0, #36]",
        "ldr r11, [r0, #44]",
        "adds r2, r5, #4",
        "str r2, [r0, #28]",
        "2:",
        "ldm.w sp, {{r0, r2, r4, r6}}",
        "vpst",
        "vldrbt.8 q0, [r1]",
        "vmladava.s8 r0, q0, q4",
        "add r1, r3",
        "vmladava.s8 r2, q0, q5",
        "ldm.w sp, {{r8, r10, r12, lr}}",
        "vpst",
        "vldrbt.8 q1, [r1]",
        "vmladava.s8 r4, q0, q6",
        "vmladava.s8 r6, q0, q7",
        "add r1, r3",
        "vmladava.s8 r8, q1, q4",
        "vmladava.s8 r10, q1, q5",
        "vmov q0[2], q0[0], r0, r4",
        "vmladava.s8 r12, q1, q6",
        "vmov q0[3], q0[1], r2, r6",
        "vmladava.s8 lr, q1, q7",
        "vqrdmulh.s32 q0, q0, q3",
        "vmov q1[2], q1[0], r8, r12",
        "vmov q1[3], q1[1], r10, lr",
        "vqrdmulh.s32 q1, q1, q3",
        "vshr.s32 q2, q0, #31",
        "vqadd.s32 q0, q0, q2",
        "vshr.s32 q2, q1, #31",
        "vqadd.s32 q1, q1, q2",
        "vldrw.32 q2, [sp, #16]",
        "vrshl.s32 q0, q0, q2",
        "vrshl.s32 q1, q1, q2",
        "vqmovnb.s32 q0, q0",
        "vqmovnt.s32 q0, q1",
        "vqadd.s16 q0, q0, r11",
        "vqmovnb.s16 q0, q0",
        "vstrb.32 q0, [r5]",
        "add r5, r7",
        "vshr.u32 q0, q0, #16",
        "vstrb.32 q0, [r5]",
        "add r5, r7",
        "subs r9, #1",
        "bne 2b",
        "ldr r0, [sp, #32]",
        "ldr r1, [r0, #60]",
        "subs r1, #1",
        "str r1, [r0, #60]",
        "bne 1b",
        "add sp, #40",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}
