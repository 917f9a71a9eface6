//! `cortado::layer_norm`: rows brought to mean 0 and variance 1, in `float32`.

use super::Rules;
use crate::float::check_float;
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[r,i] = (input[r,i] − mean_r) / √(variance_r + eps) · weight[i] + bias[i]`, where a row holds the elements of the last
    /// axes, whose extents are `normalized_shape`, and the variance is that of the row itself (divided by its length).
    ///
    /// `input` and `out` are `float32`, row-major, of the same extents; `weight` and `bias` have as many elements as a row.
    /// `aten::native_layer_norm` has two more results, which nothing but training reads.
    FloatLayerNorm = "cortado::layer_norm" {
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
    }
}

impl<D: Domain> FloatLayerNorm<D> {
    /// The number of elements in a row, if that many last axes exist and have these extents.
    pub fn row_length(&self) -> Option<u32> {
        let first = self.input.rank().checked_sub(self.normalized_shape.len())?;
        (0..self.normalized_shape.len()).try_fold(1u32, |count, index| {
            let extent = self.input.dim(first + index);
            let is_alike = self.normalized_shape.get(index) == Some(i64::from(extent));
            is_alike.then_some(count.checked_mul(extent)?)
        })
    }
}

impl<D: Domain> Rules for FloatLayerNorm<D> {
    fn check(&self) -> Result<(), Violation> {
        let FloatLayerNorm { input, weight, bias, out, .. } = self;
        for (tensor, argument) in [(input, argument::input), (out, argument::out)] {
            check_float(tensor, argument)?;
            require(tensor.is_row_major(), argument, Rule::Layout)?;
        }
        require(input.same_shape(out), argument::out, Rule::Shape)?;
        let length = self.row_length().filter(|length| *length > 0);
        require(length.is_some(), argument::normalized_shape, Rule::Shape)?;
        for (tensor, argument) in [(weight, argument::weight), (bias, argument::bias)] {
            let Some(tensor) = tensor else { continue };
            check_float(tensor, argument)?;
            require(tensor.is_row_major(), argument, Rule::Layout)?;
            require(tensor.element_count() == length, argument, Rule::Shape)?;
        }
        require(self.eps >= 0.0, argument::eps, Rule::Range)
    }

    fn is_float(&self) -> bool {
        true
    }
}
