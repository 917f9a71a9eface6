//! `aten::hardtanh`: limits, in `float32`.

use super::Rules;
use crate::float::check_unary;
use crate::value::{Domain, Violation};

operator! {
    /// `out[i] = min(max(self[i], min_val), max_val)`; NaN stays NaN.
    ///
    /// `self` and `out` are `float32`, with the same extents and the same order in memory, whichever.
    FloatHardtanh = "aten::hardtanh" {
        /// The operand.
        input as "self": Tensor,
        /// The least value.
        min_val: Scalar,
        /// The greatest value.
        max_val: Scalar,
    }
}

impl<D: Domain> Rules for FloatHardtanh<D> {
    fn check(&self) -> Result<(), Violation> {
        check_unary((&self.input, argument::input), (&self.out, argument::out))
    }

    fn is_float(&self) -> bool {
        true
    }

    fn is_element_by_element(&self) -> bool {
        true
    }
}
