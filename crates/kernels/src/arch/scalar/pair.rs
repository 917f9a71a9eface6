//! A pair of features of a row: six instructions per two products.

use super::super::pair::Pair;

/// The products of an element.
macro_rules! products {
    () => {
        "
        ldrsb r8, [r3], #1
        ldrsb r9, [r4, r5]
        ldrsb r10, [r4], #1
        add r8, r7
        mla r2, r8, r9, r2
        mla r1, r8, r10, r1
        "
    };
}

/// Adds the products of the input and two rows.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn multiply(pair: &mut Pair) {
    core::arch::naked_asm!(
        "push {{r4-r10, lr}}",
        "ldrd r1, r2, [r0]",
        "ldrd r3, r4, [r0, #8]",
        "ldrd r5, r6, [r0, #16]",
        "ldr r7, [r0, #24]",
        "lsrs r12, r6, #2",
        "beq 2f",
        "1:",
        ".rept 4",
        products!(),
        ".endr",
        "subs r12, #1",
        "bne 1b",
        "2:",
        "ands r6, r6, #3",
        "beq 4f",
        "3:",
        products!(),
        "subs r6, #1",
        "bne 3b",
        "4:",
        "strd r1, r2, [r0]",
        "pop {{r4-r10, pc}}",
    )
}
