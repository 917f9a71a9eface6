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
    /// `rhs` has `4·n` elements; rows that it does not have count as absent.
    fn dot_4(lhs: &[i8], lhs_offset: i32, rhs: &[i8], accumulators: &mut [i32; 4]);

    /// The dot product `Σ_i (lhs[i] + lhs_offset) · rhs[i]` over the shorter of both.
    fn dot(lhs: &[i8], lhs_offset: i32, rhs: &[i8]) -> i32;

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
