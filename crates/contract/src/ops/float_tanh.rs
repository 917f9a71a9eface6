//! `aten::tanh`: the hyperbolic tangent, in `float32`.

use super::Rules;
use crate::float::check_unary;
use crate::value::{Domain, Violation};

operator! {
    /// `out[i] = tanh(self[i])`.
    ///
    /// `self` and `out` are `float32`, with the same extents and the same order in memory, whichever.
    FloatTanh = "aten::tanh" {
        /// The operand.
        input as "self": Tensor,
    }
}

impl<D: Domain> Rules for FloatTanh<D> {
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
