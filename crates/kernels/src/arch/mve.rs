//! Helium: sixteen 8-bit products per instruction, in loops whose tail is predicated by the hardware.
//!
//! `VMLADAVA` has no input offset. With a kernel sum none is needed; with a plain bias the offset's share is added
//! afterwards from the sum of the weights, which is the same number in wrapping arithmetic.

#![allow(unsafe_code, reason = "inline assembly")]

use crate::micro::{Integer, Micro, Run, Window, cut_rows};
use crate::tile::{Depthwise, Quads, Row};
use cortado_contract::Isa;
use cortado_contract::ops::quantized_add::AddParams;
use cortado_contract::ops::quantized_mul::MulParams;
use cortado_contract::quant::{Activation, Requantize, ZeroPoint};

/// Cores with Helium.
#[derive(Clone, Copy, Debug)]
pub struct Mve;

impl Micro for Mve {
    const ISA: Isa = Isa::Mve;
    const WINDOWS: usize = 2;
    const FOLDS_OFFSETS: bool = true;

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
        if quads.depth > 0 {
            return quad::multiply(quads, pixels, out);
        }
        quads.model::<Self>(pixels, out)
    }

    fn multiply_row(row: &Row<'_>, out: &mut [i8]) -> Option<()> {
        #[cfg(cortado_isa = "mve")]
        if row.input_offset == 0 && !row.input.is_empty() {
            return row::multiply(row, out);
        }
        row.model::<Self>(out)
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

    fn accumulate_window(
        window: Window<'_>,
        rows: usize,
        columns: usize,
        sums: &mut [i32],
    ) -> Option<()> {
        #[cfg(cortado_isa = "mve")]
        if let Ok(sums) = <&mut [i32; 16]>::try_from(&mut *sums)
            && rows * columns <= 256
        {
            return accumulate_16(window, rows, columns, sums);
        }
        super::Scalar::accumulate_window(window, rows, columns, sums)
    }

    fn depthwise(tile: &Depthwise<'_>, out: &mut [i8]) -> Option<()> {
        #[cfg(cortado_isa = "mve")]
        return depthwise::compute(tile, out);
        #[cfg(not(cortado_isa = "mve"))]
        tile.model(0, out)
    }

    /// `VRSHL` shifts to the right, and a tie is rounded away from zero whatever the shift is; a product with 0 has no ties.
    #[inline(always)]
    fn is_short(factor: Requantize) -> bool {
        factor.shift < 0 || factor.multiplier == 0 && factor.shift == 0
    }

    fn copy_rows(
        (source, source_step): (&[i8], usize),
        (out, out_step): (&mut [i8], usize),
        rows: usize,
        length: usize,
    ) -> Option<()> {
        let fits = |step: usize, available: usize| {
            let last =
                rows.saturating_sub(1).checked_mul(step).and_then(|at| at.checked_add(length));
            last.is_some_and(|end| end <= available)
        };
        if !fits(source_step, source.len()) || !fits(out_step, out.len()) {
            return None;
        }
        #[cfg(cortado_isa = "mve")]
        if rows > 0 {
            // SAFETY: the tail-predicated loop reads and writes exactly `length` bytes of each row, and both slices have all rows.
            unsafe {
                core::arch::asm!(
                    "1:",
                    "mov {from}, {source}",
                    "mov {to}, {out}",
                    "wlstp.8 lr, {length}, 3f",
                    "2:",
                    "vldrb.8 q0, [{from}], #16",
                    "vstrb.8 q0, [{to}], #16",
                    "letp lr, 2b",
                    "3:",
                    "add {source}, {source_step}",
                    "add {out}, {out_step}",
                    "subs {rows}, #1",
                    "bne 1b",
                    rows = inout(reg) rows => _,
                    length = in(reg) length,
                    source = inout(reg) source.as_ptr() => _,
                    source_step = in(reg) source_step,
                    out = inout(reg) out.as_mut_ptr() => _,
                    out_step = in(reg) out_step,
                    from = out(reg) _, to = out(reg) _,
                    out("lr") _, out("q0") _,
                    options(nostack),
                );
            }
        }
        #[cfg(not(cortado_isa = "mve"))]
        for row in 0..rows {
            out[row * out_step..][..length].copy_from_slice(&source[row * source_step..][..length]);
        }
        Some(())
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

    fn add(params: &AddParams, operands: Run<'_, i8>, out: &mut [i8]) {
        #[cfg(cortado_isa = "mve")]
        if elementwise::add(params, operands, out).is_some() {
            return;
        }
        let lhs = |value| params.lhs.scale(value, params.left_shift);
        let rhs = |value| params.rhs.scale(value, params.left_shift);
        operands.apply_scaled(out, lhs, rhs, |lhs, rhs| params.finish(lhs, rhs));
    }

    fn multiply(params: &MulParams, operands: Run<'_, i8>, out: &mut [i8]) {
        #[cfg(cortado_isa = "mve")]
        if elementwise::multiply(params, operands, out).is_some() {
            return;
        }
        let lhs = |value: i8| i32::from(value).wrapping_add(params.lhs_offset.0);
        let rhs = |value: i8| i32::from(value).wrapping_add(params.rhs_offset.0);
        operands.apply_scaled(out, lhs, rhs, |lhs, rhs| params.finish(lhs.wrapping_mul(rhs)));
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

/// Adds sixteen channels at every position of a window, at most 256 of them: so many bytes fit 16 bits.
#[cfg(cortado_isa = "mve")]
fn accumulate_16(
    window: Window<'_>,
    rows: usize,
    columns: usize,
    sums: &mut [i32; 16],
) -> Option<()> {
    if rows == 0 || columns == 0 {
        return Some(());
    }
    let last = (rows - 1).checked_mul(window.row_step)?;
    let last = last.checked_add((columns - 1).checked_mul(window.column_step)?)?;
    window.elements.get(last..)?.get(..16)?;
    let mut wide = [0i16; 16];
    // SAFETY: sixteen bytes are read at each position, the last of which lies in the window; 32 bytes are written to `wide`.
    unsafe {
        core::arch::asm!(
            "vmov.i32 q0, #0",
            "vmov.i32 q1, #0",
            "1:",
            "mov r0, {start}",
            "dls lr, {columns}",
            "2:",
            "vldrb.s16 q2, [r0]",
            "vldrb.s16 q3, [r0, #8]",
            "add r0, {column_step}",
            "vadd.i16 q0, q0, q2",
            "vadd.i16 q1, q1, q3",
            "le lr, 2b",
            "add {start}, {row_step}",
            "subs {rows}, #1",
            "bne 1b",
            "vstrh.16 q0, [{wide}]",
            "vstrh.16 q1, [{wide}, #16]",
            start = inout(reg) window.elements.as_ptr() => _,
            columns = in(reg) columns,
            column_step = in(reg) window.column_step,
            row_step = in(reg) window.row_step,
            rows = inout(reg) rows => _,
            wide = in(reg) wide.as_mut_ptr(),
            out("r0") _, out("lr") _,
            out("q0") _, out("q1") _, out("q2") _, out("q3") _,
            options(nostack),
        );
    }
    sums.iter_mut().zip(wide).for_each(|(sum, value)| *sum = sum.wrapping_add(i32::from(value)));
    Some(())
}

#[cfg(cortado_isa = "mve")]
mod depthwise;
#[cfg(cortado_isa = "mve")]
mod elementwise;
#[cfg(cortado_isa = "mve")]
mod quad;
#[cfg(cortado_isa = "mve")]
mod row;

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
