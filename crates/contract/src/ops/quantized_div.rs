//! `cortex_m::quantized_div`: quotients of `int8` or `int16` tensors, element by element.

use super::Rules;
use crate::DType;
use crate::broadcast::{self, Broadcast};
use crate::quant::{Activation, InputOffset, OutputOffset, ZeroPoint};
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out = clamp(round((self − self_zero_point) / (other − other_zero_point) · output_scale) + output_zero_point)`, in
    /// binary32 and ties away from zero. Where `other` is its zero point, the quotient counts as 0.
    ///
    /// Shapes: the operands' are broadcast to that of `out`; see [`Broadcast`] for their order in memory. All tensors are `int8`, or
    /// all are `int16`.
    ///
    /// ExecuTorch's runtime does not broadcast here; Cortado's kernel broadcasts along any axis.
    QuantizedDiv = "cortex_m::quantized_div" {
        /// The dividend.
        lhs as "self": Tensor,
        /// The dividend's zero point.
        lhs_zero_point as "self_zero_point": Int<ZeroPoint>,
        /// The divisor.
        rhs as "other": Tensor,
        /// The divisor's zero point.
        rhs_zero_point as "other_zero_point": Int<ZeroPoint>,
        /// The result's zero point.
        output_zero_point: Int<OutputOffset>,
        /// The scale of `self` over the product of those of `other` and `out`; finite in binary32.
        output_scale: Float,
    }
}

impl<D: Domain> QuantizedDiv<D> {
    /// How the operands meet.
    ///
    /// # Errors
    /// See [`Broadcast::new`].
    pub fn broadcast(&self) -> Result<Broadcast, Violation> {
        Broadcast::new(
            (&self.lhs, argument::lhs),
            (&self.rhs, argument::rhs),
            (&self.out, argument::out),
        )
    }

    /// The numbers that kernels take.
    pub fn params(&self) -> DivParams {
        DivParams {
            lhs_offset: self.lhs_zero_point.input_offset(),
            rhs_offset: self.rhs_zero_point.input_offset(),
            output_offset: self.output_zero_point,
            scale: self.output_scale as f32,
        }
    }
}

impl<D: Domain> Rules for QuantizedDiv<D> {
    fn check(&self) -> Result<(), Violation> {
        let dtype = self.out.dtype();
        let range = match dtype {
            DType::I8 => -128..=127,
            DType::I16 => -32768..=32767,
            _ => return Err(Violation { argument: argument::out, rule: Rule::DType }),
        };
        require(self.lhs.dtype() == dtype, argument::lhs, Rule::DType)?;
        require(self.rhs.dtype() == dtype, argument::rhs, Rule::DType)?;
        self.broadcast()?;
        for (zero_point, argument) in [
            (self.lhs_zero_point.0, argument::lhs_zero_point),
            (self.rhs_zero_point.0, argument::rhs_zero_point),
            (self.output_zero_point.0, argument::output_zero_point),
        ] {
            require(range.contains(&zero_point), argument, Rule::Range)?;
        }
        require((self.output_scale as f32).is_finite(), argument::output_scale, Rule::Range)
    }

    fn is_element_by_element(&self) -> bool {
        true
    }
}

/// The numbers of a quotient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DivParams {
    /// Minus the dividend's zero point.
    pub lhs_offset: InputOffset,
    /// Minus the divisor's zero point.
    pub rhs_offset: InputOffset,
    /// The result's zero point.
    pub output_offset: OutputOffset,
    /// What the quotient of the integers is multiplied by; finite.
    pub scale: f32,
}

impl DivParams {
    /// The result for one element of each operand, of a type with this range.
    #[inline(always)]
    pub const fn apply(&self, lhs: i32, rhs: i32, range: Activation) -> i32 {
        let dividend = lhs.wrapping_add(self.lhs_offset.0);
        let quotient = match rhs.wrapping_add(self.rhs_offset.0) {
            0 => 0.0,
            divisor => dividend as f32 / divisor as f32,
        };
        let rounded = round_half_away(quotient * self.scale);
        range.clamp(rounded.saturating_add(self.output_offset.0))
    }
}

/// The nearest integer, ties away from zero; saturates. Every result of a quotient saturates long before
/// binary32 has no fractions left.
#[inline(always)]
const fn round_half_away(value: f32) -> i32 {
    let whole = value as i32;
    // The difference is exact: both numbers have the same exponent, or the whole part is 0.
    let rest = value - whole as f32;
    if rest >= 0.5 {
        whole.saturating_add(1)
    } else if rest <= -0.5 {
        whole.saturating_sub(1)
    } else {
        whole
    }
}

/// The exact meaning for `int8`, over memory.
///
/// # Panics
/// If a slice is shorter than [`Broadcast::element_counts`] says.
pub fn reference(
    broadcast: &Broadcast,
    params: &DivParams,
    lhs: &[i8],
    rhs: &[i8],
    out: &mut [i8],
) {
    broadcast::reference(broadcast, lhs, rhs, out, |lhs, rhs| {
        params.apply(i32::from(lhs), i32::from(rhs), Activation::INT8) as i8
    });
}

/// The range of `int16`.
pub const INT16: Activation = Activation { min: -32768, max: 32767 };

/// The exact meaning for `int16`, over memory.
///
/// # Panics
/// If a slice is shorter than [`Broadcast::element_counts`] says.
pub fn reference_s16(
    broadcast: &Broadcast,
    params: &DivParams,
    lhs: &[i16],
    rhs: &[i16],
    out: &mut [i16],
) {
    broadcast::reference(broadcast, lhs, rhs, out, |lhs, rhs| {
        params.apply(i32::from(lhs), i32::from(rhs), INT16) as i16
    });
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::ops::Nowhere;

    #[test]
    fn the_schema_is_upstreams() {
        assert_eq!(
            QuantizedDiv::<Nowhere>::SCHEMA,
            "cortex_m::quantized_div.out(Tensor self, int self_zero_point, Tensor other, int other_zero_point, \
             int output_zero_point, float output_scale, *, Tensor(a!) out) -> Tensor(a!)"
        );
    }

    #[test]
    fn rounding_agrees_with_the_standard_library() {
        let mut state = 3u32;
        for _ in 0..500_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f32::from_bits(state.rotate_left(13) ^ state);
            if !value.is_nan() {
                assert_eq!(round_half_away(value), value.round() as i32, "{value:e}");
            }
        }
        for eighths in -4000i32..4000 {
            let value = eighths as f32 / 8.0;
            assert_eq!(round_half_away(value), value.round() as i32, "{value}");
        }
        assert_eq!(round_half_away(0.499_999_97), 0);
        assert_eq!(round_half_away(f32::INFINITY), i32::MAX);
        assert_eq!(round_half_away(f32::NEG_INFINITY), i32::MIN);
    }

    #[test]
    fn division_by_zero_is_zero_and_large_quotients_saturate() {
        let params = DivParams {
            lhs_offset: InputOffset(0),
            rhs_offset: InputOffset(3),
            output_offset: OutputOffset(14),
            scale: 57.7,
        };
        assert_eq!(params.apply(100, -3, Activation::INT8), 14);
        assert_eq!(params.apply(100, -2, Activation::INT8), 127);
        assert_eq!(params.apply(-100, -2, Activation::INT8), -128);
        let steep = DivParams { scale: f32::MAX, ..params };
        assert_eq!(steep.apply(127, -2, Activation::INT8), 127);
        assert_eq!(steep.apply(0, -2, Activation::INT8), 14);
    }
}
