//! Copying rows, and gathering their bytes. Rows are copied four words at a time where everything is aligned to words, else words at any address, which Thumb-2 reads, or bytes.

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
    if rows == 0 {
        return Some(());
    }
    let mut copy = Copy {
        source: source.as_ptr(),
        source_gap: source_step.wrapping_sub(length),
        out: out.as_mut_ptr(),
        out_gap: out_step.wrapping_sub(length),
        rows,
        quads: length / 16,
        words: length / 4 % 4,
        bytes: length % 4,
    };
    let misaligned = source.as_ptr().addr() | out.as_ptr().addr() | source_step | out_step | length;
    // SAFETY: as many rows of `length` bytes, their steps apart, lie in both slices; all is aligned where the first one needs it.
    unsafe {
        match misaligned % 4 {
            0 => copy_aligned(&mut copy),
            _ => copy_unaligned(&mut copy),
        }
    }
    Some(())
}

/// What is copied, in multiples of 16, of 4 besides, and of 1 besides. Rows are counted down.
#[repr(C)]
struct Copy {
    source: *const i8,
    /// From the end of a row to the start of the next.
    source_gap: usize,
    out: *mut i8,
    out_gap: usize,
    rows: usize,
    quads: usize,
    words: usize,
    bytes: usize,
}

/// Copies rows of whole words, all aligned to words.
#[unsafe(naked)]
unsafe extern "C" fn copy_aligned(copy: &mut Copy) {
    core::arch::naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r12, r0",
        "ldr r1, [r0]",
        "ldr r2, [r0, #8]",
        "1:",
        "mov r0, r12",
        "ldr r7, [r0, #20]",
        "cmp r7, #0",
        "beq 3f",
        "2:",
        "ldm r1!, {{r3-r6}}",
        "subs r7, #1",
        "stm r2!, {{r3-r6}}",
        "bne 2b",
        "3:",
        "ldr r7, [r0, #24]",
        "cmp r7, #0",
        "beq 5f",
        "4:",
        "ldm r1!, {{r3}}",
        "subs r7, #1",
        "stm r2!, {{r3}}",
        "bne 4b",
        "5:",
        "ldr r3, [r0, #4]",
        "ldr r4, [r0, #12]",
        "ldr r5, [r0, #16]",
        "adds r1, r1, r3",
        "adds r2, r2, r4",
        "subs r5, #1",
        "str r5, [r0, #16]",
        "bne 1b",
        "pop {{r4-r7, pc}}",
    )
}

/// Copies rows of any bytes at any addresses.
#[cfg(cortado_thumb = "2")]
#[unsafe(naked)]
unsafe extern "C" fn copy_unaligned(copy: &mut Copy) {
    core::arch::naked_asm!(
        "push {{r4-r7, lr}}",
        "ldr r1, [r0]",
        "ldr r2, [r0, #8]",
        "ldrd r6, r7, [r0, #20]",
        "add r6, r7, r6, lsl #2",
        "ldr r7, [r0, #28]",
        "1:",
        "movs r4, r6",
        "beq 3f",
        "2:",
        "ldr r3, [r1], #4",
        "subs r4, #1",
        "str r3, [r2], #4",
        "bne 2b",
        "3:",
        "movs r4, r7",
        "beq 5f",
        "4:",
        "ldrb r3, [r1], #1",
        "subs r4, #1",
        "strb r3, [r2], #1",
        "bne 4b",
        "5:",
        "ldr r3, [r0, #4]",
        "ldrd r4, r5, [r0, #12]",
        "add r1, r3",
        "add r2, r4",
        "subs r5, #1",
        "str r5, [r0, #16]",
        "bne 1b",
        "pop {{r4-r7, pc}}",
    )
}

/// Copies rows of any bytes at any addresses, byte by byte.
#[cfg(cortado_thumb = "1")]
#[unsafe(naked)]
unsafe extern "C" fn copy_unaligned(copy: &mut Copy) {
    core::arch::naked_asm!(
        "push {{r4-r7, lr}}",
        "ldr r1, [r0]",
        "ldr r2, [r0, #8]",
        "ldr r4, [r0, #20]",
        "lsls r4, r4, #2",
        "ldr r5, [r0, #24]",
        "adds r4, r4, r5",
        "lsls r4, r4, #2",
        "ldr r5, [r0, #28]",
        "adds r7, r4, r5",
        "1:",
        "movs r4, #0",
        "cmp r7, #0",
        "beq 3f",
        "2:",
        "ldrb r3, [r1, r4]",
        "strb r3, [r2, r4]",
        "adds r4, #1",
        "cmp r4, r7",
        "bne 2b",
        "3:",
        "ldr r3, [r0, #4]",
        "ldr r5, [r0, #12]",
        "adds r3, r3, r7",
        "adds r5, r5, r7",
        "adds r1, r1, r3",
        "adds r2, r2, r5",
        "ldr r5, [r0, #16]",
        "subs r5, #1",
        "str r5, [r0, #16]",
        "bne 1b",
        "pop {{r4-r7, pc}}",
    )
}

/// [`gather`](crate::micro::Micro::gather).
pub(super) fn gather(
    source: &[i8],
    row_step: usize,
    column_step: usize,
    out: &mut [i8],
    columns: usize,
) -> Option<()> {
    let rows = out.len().checked_div(columns)?;
    let Some(last) = rows.checked_sub(1) else { return Some(()) };
    let last = last.checked_mul(row_step)?.checked_add((columns - 1).checked_mul(column_step)?)?;
    if last >= source.len() {
        return None;
    }
    let gather = Gather {
        out: out.as_mut_ptr(),
        source: source.as_ptr(),
        column_step,
        row_gap: row_step.wrapping_sub(columns * column_step),
        rows,
        columns,
    };
    // SAFETY: the last byte of the last row lies in the source, and so many rows in `out`.
    unsafe { gather_bytes(&gather) };
    Some(())
}

/// What is gathered: `columns` bytes, one and more, of each of `rows` rows, one and more.
#[repr(C)]
struct Gather {
    out: *mut i8,
    source: *const i8,
    column_step: usize,
    /// From the end of a row to the start of the next.
    row_gap: usize,
    rows: usize,
    columns: usize,
}

/// Gathers four bytes at a time to a word at any address.
#[cfg(cortado_thumb = "2")]
#[unsafe(naked)]
unsafe extern "C" fn gather_bytes(gather: &Gather) {
    core::arch::naked_asm!(
        "push {{r4-r11, lr}}",
        "ldm r0, {{r0-r5}}",
        "add r6, r2, r2, lsl #1",
        "1:",
        "lsrs r7, r5, #2",
        "beq 3f",
        "2:",
        "ldrb r8, [r1]",
        "ldrb r9, [r1, r2]",
        "ldrb r10, [r1, r2, lsl #1]",
        "ldrb r11, [r1, r6]",
        "orr r8, r8, r9, lsl #8",
        "orr r8, r8, r10, lsl #16",
        "orr r8, r8, r11, lsl #24",
        "add r1, r1, r2, lsl #2",
        "subs r7, #1",
        "str r8, [r0], #4",
        "bne 2b",
        "3:",
        "ands r7, r5, #3",
        "beq 5f",
        "4:",
        "ldrb r8, [r1]",
        "add r1, r2",
        "subs r7, #1",
        "strb r8, [r0], #1",
        "bne 4b",
        "5:",
        "add r1, r3",
        "subs r4, #1",
        "bne 1b",
        "pop {{r4-r11, pc}}",
    )
}

/// Gathers four bytes at a time.
#[cfg(cortado_thumb = "1")]
#[unsafe(naked)]
unsafe extern "C" fn gather_bytes(gather: &Gather) {
    core::arch::naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r12, r0",
        "ldr r4, [r0, #16]",
        "ldm r0!, {{r1-r3}}",
        "1:",
        "mov r0, r12",
        "ldr r5, [r0, #20]",
        "lsrs r6, r5, #2",
        "beq 3f",
        "2:",
        "ldrb r7, [r2]",
        "adds r2, r2, r3",
        "strb r7, [r1]",
        "ldrb r7, [r2]",
        "adds r2, r2, r3",
        "strb r7, [r1, #1]",
        "ldrb r7, [r2]",
        "adds r2, r2, r3",
        "strb r7, [r1, #2]",
        "ldrb r7, [r2]",
        "adds r2, r2, r3",
        "strb r7, [r1, #3]",
        "adds r1, #4",
        "subs r6, #1",
        "bne 2b",
        "3:",
        "lsls r5, r5, #30",
        "lsrs r5, r5, #30",
        "beq 5f",
        "4:",
        "ldrb r7, [r2]",
        "adds r2, r2, r3",
        "strb r7, [r1]",
        "adds r1, #1",
        "subs r5, #1",
        "bne 4b",
        "5:",
        "ldr r5, [r0, #12]",
        "adds r2, r2, r5",
        "subs r4, #1",
        "bne 1b",
        "pop {{r4-r7, pc}}",
    )
}
