//! `aten::mean`: means over axes, in `float32`.

use super::Rules;
use crate::float::check_float;
use crate::strided::{MAX_AXES, axis_of, strides};
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// `out[i…] = Σ self[i…, j…] / n` over the `n` elements that the axes `dim` span.
    ///
    /// `self` and `out` are `float32`, in any order in memory. The result keeps the axes with extent 1, or lacks them. No axes, or
    /// none given, means all of them.
    FloatMean = "aten::mean" {
        /// The operand.
        input as "self": Tensor,
        /// The axes.
        dim: OptionalIntList,
        /// Whether the result keeps them.
        keepdim: Bool,
        /// The result's type, which is also that of `out`; not read.
        dtype: OptionalScalarType,
    }
}

/// An axis to go along: its extent, and its stride in the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeanAxis {
    /// The number of steps.
    pub extent: u32,
    /// The elements from one step to the next.
    pub stride: u32,
}

/// The axes of a mean: first those that are kept, in the order of the result's memory, then those that are summed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeanAxes {
    /// The axes; those past both counts are not used.
    pub axes: [MeanAxis; MAX_AXES],
    /// How many are kept.
    pub kept: usize,
    /// How many there are.
    pub count: usize,
}

impl MeanAxes {
    /// Nothing to go along.
    pub const NONE: MeanAxes =
        MeanAxes { axes: [MeanAxis { extent: 1, stride: 0 }; MAX_AXES], kept: 0, count: 0 };

    /// Puts an axis behind those there are.
    pub fn push(&mut self, axis: MeanAxis) {
        if let Some(slot) = self.axes.get_mut(self.count) {
            *slot = axis;
            self.count += 1;
        }
    }
}

impl<D: Domain> FloatMean<D> {
    /// Which axes are summed over, as bits; `None` when one does not exist.
    fn reduced(&self) -> Option<u32> {
        let rank = self.input.rank();
        let all = (1u32 << rank.min(MAX_AXES)) - 1;
        match &self.dim {
            Some(dims) if !dims.is_empty() => (0..dims.len())
                .try_fold(0, |bits, index| Some(bits | 1 << axis_of(dims.get(index)?, rank)?)),
            _ => Some(all),
        }
    }

    /// The axes to go along; `None` when one does not exist.
    pub fn axes(&self) -> Option<MeanAxes> {
        let reduced = self.reduced()?;
        let rank = self.input.rank().min(MAX_AXES);
        let strides = strides(&self.input);
        let is_reduced = |axis: usize| reduced & 1 << axis != 0;
        let axis_at = |axis: usize| MeanAxis {
            extent: self.input.dim(axis),
            stride: strides.get(axis).copied().unwrap_or(0),
        };
        let mut axes = MeanAxes::NONE;
        for position in 0..self.out.rank().min(MAX_AXES) {
            let at = self.out.dim_order(position);
            let from = match self.keepdim {
                true => Some(at).filter(|axis| !is_reduced(*axis)),
                false => (0..rank).filter(|axis| !is_reduced(*axis)).nth(at),
            };
            if let Some(axis) = from.filter(|axis| *axis < rank) {
                axes.push(axis_at(axis));
            }
        }
        axes.kept = axes.count;
        for axis in (0..rank).map(|position| self.input.dim_order(position)) {
            if is_reduced(axis) && axis < rank {
                axes.push(axis_at(axis));
            }
        }
        Some(axes)
    }
}

impl<D: Domain> Rules for FloatMean<D> {
    fn check(&self) -> Result<(), Violation> {
        let FloatMean { input, out, .. } = self;
        check_float(input, argument::input)?;
        check_float(out, argument::out)?;
        require(input.rank() <= MAX_AXES, argument::input, Rule::Rank)?;
        let reduced = require_some(self.reduced(), argument::dim, Rule::Range)?;
        let mut expected = 0;
        for axis in 0..input.rank() {
            let is_reduced = reduced & 1 << axis != 0;
            if is_reduced && !self.keepdim {
                continue;
            }
            let extent = if is_reduced { 1 } else { input.dim(axis) };
            require(out.dim(expected) == extent, argument::out, Rule::Shape)?;
            expected += 1;
        }
        require(out.rank() == expected, argument::out, Rule::Rank)
    }

    fn is_float(&self) -> bool {
        true
    }
}
