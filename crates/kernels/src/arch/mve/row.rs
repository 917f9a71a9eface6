//! Four features of a row at a time: four sums in registers, from five loads per sixteen products of each.
//!
//! Laid out as [`super::quad`], with one window and what is left of the registers for counting.

use crate::tile::Row;

/// What the loop needs.
#[repr(C)]
struct Frame {
    /// The input, set back by the blocks that the first pass leaves out.
    input: *const i8,
    /// From where the loop leaves a row to the same place four rows further on.
    step: usize,
    output_offset: i32,
    /// The blocks of the first pass, and then where it is entered.
    first_blocks: usize,
    end: *const i8,
    /// From one four's factors to the next.
    factor_step: usize,
    passes: usize,
    tail: usize,
    /// Where the last pass goes on.
    next: usize,
    constants: *const [i32; 4],
    out: *mut i8,
    /// Four rows of weights, set back as the input is.
    rows: [*const i8; 4],
    multipliers: *const [i32; 4],
    shifts: *const [i32; 4],
}

/// [`Row::model`], for an input offset of 0, a depth of one and more, and short factors.
pub(super) fn multiply(row: &Row<'_>, out: &mut [i8]) -> Option<()> {
    if !row.fits(out) {
        return None;
    }
    if row.constants.is_empty() {
        return Some(());
    }
    let depth = row.input.len();
    let (blocks, tail) = (depth / 16, depth % 16);
    // 1 to 8 of them, 0 when there is no whole block.
    let first_blocks = if blocks == 0 { 0 } else { (blocks - 1) % 8 + 1 };
    let back = if blocks == 0 { 0 } else { (8 - first_blocks) * 16 };
    let passes = (blocks - first_blocks) / 8;
    // Pointers advance before every pass but the first, and before a tail that follows one.
    let advances = passes + usize::from(tail > 0 && blocks > 0);
    let at = |index: usize| row.weights.as_ptr().wrapping_add(index * depth).wrapping_sub(back);
    let mut frame = Frame {
        input: row.input.as_ptr().wrapping_sub(back),
        step: (4 * depth).wrapping_sub(128 * advances),
        constants: row.constants.as_ptr(),
        out: out.as_mut_ptr(),
        end: out.as_ptr().wrapping_add(4 * row.constants.len()),
        first_blocks,
        passes,
        tail,
        next: 0,
        output_offset: row.output_offset,
        rows: [at(0), at(1), at(2), at(3)],
        multipliers: row.multipliers.as_ptr(),
        shifts: row.shifts.as_ptr(),
        factor_step: if row.has_one_factor() { 0 } else { 16 },
    };
    // SAFETY: `fits` holds that there are weights, constants, factors and outputs for as many features as lie between `out` and `end`,
    // which is all that is read and written.
    unsafe { multiply_frame(&mut frame) };
    Some(())
}

#[unsafe(naked)]
unsafe extern "C" fn multiply_frame(frame: &mut Frame) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d9}}",
        "mov r12, r0",
        "ldr r1, [r0, #12]",
        "cbnz r1, 2f",
        "adr.w r2, 30f",
        "b 3f",
        "2:",
        "rsb r1, r1, #8",
        "movs r3, #36",
        "muls r1, r3, r1",
        "adr.w r2, 20f",
        "add r2, r1",
        "3:",
        "adds r2, #1",
        "str r2, [r0, #12]",
        "adr.w r2, 40f",
        "ldr r1, [r0, #28]",
        "vctp.8 r1",
        "cbz r1, 4f",
        "adr.w r2, 29f",
        "4:",
        "adds r2, #1",
        "str r2, [r0, #32]",
        "ldr lr, [r0, #24]",
        "cmp.w lr, #0",
        "beq 5f",
        "adr.w r2, 25f",
        "adds r2, #1",
        "5:",
        "mov r11, r2",
        "ldrd r8, r7, [r0, #36]",
        "ldrd r3, r5, [r0, #44]",
        "ldrd r9, r10, [r0, #52]",
        "ldrd r1, r2, [r0, #60]",
        "vldrw.32 q3, [r1]",
        "vldrw.32 q4, [r2]",
        // Four features.
        "10:",
        "ldr r1, [r12]",
        "ldm r8!, {{r0, r2, r4, r6}}",
        "ldr pc, [r12, #12]",
        // Eight blocks.
        "20:",
        "vldrb.8 q0, [r1, #0]",
        "vldrb.8 q1, [r3, #0]",
        "vmladava.s8 r0, q0, q1",
        "vldrb.8 q2, [r5, #0]",
        "vmladava.s8 r2, q0, q2",
        "vldrb.8 q1, [r9, #0]",
        "vmladava.s8 r4, q0, q1",
        "vldrb.8 q2, [r10, #0]",
        "vmladava.s8 r6, q0, q2",
        "vldrb.8 q0, [r1, #16]",
        "vldrb.8 q1, [r3, #16]",
        "vmladava.s8 r0, q0, q1",
        "vldrb.8 q2, [r5, #16]",
        "vmladava.s8 r2, q0, q2",
        "vldrb.8 q1, [r9, #16]",
        "vmladava.s8 r4, q0, q1",
        "vldrb.8 q2, [r10, #16]",
        "vmladava.s8 r6, q0, q2",
        "vldrb.8 q0, [r1, #32]",
        "vldrb.8 q1, [r3, #32]",
        "vmladava.s8 r0, q0, q1",
        "vldrb.8 q2, [r5, #32]",
        "vmladava.s8 r2, q0, q2",
        "vldrb.8 q1, [r9, #32]",
        "vmladava.s8 r4, q0, q1",
        "vldrb.8 q2, [r10, #32]",
        "vmladava.s8 r6, q0, q2",
        "vldrb.8 q0, [r1, #48]",
        "vldrb.8 q1, [r3, #48]",
        "vmladava.s8 r0, q0, q1",
        "vldrb.8 q2, [r5, #48]",
        "vmladava.s8 r2, q0, q2",
        "vldrb.8 q1, [r9, #48]",
        "vmladava.s8 r4, q0, q1",
        "vldrb.8 q2, [r10, #48]",
        "vmladava.s8 r6, q0, q2",
        "vldrb.8 q0, [r1, #64]",
        "vldrb.8 q1, [r3, #64]",
        "vmladava.s8 r0, q0, q1",
        "vldrb.8 q2, [r5, #64]",
        "vmladava.s8 r2, q0, q2",
        "vldrb.8 q1, [r9, #64]",
        "vmladava.s8 r4, q0, q1",
        "vldrb.8 q2, [r10, #64]",
        "vmladava.s8 r6, q0, q2",
        "vldrb.8 q0, [r1, #80]",
        "vldrb.8 q1, [r3, #80]",
        "vmladava.s8 r0, q0, q1",
        "vldrb.8 q2, [r5, #80]",
        "vmladava.s8 r2, q0, q2",
        "vldrb.8 q1, [r9, #80]",
        "vmladava.s8 r4, q0, q1",
        "vldrb.8 q2, [r10, #80]",
        "vmladava.s8 r6, q0, q2",
        "vldrb.8 q0, [r1, #96]",
        "vldrb.8 q1, [r3, #96]",
        "vmladava.s8 r0, q0, q1",
        "vldrb.8 q2, [r5, #96]",
        "vmladava.s8 r2, q0, q2",
        "vldrb.8 q1, [r9, #96]",
        "vmladava.s8 r4, q0, q1",
        "vldrb.8 q2, [r10, #96]",
        "vmladava.s8 r6, q0, q2",
        "vldrb.8 q0, [r1, #112]",
        "vldrb.8 q1, [r3, #112]",
        "vmladava.s8 r0, q0, q1",
        "vldrb.8 q2, [r5, #112]",
        "vmladava.s8 r2, q0, q2",
        "vldrb.8 q1, [r9, #112]",
        "vmladava.s8 r4, q0, q1",
        "vldrb.8 q2, [r10, #112]",
        "vmladava.s8 r6, q0, q2",
        "bx r11",
        // Another pass, if one is left; else the count starts anew.
        "25:",
        "subs.w lr, lr, #1",
        "bmi 26f",
        "add.w r1, r1, #128",
        "add.w r3, r3, #128",
        "add.w r5, r5, #128",
        "add.w r9, r9, #128",
        "add.w r10, r10, #128",
        "b 20b",
        "26:",
        "ldr lr, [r12, #24]",
        "ldr pc, [r12, #32]",
        // The elements left over.
        "29:",
        "add.w r1, r1, #128",
        "add.w r3, r3, #128",
        "add.w r5, r5, #128",
        "add.w r9, r9, #128",
        "add.w r10, r10, #128",
        "30:",
        "vpstt",
        "vldrbt.8 q0, [r1]",
        "vldrbt.8 q1, [r3]",
        "vmladava.s8 r0, q0, q1",
        "vpst",
        "vldrbt.8 q1, [r5]",
        "vmladava.s8 r2, q0, q1",
        "vpst",
        "vldrbt.8 q1, [r9]",
        "vmladava.s8 r4, q0, q1",
        "vpst",
        "vldrbt.8 q1, [r10]",
        "vmladava.s8 r6, q0, q1",
        // From sums to results.
        "40:",
        "vmov q0[2], q0[0], r0, r4",
        "vmov q0[3], q0[1], r2, r6",
        "ldrd r0, r2, [r12, #4]",
        "vqrdmulh.s32 q0, q0, q3",
        "ldrd r4, r6, [r12, #16]",
        "vshr.s32 q1, q0, #31",
        "add r3, r0",
        "vqadd.s32 q0, q0, q1",
        "add r5, r0",
        "vrshl.s32 q0, q0, q4",
        "add r9, r0",
        "vadd.i32 q0, q0, r2",
        "add r10, r0",
        "vqmovnb.s32 q0, q0",
        "vqmovnb.s16 q0, q0",
        "vstrb.32 q0, [r7], #4",
        "cbnz r6, 60f",
        "50:",
        "cmp r7, r4",
        "bne 10b",
        "vpop {{d8-d9}}",
        "pop {{r4-r11, pc}}",
        // The next four factors, unless these were the last.
        "60:",
        "cmp r7, r4",
        "beq 50b",
        "ldrd r0, r2, [r12, #60]",
        "add r0, r6",
        "add r2, r6",
        "strd r0, r2, [r12, #60]",
        "vldrw.32 q3, [r0]",
        "vldrw.32 q4, [r2]",
        "b 50b",
    )
}
