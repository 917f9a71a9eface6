//! Softmax of a row, four logits at a time: the exponentials of [`SoftmaxScale::exponential`] lane by lane.
//!
//! What is rounded to the right is not negative, so that rounding shifts have its bits. Logits may lie apart: they are gathered.

use crate::micro::exponentials as model;
use cortado_contract::ops::softmax::{Normalizer, SoftmaxResult, SoftmaxScale};

/// What the loop needs.
#[repr(C)]
struct Frame {
    input: *const i8,
    out: *mut i8,
    step: usize,
    /// 0 while exponentials are summed up.
    reciprocal: i32,
    /// Filled in when exponentials are summed up.
    greatest: i32,
    multiplier: i32,
    shift: i32,
    diff_min: i32,
    length: usize,
    /// What a quotient is multiplied by; 0 for one.
    result_multiplier: i32,
    result_shift: i32,
    result_offset: i32,
    sum: u32,
}

/// [`Micro::softmax_row`](crate::Micro::softmax_row).
pub(super) fn row(
    scale: &SoftmaxScale,
    result: SoftmaxResult,
    (length, step): (usize, usize),
    input: &[i8],
    out: &mut [i8],
) -> Option<()> {
    // The loop takes a multiplier of 0 for none; no compiler writes one.
    if let SoftmaxResult::Rescaled { factor, .. } = result
        && factor.multiplier == 0
    {
        return model(scale, result, (length, step), input, out);
    }
    let Some(last) = length.checked_sub(1) else { return Some(()) };
    if last.checked_mul(step)? >= input.len().min(out.len()) {
        return None;
    }
    let mut frame = Frame {
        input: input.as_ptr(),
        out: out.as_mut_ptr(),
        step,
        reciprocal: 0,
        greatest: 0,
        multiplier: scale.multiplier,
        shift: scale.shift,
        diff_min: scale.diff_min,
        length,
        result_multiplier: 0,
        result_shift: 0,
        result_offset: 0,
        sum: 0,
    };
    // SAFETY: `length` elements `step` apart lie in both slices, which is all that is read and written.
    unsafe { exponentials(&mut frame) };
    let Normalizer { reciprocal, shift, .. } = Normalizer::new(frame.sum, result);
    frame.reciprocal = reciprocal;
    (frame.result_multiplier, frame.result_shift, frame.result_offset) = match result {
        SoftmaxResult::Standard => (0, -(shift as i32), i32::from(i8::MIN)),
        SoftmaxResult::Rescaled { factor, offset } => {
            (factor.multiplier, factor.shift - shift as i32, offset.0)
        }
    };
    // SAFETY: as above.
    unsafe { exponentials(&mut frame) };
    Some(())
}

/// Finds the greatest logit and sums up what exponentials add, or writes the results.
#[unsafe(naked)]
unsafe extern "C" fn exponentials(frame: &mut Frame) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "ldm r0, {{r1-r8}}",
        "movs r10, #0",
        "vidup.u32 q7, r10, #1",
        "vmul.i32 q7, q7, r3",
        "lsls r3, r3, #2",
        "adr.w r9, 9f",
        "ldr r11, [r0, #32]",
        "cbnz r4, 2f",
        "mvn r5, #127",
        "mov r10, r1",
        "dlstp.32 lr, r11",
        "1:",
        "vldrb.s32 q0, [r10, q7]",
        "add r10, r3",
        "vmaxv.s32 r5, q0",
        "letp lr, 1b",
        "str r5, [r0, #16]",
        "2:",
        "mov r12, #0",
        "dlstp.32 lr, r11",
        "3:",
        "vldrb.s32 q0, [r1, q7]",
        "add r1, r3",
        "vsub.i32 q0, q0, r5",
        "vmov q5, q0",
        "vshl.s32 q0, r7",
        "vqrdmulh.s32 q0, q0, r6",
        // The rest, a multiple of quarters, and the polynomial.
        "ldrd r10, r11, [r9]",
        "vmov q1, q0",
        "vbic.i32 q1, #0xff000000",
        "vsub.i32 q1, q1, r10",
        "vsub.i32 q2, q1, q0",
        "vshl.i32 q1, q1, #5",
        "vadd.i32 q1, q1, r11",
        "ldrd r10, r11, [r9, #8]",
        "vqrdmulh.s32 q3, q1, q1",
        "vqrdmulh.s32 q4, q3, q1",
        "vqrdmulh.s32 q6, q3, q3",
        "vrshr.s32 q6, q6, #2",
        "vadd.i32 q4, q4, q6",
        "vqrdmulh.s32 q4, q4, r10",
        "vadd.i32 q4, q4, q3",
        "vrshr.s32 q4, q4, #1",
        "vadd.i32 q1, q1, q4",
        "vqrdmulh.s32 q1, q1, r11",
        "vadd.i32 q1, q1, r11",
        // The bits of the multiple, each brought to the sign.
        "ldrd r10, r11, [r9, #16]",
        "vshl.i32 q3, q2, #7",
        "vpt.s32 lt, q3, zr",
        "vqrdmulht.s32 q1, q1, r10",
        "vshl.i32 q3, q2, #6",
        "vpt.s32 lt, q3, zr",
        "vqrdmulht.s32 q1, q1, r11",
        "ldrd r10, r11, [r9, #24]",
        "vshl.i32 q3, q2, #5",
        "vpt.s32 lt, q3, zr",
        "vqrdmulht.s32 q1, q1, r10",
        "vshl.i32 q3, q2, #4",
        "vpt.s32 lt, q3, zr",
        "vqrdmulht.s32 q1, q1, r11",
        "ldrd r10, r11, [r9, #32]",
        "vshl.i32 q3, q2, #3",
        "vpt.s32 lt, q3, zr",
        "vqrdmulht.s32 q1, q1, r10",
        "vshl.i32 q3, q2, #2",
        "vpt.s32 lt, q3, zr",
        "vqrdmulht.s32 q1, q1, r11",
        "ldr r10, [r9, #40]",
        "vshl.i32 q3, q2, #1",
        "vpt.s32 lt, q3, zr",
        "vqrdmulht.s32 q1, q1, r10",
        // One for no difference, nothing below the least one.
        "vpt.i32 eq, q0, zr",
        "vmvnt.i32 q1, #0x80000000",
        "vpt.s32 lt, q5, r8",
        "vmovt.i32 q1, #0",
        "cbnz r4, 4f",
        "vrshr.s32 q1, q1, #12",
        "vaddva.u32 r12, q1",
        "b 6f",
        "4:",
        "ldrd r10, r11, [r0, #36]",
        "vqrdmulh.s32 q1, q1, r4",
        "cmp r10, #0",
        "beq 5f",
        "vqrdmulh.s32 q1, q1, r10",
        "5:",
        "ldr r10, [r0, #44]",
        "vrshl.s32 q1, r11",
        "vadd.i32 q1, q1, r10",
        "vqmovnb.s32 q1, q1",
        "vqmovnb.s16 q1, q1",
        "vstrb.32 q1, [r2, q7]",
        "add r2, r3",
        "6:",
        "letp lr, 3b",
        "str r12, [r0, #48]",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
        ".p2align 2",
        // A quarter and an eighth, scaled; a third, exp(-1/8), and the factors of the bits.
        "9:",
        ".word 0x01000000, 0x10000000, 715827883, 1895147668",
        ".word 1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242",
    )
}
