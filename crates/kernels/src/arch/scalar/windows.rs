//! Four windows with a row of weights at a time, eight products from three loads and eight more instructions.
//!
//! A word holds an element of two windows, `a + 2^16·b`, so that a multiplication by a weight gives both products. Two of these are added
//! to 32767 in either half: products of bytes lie between −16256 and 16384, so each half is then within 16 bits without a sign.
//! The words are summed up as they are, `L + 2^16·H`, and so are their upper halves, `H`; what 32 bits hold of `L` comes out at the end by a
//! subtraction. The 32767 of each step are taken from what the sums start with.
//!
//! A sum is rescaled with twice the multiplier, which wraps to 2^32 less: the sum itself is added for what was lost, with the rounding
//! bit as the carry. A negative result is decremented, so that ties go away from zero; the last bit of the shift is left to the
//! saturation, after the rounding bit.

use super::super::windows::{Channels, Loops};

pub(super) const LOOPS: Loops =
    Loops { windows: 4, block: 8, words: 2, surplus: 32767, widen, multiply };

/// Widens elements of four windows: of each, a word for the first two windows and one for the others.
#[unsafe(naked)]
unsafe extern "C" fn widen(
    sources: &[*const i8; 4],
    length: usize,
    wide: *mut u32,
    input_offset: i32,
) {
    core::arch::naked_asm!(
        "push {{r4-r10, lr}}",
        "mov r10, r1",
        "mov r12, r2",
        "lsrs lr, r1, #1",
        "ldm r0, {{r0-r3}}",
        "beq 2f",
        "1:",
        "ldrsb r4, [r0], #1",
        "ldrsb r5, [r1], #1",
        "ldrsb r6, [r2], #1",
        "ldrsb r7, [r3], #1",
        "add r4, r4, r5, lsl #16",
        "add r5, r6, r7, lsl #16",
        "ldrsb r6, [r0], #1",
        "ldrsb r8, [r1], #1",
        "ldrsb r7, [r2], #1",
        "ldrsb r9, [r3], #1",
        "add r6, r6, r8, lsl #16",
        "add r7, r7, r9, lsl #16",
        "subs lr, #1",
        "stm r12!, {{r4-r7}}",
        "bne 1b",
        "2:",
        "tst r10, #1",
        "beq 3f",
        "ldrsb r4, [r0]",
        "ldrsb r5, [r1]",
        "ldrsb r6, [r2]",
        "ldrsb r7, [r3]",
        "add r4, r4, r5, lsl #16",
        "add r5, r6, r7, lsl #16",
        "strd r4, r5, [r12]",
        "3:",
        "pop {{r4-r10, pc}}",
    )
}

/// The products of two elements of each window.
macro_rules! products {
    () => {
        "
        ldm r0!, {{r4-r7}}
        ldrsb r8, [r1], #1
        ldrsb r9, [r1], #1
        mla r4, r4, r8, r3
        mla r5, r5, r8, r3
        mla r4, r6, r9, r4
        mla r5, r7, r9, r5
        add r10, r4
        add r11, r11, r4, lsr #16
        add r12, r5
        add lr, lr, r5, lsr #16
        "
    };
}

/// Multiplies four widened windows with a row of weights after the other.
///
/// `r0` and `r1` walk through windows and weights; `r10` and `r11` are the sums of the first two windows as above, `r12` and `lr` those of the
/// others.
#[unsafe(naked)]
unsafe extern "C" fn multiply(channels: &mut Channels) {
    core::arch::naked_asm!(
        "push {{r4-r11, lr}}",
        "push {{r0}}",
        "ldr r1, [r0, #52]",
        "mvn r3, #0x80000000",
        "bic r3, r3, #0x8000",
        "10:",
        "ldr r9, [sp]",
        "ldr r4, [r9, #16]",
        "ldr r5, [r9, #76]",
        "ldr r8, [r9, #32]",
        "ldrd r0, r2, [r9, #36]",
        "ldr r11, [r4, r8, lsl #2]",
        "sub r11, r5",
        "mov lr, r11",
        "add r10, r11, r11, lsl #16",
        "mov r12, r10",
        "cbnz r2, 20f",
        // No blocks, or sums to be resumed.
        "ldr r2, [r9, #68]",
        "cmp r2, #0",
        "beq 30f",
        "ldr r2, [r9, #64]",
        "add r2, r2, r8, lsl #4",
        "ldm r2, {{r10, r11, r12, lr}}",
        "ldr r2, [r9, #56]",
        "add r1, r2",
        "ldr r2, [r9, #44]",
        "cmp r2, #0",
        "beq 30f",
        "20:",
        ".rept 4",
        products!(),
        ".endr",
        "subs r2, #1",
        "bne 20b",
        "30:",
        "ldr r9, [sp]",
        "ldr r2, [r9, #48]",
        "cbz r2, 50f",
        "adds r2, #1",
        "beq 70f",
        "subs r2, #3",
        "blo 42f",
        "40:",
        products!(),
        "subs r2, #2",
        "bhs 40b",
        "42:",
        "adds r2, #2",
        "beq 44f",
        "ldm r0!, {{r4, r5}}",
        "ldrsb r8, [r1], #1",
        "mla r4, r4, r8, r3",
        "mla r5, r5, r8, r3",
        "add r10, r4",
        "add r11, r11, r4, lsr #16",
        "add r12, r5",
        "add lr, lr, r5, lsr #16",
        "44:",
        "ldr r9, [sp]",
        "50:",
        "sub r10, r10, r11, lsl #16",
        "sub r12, r12, lr, lsl #16",
        "ldrd r4, r5, [r9, #20]",
        "ldr r8, [r9, #32]",
        "ldr r4, [r4, r8, lsl #2]",
        "ldr r5, [r5, r8, lsl #2]",
        "lsls r4, r4, #1",
        "mvns r5, r5",
        "smull r6, r7, r10, r4",
        "adds r6, r6",
        "adc r10, r10, r7",
        "smull r6, r7, r11, r4",
        "adds r6, r6",
        "adc r11, r11, r7",
        "smull r6, r7, r12, r4",
        "adds r6, r6",
        "adc r12, r12, r7",
        "smull r6, r7, lr, r4",
        "adds r6, r6",
        "adc lr, lr, r7",
        "ldr r7, [r9, #28]",
        "add r10, r10, r10, asr #31",
        "add r11, r11, r11, asr #31",
        "add r12, r12, r12, asr #31",
        "add lr, lr, lr, asr #31",
        "asr r10, r10, r5",
        "asr r11, r11, r5",
        "asr r12, r12, r5",
        "asr lr, lr, r5",
        "ldm r9, {{r2, r4, r5, r6}}",
        "add r10, r7",
        "add r11, r7",
        "add r12, r7",
        "add lr, r7",
        "ssat r10, #8, r10, asr #1",
        "ssat r11, #8, r11, asr #1",
        "ssat r12, #8, r12, asr #1",
        "ssat lr, #8, lr, asr #1",
        "strb r10, [r2, r8]",
        "strb r11, [r4, r8]",
        "strb r12, [r5, r8]",
        "strb lr, [r6, r8]",
        "55:",
        "adds r8, #1",
        "str r8, [r9, #32]",
        "bne 10b",
        "add sp, #4",
        "pop {{r4-r11, pc}}",
        // Sums to be kept.
        "70:",
        "ldr r8, [r9, #32]",
        "ldr r2, [r9, #64]",
        "add r2, r2, r8, lsl #4",
        "stm r2, {{r10, r11, r12, lr}}",
        "ldr r2, [r9, #72]",
        "add r1, r2",
        "b 55b",
    )
}
