//! Moving elements: permutations, slices, selections and expansions, of any element type.
//!
//! ```text
//! for each index of the outer axes, in the order of the result's memory:
//!     for each index of the two innermost axes: copy run bytes from input[Σ index·stride]
//! ```
//!
//! Such an operator is a [`Gather`]: a stride in the input per axis of the result. Preparing it brings the axes into the order
//! of the result's memory, drops those of extent 1 and joins neighbours that lie the same way on both sides (1), so most
//! slices end as a few long copies and a permutation of images as three short loops. Everything counts in bytes (2).
//!
//! 1. An axis joins the next inner one when its stride is that one's extent times that one's stride.
//! 2. So one loop serves all element types: an element of several bytes is an innermost axis that joins what is next to it.

use super::require_disjoint;
use crate::memory::{Location, Memory, cast, cast_mut};
use crate::micro::Micro;
use crate::operand::LoadedTensor;
use cortado_contract::strided::{Gather, MAX_AXES};
use cortado_contract::value::{Rule, TensorMeta, Violation};

/// Word 0 (the number of axes), input, output, the run, and extent and stride of each axis.
pub(super) const STATE_WORDS: usize = 4 + 2 * MAX_AXES;

/// An axis of the result, in memory order: how many steps, and how far each goes in the input, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// The number of steps.
    pub extent: u32,
    /// The distance in the input, in bytes; 0 repeats.
    pub stride: u32,
}

/// What is copied: `run` consecutive bytes per index of the axes, which are outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moves {
    axes: [Axis; MAX_AXES],
    count: usize,
    run: u32,
}

impl Moves {
    /// The moves that fill the memory of `out`.
    pub fn new(out: &impl TensorMeta, gather: &Gather) -> Moves {
        let element_bytes = out.dtype().size_bytes();
        let mut moves = Moves { axes: [Axis::default(); MAX_AXES], count: 0, run: element_bytes };
        // From the innermost axis outwards: the list is kept innermost first until it is complete.
        for position in (0..out.rank()).rev() {
            let axis = out.dim_order(position);
            let extent = out.dim(axis);
            let stride = gather.strides.get(axis).copied().unwrap_or(0).wrapping_mul(element_bytes);
            if extent != 1 {
                moves.push(Axis { extent, stride });
            }
        }
        if let Some(axes) = moves.axes.get_mut(..moves.count) {
            axes.reverse();
        }
        moves
    }

    fn push(&mut self, axis: Axis) {
        let last = self.count.checked_sub(1).and_then(|last| self.axes.get_mut(last));
        match last {
            None if axis.stride == self.run => self.run = self.run.wrapping_mul(axis.extent),
            Some(inner) if axis.stride == inner.extent.wrapping_mul(inner.stride) => {
                inner.extent = inner.extent.wrapping_mul(axis.extent);
            }
            _ => {
                if let Some(slot) = self.axes.get_mut(self.count) {
                    *slot = axis;
                    self.count += 1;
                }
            }
        }
    }

    /// The axes, outermost first.
    pub fn axes(&self) -> &[Axis] {
        self.axes.get(..self.count).unwrap_or(&[])
    }

    /// The number of bytes from the first that is read to past the last.
    fn span_bytes(&self) -> usize {
        let steps = self
            .axes()
            .iter()
            .map(|axis| axis.extent.saturating_sub(1) as usize * axis.stride as usize);
        steps.sum::<usize>() + self.run as usize
    }

    /// The number of bytes that are written.
    fn out_bytes(&self) -> usize {
        self.axes().iter().fold(self.run as usize, |bytes, axis| bytes * axis.extent as usize)
    }
}

/// Copies into all of `out`; `None` when a slice is shorter than the moves say.
pub fn copy<M: Micro>(moves: &Moves, input: &[u8], out: &mut [u8]) -> Option<()> {
    let run = moves.run as usize;
    let out = out.get_mut(..moves.out_bytes())?;
    if out.is_empty() {
        return Some(());
    }
    // The two innermost axes are one block; bytes have no sign here.
    let (input, out) = (cast::<i8>(input)?, cast_mut::<i8>(out)?);
    const SINGLE: Axis = Axis { extent: 1, stride: 0 };
    let (inner, outer) = moves.axes().split_last().unwrap_or((&SINGLE, &[]));
    let (middle, outer) = outer.split_last().unwrap_or((&SINGLE, &[]));
    let [inner_extent, middle_extent] = [inner, middle].map(|axis| axis.extent as usize);
    let steps = [inner, middle].map(|axis| axis.stride as usize);
    let row = run * inner_extent;
    let mut index = [0u32; MAX_AXES];
    let mut from = 0usize;
    for block in out.chunks_exact_mut((row * middle_extent).max(1)) {
        let input = input.get(from..)?;
        match run {
            1 => M::gather((input, steps), block, inner_extent)?,
            _ => {
                let (windows, rows) = (middle_extent, inner_extent);
                M::copy_windows((input, steps), (block, [run, row]), windows, rows, run)?;
            }
        }
        for (index, axis) in index.iter_mut().zip(outer).rev() {
            *index += 1;
            from += axis.stride as usize;
            if *index < axis.extent {
                break;
            }
            *index = 0;
            from -= axis.extent as usize * axis.stride as usize;
        }
    }
    Some(())
}

/// Packs a checked operator that moves elements of `input` to `out`.
pub(super) fn prepare(
    input: &LoadedTensor,
    out: &LoadedTensor,
    out_argument: u8,
    gather: &Gather,
    state: &mut [u32],
) -> Result<(), Violation> {
    require_disjoint(out, out_argument, &[Some(input)])?;
    let moves = Moves::new(out, gather);
    let offset = gather.offset.wrapping_mul(input.dtype.size_bytes());
    let from = input.location.offset_by(offset);
    let from = from.ok_or(Violation { argument: 0, rule: Rule::TooLarge })?;
    if let [head, source, target, run, axes @ ..] = state {
        *head |= (moves.count as u32) << 8;
        *source = Location::to_word(Some(from));
        *target = Location::to_word(Some(out.location));
        *run = moves.run;
        for (words, axis) in axes.as_chunks_mut().0.iter_mut().zip(moves.axes) {
            *words = [axis.extent, axis.stride];
        }
    }
    Ok(())
}

/// Runs a packed operator.
pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [head, source, target, run, axes @ ..] = <&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let mut moves =
        Moves { axes: [Axis::default(); MAX_AXES], count: (head >> 8) as usize, run: *run };
    for (axis, [extent, stride]) in moves.axes.iter_mut().zip(axes.as_chunks().0) {
        *axis = Axis { extent: *extent, stride: *stride };
    }
    let out_bytes = moves.out_bytes();
    let (reader, out) = memory.write::<u8>(Location::from_word(*target)?, out_bytes)?;
    if out_bytes == 0 {
        return Some(());
    }
    let input = reader.read::<u8>(Location::from_word(*source)?, moves.span_bytes())?;
    copy::<M>(&moves, input, out)
}
