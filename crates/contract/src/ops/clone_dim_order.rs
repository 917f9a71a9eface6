//! `dim_order_ops::_clone_dim_order`: the same elements with their axes in another order in memory.

use super::Rules;
use crate::strided::{Gather, MAX_AXES, strides};
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out` has the elements of `input`; their order in memory is that of `out`.
    ///
    /// Both have the same element type and extents, and up to [`MAX_AXES`] axes in any order in memory.
    CloneDimOrder = "dim_order_ops::_clone_dim_order" {
        /// The elements.
        input: Tensor,
        /// Whether the copy may go on in the background; not read.
        non_blocking: Bool,
        /// The order in memory, which is also that of `out`; not read.
        dim_order: OptionalIntList,
    }
}

impl<D: Domain> CloneDimOrder<D> {
    /// Where each element comes from.
    pub fn gather(&self) -> Gather {
        Gather { offset: 0, strides: strides(&self.input) }
    }
}

impl<D: Domain> Rules for CloneDimOrder<D> {
    fn check(&self) -> Result<(), Violation> {
        require(self.out.dtype() == self.input.dtype(), argument::out, Rule::DType)?;
        require(self.input.rank() <= MAX_AXES, argument::input, Rule::Rank)?;
        require(self.out.same_shape(&self.input), argument::out, Rule::Shape)?;
        let bytes = self
            .input
            .element_count()
            .and_then(|count| count.checked_mul(self.input.dtype().size_bytes()));
        require(
            bytes.is_some_and(|bytes| bytes <= i32::MAX as u32),
            argument::input,
            Rule::TooLarge,
        )
    }
}
