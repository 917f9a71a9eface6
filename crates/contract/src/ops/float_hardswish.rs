//! `aten::hardswish`: a piecewise approximation of `x · sigmoid(x)`, in `float32`.

use super::Rules;
use crate::float::check_unary;
use crate::value::{Domain, Violation};

operator! {
    /// `out[i] = self[i] · min(max(self[i] + 3, 0), 6) · (1/6)`, rounded after each step, with 1/6 in binary32, as PyTorch has it.
    ///
    /// `self` and `out` are `float32`, with the same extents and the same order in memory, whichever.
    FloatHardswish = "aten::hardswish" {
        /// The operand.
        input as "self": Tensor,
    }
}

impl<D: Domain> Rules for FloatHardswish<D> {
    fn check(&self) -> Result<(), Violation> {
        check_unary((&self.input, argument::input), (&self.out, argument::out))
    }

    fn is_float(&self) -> bool {
        true
    }
}
