//! Plain Thumb and Thumb-2: Rust that the compiler does well on, and loops in assembly where it does not.

#![allow(unsafe_code, reason = "assembly")]

#[cfg(cortado_isa = "scalar")]
use super::channels;
use super::pool;
#[cfg(all(cortado_isa = "scalar", cortado_thumb = "2"))]
use super::rows;
use crate::micro::{Integer, Micro, Windows, cut_rows};
use crate::tile::{Depthwise, Framed, Quads, Row};
use cortado_contract::Isa;
use cortado_contract::quant::{Activation, ZeroPoint};

/// Cores without DSP or Helium instructions.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

impl Micro for Scalar {
    const ISA: Isa = Isa::Scalar;
    const WINDOWS: usize = 4;

    fn multiply_quads(tile: &Quads<'_>, pixels: usize, out: &mut [i8]) -> Option<()> {
        #[cfg(all(cortado_isa = "scalar", cortado_thumb = "2"))]
        // SAFETY: the loops are those that are described there.
        unsafe {
            super::windows::multiply(&windows::LOOPS, tile, pixels, out)
        }
        #[cfg(all(cortado_isa = "scalar", cortado_thumb = "1"))]
        return thumb1::multiply(tile, pixels, out);
        #[cfg(not(cortado_isa = "scalar"))]
        tile.model::<Self>(pixels, out)
    }

    #[inline(always)]
    fn multiply_row<const ANY: bool>(row: &Row<'_>, out: &mut [i8]) -> Option<()> {
        #[cfg(all(cortado_isa = "scalar", cortado_thumb = "2"))]
        {
            let widen =
                |quad: [i8; 4]| quad.map(|value| (i32::from(value) + row.input_offset) as u32);
            // SAFETY: the loop reads and writes what `Row::fits` holds for the features that it is given.
            unsafe { rows::compute::<_, ANY>(row, out, row::BLOCK, widen, row::multiply) }
        }
        #[cfg(all(cortado_isa = "scalar", cortado_thumb = "1"))]
        return thumb1::multiply_row::<ANY>(row, out);
        #[cfg(not(cortado_isa = "scalar"))]
        row.model::<Self>(out)
    }

    fn quantize<T: Integer>(
        input: &[f32],
        inverse_scale: f32,
        zero_point: ZeroPoint,
        range: Activation,
        out: &mut [T],
    ) {
        super::float::quantize_in_integers(input, inverse_scale, zero_point, range, out);
    }

    fn dequantize<T: Integer>(input: &[T], scale: f32, zero_point: ZeroPoint, out: &mut [f32]) {
        super::float::dequantize_in_integers(input, scale, zero_point, out);
    }

    #[cfg(cortado_isa = "scalar")]
    #[inline(always)]
    fn copy_rows(
        source: (&[i8], usize),
        out: (&mut [i8], usize),
        rows: usize,
        length: usize,
    ) -> Option<()> {
        super::copy::copy_rows(source, out, rows, length)
    }

    #[cfg(cortado_isa = "scalar")]
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

    const FRAMES: bool = true;

    fn depthwise<const ANY: bool>(tile: &Depthwise<'_>, out: &mut [i8]) -> Option<()> {
        #[cfg(cortado_isa = "scalar")]
        // SAFETY: the loop reads and writes four elements per tap and window as the tile has them.
        unsafe {
            channels::compute::<Self, _, ANY>(tile, out, spread, sum, multiply_channels)
        }
        #[cfg(not(cortado_isa = "scalar"))]
        tile.model(0, out)
    }

    fn depthwise_framed<const ANY: bool>(framed: &Framed<'_>, out: &mut [i8]) -> Option<()> {
        #[cfg(cortado_isa = "scalar")]
        // SAFETY: as above.
        unsafe {
            channels::compute_framed::<Self, _, ANY>(framed, out, spread, sum, multiply_channels)
        }
        #[cfg(not(cortado_isa = "scalar"))]
        framed.model(out)
    }

    #[cfg(not(cortado_thumb = "1"))]
    #[inline(never)]
    fn sum(values: &[i8]) -> i32 {
        // Four bytes at a time, as numbers from 0 on, in pairs of halves that hold the sums of so many.
        let mut sum = 0i32;
        let (words, rest) = values.as_chunks::<4>();
        for words in words.chunks(128) {
            let mut pairs = 0u32;
            for word in words {
                let word = u32::from_le_bytes(word.map(|byte| byte as u8)) ^ 0x8080_8080;
                pairs += (word & 0x00ff_00ff) + (word >> 8 & 0x00ff_00ff);
            }
            let all = (pairs & 0xffff) + (pairs >> 16);
            sum = sum.wrapping_add(all as i32 - 4 * 128 * words.len() as i32);
        }
        rest.iter().fold(sum, |sum, value| sum.wrapping_add(i32::from(*value)))
    }

    #[inline(always)]
    fn dot_rows(lhs: &[i8], lhs_offset: i32, rows: [&[i8]; 4], accumulators: &mut [i32; 4]) {
        let Some(rows) = cut_rows(rows, lhs.len()) else { return };
        let [mut a, mut b, mut c, mut d] = *accumulators;
        let weights = rows[0].iter().zip(rows[1]).zip(rows[2].iter().zip(rows[3]));
        for (lhs, ((w0, w1), (w2, w3))) in lhs.iter().zip(weights) {
            let lhs = i32::from(*lhs) + lhs_offset;
            a = a.wrapping_add(lhs.wrapping_mul(i32::from(*w0)));
            b = b.wrapping_add(lhs.wrapping_mul(i32::from(*w1)));
            c = c.wrapping_add(lhs.wrapping_mul(i32::from(*w2)));
            d = d.wrapping_add(lhs.wrapping_mul(i32::from(*w3)));
        }
        *accumulators = [a, b, c, d];
    }

    const PAIRS: bool = true;

    #[cfg(cortado_isa = "scalar")]
    fn dot_pair(lhs: &[i8], lhs_offset: i32, rows: [&[i8]; 2]) -> [i32; 2] {
        // SAFETY: the loop reads and writes what is described there.
        unsafe { super::pair::dot(lhs, lhs_offset, rows, multiply_pair) }
    }

    #[inline(always)]
    fn dot(lhs: &[i8], lhs_offset: i32, rhs: &[i8]) -> i32 {
        lhs.iter().zip(rhs).fold(0i32, |sum, (lhs, rhs)| {
            sum.wrapping_add((i32::from(*lhs) + lhs_offset).wrapping_mul(i32::from(*rhs)))
        })
    }
}

impl pool::Quad for Scalar {
    #[inline(always)]
    fn add([even, odd]: [u32; 2], word: u32) -> [u32; 2] {
        // As numbers from 0 on, the sums of which stay in their halves.
        let word = word ^ 0x8080_8080;
        [even.wrapping_add(word & 0x00ff_00ff), odd.wrapping_add(word >> 8 & 0x00ff_00ff)]
    }

    #[inline(always)]
    fn halves(sum: u32, count: i32) -> [i32; 2] {
        [sum & 0xffff, sum >> 16].map(|half| half as i32 - 128 * count)
    }
}

#[cfg(all(cortado_isa = "scalar", cortado_thumb = "2"))]
mod depthwise;
#[cfg(all(cortado_isa = "scalar", cortado_thumb = "2"))]
mod pair;
#[cfg(all(cortado_isa = "scalar", cortado_thumb = "2"))]
mod row;
#[cfg(all(cortado_isa = "scalar", cortado_thumb = "1"))]
mod thumb1;
#[cfg(all(cortado_isa = "scalar", cortado_thumb = "2"))]
mod windows;

#[cfg(all(cortado_isa = "scalar", cortado_thumb = "1"))]
use thumb1::{multiply_channels, multiply_pair};
#[cfg(all(cortado_isa = "scalar", cortado_thumb = "2"))]
use {depthwise::multiply as multiply_channels, pair::multiply as multiply_pair};

/// Widens the weights of four channels.
#[cfg(cortado_isa = "scalar")]
#[inline(always)]
fn spread(weights: &[i8; 4]) -> [i32; 4] {
    weights.map(i32::from)
}

/// Adds up widened weights.
#[cfg(cortado_isa = "scalar")]
#[inline(always)]
fn sum(weights: &[[i32; 4]]) -> [i32; 4] {
    let mut sums = [0i32; 4];
    for weights in weights {
        sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += *weight);
    }
    sums
}
