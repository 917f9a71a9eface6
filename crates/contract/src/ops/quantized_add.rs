//! `cortex_m::quantized_add`: sums and differences of `int8` tensors.

use super::Rules;
use super::quantized_linear::check_activation;
use crate::DType;
use crate::broadcast::{self, Broadcast};
use crate::quant::{
    Activation, InputOffset, OutputOffset, Requantize, SHIFT_MAX, SHIFT_MIN, ZeroPoint,
};
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out = clamp(requantize(scaled(self) + scaled(other), output) + output_zero_point)`, where
    /// `scaled(x) = requantize((x − zero_point) · 2^20, multiplier, shift)` has a zero point, multiplier and shift of its own for
    /// each operand.
    ///
    /// Shapes: the operands' are broadcast to that of `out`; see [`Broadcast`] for their order in memory. All tensors are `int8`.
    /// A negative multiplier subtracts.
    ///
    /// ExecuTorch's runtime broadcasts only one value per channel; Cortado's kernel broadcasts along any axis.
    QuantizedAdd = "cortex_m::quantized_add" {
        /// The first operand.
        lhs as "self": Tensor,
        /// The first operand's zero point.
        lhs_zero_point as "self_zero_point": Int<ZeroPoint>,
        /// The first operand's factor: Q31 mantissa.
        lhs_multiplier as "self_multiplier": Int<i32>,
        /// The first operand's factor: exponent, positive is left.
        lhs_shift as "self_shift": Int<i32>,
        /// The second operand.
        rhs as "other": Tensor,
        /// The second operand's zero point.
        rhs_zero_point as "other_zero_point": Int<ZeroPoint>,
        /// The second operand's factor: Q31 mantissa.
        rhs_multiplier as "other_multiplier": Int<i32>,
        /// The second operand's factor: exponent, positive is left.
        rhs_shift as "other_shift": Int<i32>,
        /// The result's zero point.
        output_zero_point: Int<OutputOffset>,
        /// The sum's factor: Q31 mantissa.
        output_multiplier: Int<i32>,
        /// The sum's factor: exponent, positive is left.
        output_shift: Int<i32>,
        /// The least result.
        activation_min: Int<i32>,
        /// The greatest result.
        activation_max: Int<i32>,
    }
}

impl<D: Domain> QuantizedAdd<D> {
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
    pub fn params(&self) -> AddParams {
        AddParams {
            lhs: Addend {
                offset: self.lhs_zero_point.input_offset(),
                factor: Requantize { multiplier: self.lhs_multiplier, shift: self.lhs_shift },
            },
            rhs: Addend {
                offset: self.rhs_zero_point.input_offset(),
                factor: Requantize { multiplier: self.rhs_multiplier, shift: self.rhs_shift },
            },
            left_shift: LEFT_SHIFT,
            output_offset: self.output_zero_point,
            factor: Requantize { multiplier: self.output_multiplier, shift: self.output_shift },
            activation: Activation { min: self.activation_min, max: self.activation_max },
        }
    }
}

impl<D: Domain> Rules for QuantizedAdd<D> {
    fn check(&self) -> Result<(), Violation> {
        require(self.lhs.dtype() == DType::I8, argument::lhs, Rule::DType)?;
        require(self.rhs.dtype() == DType::I8, argument::rhs, Rule::DType)?;
        require(self.out.dtype() == DType::I8, argument::out, Rule::DType)?;
        self.broadcast()?;
        let int8 = -128..=127;
        for (zero_point, argument) in [
            (self.lhs_zero_point.0, argument::lhs_zero_point),
            (self.rhs_zero_point.0, argument::rhs_zero_point),
            (self.output_zero_point.0, argument::output_zero_point),
        ] {
            require(int8.contains(&zero_point), argument, Rule::Range)?;
        }
        for (multiplier, shift, argument) in [
            (self.lhs_multiplier, self.lhs_shift, argument::lhs_multiplier),
            (self.rhs_multiplier, self.rhs_shift, argument::rhs_multiplier),
            (self.output_multiplier, self.output_shift, argument::output_multiplier),
        ] {
            require(multiplier != i32::MIN, argument, Rule::Range)?;
            require((SHIFT_MIN..=SHIFT_MAX).contains(&shift), argument + 1, Rule::Range)?;
        }
        check_activation(self.activation_min, self.activation_max, argument::activation_max)
            .map_err(
                // The schema of this operator has the least value first.
                |violation| match violation.argument {
                    argument::activation_max => violation,
                    _ => Violation { argument: argument::activation_min, ..violation },
                },
            )
    }

    fn is_element_by_element(&self) -> bool {
        true
    }
}

/// The bits that operands are shifted left by before they are scaled, so that rounding costs nothing that shows.
pub const LEFT_SHIFT: u32 = 20;

/// What scales an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addend {
    /// Minus the operand's zero point.
    pub offset: InputOffset,
    /// The operand's factor, at most one half; its multiplier may be negative.
    pub factor: Requantize,
}

impl Addend {
    /// `requantize((value + offset) · 2^left_shift)`.
    #[inline(always)]
    pub const fn scale(self, value: i8, left_shift: u32) -> i32 {
        self.factor.apply((value as i32).wrapping_add(self.offset.0).wrapping_shl(left_shift))
    }
}

/// The numbers of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddParams {
    /// The first operand's.
    pub lhs: Addend,
    /// The second operand's.
    pub rhs: Addend,
    /// The bits that operands are shifted left by; [`LEFT_SHIFT`] in every program.
    pub left_shift: u32,
    /// The result's zero point.
    pub output_offset: OutputOffset,
    /// The sum's factor.
    pub factor: Requantize,
    /// The range of results.
    pub activation: Activation,
}

impl AddParams {
    /// The result for a sum of scaled operands.
    #[inline(always)]
    pub const fn finish(&self, lhs: i32, rhs: i32) -> i8 {
        let sum = self.factor.apply(lhs.wrapping_add(rhs));
        self.activation.clamp(sum.wrapping_add(self.output_offset.0)) as i8
    }

    /// The result for one element of each operand.
    #[inline(always)]
    pub const fn apply(&self, lhs: i8, rhs: i8) -> i8 {
        self.finish(self.lhs.scale(lhs, self.left_shift), self.rhs.scale(rhs, self.left_shift))
    }
}

/// The exact meaning, over memory (`arm_elementwise_add_s8`).
///
/// # Panics
/// If a slice is shorter than [`Broadcast::element_counts`] says.
pub fn reference(
    broadcast: &Broadcast,
    params: &AddParams,
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
            QuantizedAdd::<Nowhere>::SCHEMA,
            "cortex_m::quantized_add.out(Tensor self, int self_zero_point, int self_multiplier, int self_shift, Tensor other, \
             int other_zero_point, int other_multiplier, int other_shift, int output_zero_point, int output_multiplier, \
             int output_shift, int activation_min, int activation_max, *, Tensor(a!) out) -> Tensor(a!)"
        );
    }

    #[test]
    fn a_negative_multiplier_subtracts() {
        let half = Requantize { multiplier: 1 << 30, shift: 0 };
        let minus_half = Requantize { multiplier: -(1 << 30), shift: 0 };
        let params = AddParams {
            lhs: Addend { offset: InputOffset(0), factor: half },
            rhs: Addend { offset: InputOffset(0), factor: minus_half },
            left_shift: LEFT_SHIFT,
            output_offset: OutputOffset(0),
            factor: Requantize { multiplier: 1 << 30, shift: 2 - LEFT_SHIFT as i32 },
            activation: Activation::INT8,
        };
        assert_eq!(params.apply(100, 30), 70);
        assert_eq!(params.apply(-128, 127), -128);
        assert_eq!(params.apply(0, -128), 127);
    }
}
