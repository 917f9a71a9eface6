//! `cortex_m::quantized_mul`: products of `int8` tensors, element by element.

use super::Rules;
use crate::DType;
use crate::broadcast::{self, Broadcast};
use crate::quant::{Activation, InputOffset, OutputOffset, Requantize, ZeroPoint};
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out = clamp(requantize((self − self_zero_point) · (other − other_zero_point)) + output_zero_point)`.
    ///
    /// Shapes: the operands' are broadcast to that of `out`; see [`Broadcast`] for their order in memory. All tensors are `int8`. The
    /// operands' zero points may lie outside of `int8`, within 16 bits: ExecuTorch writes `x + 3` of a hardswish so.
    ///
    /// ExecuTorch's runtime broadcasts only one value per channel; Cortado's kernel broadcasts along any axis.
    QuantizedMul = "cortex_m::quantized_mul" {
        /// The first operand.
        lhs as "self": Tensor,
        /// The first operand's zero point.
        lhs_zero_point as "self_zero_point": Int<ZeroPoint>,
        /// The second operand.
        rhs as "other": Tensor,
        /// The second operand's zero point.
        rhs_zero_point as "other_zero_point": Int<ZeroPoint>,
        /// The result's zero point.
        output_zero_point: Int<OutputOffset>,
        /// The product's factor: Q31 mantissa.
        output_multiplier: Int<i32>,
        /// The product's factor: exponent, positive is left.
        output_shift: Int<i32>,
    }
}

impl<D: Domain> QuantizedMul<D> {
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
    pub fn params(&self) -> MulParams {
        MulParams {
            lhs_offset: self.lhs_zero_point.input_offset(),
            rhs_offset: self.rhs_zero_point.input_offset(),
            output_offset: self.output_zero_point,
            factor: Requantize { multiplier: self.output_multiplier, shift: self.output_shift },
            activation: Activation::INT8,
        }
    }
}

impl<D: Domain> Rules for QuantizedMul<D> {
    fn check(&self) -> Result<(), Violation> {
        require(self.lhs.dtype() == DType::I8, argument::lhs, Rule::DType)?;
        require(self.rhs.dtype() == DType::I8, argument::rhs, Rule::DType)?;
        require(self.out.dtype() == DType::I8, argument::out, Rule::DType)?;
        self.broadcast()?;
        // Products of such operands stay within 32 bits.
        let int16 = -32_767..=32_767;
        require(int16.contains(&self.lhs_zero_point.0), argument::lhs_zero_point, Rule::Range)?;
        require(int16.contains(&self.rhs_zero_point.0), argument::rhs_zero_point, Rule::Range)?;
        let is_int8 = (-128..=127).contains(&self.output_zero_point.0);
        require(is_int8, argument::output_zero_point, Rule::Range)?;
        require(self.params().factor.is_valid(), argument::output_multiplier, Rule::Range)
    }

    fn is_element_by_element(&self) -> bool {
        true
    }
}

/// The numbers of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MulParams {
    /// Minus the first operand's zero point.
    pub lhs_offset: InputOffset,
    /// Minus the second operand's zero point.
    pub rhs_offset: InputOffset,
    /// The result's zero point.
    pub output_offset: OutputOffset,
    /// The product's factor.
    pub factor: Requantize,
    /// The range of results; all of `int8` in every program.
    pub activation: Activation,
}

impl MulParams {
    /// The result for a product.
    #[inline(always)]
    pub const fn finish(&self, product: i32) -> i8 {
        let scaled = self.factor.apply(product).wrapping_add(self.output_offset.0);
        self.activation.clamp(scaled) as i8
    }

    /// The result for one element of each operand.
    #[inline(always)]
    pub const fn apply(&self, lhs: i8, rhs: i8) -> i8 {
        let lhs = (lhs as i32).wrapping_add(self.lhs_offset.0);
        self.finish(lhs.wrapping_mul((rhs as i32).wrapping_add(self.rhs_offset.0)))
    }
}

/// The exact meaning, over memory (`arm_elementwise_mul_s8`).
///
/// # Panics
/// If a slice is shorter than [`Broadcast::element_counts`] says.
pub fn reference(
    broadcast: &Broadcast,
    params: &MulParams,
    lhs: &[i8],
    rhs: &[i8],
    out: &mut [i8],
) {
    broadcast::reference(broadcast, lhs, rhs, out, |lhs, rhs| params.apply(lhs, rhs));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Nowhere;

    #[test]
    fn the_schema_is_upstreams() {
        assert_eq!(
            QuantizedMul::<Nowhere>::SCHEMA,
            "cortex_m::quantized_mul.out(Tensor self, int self_zero_point, Tensor other, int other_zero_point, \
             int output_zero_point, int output_multiplier, int output_shift, *, Tensor(a!) out) -> Tensor(a!)"
        );
    }
}
