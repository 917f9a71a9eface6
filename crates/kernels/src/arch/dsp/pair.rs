//! A pair of features of a row: thirteen instructions per eight products.

use super::super::pair::Pair;

/// The products of four weights that were loaded into a register.
macro_rules! four {
    ($weights:literal, $sum:literal) => {
        concat!(
            "sxtb16 r11, ",
            $weights,
            ", ror #8\n",
            "sxtb16 ",
            $weights,
            ", ",
            $weights,
            "\n",
            "smlad ",
            $sum,
            ", r8, ",
            $weights,
            ", ",
            $sum,
            "\n",
            "smlad ",
            $sum,
            ", r9, r11, ",
            $sum,
            "\n",
        )
    };
}

/// Adds the products of the input and two rows.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn multiply(pair: &mut Pair) {
    core::arch::naked_asm!(
        concat!(".cpu ", env!("CORTADO_DSP_CPU")),
        "push {{r4-r11, lr}}",
        "ldrd r1, r2, [r0]",
        "ldrd r3, r4, [r0, #8]",
        "ldrd r5, r6, [r0, #16]",
        "ldr r7, [r0, #24]",
        "pkhbt r12, r7, r7, lsl #16",
        "lsrs lr, r6, #4",
        "beq 2f",
        "1:",
        ".rept 4",
        // Loads that follow each other cost a cycle less.
        "ldr r8, [r3], #4",
        "ldr r10, [r4, r5]",
        "ldr r7, [r4], #4",
        "sxtab16 r9, r12, r8, ror #8",
        "sxtab16 r8, r12, r8",
        four!("r10", "r2"),
        four!("r7", "r1"),
        ".endr",
        "subs lr, #1",
        "bne 1b",
        "sxth r7, r12",
        "2:",
        "ands r6, r6, #15",
        "beq 4f",
        "3:",
        "ldrsb r8, [r3], #1",
        "ldrsb r10, [r4, r5]",
        "ldrsb r11, [r4], #1",
        "add r8, r7",
        "mla r2, r8, r10, r2",
        "mla r1, r8, r11, r1",
        "subs r6, #1",
        "bne 3b",
        "4:",
        "strd r1, r2, [r0]",
        "pop {{r4-r11, pc}}",
    )
}
