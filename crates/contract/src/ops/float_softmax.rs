//! `aten::_softmax`: exponentials that sum to one, in `float32`.

use super::Rules;
use crate::float::{Rows, check_unary};
use crate::value::{Domain, Rule, Violation, require, require_some};

operator! {
    /// `out[i] = exp(self[i] − m) / Σ_j exp(self[j] − m)` along axis `dim`, where `m` is the greatest of the row's numbers.
    ///
    /// `self` and `out` are `float32`, with the same extents and the same order in memory, whichever.
    FloatSoftmax = "aten::_softmax" {
        /// The logits.
        input as "self": Tensor,
        /// The axis whose results sum to one.
        dim: Int<i64>,
        /// Whether 16-bit numbers are widened: false.
        half_to_float: Bool,
    }
}

impl<D: Domain> FloatSoftmax<D> {
    /// The rows in memory.
    pub fn rows(&self) -> Option<Rows> {
        Rows::along_dim(&self.input, self.dim)
    }
}

impl<D: Domain> Rules for FloatSoftmax<D> {
    fn check(&self) -> Result<(), Violation> {
        check_unary((&self.input, argument::input), (&self.out, argument::out))?;
        require_some(self.rows(), argument::dim, Rule::Range)?;
        require(!self.half_to_float, argument::half_to_float, Rule::Range)
    }

    fn is_float(&self) -> bool {
        true
    }
}
