//! Four features of a row at a time, the input widened beforehand: even elements in one word, odd ones in the other.

use super::super::rows::Features;

/// The elements that the loop takes at a time.
pub(super) const BLOCK: usize = 16;

/// The products of four weights of two rows. Loads stand together: on these cores one that follows another costs a cycle less, and
/// what is loaded is not there for the next instruction.
macro_rules! two_rows {
    ($load:literal, $sum:literal, $other_load:literal, $other_sum:literal) => {
        concat!(
            "ldr r10, ",
            $load,
            "\n",
            "ldr r12, ",
            $other_load,
            "\n",
            "sxtb16 r11, r10, ror #8\n",
            "sxtb16 r10, r10\n",
            "smlad ",
            $sum,
            ", r8, r10, ",
            $sum,
            "\n",
            "smlad ",
            $sum,
            ", r9, r11, ",
            $sum,
            "\n",
            "sxtb16 r11, r12, ror #8\n",
            "sxtb16 r12, r12\n",
            "smlad ",
            $other_sum,
            ", r8, r12, ",
            $other_sum,
            "\n",
            "smlad ",
            $other_sum,
            ", r9, r11, ",
            $other_sum,
            "\n",
        )
    };
}

/// The products of four elements.
macro_rules! products {
    () => {
        concat!(
            "ldrd r8, r9, [r0], #8\n",
            two_rows!("[r2, r1]", "r5", "[r2, r1, lsl #1]", "r6"),
            two_rows!("[r2], #4", "r4", "[r3], #4", "r7"),
        )
    };
}

/// The products of one element.
macro_rules! product {
    ($offset:literal) => {
        concat!(
            "ldrsh r8, [r0, #",
            $offset,
            "]\n",
            "ldrsb r9, [r2, r1]\n",
            "ldrsb r10, [r2, r1, lsl #1]\n",
            "ldrsb r11, [r2], #1\n",
            "ldrsb r12, [r3], #1\n",
            "mla r5, r8, r9, r5\n",
            "mla r6, r8, r10, r6\n",
            "mla r4, r8, r11, r4\n",
            "mla r7, r8, r12, r7\n",
        )
    };
}

/// Computes `count` fours of features, all with the same factors.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn multiply(features: &mut Features) {
    core::arch::naked_asm!(
        concat!(".cpu ", env!("CORTADO_DSP_CPU")),
        "push {{r4-r11, lr}}",
        "push {{r0}}",
        "10:",
        "ldr r12, [sp]",
        "ldr r11, [r12]",
        "ldrd r0, r1, [r12, #12]",
        "ldrd r2, lr, [r12, #20]",
        "ldm r11!, {{r4-r7}}",
        "add r3, r1, r1, lsl #1",
        "str r11, [r12]",
        "add r3, r2",
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
        "ldrd lr, r9, [r12, #28]",
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
        product!(0),
        "cmp lr, #1",
        "beq 44f",
        product!(4),
        "cmp lr, #2",
        "beq 44f",
        product!(2),
        "44:",
        "ldr r12, [sp]",
        "ldr r9, [r12, #32]",
        "50:",
        "add r2, r9",
        "str r2, [r12, #20]",
        "ldrd r8, r9, [r12, #36]",
        "ldrd r10, r11, [r12, #44]",
        "smmlar r4, r4, r8, r4",
        "smmlar r5, r5, r9, r5",
        "smmlar r6, r6, r10, r6",
        "smmlar r7, r7, r11, r7",
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
