//! Sums of rows, folded into what a layer's sums start with.

/// [`Micro::fold`](crate::Micro::fold).
pub(super) fn fold(rows: &[i8], bias: Option<&[i32]>, offset: i32, out: &mut [i32]) -> Option<()> {
    let length = rows.len().checked_div(out.len())?;
    let zero = 0i32;
    let (bias, step) = match bias {
        Some(bias) => (bias.get(..out.len())?.as_ptr(), 4),
        None => (&raw const zero, 0),
    };
    // SAFETY: `out.len()` rows of `length` bytes and as many numbers of the bias, or again and again the same one, are read, and as many
    // numbers written.
    unsafe {
        core::arch::asm!(
            "2:",
            "movs r2, #0",
            "wls lr, {fours}, 4f",
            "3:",
            "vldrb.8 q0, [{rows}], #16",
            "vaddva.s8 r2, q0",
            "vldrb.8 q1, [{rows}], #16",
            "vaddva.s8 r2, q1",
            "vldrb.8 q0, [{rows}], #16",
            "vaddva.s8 r2, q0",
            "vldrb.8 q1, [{rows}], #16",
            "vaddva.s8 r2, q1",
            "le lr, 3b",
            "4:",
            "wlstp.8 lr, {rest}, 6f",
            "5:",
            "vldrb.8 q0, [{rows}], #16",
            "vaddva.s8 r2, q0",
            "letp lr, 5b",
            "6:",
            "ldr {sum}, [{bias}]",
            "mla {sum}, r2, {offset}, {sum}",
            "add {rows}, {back}",
            "add {bias}, {step}",
            "str {sum}, [{out}], #4",
            "subs {count}, #1",
            "bne 2b",
            rows = inout(reg) rows.as_ptr() => _,
            fours = in(reg) length / 64,
            rest = in(reg) length % 64,
            // From where the loops leave a row to the next one.
            back = in(reg) length.wrapping_sub(length.next_multiple_of(16)),
            bias = inout(reg) bias => _,
            step = in(reg) step,
            offset = in(reg) offset,
            out = inout(reg) out.as_mut_ptr() => _,
            count = inout(reg) out.len() => _,
            sum = out(reg) _,
            out("r2") _, out("lr") _, out("q0") _, out("q1") _,
            options(nostack),
        );
    }
    Some(())
}
