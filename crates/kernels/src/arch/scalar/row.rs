//! Four features of a row at a time, the input widened beforehand to words: eight products from nine loads.

use super::super::rows::Features;

/// The elements that the loop takes at a time.
pub(super) const BLOCK: usize = 8;

/// The products of two elements.
macro_rules! products {
    () => {
        "
        ldm r0!, {{r8, r9}}
        ldrsb r10, [r2, r1]
        ldrsb r11, [r2, r1, lsl #1]
        ldrsb r12, [r3], #1
        mla r5, r8, r10, r5
        mla r6, r8, r11, r6
        mla r7, r8, r12, r7
        ldrsb r10, [r2], #1
        ldrsb r11, [r2, r1]
        ldrsb r12, [r2, r1, lsl #1]
        mla r4, r8, r10, r4
        mla r5, r9, r11, r5
        mla r6, r9, r12, r6
        ldrsb r10, [r3], #1
        ldrsb r11, [r2], #1
        mla r7, r9, r10, r7
        mla r4, r9, r11, r4
        "
    };
}

/// Computes `count` fours of features, all with the same factors.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn multiply(features: &mut Features) {
    core::arch::naked_asm!(
        "push {{r4-r11, lr}}",
        "push {{r0}}",
        "10:",
        "ldr r12, [sp]",
        "ldr r11, [r12]",
        "ldrd r0, r1, [r12, #12]",
        "ldrd r2, lr, [r12, #20]",
        "ldr r8, [r12, #28]",
        "ldm r11!, {{r4-r7}}",
        "add r3, r1, r1, lsl #1",
        "str r11, [r12]",
        "add r3, r2",
        "ands r8, #6",
        "beq 15f",
        // Pairs besides blocks come first, by way of a jump into the block: each takes 68 bytes.
        "add r8, r8, r8, lsl #4",
        "adr r9, 25f",
        "sub r9, r9, r8, lsl #1",
        "add lr, #1",
        "mov pc, r9",
        "15:",
        "cmp lr, #0",
        "beq 30f",
        "20:",
        ".rept 4",
        products!(),
        ".endr",
        "25:",
        "subs lr, #1",
        "bne 20b",
        "30:",
        "ldr r12, [sp]",
        "ldrd r10, r9, [r12, #28]",
        "lsls r11, r10, #31",
        "beq 50f",
        "cmp r10, #0",
        "bmi 70f",
        "ldr r8, [r0]",
        "ldrsb r0, [r2, r1]",
        "ldrsb r10, [r2, r1, lsl #1]",
        "ldrsb r11, [r2], #1",
        "ldrsb lr, [r3]",
        "mla r5, r8, r0, r5",
        "mla r6, r8, r10, r6",
        "mla r4, r8, r11, r4",
        "mla r7, r8, lr, r7",
        "50:",
        "add r2, r9",
        "str r2, [r12, #20]",
        "ldrd r8, r9, [r12, #36]",
        "ldrd r10, r11, [r12, #44]",
        "smull r0, lr, r4, r8",
        "adds r0, r0",
        "adc r4, r4, lr",
        "smull r0, lr, r5, r9",
        "adds r0, r0",
        "adc r5, r5, lr",
        "smull r0, lr, r6, r10",
        "adds r0, r0",
        "adc r6, r6, lr",
        "smull r0, lr, r7, r11",
        "adds r0, r0",
        "adc r7, r7, lr",
        "ldrd r8, r9, [r12, #52]",
        "ldrd r10, r11, [r12, #60]",
        "add r4, r4, r4, asr #31",
        "add r5, r5, r5, asr #31",
        "add r6, r6, r6, asr #31",
        "add r7, r7, r7, asr #31",
        "asr r4, r4, r8",
        "asr r5, r5, r9",
        "asr r6, r6, r10",
        "asr r7, r7, r11",
        "ldr r8, [r12, #68]",
        "ldrd r9, r10, [r12, #4]",
        "add r4, r8",
        "add r5, r8",
        "add r6, r8",
        "add r7, r8",
        "ssat r4, #8, r4, asr #1",
        "ssat r5, #8, r5, asr #1",
        "ssat r6, #8, r6, asr #1",
        "ssat r7, #8, r7, asr #1",
        "strb r5, [r9, #1]",
        "strb r6, [r9, #2]",
        "strb r7, [r9, #3]",
        "strb r4, [r9], #4",
        "60:",
        "subs r10, #1",
        "strd r9, r10, [r12, #4]",
        "bne 10b",
        "add sp, #4",
        "pop {{r4-r11, pc}}",
        // Sums to be kept.
        "70:",
        "ldr r8, [r12, #72]",
        "add r2, r9",
        "ldrd r9, r10, [r12, #4]",
        "stm r8!, {{r4-r7}}",
        "str r2, [r12, #20]",
        "str r8, [r12, #72]",
        "b 60b",
    )
}
