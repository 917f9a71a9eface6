//! `aten::select_copy.int_out`: one index of one axis, which vanishes.

use super::Rules;
use super::transpose::check_moved;
use crate::strided::{Gather, MAX_AXES, axis_of, strides};
use crate::value::{Domain, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// `out` is `input` at `index` of axis `dim`; the other axes are kept.
    ///
    /// Both have the same element type and up to [`MAX_AXES`] axes in any order in memory. A negative `index` counts from
    /// the axis's end.
    SelectCopy = "aten::select_copy".int_out {
        /// The elements.
        input as "self": Tensor,
        /// The axis.
        dim: Int<i64>,
        /// The index.
        index: Int<i64>,
    }
}

impl<D: Domain> SelectCopy<D> {
    /// Where each element comes from; the operator has been checked.
    pub fn gather(&self) -> Gather {
        let from = strides(&self.input);
        let mut gather = Gather { offset: 0, strides: [0; MAX_AXES] };
        let Some(dim) = axis_of(self.dim, self.input.rank()) else { return gather };
        let index = axis_of(self.index, self.input.dim(dim) as usize).unwrap_or(0);
        for (axis, stride) in from.iter().enumerate().take(self.input.rank()) {
            if axis == dim {
                gather.offset = stride.wrapping_mul(index as u32);
            } else if let Some(slot) = gather.strides.get_mut(axis - usize::from(axis > dim)) {
                *slot = *stride;
            }
        }
        gather
    }
}

impl<D: Domain> Rules for SelectCopy<D> {
    fn check(&self) -> Result<(), Violation> {
        let SelectCopy { input, out, .. } = self;
        check_moved(input, out, argument::out)?;
        let dim = require_some(axis_of(self.dim, input.rank()), argument::dim, Rule::Range)?;
        let index = axis_of(self.index, input.dim(dim) as usize);
        require(index.is_some(), argument::index, Rule::Range)?;
        require(out.rank() + 1 == input.rank(), argument::out, Rule::Rank)?;
        let kept = (0..input.rank()).filter(|axis| *axis != dim);
        let fits = kept.enumerate().all(|(axis, from)| out.dim(axis) == input.dim(from));
        require(fits, argument::out, Rule::Shape)
    }
}
