//! `aten::native_layer_norm`: layer normalization with its rows' means and reciprocal deviations, in `float32`.

use super::{FloatLayerNorm, Rules};
use crate::float::check_float;
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out0` is [`FloatLayerNorm`]; `out1` has the mean of each row, and `out` (`out2` upstream) `1 / √(variance + eps)`.
    ///
    /// `out1` and `out` are `float32`, row-major, and have an element for each row.
    FloatNativeLayerNorm = "aten::native_layer_norm" {
        /// The operand.
        input: Tensor,
        /// The extents of a row.
        normalized_shape: IntList,
        /// A factor of each position in a row; 1 when it is absent.
        weight: OptionalTensor,
        /// What is added to each position of a row; 0 when it is absent.
        bias: OptionalTensor,
        /// What is added to the variance.
        eps: Float,
        /// The normalized rows.
        out0: Tensor,
        /// The rows' means.
        out1: Tensor,
    }
}

impl<D: Domain> FloatNativeLayerNorm<D> {
    /// The operator that makes `out0`.
    pub fn normalization(&self) -> FloatLayerNorm<D> {
        FloatLayerNorm {
            input: self.input.clone(),
            normalized_shape: self.normalized_shape.clone(),
            weight: self.weight.clone(),
            bias: self.bias.clone(),
            eps: self.eps,
            out: self.out0.clone(),
        }
    }
}

impl<D: Domain> Rules for FloatNativeLayerNorm<D> {
    fn check(&self) -> Result<(), Violation> {
        // Arguments stand in the same places, the result included.
        let normalization = self.normalization();
        normalization.check()?;
        let length = normalization.row_length().unwrap_or(1);
        let rows = self.input.element_count().and_then(|count| count.checked_div(length));
        for (tensor, position) in [(&self.out1, argument::out1), (&self.out, argument::out)] {
            check_float(tensor, position)?;
            require(tensor.is_row_major(), position, Rule::Layout)?;
            require(tensor.element_count() == rows, position, Rule::Shape)?;
        }
        Ok(())
    }

    fn is_float(&self) -> bool {
        true
    }
}
