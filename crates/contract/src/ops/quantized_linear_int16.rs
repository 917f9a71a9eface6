//! `cortado::quantized_linear_int16`: a fully connected layer over 16-bit activations and 8-bit weights.
//!
//! ExecuTorch has no operator for CMSIS-NN's kernel over 16-bit activations. [`super::quantized_linear::reference_s16`] defines the
//! bits. Without zero points there is one form of the constant term, whatever the instruction set.

use super::Rules;
use super::quantized_linear::{LinearTensors, check_tensors};
use crate::DType;
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[r,o] = clamp(requantize(Σ_i input[r,i]·weights[o,i] + bias[o]))`.
    ///
    /// Shapes: `input` `[…, in_features]`, `weights` `[out_features, in_features]`, `bias`, `requantize_multipliers` and
    /// `requantize_shifts` `[out_features]`, `out` `[…, out_features]` with the leading axes of `input`. `input` and `out` are `int16`
    /// with zero points of 0, `weights` `int8`, `bias` `int64`, the others `int32`. The sum has 64 bits.
    ///
    /// Factors must be below 2^14, since [`crate::quant::requantize_s64`] takes no greater shift; whoever can read the constants checks it.
    ///
    /// Source: `arm_fully_connected_s16` of CMSIS-NN, which has one factor for all output features.
    QuantizedLinearInt16 = "cortado::quantized_linear_int16" {
        /// The activations.
        input: Tensor,
        /// The weights, one row per output feature.
        weights: Tensor,
        /// One number per output feature, or none for zero.
        bias: OptionalTensor,
        /// One multiplier per output feature.
        requantize_multipliers: Tensor,
        /// One shift per output feature.
        requantize_shifts: Tensor,
        /// The least result.
        activation_min: Int<i32>,
        /// The greatest result.
        activation_max: Int<i32>,
    }
}

impl<D: Domain> Rules for QuantizedLinearInt16<D> {
    fn check(&self) -> Result<(), Violation> {
        check_tensors(LinearTensors {
            input: &self.input,
            weights: &self.weights,
            bias: self.bias.as_ref(),
            kernel_sum: None,
            out: &self.out,
            out_argument: argument::out,
            activations: DType::I16,
        })?;
        for (argument, table) in [
            (argument::requantize_multipliers, &self.requantize_multipliers),
            (argument::requantize_shifts, &self.requantize_shifts),
        ] {
            require(table.dtype() == DType::I32, argument, Rule::DType)?;
            require(
                table.rank() == 1 && table.dim(0) == self.out.last_dim(),
                argument,
                Rule::Shape,
            )?;
        }
        let (min, max) = (self.activation_min, self.activation_max);
        let holds = i32::from(i16::MIN) <= min && min <= max;
        require(holds, argument::activation_min, Rule::Range)?;
        require(max <= i32::from(i16::MAX), argument::activation_max, Rule::Range)
    }

    fn multiply_accumulates(&self) -> u64 {
        u64::from(self.out.element_count().unwrap_or(0)) * u64::from(self.input.last_dim())
    }
}
