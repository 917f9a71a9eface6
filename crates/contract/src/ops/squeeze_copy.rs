//! `aten::squeeze_copy.dims_out`: a copy without axes of extent 1.

use super::Rules;
use super::transpose::check_moved;
use crate::strided::{Gather, MAX_AXES, axis_of, strides};
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require};

operator! {
    /// `out` has the elements of `self`, without those axes of `dim` whose extent is 1; others of `dim` stay.
    ///
    /// Both have the same element type and up to [`MAX_AXES`] axes in any order in memory.
    SqueezeCopy = "aten::squeeze_copy".dims_out {
        /// The elements.
        input as "self": Tensor,
        /// The axes.
        dim: IntList,
    }
}

impl<D: Domain> SqueezeCopy<D> {
    /// The axes of the input that stay.
    fn kept(&self) -> impl Iterator<Item = usize> + '_ {
        let rank = self.input.rank();
        let is_named = move |axis: usize| {
            (0..self.dim.len()).any(|item| {
                self.dim.get(item).and_then(|written| axis_of(written, rank)) == Some(axis)
            })
        };
        (0..rank).filter(move |axis| self.input.dim(*axis) != 1 || !is_named(*axis))
    }

    /// Where each element comes from; the operator has been checked.
    pub fn gather(&self) -> Gather {
        let from = strides(&self.input);
        let mut gather = Gather { offset: 0, strides: [0; MAX_AXES] };
        for (stride, axis) in gather.strides.iter_mut().zip(self.kept()) {
            *stride = from.get(axis).copied().unwrap_or(0);
        }
        gather
    }
}

impl<D: Domain> Rules for SqueezeCopy<D> {
    fn check(&self) -> Result<(), Violation> {
        let SqueezeCopy { input, dim, out } = self;
        check_moved(input, out, argument::out)?;
        let is_axis = |item| dim.get(item).and_then(|at| axis_of(at, input.rank())).is_some();
        require((0..dim.len()).all(is_axis), argument::dim, Rule::Range)?;
        require(self.kept().count() == out.rank(), argument::out, Rule::Rank)?;
        let fits = self.kept().enumerate().all(|(at, axis)| out.dim(at) == input.dim(axis));
        require(fits, argument::out, Rule::Shape)
    }
}
