//! Averages and maxima of windows, many channels at a time; the last ones predicated.

use crate::micro::Windows;
use cortado_contract::quant::Activation;

/// What the loops need.
#[repr(C)]
struct Frame {
    input: *const i8,
    out: *mut i8,
    channels: usize,
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
    min: i32,
    max: i32,
    /// Added to a magnitude before it is divided.
    half: u32,
    /// What a magnitude is multiplied by instead; the product's upper 32 bits are the quotient.
    reciprocal: u32,
    /// From one window to the next.
    window_step: usize,
    windows: usize,
}

impl Frame {
    /// A frame without a divisor; `None` when a position lies outside of the windows' elements, or there is none.
    fn new(windows: &Windows<'_>, activation: Activation, out: &mut [i8]) -> Option<Frame> {
        let Windows { first, rows, columns, count, step } = *windows;
        let channels = out.len().checked_div(count)?;
        let reach = |count: usize, step: usize| count.checked_sub(1)?.checked_mul(step);
        let last = reach(rows, first.row_step)?.checked_add(reach(columns, first.column_step)?)?;
        let last = last.checked_add(reach(count, step)?)?;
        first.elements.get(last..)?.get(..channels)?;
        Some(Frame {
            input: first.elements.as_ptr(),
            out: out.as_mut_ptr(),
            channels,
            rows,
            columns,
            row_step: first.row_step,
            column_step: first.column_step,
            min: activation.min,
            max: activation.max,
            half: 0,
            reciprocal: 0,
            window_step: step,
            windows: count,
        })
    }
}

/// [`Micro::average_windows`](crate::Micro::average_windows) of 1 to 256 positions each, so that sums of bytes fit 16 bits.
///
/// The quotient is exact: with a reciprocal `(2^32 + e) / count`, `e < count`, it is too large by `magnitude · e / (2^32 · count)`, which
/// is less than `1 / count`. One has no such reciprocal in 32 bits: there, one is added to a magnitude, which the product takes off.
pub(super) fn average(windows: &Windows<'_>, activation: Activation, out: &mut [i8]) -> Option<()> {
    let count = (windows.rows * windows.columns) as u32;
    let mut frame = Frame::new(windows, activation, out)?;
    (frame.half, frame.reciprocal) = match count {
        1 => (1, u32::MAX),
        _ => (count / 2, u32::MAX.checked_div(count)? + 1),
    };
    if frame.channels > 0 {
        // SAFETY: `Frame::new` holds that all channels at all positions lie in the elements; as many are written to `out`.
        unsafe { average_frame(&mut frame) };
    }
    Some(())
}

/// [`Micro::raise_windows`](crate::Micro::raise_windows) of one position and more each.
pub(super) fn maximum(windows: &Windows<'_>, activation: Activation, out: &mut [i8]) -> Option<()> {
    let mut frame = Frame::new(windows, activation, out)?;
    if frame.channels > 0 {
        // SAFETY: as in `average`.
        unsafe { maximum_frame(&mut frame) };
    }
    Some(())
}

#[unsafe(naked)]
unsafe extern "C" fn average_frame(frame: &mut Frame) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "push {{r0, r1}}",
        "add r11, r0, #28",
        "ldm r11, {{r8, r9, r11, r12}}",
        "vdup.16 q5, r8",
        "vdup.16 q6, r9",
        "vdup.32 q7, r12",
        "6:",
        "ldm r0, {{r1-r7}}",
        "mov r12, r4",
        "1:",
        "mov r4, r12",
        "mov r8, r1",
        "vmov.i32 q0, #0",
        "vmov.i32 q1, #0",
        "cmp r3, #16",
        "bhs 4f",
        // Up to eight channels.
        "vctp.16 r3",
        "2:",
        "mov r0, r8",
        "dls lr, r5",
        "3:",
        "vpst",
        "vldrbt.s16 q2, [r0]",
        "add r0, r7",
        "vadd.i16 q0, q0, q2",
        "le lr, 3b",
        "add r8, r6",
        "subs r4, #1",
        "bne 2b",
        "add r1, #8",
        "b 7f",
        // Sixteen.
        "4:",
        "mov r0, r8",
        "dls lr, r5",
        "5:",
        "vldrb.s16 q2, [r0]",
        "vldrb.s16 q3, [r0, #8]",
        "add r0, r7",
        "vadd.i16 q0, q0, q2",
        "vadd.i16 q1, q1, q3",
        "le lr, 5b",
        "add r8, r6",
        "subs r4, #1",
        "bne 4b",
        "add r1, #16",
        "movs r4, #1",
        // Eight averages of magnitudes, then with their signs.
        "7:",
        "vabs.s16 q2, q0",
        "vmovlb.u16 q3, q2",
        "vmovlt.u16 q2, q2",
        "vadd.i32 q3, q3, r11",
        "vadd.i32 q2, q2, r11",
        "vmulh.u32 q3, q3, q7",
        "vmulh.u32 q2, q2, q7",
        "vmovnt.i32 q3, q2",
        "vpt.s16 lt, q0, zr",
        "vnegt.s16 q3, q3",
        "vmax.s16 q3, q3, q5",
        "vmin.s16 q3, q3, q6",
        "vctp.16 r3",
        "vpst",
        "vstrbt.16 q3, [r2]",
        "add r2, #8",
        "subs r3, #8",
        "bls 8f",
        "vmov q0, q1",
        "subs r4, #1",
        "beq 7b",
        "b 1b",
        // The next window.
        "8:",
        "ldr r0, [sp]",
        "ldm r0, {{r1-r3}}",
        "ldrd r4, r5, [r0, #44]",
        "add r1, r4",
        "add r2, r3",
        "stm r0, {{r1, r2}}",
        "subs r5, #1",
        "str r5, [r0, #48]",
        "bne 6b",
        "add sp, #8",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}

#[unsafe(naked)]
unsafe extern "C" fn maximum_frame(frame: &mut Frame) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r10, lr}}",
        "ldrd r8, r9, [r0, #28]",
        "vdup.8 q2, r8",
        "vdup.8 q3, r9",
        "4:",
        "ldm r0, {{r1-r7}}",
        "1:",
        "vmov q0, q2",
        "mov r8, r1",
        "mov r10, r4",
        "vctp.8 r3",
        "2:",
        "mov r9, r8",
        "dls lr, r5",
        "3:",
        "vpst",
        "vldrbt.8 q1, [r9]",
        "add r9, r7",
        "vmax.s8 q0, q0, q1",
        "le lr, 3b",
        "add r8, r6",
        "subs r10, #1",
        "bne 2b",
        "vmin.s8 q0, q0, q3",
        "vpst",
        "vstrbt.8 q0, [r2]",
        "add r1, #16",
        "add r2, #16",
        "subs r3, #16",
        "bhi 1b",
        "ldm r0, {{r1-r3}}",
        "ldrd r4, r5, [r0, #44]",
        "add r1, r4",
        "add r2, r3",
        "stm r0, {{r1, r2}}",
        "subs r5, #1",
        "str r5, [r0, #48]",
        "bne 4b",
        "pop {{r4-r10, pc}}",
    )
}
