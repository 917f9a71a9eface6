//! Two windows with two rows of weights at a time: four sums, three loads and twelve more instructions per four products of each.
//!
//! A pair of windows is widened once for all channels: of each four bytes of both, even and odd ones of the first, then of the second, with
//! the input offset added at no cost. The bytes of weights are widened alike, so that the pairs meet as they are (see [`super`]).
//!
//! A sum is rescaled by five instructions: with twice the multiplier, which wraps to 2^32 less, `SMMLAR` adds the sum itself for what was
//! lost, and rounds as the doubling high multiplication does; a negative result is decremented, so that ties go away from zero; the last
//! bit of the shift is left to the saturation, after the rounding bit.

use super::super::windows::{Channels, Loops};

pub(super) const LOOPS: Loops =
    Loops { windows: 2, block: 16, words: 1, surplus: 0, widen, multiply };

/// Widens elements of two windows, and adds the offset.
#[unsafe(naked)]
unsafe extern "C" fn widen(
    sources: &[*const i8; 4],
    length: usize,
    wide: *mut u32,
    input_offset: i32,
) {
    core::arch::naked_asm!(
        concat!(".cpu ", env!("CORTADO_DSP_CPU")),
        "push {{r4-r8, lr}}",
        "uxth r3, r3",
        "orr r8, r3, r3, lsl #16",
        "ldrd r0, r3, [r0]",
        "lsrs lr, r1, #2",
        "beq 2f",
        "1:",
        "ldr r4, [r0], #4",
        "ldr r6, [r3], #4",
        "sxtab16 r5, r8, r4, ror #8",
        "sxtab16 r7, r8, r6, ror #8",
        "sxtab16 r4, r8, r4",
        "sxtab16 r6, r8, r6",
        "subs lr, #1",
        "stm r2!, {{r4-r7}}",
        "bne 1b",
        "2:",
        "ands lr, r1, #3",
        "beq 4f",
        // Up to three bytes: the first two and the third.
        "ldrb r4, [r0]",
        "ldrb r6, [r3]",
        "cmp lr, #2",
        "blo 3f",
        "ldrb r5, [r0, #1]",
        "ldrb r7, [r3, #1]",
        "beq 3f",
        "ldrb r12, [r0, #2]",
        "orr r4, r4, r12, lsl #16",
        "ldrb r12, [r3, #2]",
        "orr r6, r6, r12, lsl #16",
        "3:",
        "sxtab16 r4, r8, r4",
        "sxtab16 r5, r8, r5",
        "sxtab16 r6, r8, r6",
        "sxtab16 r7, r8, r7",
        "stm r2!, {{r4-r7}}",
        "4:",
        "pop {{r4-r8, pc}}",
    )
}

/// The products of four elements of both windows with two rows of weights. Nothing that is loaded is used by the next instruction.
macro_rules! products {
    () => {
        "
        ldr r12, [r2, r1]
        ldm r0!, {{r7-r10}}
        sxtb16 r11, r12, ror #8
        sxtb16 r12, r12
        smlad r5, r7, r12, r5
        smlad r6, r9, r12, r6
        ldr r12, [r2], #4
        smlad r5, r8, r11, r5
        smlad r6, r10, r11, r6
        sxtb16 r11, r12, ror #8
        sxtb16 r12, r12
        smlad r3, r7, r12, r3
        smlad r4, r9, r12, r4
        smlad r3, r8, r11, r3
        smlad r4, r10, r11, r4
        "
    };
}

/// The products of an element of both windows, in the upper or lower half of registers, with two rows of weights.
macro_rules! product {
    ($instruction:literal, $first:literal, $second:literal) => {
        concat!(
            "ldrsb r12, [r2, r1]\n",
            "ldrsb r11, [r2], #1\n",
            $instruction,
            " r5, ",
            $first,
            ", r12, r5\n",
            $instruction,
            " r6, ",
            $second,
            ", r12, r6\n",
            $instruction,
            " r3, ",
            $first,
            ", r11, r3\n",
            $instruction,
            " r4, ",
            $second,
            ", r11, r4\n",
        )
    };
}

/// Multiplies two widened windows with a pair of rows of weights after the other.
#[unsafe(naked)]
unsafe extern "C" fn multiply(channels: &mut Channels) {
    core::arch::naked_asm!(
        concat!(".cpu ", env!("CORTADO_DSP_CPU")),
        "push {{r4-r11, lr}}",
        "push {{r0}}",
        "ldr r2, [r0, #52]",
        "ldr r1, [r0, #60]",
        "10:",
        "ldr r12, [sp]",
        "ldr r7, [r12, #32]",
        "ldr r8, [r12, #16]",
        "add r8, r8, r7, lsl #2",
        "ldrd r3, r5, [r8]",
        "ldrd r0, lr, [r12, #36]",
        "mov r4, r3",
        "mov r6, r5",
        "cmp lr, #0",
        "bne 20f",
        // No blocks, or sums to be resumed.
        "ldr r8, [r12, #68]",
        "cmp r8, #0",
        "beq 30f",
        "ldr r8, [r12, #64]",
        "add r7, r8, r7, lsl #3",
        "ldm r7, {{r3-r6}}",
        "ldr r7, [r12, #56]",
        "add r2, r7",
        "ldr lr, [r12, #44]",
        "cmp lr, #0",
        "beq 30f",
        "20:",
        ".rept 4",
        products!(),
        ".endr",
        "subs lr, #1",
        "bne 20b",
        "30:",
        "ldr r12, [sp]",
        "ldr lr, [r12, #48]",
        "cmp lr, #0",
        "beq 50f",
        "bmi 70f",
        "subs lr, #4",
        "blo 42f",
        "40:",
        products!(),
        "subs lr, #4",
        "bhs 40b",
        "42:",
        "adds lr, #4",
        "beq 44f",
        "ldm r0, {{r7-r10}}",
        product!("smlabb", "r7", "r9"),
        "cmp lr, #1",
        "beq 44f",
        product!("smlabb", "r8", "r10"),
        "cmp lr, #2",
        "beq 44f",
        product!("smlatb", "r7", "r9"),
        "44:",
        "ldr r12, [sp]",
        "50:",
        "ldr r7, [r12, #32]",
        "ldrd r8, r9, [r12, #20]",
        "add r8, r8, r7, lsl #2",
        "add r9, r9, r7, lsl #2",
        "ldrd r10, r11, [r8]",
        "ldrd r8, r9, [r9]",
        "lsl r10, r10, #1",
        "lsl r11, r11, #1",
        "smmlar r3, r3, r10, r3",
        "smmlar r4, r4, r10, r4",
        "smmlar r5, r5, r11, r5",
        "smmlar r6, r6, r11, r6",
        "mvn r8, r8",
        "mvn r9, r9",
        "add r3, r3, r3, asr #31",
        "add r4, r4, r4, asr #31",
        "add r5, r5, r5, asr #31",
        "add r6, r6, r6, asr #31",
        "ldr r10, [r12, #28]",
        "asr r3, r3, r8",
        "asr r4, r4, r8",
        "asr r5, r5, r9",
        "asr r6, r6, r9",
        "ldrd r8, r9, [r12]",
        "add r3, r10",
        "add r4, r10",
        "add r5, r10",
        "add r6, r10",
        "ssat r3, #8, r3, asr #1",
        "ssat r4, #8, r4, asr #1",
        "ssat r5, #8, r5, asr #1",
        "ssat r6, #8, r6, asr #1",
        "add r8, r7",
        "add r9, r7",
        "strb r3, [r8]",
        "strb r5, [r8, #1]",
        "strb r4, [r9]",
        "strb r6, [r9, #1]",
        "add r2, r1",
        "55:",
        "adds r7, #2",
        "str r7, [r12, #32]",
        "bne 10b",
        "add sp, #4",
        "pop {{r4-r11, pc}}",
        // Sums to be kept.
        "70:",
        "ldr r7, [r12, #32]",
        "ldr r8, [r12, #64]",
        "add r8, r8, r7, lsl #3",
        "stm r8, {{r3-r6}}",
        "ldr r8, [r12, #72]",
        "add r2, r8",
        "add r2, r1",
        "b 55b",
    )
}
