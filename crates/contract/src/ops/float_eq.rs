//! `aten::eq.Scalar_out`: which elements equal a number, in `float32`.

use super::Rules;
use crate::DType;
use crate::float::check_float;
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[i] = self[i] == other`, with `other` as `float32`; NaN equals nothing.
    ///
    /// `self` is `float32` and `out` is `bool`, with the same extents and the same order in memory, whichever.
    FloatEq = "aten::eq".Scalar_out {
        /// The operand.
        input as "self": Tensor,
        /// The number.
        other: Scalar,
    }
}

impl<D: Domain> Rules for FloatEq<D> {
    fn check(&self) -> Result<(), Violation> {
        let FloatEq { input, out, .. } = self;
        check_float(input, argument::input)?;
        require(out.dtype() == DType::Bool, argument::out, Rule::DType)?;
        require(input.same_shape(out), argument::out, Rule::Shape)?;
        require(input.same_layout(out), argument::out, Rule::Layout)
    }

    fn is_float(&self) -> bool {
        true
    }
}
