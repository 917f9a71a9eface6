//! `aten::expand_copy`: axes of extent 1 repeated, and new axes in front.

use super::Rules;
use super::transpose::check_moved;
use crate::strided::{Gather, MAX_AXES, strides};
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require};

operator! {
    /// `out` is `input` with its axes of extent 1 repeated to `size`; axes that `input` lacks are put in front.
    ///
    /// Both have the same element type and up to [`MAX_AXES`] axes in any order in memory. A `size` of −1 keeps the
    /// extent.
    ExpandCopy = "aten::expand_copy" {
        /// The elements.
        input as "self": Tensor,
        /// The extents of the result.
        size: IntList,
        /// Has no effect.
        implicit: Bool,
    }
}

impl<D: Domain> ExpandCopy<D> {
    /// Where each element comes from; the operator has been checked.
    pub fn gather(&self) -> Gather {
        let from = strides(&self.input);
        let mut gather = Gather { offset: 0, strides: [0; MAX_AXES] };
        let new = self.out.rank().saturating_sub(self.input.rank());
        for (axis, stride) in from.iter().enumerate().take(self.input.rank()) {
            if self.input.dim(axis) != 1
                && let Some(slot) = gather.strides.get_mut(axis + new)
            {
                *slot = *stride;
            }
        }
        gather
    }
}

impl<D: Domain> Rules for ExpandCopy<D> {
    fn check(&self) -> Result<(), Violation> {
        let ExpandCopy { input, size, out, .. } = self;
        check_moved(input, out, argument::out)?;
        require(size.len() == out.rank(), argument::size, Rule::Length)?;
        require(input.rank() <= out.rank(), argument::out, Rule::Rank)?;
        let new = out.rank() - input.rank();
        for axis in 0..out.rank() {
            let extent = out.dim(axis);
            let kept = axis.checked_sub(new).map(|axis| input.dim(axis));
            let is_kept = kept == Some(extent);
            let is_size = size
                .get(axis)
                .is_some_and(|size| size == i64::from(extent) || size == -1 && is_kept);
            require(is_size, argument::size, Rule::Range)?;
            require(is_kept || matches!(kept, None | Some(1)), argument::out, Rule::Shape)?;
        }
        Ok(())
    }
}
