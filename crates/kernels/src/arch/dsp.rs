//! The DSP extension: two 16-bit products per instruction.
//!
//! Bytes are widened in pairs: of four bytes `b0 b1 b2 b3` in a word, `SXTB16` gives `b0 b2` and, of the word rotated by
//! eight bits, `b1 b3`. Both operands are widened alike, so the pairs meet without reordering; the
//! input offset is added while widening (`SXTAB16`) at no cost.

#![allow(unsafe_code, reason = "inline assembly")]

#[cfg(cortado_isa = "dsp")]
use super::channels;
use super::pool;
#[cfg(cortado_isa = "dsp")]
use super::rows;
use crate::micro::{Integer, Micro, Windows, cut_rows, in_blocks_s16};
use crate::tile::{Depthwise, Framed, Quads, Row};
use cortado_contract::Isa;
use cortado_contract::quant::{Activation, ZeroPoint};

/// Cores with the DSP extension.
#[derive(Clone, Copy, Debug)]
pub struct Dsp;

impl Micro for Dsp {
    const ISA: Isa = Isa::Dsp;
    const WINDOWS: usize = 2;
    const ADDS_OFFSETS: bool = true;

    fn multiply_quads(tile: &Quads<'_>, pixels: usize, out: &mut [i8]) -> Option<()> {
        #[cfg(cortado_isa = "dsp")]
        // SAFETY: the loops are those that are described there.
        unsafe {
            super::windows::multiply(&windows::LOOPS, tile, pixels, out)
        }
        #[cfg(not(cortado_isa = "dsp"))]
        tile.model::<Self>(pixels, out)
    }

    #[inline(always)]
    fn multiply_row<const ANY: bool>(row: &Row<'_>, out: &mut [i8]) -> Option<()> {
        #[cfg(cortado_isa = "dsp")]
        {
            let offsets = pair(row.input_offset);
            let widen = |quad: [i8; 4]| {
                let quad = word(&quad);
                [sxtab16(offsets, quad), sxtab16_ror8(offsets, quad)]
            };
            // SAFETY: the loop reads and writes what `Row::fits` holds for the features that it is given.
            unsafe { rows::compute::<_, ANY>(row, out, row::BLOCK, widen, row::multiply) }
        }
        #[cfg(not(cortado_isa = "dsp"))]
        row.model::<Self>(out)
    }

    fn quantize<T: Integer>(
        input: &[f32],
        inverse_scale: f32,
        zero_point: ZeroPoint,
        range: Activation,
        out: &mut [T],
    ) {
        #[cfg(all(cortado_isa = "dsp", target_abi = "eabihf"))]
        super::float::quantize_in_unit(input, inverse_scale, zero_point, range, out);
        #[cfg(not(all(cortado_isa = "dsp", target_abi = "eabihf")))]
        super::float::quantize_in_integers(input, inverse_scale, zero_point, range, out);
    }

    #[cfg(cortado_isa = "dsp")]
    #[inline(always)]
    fn copy_rows(
        source: (&[i8], usize),
        out: (&mut [i8], usize),
        rows: usize,
        length: usize,
    ) -> Option<()> {
        super::copy::copy_rows(source, out, rows, length)
    }

    #[cfg(cortado_isa = "dsp")]
    fn gather(
        (source, [step, row_step]): (&[i8], [usize; 2]),
        out: &mut [i8],
        length: usize,
    ) -> Option<()> {
        super::copy::gather(source, row_step, step, out, length)
    }

    fn average_windows<const MAY_BE_LARGE: bool>(
        windows: &Windows<'_>,
        activation: Activation,
        out: &mut [i8],
    ) -> Option<()> {
        pool::average_windows::<Self, MAY_BE_LARGE>(windows, activation, out)
    }

    fn raise(values: &[i8], out: &mut [i8]) {
        let ((quads, rest), (out, out_rest)) = (values.as_chunks::<4>(), out.as_chunks_mut::<4>());
        for (out, values) in out.iter_mut().zip(quads) {
            *out = greater(word(out), word(values)).to_le_bytes().map(|byte| byte as i8);
        }
        super::Scalar::raise(rest, out_rest);
    }

    const FRAMES: bool = true;

    fn depthwise<const ANY: bool>(tile: &Depthwise<'_>, out: &mut [i8]) -> Option<()> {
        #[cfg(cortado_isa = "dsp")]
        // SAFETY: the loop reads and writes four elements per tap and window as the tile has them.
        unsafe {
            let (spread, sum) = (depthwise::spread, depthwise::sum);
            channels::compute::<Self, _, ANY>(tile, out, spread, sum, depthwise::multiply)
        }
        #[cfg(not(cortado_isa = "dsp"))]
        tile.model(0, out)
    }

    fn depthwise_framed<const ANY: bool>(framed: &Framed<'_>, out: &mut [i8]) -> Option<()> {
        #[cfg(cortado_isa = "dsp")]
        // SAFETY: as above.
        unsafe {
            let (spread, sum) = (depthwise::spread, depthwise::sum);
            channels::compute_framed::<Self, _, ANY>(framed, out, spread, sum, depthwise::multiply)
        }
        #[cfg(not(cortado_isa = "dsp"))]
        framed.model(out)
    }

    #[inline(always)]
    fn dot_rows(lhs: &[i8], lhs_offset: i32, rows: [&[i8]; 4], accumulators: &mut [i32; 4]) {
        let Some(rows) = cut_rows(rows, lhs.len()) else { return };
        let offsets = pair(lhs_offset);
        let [mut a, mut b, mut c, mut d] = *accumulators;
        let (lhs_quads, lhs_tail) = lhs.as_chunks::<4>();
        let quads = rows.map(|row| row.as_chunks::<4>().0);
        let weights = quads[0].iter().zip(quads[1]).zip(quads[2].iter().zip(quads[3]));
        for (lhs, ((w0, w1), (w2, w3))) in lhs_quads.iter().zip(weights) {
            let lhs = word(lhs);
            let even = sxtab16(offsets, lhs);
            let odd = sxtab16_ror8(offsets, lhs);
            let add = |weights: &[i8; 4], sum: i32| {
                let weights = word(weights);
                smlad(odd, sxtb16_ror8(weights), smlad(even, sxtb16(weights), sum))
            };
            a = add(w0, a);
            b = add(w1, b);
            c = add(w2, c);
            d = add(w3, d);
        }
        if !lhs_tail.is_empty() {
            for (sum, row) in [&mut a, &mut b, &mut c, &mut d].into_iter().zip(rows) {
                let tail = row.as_chunks::<4>().1;
                *sum = sum.wrapping_add(super::Scalar::dot(lhs_tail, lhs_offset, tail));
            }
        }
        *accumulators = [a, b, c, d];
    }

    const PAIRS: bool = true;

    #[cfg(cortado_isa = "dsp")]
    fn dot_pair(lhs: &[i8], lhs_offset: i32, rows: [&[i8]; 2]) -> [i32; 2] {
        // SAFETY: the loop reads and writes what is described there.
        unsafe { super::pair::dot(lhs, lhs_offset, rows, pair::multiply) }
    }

    /// Elements 0 and 2, and 1 and 3, are paired as `SXTB16` pairs bytes.
    fn dot_pair_s16(lhs: &[i16], rows: [&[i8]; 2]) -> [i64; 2] {
        in_blocks_s16(lhs, rows, |lhs, rows| {
            let mut sums = [0i32; 2];
            let (quads, tail) = lhs.as_chunks::<4>();
            let ((first, first_tail), (second, second_tail)) =
                (rows[0].as_chunks::<4>(), rows[1].as_chunks::<4>());
            for (lhs, (first, second)) in quads.iter().zip(first.iter().zip(second)) {
                let [a, b, c, d] = lhs.map(|element| u32::from(element as u16));
                let (even, odd) = (a | c << 16, b | d << 16);
                for (sum, weights) in sums.iter_mut().zip([word(first), word(second)]) {
                    *sum = smlad(even, sxtb16(weights), *sum);
                    *sum = smlad(odd, sxtb16_ror8(weights), *sum);
                }
            }
            for (lhs, (first, second)) in tail.iter().zip(first_tail.iter().zip(second_tail)) {
                for (sum, weight) in sums.iter_mut().zip([first, second]) {
                    *sum = sum.wrapping_add(i32::from(*lhs) * i32::from(*weight));
                }
            }
            sums
        })
    }

    #[inline(always)]
    fn dot(lhs: &[i8], lhs_offset: i32, rhs: &[i8]) -> i32 {
        let length = lhs.len().min(rhs.len());
        let (Some(lhs), Some(rhs)) = (lhs.get(..length), rhs.get(..length)) else { return 0 };
        let offsets = pair(lhs_offset);
        let mut sum = 0;
        let (lhs_quads, lhs_tail) = lhs.as_chunks::<4>();
        let (rhs_quads, rhs_tail) = rhs.as_chunks::<4>();
        for (lhs, weights) in lhs_quads.iter().zip(rhs_quads) {
            let (lhs, weights) = (word(lhs), word(weights));
            sum = smlad(sxtab16(offsets, lhs), sxtb16(weights), sum);
            sum = smlad(sxtab16_ror8(offsets, lhs), sxtb16_ror8(weights), sum);
        }
        sum.wrapping_add(super::Scalar::dot(lhs_tail, lhs_offset, rhs_tail))
    }
}

#[cfg(cortado_isa = "dsp")]
mod depthwise;
#[cfg(cortado_isa = "dsp")]
mod pair;
#[cfg(cortado_isa = "dsp")]
mod row;
#[cfg(cortado_isa = "dsp")]
mod windows;

impl pool::Quad for Dsp {
    #[inline(always)]
    fn add([even, odd]: [u32; 2], word: u32) -> [u32; 2] {
        [sxtab16(even, word), sxtab16_ror8(odd, word)]
    }

    #[inline(always)]
    fn halves(sum: u32, _: i32) -> [i32; 2] {
        [i32::from(sum as i16), sum as i32 >> 16]
    }
}

/// The greater byte of each two.
#[inline(always)]
fn greater(a: u32, b: u32) -> u32 {
    #[cfg(cortado_isa = "dsp")]
    {
        let out: u32;
        // SAFETY: two data-processing instructions on registers, which the build's target has; the flags in between are no conditions.
        unsafe {
            core::arch::asm!("ssub8 {out}, {a}, {b}", "sel {out}, {a}, {b}", a = in(reg) a, b = in(reg) b,
                out = out(reg) out, options(pure, nomem, nostack));
        }
        out
    }
    #[cfg(not(cortado_isa = "dsp"))]
    {
        let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
        u32::from_le_bytes(core::array::from_fn(|at| (a[at] as i8).max(b[at] as i8) as u8))
    }
}

/// An offset in both halfwords.
#[inline(always)]
fn pair(offset: i32) -> u32 {
    (offset as u32 & 0xffff) * 0x0001_0001
}

/// Four bytes as a word, the first one lowest.
#[inline(always)]
fn word(bytes: &[i8; 4]) -> u32 {
    u32::from_le_bytes(bytes.map(|byte| byte as u8))
}

macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $text:literal, $model:expr) => {
        $(#[$doc])*
        #[inline(always)]
        fn $name($($arg: $ty),*) -> $out {
            #[cfg(cortado_isa = "dsp")]
            {
                let out: $out;
                // SAFETY: one data-processing instruction on registers, which the build's target has.
                unsafe {
                    core::arch::asm!($text, $($arg = in(reg) $arg,)* out = lateout(reg) out,
                        options(pure, nomem, nostack, preserves_flags));
                }
                out
            }
            #[cfg(not(cortado_isa = "dsp"))]
            {
                $model
            }
        }
    };
}

instruction! {
    /// Bytes 0 and 2.
    sxtb16(value: u32) -> u32 = "sxtb16 {out}, {value}", super::model::sxtb16(value)
}
instruction! {
    /// Bytes 1 and 3.
    sxtb16_ror8(value: u32) -> u32 = "sxtb16 {out}, {value}, ror #8", super::model::sxtb16(value.rotate_right(8))
}
instruction! {
    /// Bytes 0 and 2, added to a pair.
    sxtab16(addend: u32, value: u32) -> u32 = "sxtab16 {out}, {addend}, {value}", super::model::sxtab16(addend, value)
}
instruction! {
    /// Bytes 1 and 3, added to a pair.
    sxtab16_ror8(addend: u32, value: u32) -> u32 = "sxtab16 {out}, {addend}, {value}, ror #8",
    super::model::sxtab16(addend, value.rotate_right(8))
}
#[cfg(cortado_isa = "dsp")]
instruction! {
    /// The sums of both halfwords, each wrapping.
    sadd16(a: u32, b: u32) -> u32 = "sadd16 {out}, {a}, {b}", a
}
instruction! {
    /// Two products added to an accumulator.
    smlad(a: u32, b: u32, sum: i32) -> i32 = "smlad {out}, {a}, {b}, {sum}", super::model::smlad(a, b, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_meet() {
        let lhs = word(&[1, -2, 3, -128]);
        let rhs = word(&[-128, 127, 5, -7]);
        let sum = smlad(
            sxtab16_ror8(pair(128), lhs),
            sxtb16_ror8(rhs),
            smlad(sxtab16(pair(128), lhs), sxtb16(rhs), 10),
        );
        assert_eq!(sum, 10 + (1 + 128) * -128 + (-2 + 128) * 127 + (3 + 128) * 5);
    }

    #[test]
    fn smlad_wraps() {
        assert_eq!(smlad(0x8000_8000, 0x8000_8000, 0), i32::MIN);
    }

    #[test]
    fn a_dot_product_ends_with_the_shorter_row() {
        let lhs = [1, 2, 3, 4, 5, 6];
        let rhs = [7, 8, 9, 10, 11, 12, 13, 14, 15];
        let expected = super::super::Scalar::dot(&lhs, 5, &rhs);
        assert_eq!(Dsp::dot(&lhs, 5, &rhs), expected);
        assert_eq!(Dsp::dot(&rhs[..5], 5, &lhs[..2]), (7 + 5) + (8 + 5) * 2);
    }
}
