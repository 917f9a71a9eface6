//! Sums and products, four elements at a time, in loops whose tail is predicated.
//!
//! Both operands advance; where one of them stays, and for factors that shift to the left, the caller computes one by one.

use crate::micro::Run;
use cortado_contract::ops::quantized_add::{AddParams, Addend};
use cortado_contract::ops::quantized_mul::MulParams;

/// Both operands, cut to the length of the shortest slice.
fn both<'r>(operands: Run<'r, i8>, out: &[i8]) -> Option<(&'r [i8], &'r [i8], usize)> {
    let Run::Both(lhs, rhs) = operands else { return None };
    Some((lhs, rhs, out.len().min(lhs.len()).min(rhs.len())))
}

/// What the loop for sums reads besides the elements.
#[repr(C)]
struct Sum {
    lhs: Scale,
    rhs: Scale,
    multiplier: i32,
    shift: i32,
    output_offset: i32,
    min: i32,
    max: i32,
}

/// `requantize(value · unit + offset)`.
#[repr(C)]
struct Scale {
    offset: i32,
    multiplier: i32,
    shift: i32,
}

impl Scale {
    fn new(addend: Addend, left_shift: u32) -> Scale {
        let Addend { offset, factor } = addend;
        let offset = offset.0.wrapping_shl(left_shift);
        Scale { offset, multiplier: factor.multiplier, shift: factor.shift }
    }
}

/// [`AddParams::apply`] for all elements; `None` where it must be computed otherwise.
///
/// A rounding shift rounds ties up; negative numbers are decremented before it, which rounds them away from zero. Where nothing is
/// shifted nothing may be decremented either: that operand, mostly there is one, goes second and without.
pub(super) fn add(params: &AddParams, operands: Run<'_, i8>, out: &mut [i8]) -> Option<()> {
    let (lhs, rhs, count) = both(operands, out)?;
    let (mut first, mut second) = (params.lhs, params.rhs);
    let (mut a, mut b) = (lhs.as_ptr(), rhs.as_ptr());
    if first.factor.shift == 0 {
        (first, second) = (second, first);
        (a, b) = (b, a);
    }
    let is_unshifted = second.factor.shift == 0;
    if first.factor.shift >= 0 || second.factor.shift > 0 || params.factor.shift >= 0 {
        return None;
    }
    let sum = Sum {
        lhs: Scale::new(first, params.left_shift),
        rhs: Scale::new(second, params.left_shift),
        multiplier: params.factor.multiplier,
        shift: params.factor.shift,
        output_offset: params.output_offset.0,
        min: params.activation.min,
        max: params.activation.max,
    };
    let unit = 1i32.wrapping_shl(params.left_shift);
    let run = if is_unshifted { sum_unshifted } else { sum_shifted };
    // SAFETY: `both` cuts all three to `count` elements, which is what the loop reads and writes.
    unsafe { run(a, b, out.as_mut_ptr(), count, &sum, unit) };
    Some(())
}

macro_rules! sum {
    ($(#[$doc:meta])* $name:ident, $($shift_second:literal),*) => {
        $(#[$doc])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name(
            a: *const i8,
            b: *const i8,
            out: *mut i8,
            count: usize,
            sum: &Sum,
            unit: i32,
        ) {
            core::arch::naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "ldrd r12, r4, [sp, #100]",
                "vdup.32 q7, r4",
                "ldrd r4, r5, [r12, #32]",
                "vdup.32 q5, r5",
                "ldr r5, [r12, #40]",
                "vdup.32 q6, r5",
                "mov lr, r4",
                // Offsets, multipliers and shifts of both, and of the sum.
                "ldm r12, {{r4-r11}}",
                "mov r12, lr",
                "wlstp.32 lr, r3, 2f",
                "1:",
                "vldrb.s32 q0, [r0], #4",
                "vldrb.s32 q1, [r1], #4",
                "vmlas.s32 q0, q7, r4",
                "vmlas.s32 q1, q7, r7",
                "vqrdmulh.s32 q0, q0, r5",
                "vqrdmulh.s32 q1, q1, r8",
                "vshr.s32 q2, q0, #31",
                "vqadd.s32 q0, q0, q2",
                "vrshl.s32 q0, r6",
                $($shift_second,)*
                "vadd.i32 q0, q0, q1",
                "vqrdmulh.s32 q0, q0, r10",
                "vshr.s32 q2, q0, #31",
                "vqadd.s32 q0, q0, q2",
                "vrshl.s32 q0, r11",
                "vadd.i32 q0, q0, r12",
                "vmax.s32 q0, q0, q5",
                "vmin.s32 q0, q0, q6",
                "vstrb.32 q0, [r2], #4",
                "letp lr, 1b",
                "2:",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
            );
        }
    };
}

sum! {
    /// Both operands are shifted.
    sum_shifted, "vshr.s32 q2, q1, #31", "vqadd.s32 q1, q1, q2", "vrshl.s32 q1, r9"
}
sum! {
    /// The first operand is shifted, the second one is not.
    sum_unshifted,
}

/// [`MulParams::apply`] for all elements; `None` where it must be computed otherwise.
pub(super) fn multiply(params: &MulParams, operands: Run<'_, i8>, out: &mut [i8]) -> Option<()> {
    let (lhs, rhs, count) = both(operands, out)?;
    if params.factor.shift >= 0 {
        return None;
    }
    // SAFETY: `both` cuts all three to `count` elements, which is what the tail-predicated loop reads and writes.
    unsafe {
        core::arch::asm!(
            "vdup.32 q3, {min}",
            "vdup.32 q4, {max}",
            "wlstp.32 lr, {count}, 2f",
            "1:",
            "vldrb.s32 q0, [r0], #4",
            "vldrb.s32 q1, [r1], #4",
            "vadd.i32 q0, q0, {lhs_offset}",
            "vadd.i32 q1, q1, {rhs_offset}",
            "vmul.i32 q0, q0, q1",
            "vqrdmulh.s32 q0, q0, {multiplier}",
            "vshr.s32 q2, q0, #31",
            "vqadd.s32 q0, q0, q2",
            "vrshl.s32 q0, {shift}",
            "vadd.i32 q0, q0, {output_offset}",
            "vmax.s32 q0, q0, q3",
            "vmin.s32 q0, q0, q4",
            "vstrb.32 q0, [r2], #4",
            "letp lr, 1b",
            "2:",
            count = in(reg) count,
            lhs_offset = in(reg) params.lhs_offset.0,
            rhs_offset = in(reg) params.rhs_offset.0,
            multiplier = in(reg) params.factor.multiplier,
            shift = in(reg) params.factor.shift,
            output_offset = in(reg) params.output_offset.0,
            min = inout(reg) params.activation.min => _,
            max = inout(reg) params.activation.max => _,
            inout("r0") lhs.as_ptr() => _,
            inout("r1") rhs.as_ptr() => _,
            inout("r2") out.as_mut_ptr() => _,
            out("lr") _, out("q0") _, out("q1") _, out("q2") _, out("q3") _, out("q4") _,
            options(nostack),
        );
    }
    Some(())
}
