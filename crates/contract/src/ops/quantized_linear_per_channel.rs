//! `cortado::quantized_linear_per_channel`: a fully connected layer with one rescaling factor per output feature.
//!
//! ExecuTorch's `cortex_m::quantized_linear` takes lists of factors, but its kernel reads only their first item. A
//! layer with one factor per output feature therefore has an operator of its own here: a runtime that does not
//! know it refuses the program, where the other operator would be computed wrongly without a sign.

use super::Rules;
use super::quantized_linear::{LinearTensors, check_activation, check_offsets, check_tensors};
use crate::DType;
use crate::layout::ConstantForm;
use crate::quant::{FilterOffset, InputOffset, OutputOffset};
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// [`super::QuantizedLinear`] with `requantize_multipliers` and `requantize_shifts` as constants of
    /// `[out_features]`, `int32`.
    ///
    /// Each pair must satisfy [`crate::quant::Requantize::is_valid`]; whoever can read the constants checks it.
    QuantizedLinearPerChannel = "cortado::quantized_linear_per_channel" {
        /// The activations.
        input: Tensor,
        /// The weights, one row per output feature.
        weights: Tensor,
        /// The constant term without the input offset's share.
        bias: OptionalTensor,
        /// The constant term with the input offset's share.
        kernel_sum: OptionalTensor,
        /// Minus the input's zero point.
        input_offset: Int<InputOffset>,
        /// Minus the weights' zero point.
        filter_offset: Int<FilterOffset>,
        /// The output's zero point.
        output_offset: Int<OutputOffset>,
        /// One multiplier per output feature.
        requantize_multipliers: Tensor,
        /// One shift per output feature.
        requantize_shifts: Tensor,
        /// The greatest result.
        activation_max: Int<i32>,
        /// The least result.
        activation_min: Int<i32>,
    }
}

impl<D: Domain> Rules for QuantizedLinearPerChannel<D> {
    fn check(&self) -> Result<(), Violation> {
        check_tensors(LinearTensors {
            input: &self.input,
            weights: &self.weights,
            bias: self.bias.as_ref(),
            kernel_sum: self.kernel_sum.as_ref(),
            out: &self.out,
            out_argument: argument::out,
            activations: DType::I8,
        })?;
        check_offsets(self.input_offset, self.filter_offset, self.output_offset)?;
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
        check_activation(self.activation_min, self.activation_max, argument::activation_max)
    }

    fn constant_form(&self) -> Option<ConstantForm> {
        ConstantForm::of_operands(self.bias.is_some(), self.kernel_sum.is_some()).ok()
    }

    fn multiply_accumulates(&self) -> u64 {
        u64::from(self.out.element_count().unwrap_or(0)) * u64::from(self.input.last_dim())
    }
}
