//! `aten::slice_copy.Tensor_out`: every `step`-th index of one axis.

use super::Rules;
use super::transpose::check_moved;
use crate::strided::{Gather, axis_of, strides};
use crate::value::{Domain, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// Index `i` of axis `dim` of `out` is index `start + i·step` of `input`; all other axes are kept.
    ///
    /// Both have the same element type and up to [`crate::strided::MAX_AXES`] axes in any order in memory. A negative `start`
    /// or `end` counts from the axis's end; both saturate at its ends. Absent, they are its ends.
    SliceCopy = "aten::slice_copy".Tensor_out {
        /// The elements.
        input as "self": Tensor,
        /// The axis.
        dim: Int<i64>,
        /// The first index.
        start: OptionalInt,
        /// The index before which to stop.
        end: OptionalInt,
        /// The distance between two indices, at least 1.
        step: Int<i64>,
    }
}

impl<D: Domain> SliceCopy<D> {
    /// Where each element comes from; the operator has been checked.
    pub fn gather(&self) -> Gather {
        let mut gather = Gather { offset: 0, strides: strides(&self.input) };
        if let Some(axis) = axis_of(self.dim, self.input.rank())
            && let Some(stride) = gather.strides.get_mut(axis)
        {
            let (start, _) = bounds(self.start, self.end, self.input.dim(axis));
            gather.offset = start.wrapping_mul(*stride);
            // A step beyond 32 bits leaves one index, along which nothing is added.
            *stride = stride.wrapping_mul(u32::try_from(self.step).unwrap_or(0));
        }
        gather
    }
}

impl<D: Domain> Rules for SliceCopy<D> {
    fn check(&self) -> Result<(), Violation> {
        let SliceCopy { input, out, .. } = self;
        check_moved(input, out, argument::out)?;
        let dim = require_some(axis_of(self.dim, input.rank()), argument::dim, Rule::Range)?;
        require(self.step >= 1, argument::step, Rule::Range)?;
        require(out.rank() == input.rank(), argument::out, Rule::Rank)?;
        let (start, end) = bounds(self.start, self.end, input.dim(dim));
        let length = u64::from(end - start).div_ceil(self.step.unsigned_abs());
        for axis in 0..input.rank() {
            let extent = if axis == dim { length } else { u64::from(input.dim(axis)) };
            require(u64::from(out.dim(axis)) == extent, argument::out, Rule::Shape)?;
        }
        Ok(())
    }
}

/// The first index and the one to stop before, at most `extent` and in this order.
fn bounds(start: Option<i64>, end: Option<i64>, extent: u32) -> (u32, u32) {
    let extent = i64::from(extent);
    let resolve = |written: Option<i64>, default: i64| {
        let index = written.unwrap_or(default);
        let index = if index < 0 { index.saturating_add(extent) } else { index };
        index.clamp(0, extent)
    };
    let start = resolve(start, 0);
    let end = resolve(end, extent).max(start);
    (start as u32, end as u32)
}

#[cfg(test)]
mod tests {
    use super::bounds;

    #[test]
    fn bounds_are_pythons() {
        assert_eq!(bounds(None, None, 5), (0, 5));
        assert_eq!(bounds(Some(-2), None, 5), (3, 5));
        assert_eq!(bounds(Some(-9), Some(-1), 5), (0, 4));
        assert_eq!(bounds(Some(4), Some(2), 5), (4, 4));
        assert_eq!(bounds(Some(7), Some(i64::MAX), 5), (5, 5));
        assert_eq!(bounds(Some(i64::MIN), Some(i64::MIN), 5), (0, 0));
    }
}
