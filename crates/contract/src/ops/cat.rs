//! `aten::cat`: tensors one behind the other along an axis.

use super::Rules;
use super::transpose::check_moved;
use crate::strided::axis_of;
use crate::value::{Domain, Rule, TensorList, TensorMeta, Violation, require, require_some};

operator! {
    /// `out` is all of `tensors`, one behind the other along axis `dim`.
    ///
    /// All have the same element type, the same extents apart from that axis and the same order in memory, whichever.
    /// ExecuTorch's kernel reads memory as if it were row-major. Up to [`MAX_TENSORS`] tensors, and up to
    /// [`crate::strided::MAX_AXES`] axes.
    Cat = "aten::cat" {
        /// The tensors.
        tensors: TensorList,
        /// The axis.
        dim: Int<i64>,
    }
}

/// The most tensors that a prepared operator has room for.
pub const MAX_TENSORS: usize = 16;

impl<D: Domain> Cat<D> {
    /// How many times the tensors' chunks follow each other in the result: the product of the extents outside of the axis.
    pub fn rounds(&self) -> u32 {
        let outside = (0..self.out.rank()).map(|position| self.out.dim_order(position));
        let axis = axis_of(self.dim, self.out.rank());
        outside
            .take_while(|at| Some(*at) != axis)
            .fold(1, |rounds: u32, at| rounds.wrapping_mul(self.out.dim(at)))
    }
}

impl<D: Domain> Rules for Cat<D> {
    fn check(&self) -> Result<(), Violation> {
        let Cat { tensors, out, .. } = self;
        require((1..=MAX_TENSORS).contains(&tensors.len()), argument::tensors, Rule::Length)?;
        let dim = require_some(axis_of(self.dim, out.rank()), argument::dim, Rule::Range)?;
        let mut sum = 0u64;
        for index in 0..tensors.len() {
            let tensor = require_some(tensors.get(index), argument::tensors, Rule::Length)?;
            check_moved(&tensor, out, argument::out)?;
            require(tensor.rank() == out.rank(), argument::tensors, Rule::Rank)?;
            let fits = (0..out.rank()).all(|axis| axis == dim || tensor.dim(axis) == out.dim(axis));
            require(fits, argument::tensors, Rule::Shape)?;
            let order = (0..out.rank()).map(|position| out.dim_order(position));
            require(tensor.is_ordered_as(order), argument::tensors, Rule::Layout)?;
            sum += u64::from(tensor.dim(dim));
        }
        require(sum == u64::from(out.dim(dim)), argument::out, Rule::Shape)
    }
}

/// The exact meaning of joining chunks: in each round, the next chunk of each tensor. Chunks are in bytes.
///
/// # Panics
/// If a slice is shorter than rounds and chunks say.
pub fn reference(rounds: usize, tensors: &[(&[u8], usize)], out: &mut [u8]) {
    let mut to = 0;
    for round in 0..rounds {
        for (tensor, chunk) in tensors {
            out[to..to + chunk].copy_from_slice(&tensor[round * chunk..][..*chunk]);
            to += chunk;
        }
    }
}
