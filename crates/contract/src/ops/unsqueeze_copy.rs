//! `aten::unsqueeze_copy`: a copy with one more axis, of extent 1.

use super::Rules;
use super::transpose::check_moved;
use crate::strided::{Gather, MAX_AXES, axis_of, strides};
use crate::value::{Domain, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// `out` has the elements of `self`, with an axis of extent 1 before axis `dim` of `self`.
    ///
    /// Both have the same element type and up to [`MAX_AXES`] axes in any order in memory.
    UnsqueezeCopy = "aten::unsqueeze_copy" {
        /// The elements.
        input as "self": Tensor,
        /// The new axis, counted among those of the result.
        dim: Int<i64>,
    }
}

impl<D: Domain> UnsqueezeCopy<D> {
    /// Where each element comes from; the operator has been checked.
    pub fn gather(&self) -> Gather {
        let from = strides(&self.input);
        let new = axis_of(self.dim, self.out.rank()).unwrap_or(0);
        let mut gather = Gather { offset: 0, strides: [0; MAX_AXES] };
        let axes = (0..self.out.rank()).filter(|axis| *axis != new);
        for (axis, stride) in axes.zip(from) {
            if let Some(slot) = gather.strides.get_mut(axis) {
                *slot = stride;
            }
        }
        gather
    }
}

impl<D: Domain> Rules for UnsqueezeCopy<D> {
    fn check(&self) -> Result<(), Violation> {
        let UnsqueezeCopy { input, out, .. } = self;
        check_moved(input, out, argument::out)?;
        require(out.rank() == input.rank() + 1, argument::out, Rule::Rank)?;
        let new = require_some(axis_of(self.dim, out.rank()), argument::dim, Rule::Range)?;
        require(out.dim(new) == 1, argument::out, Rule::Shape)?;
        let axes = (0..out.rank()).filter(|axis| *axis != new);
        let fits = axes.enumerate().all(|(at, axis)| out.dim(axis) == input.dim(at));
        require(fits, argument::out, Rule::Shape)
    }
}
