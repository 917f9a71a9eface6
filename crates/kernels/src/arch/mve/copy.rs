//! Copying rows of windows and single bytes, in loops whose tail is predicated.

/// What is copied. Steps are those to the next row and to the next window.
#[repr(C)]
pub(super) struct Frame {
    pub(super) source: *const i8,
    pub(super) out: *mut i8,
    pub(super) windows: usize,
    pub(super) rows: usize,
    pub(super) length: usize,
    pub(super) source_steps: [usize; 2],
    pub(super) out_steps: [usize; 2],
}

/// Copies at least one row of one byte.
///
/// # Safety
/// What the frame describes can be read and written.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn windows(frame: &Frame) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r12, lr}}",
        "ldm r0, {{r1-r9}}",
        "sub sp, #8",
        "strd r7, r9, [sp]",
        "1:",
        "mov r9, r1",
        "mov r10, r2",
        "mov r11, r4",
        "2:",
        "mov r0, r9",
        "mov r12, r10",
        "add r9, r6",
        "add r10, r8",
        "dlstp.8 lr, r5",
        "3:",
        "vldrb.8 q0, [r0], #16",
        "vstrb.8 q0, [r12], #16",
        "letp lr, 3b",
        "subs r11, #1",
        "bne 2b",
        "ldrd r7, r12, [sp]",
        "add r1, r7",
        "add r2, r12",
        "subs r3, #1",
        "bne 1b",
        "add sp, #8",
        "pop {{r4-r12, pc}}",
    )
}

/// The greatest step of eight bytes whose places fit 16 bits.
pub(super) const STEP_MAX: usize = 0xffff / 7;

/// [`Micro::gather`](crate::Micro::gather) for steps up to [`STEP_MAX`].
pub(super) fn gather(
    source: &[i8],
    [step, row_step]: [usize; 2],
    out: &mut [i8],
    length: usize,
) -> Option<()> {
    let rows = out.len().checked_div(length)?;
    if rows == 0 {
        return Some(());
    }
    let last = (rows - 1).checked_mul(row_step)?.checked_add((length - 1).checked_mul(step)?)?;
    source.get(last)?;
    // What the loop goes on by in a row.
    let taken = length.next_multiple_of(8);
    // SAFETY: the loop reads `length` bytes `step` apart in each of `rows` rows, the last of which lies in the source, and writes as many
    // to `out`, one row after the other. Eight places at a time fit 16 bits.
    unsafe {
        core::arch::asm!(
            "movs r2, #0",
            "vidup.u16 q1, r2, #1",
            "vmul.i16 q1, q1, {step}",
            "lsl {step}, {step}, #3",
            "2:",
            "dlstp.16 lr, {length}",
            "3:",
            "vldrb.u16 q0, [{source}, q1]",
            "add {source}, {step}",
            "vstrb.16 q0, [r3], #8",
            "letp lr, 3b",
            "add {source}, {next_source}",
            "add r3, {next_out}",
            "subs {rows}, #1",
            "bne 2b",
            source = inout(reg) source.as_ptr() => _,
            step = inout(reg) step => _,
            next_source = in(reg) row_step.wrapping_sub(taken * step),
            next_out = in(reg) length.wrapping_sub(taken),
            length = in(reg) length,
            rows = inout(reg) rows => _,
            inout("r3") out.as_mut_ptr() => _,
            out("r2") _, out("lr") _, out("q0") _, out("q1") _,
            options(nostack),
        );
    }
    Some(())
}

/// Copies rows of 64 bytes and more, four vectors at a time.
///
/// # Safety
/// As [`windows`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn long_windows(frame: &Frame) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r12, lr}}",
        "ldm r0, {{r1-r9}}",
        "sub sp, #8",
        "strd r7, r9, [sp]",
        "lsrs r7, r5, #6",
        "and r5, r5, #63",
        "1:",
        "mov r9, r1",
        "mov r10, r2",
        "mov r11, r4",
        "2:",
        "mov r0, r9",
        "mov r12, r10",
        "add r9, r6",
        "add r10, r8",
        "dls lr, r7",
        "3:",
        "vldrb.8 q0, [r0], #16",
        "vldrb.8 q1, [r0], #16",
        "vldrb.8 q2, [r0], #16",
        "vldrb.8 q3, [r0], #16",
        "vstrb.8 q0, [r12], #16",
        "vstrb.8 q1, [r12], #16",
        "vstrb.8 q2, [r12], #16",
        "vstrb.8 q3, [r12], #16",
        "le lr, 3b",
        "wlstp.8 lr, r5, 5f",
        "4:",
        "vldrb.8 q0, [r0], #16",
        "vstrb.8 q0, [r12], #16",
        "letp lr, 4b",
        "5:",
        "subs r11, #1",
        "bne 2b",
        "ldrd r0, r12, [sp]",
        "add r1, r0",
        "add r2, r12",
        "subs r3, #1",
        "bne 1b",
        "add sp, #8",
        "pop {{r4-r12, pc}}",
    )
}
