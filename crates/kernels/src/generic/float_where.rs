//! One of two numbers each, in `float32`, with broadcasting.

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded, MAX_RANK};
use cortado_contract::ops::FloatWhere;
use cortado_contract::ops::float_where::argument;
use cortado_contract::value::{TensorMeta, Violation};

/// Word 0 (the number of axes), the four tensors, and of each axis its extent and what a step along it is in each operand.
pub const STATE_WORDS: usize = 5 + 4 * MAX_RANK;

/// An axis of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// The number of steps.
    pub extent: u32,
    /// What a step is in condition, first and second operand, in elements; 0 repeats.
    pub strides: [u32; 3],
}

/// The axes of a result, right-aligned with the operands.
pub fn axes<T: TensorMeta>(operands: [&T; 3], out: &T) -> ([Axis; MAX_RANK], usize) {
    let mut axes = [Axis::default(); MAX_RANK];
    let mut steps = [1u32; 3];
    let rank = out.rank().min(MAX_RANK);
    for (back, axis) in (0..rank).rev().enumerate() {
        let Some(slot) = axes.get_mut(axis) else { continue };
        slot.extent = out.dim(axis);
        for ((operand, step), stride) in operands.iter().zip(&mut steps).zip(&mut slot.strides) {
            let own = operand.rank().checked_sub(back + 1).map_or(1, |own| operand.dim(own));
            *stride = if own == 1 { 0 } else { *step };
            *step = step.wrapping_mul(own);
        }
    }
    (axes, rank)
}

/// Fills `out` from both operands; `None` when a slice is shorter than the axes say.
pub fn choose(
    axes: &[Axis],
    condition: &[u8],
    [input, other]: [&[f32]; 2],
    out: &mut [f32],
) -> Option<()> {
    for (element, out) in out.iter_mut().enumerate() {
        let (mut rest, mut at) = (element, [0usize; 3]);
        for axis in axes.iter().rev() {
            let extent = axis.extent.max(1) as usize;
            let index = rest % extent;
            rest /= extent;
            for (at, stride) in at.iter_mut().zip(axis.strides) {
                *at += index * stride as usize;
            }
        }
        let [condition_at, input_at, other_at] = at;
        let is_first = *condition.get(condition_at)? != 0;
        *out = if is_first { *input.get(input_at)? } else { *other.get(other_at)? };
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatWhere<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let FloatWhere { condition, input, other, out } = arguments;
    require_disjoint(out, argument::out, &[Some(condition), Some(input), Some(other)])?;
    let (axes, rank) = axes([condition, input, other], out);
    if let [head, a, b, c, d, words @ ..] = state {
        *head |= (rank as u32) << 8;
        for (word, tensor) in [a, b, c, d].into_iter().zip([condition, input, other, out]) {
            *word = Location::to_word(Some(tensor.location));
        }
        for (words, Axis { extent, strides: [x, y, z] }) in
            words.as_chunks_mut().0.iter_mut().zip(axes)
        {
            *words = [extent, x, y, z];
        }
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [head, condition, input, other, out, words @ ..] =
        <&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let mut axes = [Axis::default(); MAX_RANK];
    for (axis, [extent, x, y, z]) in axes.iter_mut().zip(words.as_chunks().0) {
        *axis = Axis { extent: *extent, strides: [*x, *y, *z] };
    }
    let axes = axes.get(..(*head >> 8) as usize)?;
    let count = axes.iter().map(|axis| axis.extent as usize).product();
    // How many elements an operand has: one more than the farthest.
    let length = |operand: usize| {
        let steps = axes.iter().map(|axis| {
            axis.extent.saturating_sub(1) as usize
                * axis.strides.get(operand).copied().unwrap_or(0) as usize
        });
        1 + steps.sum::<usize>()
    };
    let (reader, out) = memory.write::<f32>(Location::from_word(*out)?, count)?;
    if count == 0 {
        return Some(());
    }
    let condition = reader.read::<u8>(Location::from_word(*condition)?, length(0))?;
    let input = reader.read::<f32>(Location::from_word(*input)?, length(1))?;
    let other = reader.read::<f32>(Location::from_word(*other)?, length(2))?;
    choose(axes, condition, [input, other], out)
}
