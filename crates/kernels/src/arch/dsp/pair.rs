//! A pair of features of a row: thirteen instructions per eight products.

use super::super::pair::Pair;

/// The products of four weights.
macro_rules! four {
    ($load:literal, $sum:literal) => {
        concat!(
            "ldr r10, ",
            $load,
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
        "ldr r8, [r3], #4",
        "sxtab16 r9, r12, r8, ror #8",
        "sxtab16 r8, r12, r8",
        four!("[r4, r5]", "r2"),
        four!("[r4], #4", "r1"),
        ".endr",
        "subs lr, #1",
        "bne 1b",
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
