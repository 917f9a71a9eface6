//! What binary operators share: walking over broadcast operands, and their prepared state.
//!
//! ```text
//! for each index of all axes but the innermost one:
//!     a run along the innermost axis, in which both operands advance, or one of them stays:
//!         out[i..] = apply(lhs[j..], rhs[k..])                       (1)
//! ```
//!
//! 1. Without broadcasting all axes are one (see [`Broadcast`]), so that the whole operator is a single run. An operand that lies
//!    where the result does is copied aside, a piece of a run at a time.

use super::require_disjoint;
use crate::memory::{Element, Location, Memory, STAGE_ELEMENTS, Source, copy, copy_aside};
use crate::micro::{Micro, Run};
use crate::operand::{LoadedTensor, MAX_RANK};
use cortado_contract::broadcast::{Advance, Axis, Broadcast};
use cortado_contract::strided::MAX_AXES;
use cortado_contract::value::{TensorMeta, Violation};

const _: () = assert!(MAX_RANK <= MAX_AXES, "any tensor that can be loaded can be broadcast");

/// Calls `apply` with each run of the operands and of `out`, all of them in memory order.
///
/// `None` when a slice is shorter than [`Broadcast::element_counts`] says, or an operand is in place that does not advance
/// with every element of `out`; nothing useful is in `out` then.
#[inline(always)]
pub fn for_each_run<T: Element + Default>(
    broadcast: &Broadcast,
    lhs: Source<'_, T>,
    rhs: Source<'_, T>,
    out: &mut [T],
    mut apply: impl FnMut(Run<'_, T>, &mut [T]),
) -> Option<()> {
    let [_, _, count] = broadcast.element_counts();
    let out = out.get_mut(..count)?;
    if count == 0 {
        return Some(());
    }
    const SINGLE: Axis = Axis { extent: 1, advance: Advance::Both };
    let (innermost, outer) = broadcast.axes().split_last().unwrap_or((&SINGLE, &[]));
    let in_place = |source: &Source<'_, T>| matches!(source, Source::InPlace);
    let (lhs_in_place, rhs_in_place) = (in_place(&lhs), in_place(&rhs));
    let advances =
        |advances: fn(Advance) -> bool| broadcast.axes().iter().all(|axis| advances(axis.advance));
    if lhs_in_place && !advances(Advance::lhs) || rhs_in_place && !advances(Advance::rhs) {
        return None;
    }
    let length = innermost.extent as usize;
    let is_staged = lhs_in_place || rhs_in_place;
    let piece = if is_staged { length.min(STAGE_ELEMENTS) } else { length };
    let mut stage = [T::default(); STAGE_ELEMENTS];
    let mut position = Position::default();
    for out in out.chunks_exact_mut(length.max(1)) {
        let mut done = 0;
        for out in out.chunks_mut(piece.max(1)) {
            let stage = stage.get_mut(..out.len()).unwrap_or(&mut []);
            if is_staged {
                copy(out, stage)?;
            }
            let count = out.len();
            let advanced = |advances: bool| if advances { done } else { 0 };
            let lhs = lhs.after(position.lhs + advanced(innermost.advance.lhs()), stage)?;
            let rhs = rhs.after(position.rhs + advanced(innermost.advance.rhs()), stage)?;
            let run = match innermost.advance {
                Advance::Both => Run::Both(lhs.get(..count)?, rhs.get(..count)?),
                Advance::Lhs => Run::Lhs(lhs.get(..count)?, *rhs.first()?),
                Advance::Rhs => Run::Rhs(*lhs.first()?, rhs.get(..count)?),
            };
            apply(run, out);
            done += count;
        }
        position.advance(outer, innermost);
    }
    Some(())
}

/// Where a run starts.
#[derive(Default)]
struct Position {
    indices: [u32; MAX_AXES],
    lhs: usize,
    rhs: usize,
}

impl Position {
    /// Goes on to the next run: a step along the innermost axis that has one left, back to the start of those inside.
    #[inline(always)]
    fn advance(&mut self, outer: &[Axis], innermost: &Axis) {
        let span = |advances: bool| if advances { innermost.extent as usize } else { 1 };
        let mut lhs_stride = span(innermost.advance.lhs());
        let mut rhs_stride = span(innermost.advance.rhs());
        for (axis, index) in outer.iter().zip(&mut self.indices).rev() {
            let lhs_step = if axis.advance.lhs() { lhs_stride } else { 0 };
            let rhs_step = if axis.advance.rhs() { rhs_stride } else { 0 };
            *index += 1;
            if *index < axis.extent {
                self.lhs += lhs_step;
                self.rhs += rhs_step;
                return;
            }
            *index = 0;
            let back = axis.extent as usize - 1;
            self.lhs -= lhs_step * back;
            self.rhs -= rhs_step * back;
            lhs_stride += lhs_step * back;
            rhs_stride += rhs_step * back;
        }
    }
}

/// The words that every binary operator starts with: word 0, three locations, and the axes' extents.
pub(super) const BINARY_WORDS: usize = 4 + MAX_AXES;

/// Word 0 has two bits per axis from this one on: its [`Advance`], or 0 past the last axis.
const ADVANCE_SHIFT: u32 = 8;
/// The first bit of word 0 that is left to the operator.
pub(super) const FREE_SHIFT: u32 = ADVANCE_SHIFT + 2 * MAX_AXES as u32;

/// Packs operands and axes.
///
/// # Errors
/// When `out`, the argument at `out_argument`, is a constant or overlaps an operand.
pub(super) fn pack(
    broadcast: &Broadcast,
    [lhs, rhs, out]: [&LoadedTensor; 3],
    out_argument: u8,
    words: &mut [u32; BINARY_WORDS],
) -> Result<(), Violation> {
    // An operand that advances with the result and lies just where the result does is computed in place.
    let apart = |operand: &LoadedTensor, advances: fn(Advance) -> bool| {
        let advances = broadcast.axes().iter().all(|axis| advances(axis.advance));
        !(advances && operand.location == out.location && operand.dtype() == out.dtype())
    };
    let operands = [
        Some(lhs).filter(|lhs| apart(lhs, Advance::lhs)),
        Some(rhs).filter(|rhs| apart(rhs, Advance::rhs)),
    ];
    require_disjoint(out, out_argument, &operands)?;
    let [head, lhs_word, rhs_word, out_word, extents @ ..] = words;
    *lhs_word = Location::to_word(Some(lhs.location));
    *rhs_word = Location::to_word(Some(rhs.location));
    *out_word = Location::to_word(Some(out.location));
    extents.fill(0);
    for (index, (axis, extent)) in broadcast.axes().iter().zip(extents).enumerate() {
        *head |= (axis.advance as u32) << (ADVANCE_SHIFT + 2 * index as u32);
        *extent = axis.extent;
    }
    Ok(())
}

/// The operands of a packed operator.
pub(super) struct Operands<'m, T> {
    pub(super) broadcast: Broadcast,
    pub(super) lhs: Source<'m, T>,
    pub(super) rhs: Source<'m, T>,
    pub(super) out: &'m mut [T],
}

/// Borrows the operands of a packed operator.
pub(super) fn borrow<'m, T: Element>(
    words: &[u32; BINARY_WORDS],
    memory: &'m mut Memory<'_>,
) -> Option<Operands<'m, T>> {
    let [head, lhs, rhs, out, extents @ ..] = words;
    let mut broadcast = Broadcast::SCALAR;
    for (index, extent) in extents.iter().enumerate() {
        let bits = head >> (ADVANCE_SHIFT + 2 * index as u32) & 3;
        let Some(advance) = Advance::from_bits(bits) else { break };
        broadcast.push(Axis { extent: *extent, advance });
    }
    let [lhs_count, rhs_count, out_count] = broadcast.element_counts();
    let location = Location::from_word(*out)?;
    let (reader, out) = memory.write::<T>(location, out_count)?;
    let source = |word: u32, count: usize| match Location::from_word(word)? {
        operand if operand == location => Some(Source::InPlace),
        operand => reader.read(operand, count).map(Source::Apart),
    };
    let (lhs, rhs) = (source(*lhs, lhs_count)?, source(*rhs, rhs_count)?);
    Some(Operands { broadcast, lhs, rhs, out })
}

/// Whether both operands of a packed operator have the result's extents and order.
pub(super) const fn is_flat(state: &[u32]) -> bool {
    let [head, ..] = state else { return false };
    // One axis along which both advance.
    let axes = *head >> ADVANCE_SHIFT & ((1 << (2 * MAX_AXES)) - 1);
    axes == Advance::Both as u32
}

/// Calls `apply` with pieces of the operands of a packed operator that is [flat](is_flat), and of its result: with all at once, unless an operand
/// is in place.
#[inline(always)]
pub(super) fn map_flat<M: Micro, T: Element + Default>(
    words: &[u32; BINARY_WORDS],
    memory: &mut Memory<'_>,
    mut apply: impl FnMut(Run<'_, T>, &mut [T]),
) -> Option<()> {
    let [_, lhs, rhs, target, count, ..] = *words;
    let count = count as usize;
    let (reader, out) = memory.write::<T>(Location::from_word(target)?, count)?;
    let source = |word| match word == target {
        true => Some(Source::InPlace),
        false => reader.read(Location::from_word(word)?, count).map(Source::Apart),
    };
    let (lhs, rhs): (Source<'_, T>, Source<'_, T>) = (source(lhs)?, source(rhs)?);
    let is_staged = matches!(lhs, Source::InPlace) || matches!(rhs, Source::InPlace);
    let piece = if is_staged { STAGE_ELEMENTS } else { count };
    let mut stage = [T::default(); STAGE_ELEMENTS];
    let mut done = 0;
    while done < count {
        let out = out.get_mut(done..)?;
        let length = piece.min(out.len());
        let out = out.get_mut(..length)?;
        let stage = stage.get_mut(..if is_staged { length } else { 0 })?;
        if is_staged {
            copy_aside::<M, T>(out, stage)?;
        }
        let (lhs, rhs) = (lhs.after(done, stage)?, rhs.after(done, stage)?);
        apply(Run::Both(lhs.get(..length)?, rhs.get(..length)?), out);
        done += length;
    }
    Some(())
}
