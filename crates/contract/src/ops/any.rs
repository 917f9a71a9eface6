//! `aten::any`: whether any element along an axis is true.

use super::Rules;
use crate::DType;
use crate::float::Rows;
use crate::strided::axis_of;
use crate::value::{Domain, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// `out` is true where `self` is true at any index of axis `dim`; any byte but 0 counts as true.
    ///
    /// `self` and `out` are `bool` and row-major. `out` has the extents of `self` with that axis of extent 1 (`keepdim`) or without
    /// it.
    Any = "aten::any" {
        /// The operand.
        input as "self": Tensor,
        /// The axis.
        dim: Int<i64>,
        /// Whether the axis stays.
        keepdim: Bool,
    }
}

impl<D: Domain> Any<D> {
    /// The rows along the axis, `None` when there is no such axis.
    pub fn rows(&self) -> Option<Rows> {
        axis_of(self.dim, self.input.rank()).map(|axis| Rows::along(&self.input, axis))
    }
}

impl<D: Domain> Rules for Any<D> {
    fn check(&self) -> Result<(), Violation> {
        let Any { input, out, .. } = self;
        for (tensor, position) in [(input, argument::input), (out, argument::out)] {
            require(tensor.dtype() == DType::Bool, position, Rule::DType)?;
            let fits = tensor.element_count().is_some_and(|count| count <= i32::MAX as u32);
            require(fits, position, Rule::TooLarge)?;
            require(tensor.is_row_major(), position, Rule::Layout)?;
        }
        let dim = require_some(axis_of(self.dim, input.rank()), argument::dim, Rule::Range)?;
        let rank = input.rank() - usize::from(!self.keepdim);
        require(out.rank() == rank, argument::out, Rule::Rank)?;
        let extent = |axis: usize| match (self.keepdim, axis) {
            (true, axis) if axis == dim => 1,
            (false, axis) if axis >= dim => input.dim(axis + 1),
            (_, axis) => input.dim(axis),
        };
        require((0..rank).all(|axis| out.dim(axis) == extent(axis)), argument::out, Rule::Shape)
    }
}
