//! `aten::split_with_sizes_copy`: copies of consecutive parts along an axis.

use super::Rules;
use super::transpose::check_moved;
use crate::strided::axis_of;
use crate::value::{
    Domain, IntList, Rule, TensorList, TensorMeta, Violation, require, require_some,
};

operator! {
    /// `out` is `self` cut along axis `dim` into parts of the extents `split_sizes`, one behind the other.
    ///
    /// All have the same element type, the same extents apart from that axis and the same order in memory, whichever. Up to
    /// [`MAX_TENSORS`] parts, and up to [`crate::strided::MAX_AXES`] axes.
    SplitWithSizesCopy = "aten::split_with_sizes_copy" -> TensorList {
        /// The elements.
        input as "self": Tensor,
        /// The parts' extents along the axis.
        split_sizes: IntList,
        /// The axis.
        dim: Int<i64>,
    }
}

/// The most parts that a prepared operator has room for.
pub const MAX_TENSORS: usize = 8;

impl<D: Domain> SplitWithSizesCopy<D> {
    /// How many times the parts' chunks follow each other in `self`: the product of the extents outside of the axis.
    pub fn rounds(&self) -> u32 {
        let outside = (0..self.input.rank()).map(|position| self.input.dim_order(position));
        let axis = axis_of(self.dim, self.input.rank());
        outside
            .take_while(|at| Some(*at) != axis)
            .fold(1, |rounds: u32, at| rounds.wrapping_mul(self.input.dim(at)))
    }
}

impl<D: Domain> Rules for SplitWithSizesCopy<D> {
    fn check(&self) -> Result<(), Violation> {
        let SplitWithSizesCopy { input, split_sizes, out, .. } = self;
        require((1..=MAX_TENSORS).contains(&out.len()), argument::out, Rule::Length)?;
        require(split_sizes.len() == out.len(), argument::split_sizes, Rule::Length)?;
        let dim = require_some(axis_of(self.dim, input.rank()), argument::dim, Rule::Range)?;
        let mut sum = 0u64;
        for index in 0..out.len() {
            let part = require_some(out.get(index), argument::out, Rule::Length)?;
            check_moved(input, &part, argument::out)?;
            require(part.rank() == input.rank(), argument::out, Rule::Rank)?;
            let fits =
                (0..part.rank()).all(|axis| axis == dim || part.dim(axis) == input.dim(axis));
            require(fits, argument::out, Rule::Shape)?;
            let size = split_sizes.get(index);
            require(size == Some(i64::from(part.dim(dim))), argument::split_sizes, Rule::Shape)?;
            let order = (0..input.rank()).map(|position| input.dim_order(position));
            require(part.is_ordered_as(order), argument::out, Rule::Layout)?;
            sum += u64::from(part.dim(dim));
        }
        require(sum == u64::from(input.dim(dim)), argument::split_sizes, Rule::Shape)
    }
}
