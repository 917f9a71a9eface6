//! Copying rows with Thumb-2: words at any address, then bytes.

/// [`copy_rows`](crate::micro::Micro::copy_rows).
pub(super) fn copy_rows(
    (source, source_step): (&[i8], usize),
    (out, out_step): (&mut [i8], usize),
    rows: usize,
    length: usize,
) -> Option<()> {
    let fits = |step: usize, available: usize| {
        let last = rows.saturating_sub(1).checked_mul(step).and_then(|at| at.checked_add(length));
        last.is_some_and(|end| end <= available)
    };
    if !fits(source_step, source.len()) || !fits(out_step, out.len()) {
        return None;
    }
    if rows > 0 {
        // SAFETY: reads and writes exactly `length` bytes of each row, and both slices have all rows. Words may be unaligned.
        unsafe {
            core::arch::asm!(
                "1:",
                "lsrs {words}, {length}, #2",
                "beq 3f",
                "2:",
                "ldr {value}, [{source}], #4",
                "subs {words}, #1",
                "str {value}, [{out}], #4",
                "bne 2b",
                "3:",
                "ands {words}, {length}, #3",
                "beq 5f",
                "4:",
                "ldrb {value}, [{source}], #1",
                "subs {words}, #1",
                "strb {value}, [{out}], #1",
                "bne 4b",
                "5:",
                "add {source}, {source_gap}",
                "add {out}, {out_gap}",
                "subs {rows}, #1",
                "bne 1b",
                rows = inout(reg) rows => _,
                length = in(reg) length,
                source = inout(reg) source.as_ptr() => _,
                source_gap = in(reg) source_step.wrapping_sub(length),
                out = inout(reg) out.as_mut_ptr() => _,
                out_gap = in(reg) out_step.wrapping_sub(length),
                words = out(reg) _,
                value = out(reg) _,
                options(nostack),
            );
        }
    }
    Some(())
}
