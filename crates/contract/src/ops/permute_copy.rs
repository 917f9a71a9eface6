//! `aten::permute_copy`: axes in another order, over any element type.

use super::Rules;
use super::transpose::{check_permutation, permuted};
use crate::strided::Gather;
use crate::value::{Domain, Violation};

operator! {
    /// Axis `a` of `out` is axis `dims[a]` of `input`.
    ///
    /// Both have the same element type and up to [`crate::strided::MAX_AXES`] axes in any order in memory.
    PermuteCopy = "aten::permute_copy" {
        /// The elements.
        input as "self": Tensor,
        /// For each axis of the result, the axis of the input.
        dims: IntList,
    }
}

impl<D: Domain> PermuteCopy<D> {
    /// Where each element comes from.
    pub fn gather(&self) -> Gather {
        permuted(&self.input, &self.dims)
    }
}

impl<D: Domain> Rules for PermuteCopy<D> {
    fn check(&self) -> Result<(), Violation> {
        check_permutation(&self.input, &self.dims, &self.out, argument::out)
    }
}
