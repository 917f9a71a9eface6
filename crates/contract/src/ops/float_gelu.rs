//! `aten::gelu`: the Gaussian error linear unit, in `float32`.

use super::Rules;
use crate::float::{GeluForm, check_unary};
use crate::value::{Domain, Violation};

operator! {
    /// `out[i] = self[i] · Φ(self[i])`, with the distribution function `Φ` of the normal distribution, or an approximation of it.
    ///
    /// `self` and `out` are `float32`, with the same extents and the same order in memory, whichever.
    FloatGelu = "aten::gelu" {
        /// The operand.
        input as "self": Tensor,
        /// Which form of it.
        approximate: Text<GeluForm>,
    }
}

impl<D: Domain> Rules for FloatGelu<D> {
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
