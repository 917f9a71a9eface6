//! `aten::clamp`: limits, in `float32`.

use super::Rules;
use crate::float::check_unary;
use crate::value::{Domain, Violation};

operator! {
    /// `out[i] = min(max(self[i], min), max)`; NaN stays NaN. The greatest value wins where the limits cross.
    ///
    /// `self` and `out` are `float32`, with the same extents and the same order in memory, whichever.
    FloatClamp = "aten::clamp" {
        /// The operand.
        input as "self": Tensor,
        /// The least value, if there is one.
        min: OptionalScalar,
        /// The greatest value, if there is one.
        max: OptionalScalar,
    }
}

impl<D: Domain> Rules for FloatClamp<D> {
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
