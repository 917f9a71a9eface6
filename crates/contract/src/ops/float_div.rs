//! `aten::div`: quotients of two tensors, in `float32`.

use super::Rules;
use crate::float::check_binary;
use crate::value::{Domain, Violation};

operator! {
    /// `out[i] = self[i] / other[i]`, with NumPy's broadcasting.
    ///
    /// All tensors are `float32` and have their axes in the same order in memory, apart from those that are repeated.
    FloatDiv = "aten::div" {
        /// The first operand.
        input as "self": Tensor,
        /// The second operand.
        other: Tensor,
    }
}

impl<D: Domain> Rules for FloatDiv<D> {
    fn check(&self) -> Result<(), Violation> {
        check_binary(
            (&self.input, argument::input),
            (&self.other, argument::other),
            (&self.out, argument::out),
        )
        .map(|_| ())
    }

    fn is_float(&self) -> bool {
        true
    }

    fn is_element_by_element(&self) -> bool {
        true
    }
}
