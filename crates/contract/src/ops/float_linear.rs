//! `aten::linear`: a fully connected layer, in `float32`.

use super::Rules;
use crate::float::{MatrixShape, check_float};
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[r,o] = Σ_i input[r,i] · weight[o,i] + bias[o]`.
    ///
    /// Shapes: `input` `[…, in_features]`, `weight` `[out_features, in_features]`, `bias` `[out_features]`, `out`
    /// `[…, out_features]` with the leading axes of `input`; all `float32` and row-major.
    FloatLinear = "aten::linear" {
        /// The activations.
        input: Tensor,
        /// The weights, one row per output feature.
        weight: Tensor,
        /// The constant term; zero when it is absent.
        bias: OptionalTensor,
    }
}

impl<D: Domain> FloatLinear<D> {
    /// The extents: one matrix, `inner` input features, `cols` output features.
    pub fn shape(&self) -> MatrixShape {
        let leading = self.input.rank().saturating_sub(1);
        MatrixShape {
            batches: 1,
            rows: (0..leading).map(|axis| self.input.dim(axis) as usize).product(),
            inner: self.input.last_dim() as usize,
            cols: self.out.last_dim() as usize,
        }
    }
}

impl<D: Domain> Rules for FloatLinear<D> {
    fn check(&self) -> Result<(), Violation> {
        let FloatLinear { input, weight, bias, out } = self;
        for (tensor, argument) in
            [(input, argument::input), (weight, argument::weight), (out, argument::out)]
        {
            check_float(tensor, argument)?;
            require(tensor.is_row_major(), argument, Rule::Layout)?;
        }
        require(input.rank() >= 1, argument::input, Rule::Rank)?;
        require(weight.rank() == 2, argument::weight, Rule::Rank)?;
        require(out.rank() == input.rank(), argument::out, Rule::Rank)?;
        let leading = input.rank() - 1;
        let is_alike = (0..leading).all(|axis| input.dim(axis) == out.dim(axis));
        require(is_alike, argument::out, Rule::Shape)?;
        require(weight.dim(0) == out.last_dim(), argument::weight, Rule::Shape)?;
        require(weight.dim(1) == input.last_dim(), argument::weight, Rule::Shape)?;
        if let Some(bias) = bias {
            check_float(bias, argument::bias)?;
            require(bias.element_count() == Some(out.last_dim()), argument::bias, Rule::Shape)?;
        }
        Ok(())
    }

    fn multiply_accumulates(&self) -> u64 {
        u64::from(self.out.element_count().unwrap_or(0)) * u64::from(self.input.last_dim())
    }

    fn is_float(&self) -> bool {
        true
    }
}
