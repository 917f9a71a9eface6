//! `aten::bmm`: products of matrices, in `float32`.

use super::Rules;
use crate::float::{MatrixShape, check_float};
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[b,r,c] = Σ_i self[b,r,i] · mat2[b,i,c]`.
    ///
    /// Shapes: `self` `[batches, rows, inner]`, `mat2` `[batches, inner, cols]`, `out` `[batches, rows, cols]`; all `float32`
    /// and row-major.
    FloatBmm = "aten::bmm" {
        /// The left matrices.
        input as "self": Tensor,
        /// The right matrices.
        mat2: Tensor,
    }
}

impl<D: Domain> FloatBmm<D> {
    /// The extents.
    pub fn shape(&self) -> MatrixShape {
        MatrixShape {
            batches: self.out.dim(0) as usize,
            rows: self.out.dim(1) as usize,
            inner: self.input.dim(2) as usize,
            cols: self.out.dim(2) as usize,
        }
    }
}

impl<D: Domain> Rules for FloatBmm<D> {
    fn check(&self) -> Result<(), Violation> {
        let FloatBmm { input, mat2, out } = self;
        for (tensor, argument) in
            [(input, argument::input), (mat2, argument::mat2), (out, argument::out)]
        {
            check_float(tensor, argument)?;
            require(tensor.rank() == 3, argument, Rule::Rank)?;
            require(tensor.is_row_major(), argument, Rule::Layout)?;
            require(tensor.dim(0) == out.dim(0), argument, Rule::Shape)?;
        }
        require(input.dim(1) == out.dim(1), argument::input, Rule::Shape)?;
        require(mat2.dim(1) == input.dim(2), argument::mat2, Rule::Shape)?;
        require(mat2.dim(2) == out.dim(2), argument::mat2, Rule::Shape)
    }

    fn multiply_accumulates(&self) -> u64 {
        u64::from(self.out.element_count().unwrap_or(0)) * u64::from(self.input.dim(2))
    }

    fn is_float(&self) -> bool {
        true
    }
}
