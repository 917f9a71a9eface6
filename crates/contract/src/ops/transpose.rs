//! `cortex_m::transpose`: axes in another order, over `int8`.

use super::Rules;
use crate::DType;
use crate::strided::{Gather, MAX_AXES, strides};
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// Axis `a` of `out` is axis `perm[a]` of `input`.
    ///
    /// Both are `int8` with up to [`MAX_AXES`] axes in any order in memory. ExecuTorch's kernel takes up to 4 axes and reads
    /// memory as if both were row-major, whatever their order says.
    Transpose = "cortex_m::transpose" {
        /// The elements.
        input: Tensor,
        /// For each axis of the result, the axis of the input.
        perm: IntList,
    }
}

impl<D: Domain> Transpose<D> {
    /// Where each element comes from.
    pub fn gather(&self) -> Gather {
        permuted(&self.input, &self.perm)
    }
}

impl<D: Domain> Rules for Transpose<D> {
    fn check(&self) -> Result<(), Violation> {
        require(self.input.dtype() == DType::I8, argument::input, Rule::DType)?;
        check_permutation(&self.input, &self.perm, &self.out, argument::out)
    }
}

/// Checks a permutation of axes, which is argument 1.
pub(super) fn check_permutation<T: TensorMeta>(
    input: &T,
    permutation: &impl IntList,
    out: &T,
    out_argument: u8,
) -> Result<(), Violation> {
    check_moved(input, out, out_argument)?;
    require(permutation.len() == input.rank(), argument::perm, Rule::Length)?;
    require(out.rank() == input.rank(), out_argument, Rule::Rank)?;
    let mut seen = 0u32;
    for axis in 0..out.rank() {
        let from = source_axis(permutation, axis, input.rank());
        let from = require_some(from, argument::perm, Rule::Range)?;
        seen |= 1 << from;
        require(out.dim(axis) == input.dim(from), out_argument, Rule::Shape)?;
    }
    require(seen == (1 << out.rank()) - 1, argument::perm, Rule::Range)
}

/// The strides of the input in the order of a permutation that has been checked.
pub(super) fn permuted(input: &impl TensorMeta, permutation: &impl IntList) -> Gather {
    let from = strides(input);
    let mut gather = Gather { offset: 0, strides: [0; MAX_AXES] };
    for (axis, stride) in gather.strides.iter_mut().enumerate().take(input.rank()) {
        let axis = source_axis(permutation, axis, input.rank());
        *stride = axis.and_then(|axis| from.get(axis)).copied().unwrap_or(0);
    }
    gather
}

fn source_axis(permutation: &impl IntList, axis: usize, rank: usize) -> Option<usize> {
    crate::strided::axis_of(permutation.get(axis)?, rank)
}

/// Checks what every operator that moves elements asks of its first argument and its result: the same type, few enough axes
/// and few enough bytes.
pub(super) fn check_moved<T: TensorMeta>(
    input: &T,
    out: &T,
    out_argument: u8,
) -> Result<(), Violation> {
    require(input.dtype() == out.dtype(), out_argument, Rule::DType)?;
    for (argument, tensor) in [(0, input), (out_argument, out)] {
        require(tensor.rank() <= MAX_AXES, argument, Rule::Rank)?;
        let bytes =
            tensor.element_count().and_then(|count| count.checked_mul(tensor.dtype().size_bytes()));
        require(bytes.is_some_and(|bytes| bytes <= i32::MAX as u32), argument, Rule::TooLarge)?;
    }
    Ok(())
}
