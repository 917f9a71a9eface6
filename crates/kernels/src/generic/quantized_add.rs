//! Sums and differences of `int8` tensors.

use super::broadcast::{self, BINARY_WORDS, for_each_run};
use crate::memory::{Memory, Source};
use crate::micro::Micro;
use crate::micro::sum::are_plain;
use crate::operand::{Lists, Loaded};
use cortado_contract::broadcast::Broadcast;
use cortado_contract::ops::QuantizedAdd;
use cortado_contract::ops::quantized_add::{AddParams, Addend, LEFT_SHIFT, argument};
use cortado_contract::quant::{Activation, InputOffset, OutputOffset, Requantize};
use cortado_contract::value::Violation;

/// Operands and axes, three multipliers, and the small numbers packed.
pub const STATE_WORDS: usize = BINARY_WORDS + 5;

/// Computes a sum; see [`cortado_contract::ops::quantized_add::reference`] for its bits.
///
/// `None` when a slice is shorter than [`Broadcast::element_counts`] says or an operand in place is repeated; nothing useful is
/// in `out` then.
pub fn add_s8<M: Micro>(
    broadcast: &Broadcast,
    params: &AddParams,
    lhs: Source<'_, i8>,
    rhs: Source<'_, i8>,
    out: &mut [i8],
) -> Option<()> {
    for_each_run(broadcast, lhs, rhs, out, |run, out| M::add::<true>(params, run, out))
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedAdd<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let broadcast = arguments.broadcast()?;
    if let Some((words, numbers)) = state.split_first_chunk_mut::<BINARY_WORDS>() {
        let operands = [&arguments.lhs, &arguments.rhs, &arguments.out];
        broadcast::pack(&broadcast, operands, argument::out, words)?;
        let bytes = |numbers: [i32; 4]| u32::from_le_bytes(numbers.map(|number| number as u8));
        super::store(
            numbers,
            [
                arguments.lhs_multiplier as u32,
                arguments.rhs_multiplier as u32,
                arguments.output_multiplier as u32,
                bytes([
                    arguments.lhs_zero_point.0,
                    arguments.rhs_zero_point.0,
                    arguments.output_zero_point.0,
                    arguments.activation_min,
                ]),
                bytes([
                    arguments.lhs_shift,
                    arguments.rhs_shift,
                    arguments.output_shift,
                    arguments.activation_max,
                ]),
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_with(state, memory, |words, params, memory| {
        let operands = broadcast::borrow(words, memory)?;
        add_s8::<M>(&operands.broadcast, params, operands.lhs, operands.rhs, operands.out)
    })
}

/// Operands of the result's extents and order, and [plain](crate::micro::is_plain) parameters.
const PLAIN: u16 = 1;
/// Anything else.
const OTHER: u16 = 2;

/// See [`super::form`].
pub(super) const fn form(state: &[u32]) -> u16 {
    let [.., shifts] = state else { return OTHER };
    let [lhs, rhs, shift, _] = shifts.to_le_bytes();
    let is_plain = are_plain(lhs as i8 as i32, rhs as i8 as i32, shift as i8 as i32);
    if broadcast::is_flat(state) && is_plain { PLAIN } else { OTHER }
}

pub(super) const fn narrowed<M: Micro>(forms: u16) -> Option<super::Execute> {
    if forms == PLAIN { Some(execute_plain::<M>) } else { None }
}

fn execute_plain<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    if form(state) != PLAIN {
        return None;
    }
    execute_with(state, memory, |words, params, memory| {
        broadcast::map_flat::<M, _>(words, memory, |run, out| M::add::<false>(params, run, out))
    })
}

#[inline(always)]
fn execute_with(
    state: &[u32],
    memory: &mut Memory<'_>,
    add: impl FnOnce(&[u32; BINARY_WORDS], &AddParams, &mut Memory<'_>) -> Option<()>,
) -> Option<()> {
    let (words, numbers) = state.split_first_chunk::<BINARY_WORDS>()?;
    let &[lhs_multiplier, rhs_multiplier, multiplier, points, shifts] = numbers else {
        return None;
    };
    let bytes = |word: u32| word.to_le_bytes().map(|byte| i32::from(byte as i8));
    let [lhs_zero_point, rhs_zero_point, output_offset, min] = bytes(points);
    let [lhs_shift, rhs_shift, shift, max] = bytes(shifts);
    let addend = |zero_point: i32, multiplier: u32, shift: i32| Addend {
        offset: InputOffset(-zero_point),
        factor: Requantize { multiplier: multiplier as i32, shift },
    };
    let params = AddParams {
        lhs: addend(lhs_zero_point, lhs_multiplier, lhs_shift),
        rhs: addend(rhs_zero_point, rhs_multiplier, rhs_shift),
        left_shift: LEFT_SHIFT,
        output_offset: OutputOffset(output_offset),
        factor: Requantize { multiplier: multiplier as i32, shift },
        activation: Activation { min, max },
    };
    add(words, &params, memory)
}
