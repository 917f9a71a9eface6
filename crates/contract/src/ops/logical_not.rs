//! `aten::logical_not`: the other truth value.

use super::Rules;
use crate::DType;
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[i] = !self[i]`; any byte but 0 counts as true.
    ///
    /// `self` and `out` are `bool`, with the same extents and the same order in memory, whichever.
    LogicalNot = "aten::logical_not" {
        /// The operand.
        input as "self": Tensor,
    }
}

impl<D: Domain> Rules for LogicalNot<D> {
    fn check(&self) -> Result<(), Violation> {
        let LogicalNot { input, out } = self;
        require(input.dtype() == DType::Bool, argument::input, Rule::DType)?;
        require(out.dtype() == DType::Bool, argument::out, Rule::DType)?;
        let fits = input.element_count().is_some_and(|count| count <= i32::MAX as u32);
        require(fits, argument::input, Rule::TooLarge)?;
        require(input.same_shape(out), argument::out, Rule::Shape)?;
        require(input.same_layout(out), argument::out, Rule::Layout)
    }
}
