//! The micro-operations that kernels are built from.

use crate::memory::Element;
use cortado_contract::Isa;
use cortado_contract::quant::{Activation, ZeroPoint, dequantize, quantize};

/// What an instruction set does for the generic kernels.
///
/// All implementations give the same bits; sums wrap in 32 bits.
pub trait Micro: Copy + 'static {
    /// The instruction set, which decides what layouts programs must have.
    const ISA: Isa;

    /// Adds to `accumulators[j]` the dot product `Σ_i (lhs[i] + lhs_offset) · rhs[j·n + i]` of `lhs` with each of four
    /// consecutive rows, where `n = lhs.len()`.
    ///
    /// Nothing is added when `rhs` has fewer than `4·n` elements.
    #[inline(always)]
    fn dot_4(lhs: &[i8], lhs_offset: i32, rhs: &[i8], accumulators: &mut [i32; 4]) {
        if let Some(rows) = split_rows(rhs, lhs.len()) {
            Self::dot_rows(lhs, lhs_offset, rows, accumulators);
        }
    }

    /// Adds to `accumulators[j]` the dot product `Σ_i (lhs[i] + lhs_offset) · rows[j][i]` of `lhs` with each of four rows.
    ///
    /// Nothing is added when a row is shorter than `lhs`.
    fn dot_rows(lhs: &[i8], lhs_offset: i32, rows: [&[i8]; 4], accumulators: &mut [i32; 4]);

    /// The dot product `Σ_i (lhs[i] + lhs_offset) · rhs[i]` over the shorter of both.
    fn dot(lhs: &[i8], lhs_offset: i32, rhs: &[i8]) -> i32;

    /// Adds `(lhs[i] + lhs_offset) · rhs[i]` to `accumulators[i]`, over the shortest of the three.
    #[inline(always)]
    fn multiply_add(lhs: &[i8], lhs_offset: i32, rhs: &[i8], accumulators: &mut [i32]) {
        for (sum, (lhs, rhs)) in accumulators.iter_mut().zip(lhs.iter().zip(rhs)) {
            let product = (i32::from(*lhs) + lhs_offset).wrapping_mul(i32::from(*rhs));
            *sum = sum.wrapping_add(product);
        }
    }

    /// `Σ_i values[i]`.
    fn sum(values: &[i8]) -> i32 {
        values.iter().fold(0i32, |sum, value| sum.wrapping_add(i32::from(*value)))
    }

    /// Quantizes `input` into `out`, element by element, as [`cortado_contract::quant::quantize`].
    fn quantize<T: Integer>(
        input: &[f32],
        inverse_scale: f32,
        zero_point: ZeroPoint,
        range: Activation,
        out: &mut [T],
    ) {
        for (out, input) in out.iter_mut().zip(input) {
            *out = T::from_i32(quantize(*input, inverse_scale, zero_point, range));
        }
    }

    /// Dequantizes `input` into `out`, element by element, as [`cortado_contract::quant::dequantize`].
    fn dequantize<T: Integer>(input: &[T], scale: f32, zero_point: ZeroPoint, out: &mut [f32]) {
        for (out, input) in out.iter_mut().zip(input) {
            *out = dequantize(input.to_i32(), scale, zero_point);
        }
    }
}

/// Four consecutive rows of `length`; `None` when there are fewer.
#[inline(always)]
fn split_rows(values: &[i8], length: usize) -> Option<[&[i8]; 4]> {
    let (a, rest) = values.split_at_checked(length)?;
    let (b, rest) = rest.split_at_checked(length)?;
    let (c, rest) = rest.split_at_checked(length)?;
    Some([a, b, c, rest.get(..length)?])
}

/// The first `length` elements of each row; `None` when a row has fewer.
#[inline(always)]
pub(crate) fn cut_rows(rows: [&[i8]; 4], length: usize) -> Option<[&[i8]; 4]> {
    let [a, b, c, d] = rows;
    Some([a.get(..length)?, b.get(..length)?, c.get(..length)?, d.get(..length)?])
}

/// An integer type that holds quantized values.
pub trait Integer: Element {
    /// The value, truncated to this type.
    fn from_i32(value: i32) -> Self;
    /// The value.
    fn to_i32(self) -> i32;
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Integer for $ty {
            #[inline(always)]
            fn from_i32(value: i32) -> Self {
                value as $ty
            }
            #[inline(always)]
            fn to_i32(self) -> i32 {
                i32::from(self)
            }
        }
    )*};
}
integers!(i8, u8, i16);
