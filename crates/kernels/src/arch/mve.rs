//! Helium: sixteen 8-bit products per instruction, in loops whose tail is predicated by the hardware.
//!
//! `VMLADAVA` has no input offset. With a kernel sum none is needed; with a plain bias the offset's share is added
//! afterwards from the sum of the weights, which is the same number in wrapping arithmetic.

#![allow(unsafe_code, reason = "inline assembly")]

#[cfg(cortado_isa = "mve")]
use crate::micro::POSITIONS_MAX;
use crate::micro::sum::for_each;
use crate::micro::{Integer, Micro, Run, Windows, average_long, cut_rows};
#[cfg(not(cortado_isa = "mve"))]
use crate::micro::{exponentials, raise};
#[cfg(not(cortado_isa = "mve"))]
use crate::tile::lines;
use crate::tile::{Depthwise, Quads};
use cortado_contract::Isa;
use cortado_contract::ops::quantized_add::AddParams;
use cortado_contract::ops::quantized_linear::{LinearParams, LinearShape};
use cortado_contract::ops::quantized_mul::MulParams;
use cortado_contract::ops::softmax::{SoftmaxResult, SoftmaxScale};
use cortado_contract::quant::{Activation, Requantize, ZeroPoint};

/// Cores with Helium.
#[derive(Clone, Copy, Debug)]
pub struct Mve;

impl Micro for Mve {
    const ISA: Isa = Isa::Mve;
    const WINDOWS: usize = 2;
    const TAKES_LINES: bool = true;

    #[inline(always)]
    fn dot_rows(lhs: &[i8], lhs_offset: i32, rows: [&[i8]; 4], accumulators: &mut [i32; 4]) {
        let Some(rows) = cut_rows(rows, lhs.len()) else { return };
        multiply_4(lhs, rows, accumulators);
        if lhs_offset != 0 {
            for (sum, row) in accumulators.iter_mut().zip(rows) {
                *sum = sum.wrapping_add(lhs_offset.wrapping_mul(Self::sum(row)));
            }
        }
    }

    #[cfg(cortado_isa = "mve")]
    fn dot_pair_s16(lhs: &[i16], rows: [&[i8]; 2]) -> [i64; 2] {
        let length = lhs.len().min(rows[0].len()).min(rows[1].len());
        let ([mut low0, mut low1], [mut high0, mut high1]) = ([0u32; 2], [0i32; 2]);
        // SAFETY: the tail-predicated loop reads exactly `length` elements of all three.
        unsafe {
            core::arch::asm!(
                "wlstp.16 lr, {count}, 2f",
                "1:",
                "vldrh.u16 q0, [{lhs}], #16",
                "vldrb.s16 q1, [r0], #8",
                "vmlaldava.s16 r2, r3, q0, q1",
                "vldrb.s16 q2, [r1], #8",
                "vmlaldava.s16 r4, r5, q0, q2",
                "letp lr, 1b",
                "2:",
                count = in(reg) length,
                lhs = inout(reg) lhs.as_ptr() => _,
                // Loads that widen take their address from a low register.
                inout("r0") rows[0].as_ptr() => _,
                inout("r1") rows[1].as_ptr() => _,
                inout("r2") low0, inout("r3") high0, inout("r4") low1, inout("r5") high1,
                out("lr") _, out("q0") _, out("q1") _, out("q2") _,
                options(pure, readonly, nostack),
            );
        }
        let join = |low: u32, high: i32| i64::from(high) << 32 | i64::from(low);
        [join(low0, high0), join(low1, high1)]
    }

    #[inline(always)]
    fn dot(lhs: &[i8], lhs_offset: i32, rhs: &[i8]) -> i32 {
        let length = lhs.len().min(rhs.len());
        let (Some(lhs), Some(rhs)) = (lhs.get(..length), rhs.get(..length)) else { return 0 };
        let product = multiply(lhs, rhs);
        if lhs_offset == 0 {
            return product;
        }
        product.wrapping_add(lhs_offset.wrapping_mul(Self::sum(rhs)))
    }

    #[inline(always)]
    fn multiply_quads(quads: &Quads<'_>, pixels: usize, out: &mut [i8]) -> Option<()> {
        #[cfg(cortado_isa = "mve")]
        return quad::multiply(quads, pixels, out);
        #[cfg(not(cortado_isa = "mve"))]
        quads.model::<Self>(pixels, out)
    }

    #[inline(always)]
    fn multiply_lines<const ANY: bool>(
        shape: &LinearShape,
        params: &LinearParams<'_>,
        constants: &[i32],
        input: &[i8],
        weights: &[i8],
        out: &mut [i8],
    ) -> Option<()> {
        #[cfg(cortado_isa = "mve")]
        return line::multiply::<ANY>(shape, params, constants, input, weights, out);
        #[cfg(not(cortado_isa = "mve"))]
        lines::<Self>(shape, params, constants, input, weights, out)
    }

    fn quantize<T: Integer>(
        input: &[f32],
        inverse_scale: f32,
        zero_point: ZeroPoint,
        range: Activation,
        out: &mut [T],
    ) {
        #[cfg(all(cortado_isa = "mve", target_abi = "eabihf"))]
        match T::as_i8_mut(out) {
            Ok(out) => {
                super::float::quantize_in_vectors(input, inverse_scale, zero_point, range, out);
            }
            Err(out) => {
                super::float::quantize_in_unit(input, inverse_scale, zero_point, range, out);
            }
        }
        #[cfg(not(all(cortado_isa = "mve", target_abi = "eabihf")))]
        super::float::quantize_in_integers(input, inverse_scale, zero_point, range, out);
    }

    fn average_windows<const MAY_BE_LARGE: bool>(
        windows: &Windows<'_>,
        activation: Activation,
        out: &mut [i8],
    ) -> Option<()> {
        #[cfg(cortado_isa = "mve")]
        if (1..=POSITIONS_MAX).contains(&(windows.rows * windows.columns)) {
            return pool::average(windows, activation, out);
        } else if !MAY_BE_LARGE {
            return None;
        }
        average_long(windows, activation, out)
    }

    fn raise_windows(windows: &Windows<'_>, activation: Activation, out: &mut [i8]) -> Option<()> {
        if windows.rows * windows.columns == 0 {
            Self::fill(out, activation.clamp(i32::from(i8::MIN)) as i8);
            return Some(());
        }
        #[cfg(cortado_isa = "mve")]
        return pool::maximum(windows, activation, out);
        #[cfg(not(cortado_isa = "mve"))]
        windows.for_each(out, |window, out| raise::<Self>(window, windows, activation, out))
    }

    fn softmax_row(
        scale: &SoftmaxScale,
        result: SoftmaxResult,
        places: (usize, usize),
        input: &[i8],
        out: &mut [i8],
    ) -> Option<()> {
        #[cfg(cortado_isa = "mve")]
        return softmax::row(scale, result, places, input, out);
        #[cfg(not(cortado_isa = "mve"))]
        exponentials(scale, result, places, input, out)
    }

    const SPREADS: bool = true;

    fn fold(rows: &[i8], bias: Option<&[i32]>, offset: i32, out: &mut [i32]) -> Option<()> {
        #[cfg(cortado_isa = "mve")]
        return fold::fold(rows, bias, offset, out);
        #[cfg(not(cortado_isa = "mve"))]
        super::Scalar::fold(rows, bias, offset, out)
    }

    fn depthwise<const ANY: bool>(tile: &Depthwise<'_>, out: &mut [i8]) -> Option<()> {
        #[cfg(cortado_isa = "mve")]
        return depthwise::compute::<ANY>(tile, out);
        #[cfg(not(cortado_isa = "mve"))]
        tile.model_spread(out)
    }

    /// `VRSHL` shifts to the right, and a tie is rounded away from zero whatever the shift is; a product with 0 has no ties.
    #[inline(always)]
    fn is_short(factor: Requantize) -> bool {
        factor.shift < 0 || factor.multiplier == 0 && factor.shift == 0
    }

    #[inline(always)]
    fn copy_rows(
        (source, source_step): (&[i8], usize),
        (out, out_step): (&mut [i8], usize),
        rows: usize,
        length: usize,
    ) -> Option<()> {
        Self::copy_windows((source, [source_step, 0]), (out, [out_step, 0]), 1, rows, length)
    }

    fn copy_windows(
        (source, source_steps): (&[i8], [usize; 2]),
        (out, out_steps): (&mut [i8], [usize; 2]),
        windows: usize,
        rows: usize,
        length: usize,
    ) -> Option<()> {
        if windows == 0 || rows == 0 || length == 0 {
            return Some(());
        }
        let fits = |steps: [usize; 2], available: usize| {
            let end = (rows - 1).checked_mul(steps[0])?.checked_add(length)?;
            Some((windows - 1).checked_mul(steps[1])?.checked_add(end)? <= available)
        };
        if !fits(source_steps, source.len())? || !fits(out_steps, out.len())? {
            return None;
        }
        #[cfg(cortado_isa = "mve")]
        // SAFETY: both slices have all rows of all windows, and the loop reads and writes just these.
        unsafe {
            let copy = if length < 128 { copy::windows } else { copy::long_windows };
            copy(&copy::Frame {
                source: source.as_ptr(),
                out: out.as_mut_ptr(),
                windows,
                rows,
                length,
                source_steps,
                out_steps,
            });
        }
        #[cfg(not(cortado_isa = "mve"))]
        for window in 0..windows {
            for row in 0..rows {
                let place = |steps: [usize; 2]| window * steps[1] + row * steps[0];
                let source = &source[place(source_steps)..][..length];
                out[place(out_steps)..][..length].copy_from_slice(source);
            }
        }
        Some(())
    }

    fn gather((source, steps): (&[i8], [usize; 2]), out: &mut [i8], length: usize) -> Option<()> {
        #[cfg(cortado_isa = "mve")]
        if steps[0] <= copy::STEP_MAX {
            return copy::gather(source, steps, out, length);
        }
        super::Scalar::gather((source, steps), out, length)
    }

    #[inline(always)]
    fn fill(out: &mut [i8], value: i8) {
        #[cfg(cortado_isa = "mve")]
        // SAFETY: the tail-predicated loop writes exactly `out.len()` bytes of `out`.
        unsafe {
            core::arch::asm!(
                "vdup.8 q0, {value}",
                "wlstp.8 lr, {count}, 2f",
                "1:",
                "vstrb.8 q0, [{out}], #16",
                "letp lr, 1b",
                "2:",
                count = in(reg) out.len(),
                out = inout(reg) out.as_mut_ptr() => _,
                value = in(reg) i32::from(value),
                out("lr") _, out("q0") _,
                options(nostack),
            );
        }
        #[cfg(not(cortado_isa = "mve"))]
        out.fill(value);
    }

    fn clamp(out: &mut [i8], range: Activation) {
        #[cfg(cortado_isa = "mve")]
        // SAFETY: the tail-predicated loop reads and writes exactly `out.len()` bytes of `out`.
        unsafe {
            core::arch::asm!(
                "vdup.8 q1, {min}",
                "vdup.8 q2, {max}",
                "wlstp.8 lr, {count}, 2f",
                "1:",
                "vldrb.8 q0, [{out}]",
                "vmax.s8 q0, q0, q1",
                "vmin.s8 q0, q0, q2",
                "vstrb.8 q0, [{out}], #16",
                "letp lr, 1b",
                "2:",
                count = in(reg) out.len(),
                out = inout(reg) out.as_mut_ptr() => _,
                min = in(reg) range.min, max = in(reg) range.max,
                out("lr") _, out("q0") _, out("q1") _, out("q2") _,
                options(nostack),
            );
        }
        #[cfg(not(cortado_isa = "mve"))]
        for out in out {
            *out = range.clamp(i32::from(*out)) as i8;
        }
    }

    fn add<const ANY: bool>(params: &AddParams, operands: Run<'_, i8>, out: &mut [i8]) {
        let add = |operands: Run<'_, i8>, out: &mut [i8]| {
            #[cfg(cortado_isa = "mve")]
            if elementwise::add(params, operands, out).is_some() {
                return;
            }
            if ANY || cfg!(not(cortado_isa = "mve")) {
                for_each(operands, out, |lhs, rhs| params.apply(lhs, rhs));
            }
        };
        match operands {
            Run::Both(..) => add(operands, out),
            _ if ANY => by_pieces(operands, out, add),
            _ => {}
        }
    }

    fn multiply(params: &MulParams, operands: Run<'_, i8>, out: &mut [i8]) {
        by_pieces(operands, out, |operands, out| {
            #[cfg(cortado_isa = "mve")]
            if elementwise::multiply(params, operands, out).is_some() {
                return;
            }
            for_each(operands, out, |lhs, rhs| params.apply(lhs, rhs));
        });
    }

    #[inline(always)]
    fn sum(values: &[i8]) -> i32 {
        #[cfg(cortado_isa = "mve")]
        {
            let mut sum = 0i32;
            // SAFETY: the tail-predicated loop reads exactly `values.len()` bytes from `values.as_ptr()` and writes
            // only the registers named here.
            unsafe {
                core::arch::asm!(
                    "wlstp.8 lr, {count}, 2f",
                    "1:",
                    "vldrb.8 q0, [{values}], #16",
                    "vaddva.s8 r2, q0",
                    "letp lr, 1b",
                    "2:",
                    count = in(reg) values.len(),
                    values = inout(reg) values.as_ptr() => _,
                    inout("r2") sum,
                    out("lr") _, out("q0") _,
                    options(pure, readonly, nostack),
                );
            }
            sum
        }
        #[cfg(not(cortado_isa = "mve"))]
        super::model::vaddva_s8(values)
    }
}

#[cfg(cortado_isa = "mve")]
mod copy;
#[cfg(cortado_isa = "mve")]
mod depthwise;
#[cfg(cortado_isa = "mve")]
mod elementwise;
#[cfg(cortado_isa = "mve")]
mod fold;
#[cfg(cortado_isa = "mve")]
mod line;
#[cfg(cortado_isa = "mve")]
mod pool;
#[cfg(cortado_isa = "mve")]
mod quad;
#[cfg(cortado_isa = "mve")]
mod softmax;

/// The elements of a piece of an operand that stays.
const PIECE: usize = 128;

/// Calls `compute` with both operands, both of which advance: one that stays is repeated in a piece, against one piece of the other after
/// the other.
#[inline(always)]
fn by_pieces(
    operands: Run<'_, i8>,
    out: &mut [i8],
    mut compute: impl FnMut(Run<'_, i8>, &mut [i8]),
) {
    let (advancing, value) = match operands {
        Run::Both(..) => return compute(operands, out),
        Run::Lhs(lhs, rhs) => (lhs, rhs),
        Run::Rhs(lhs, rhs) => (rhs, lhs),
    };
    let piece = [value; PIECE];
    for (out, advancing) in out.chunks_mut(PIECE).zip(advancing.chunks(PIECE)) {
        match operands {
            Run::Rhs(..) => compute(Run::Both(&piece, advancing), out),
            _ => compute(Run::Both(advancing, &piece), out),
        }
    }
}

/// Adds the products of `lhs` with each of four rows of the same length.
#[inline(always)]
fn multiply_4(lhs: &[i8], rows: [&[i8]; 4], accumulators: &mut [i32; 4]) {
    debug_assert!(rows.iter().all(|row| row.len() == lhs.len()));
    #[cfg(cortado_isa = "mve")]
    {
        let [mut a, mut b, mut c, mut d] = *accumulators;
        // SAFETY: `cut_rows` makes each row as long as `lhs`; the tail-predicated loop reads exactly that many bytes
        // from each pointer and writes only the registers named here. Accumulators of `VMLADAVA` must be even registers.
        unsafe {
            core::arch::asm!(
                "wlstp.8 lr, {count}, 2f",
                "1:",
                "vldrb.8 q0, [{lhs}], #16",
                "vldrb.8 q1, [{row0}], #16",
                "vmladava.s8 r2, q0, q1",
                "vldrb.8 q2, [{row1}], #16",
                "vmladava.s8 r4, q0, q2",
                "vldrb.8 q1, [{row2}], #16",
                "vmladava.s8 r8, q0, q1",
                "vldrb.8 q2, [{row3}], #16",
                "vmladava.s8 r10, q0, q2",
                "letp lr, 1b",
                "2:",
                count = in(reg) lhs.len(),
                lhs = inout(reg) lhs.as_ptr() => _,
                row0 = inout(reg) rows[0].as_ptr() => _,
                row1 = inout(reg) rows[1].as_ptr() => _,
                row2 = inout(reg) rows[2].as_ptr() => _,
                row3 = inout(reg) rows[3].as_ptr() => _,
                inout("r2") a, inout("r4") b, inout("r8") c, inout("r10") d,
                out("lr") _, out("q0") _, out("q1") _, out("q2") _,
                options(pure, readonly, nostack),
            );
        }
        *accumulators = [a, b, c, d];
    }
    #[cfg(not(cortado_isa = "mve"))]
    for (sum, row) in accumulators.iter_mut().zip(rows) {
        *sum = super::model::vmladava_s8(lhs, row, *sum);
    }
}

/// The product of two rows of the same length.
#[inline(always)]
fn multiply(lhs: &[i8], rhs: &[i8]) -> i32 {
    debug_assert_eq!(lhs.len(), rhs.len());
    #[cfg(cortado_isa = "mve")]
    {
        let mut sum = 0i32;
        // SAFETY: `Mve::dot` cuts both rows to the same length; the tail-predicated loop reads exactly that many bytes
        // from each pointer and writes only the registers named here.
        unsafe {
            core::arch::asm!(
                "wlstp.8 lr, {count}, 2f",
                "1:",
                "vldrb.8 q0, [{lhs}], #16",
                "vldrb.8 q1, [{rhs}], #16",
                "vmladava.s8 r2, q0, q1",
                "letp lr, 1b",
                "2:",
                count = in(reg) lhs.len(),
                lhs = inout(reg) lhs.as_ptr() => _,
                rhs = inout(reg) rhs.as_ptr() => _,
                inout("r2") sum,
                out("lr") _, out("q0") _, out("q1") _,
                options(pure, readonly, nostack),
            );
        }
        sum
    }
    #[cfg(not(cortado_isa = "mve"))]
    super::model::vmladava_s8(lhs, rhs, 0)
}
