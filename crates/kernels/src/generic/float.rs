//! What operators over `float32` share: functions of one and of two numbers with their prepared state, and sums of products.

use super::broadcast::{BINARY_WORDS, Operands, borrow, for_each_run, pack};
use super::require_element_by_element;
use crate::memory::{Location, Memory, Source};
use crate::micro::Micro;
use crate::operand::LoadedTensor;
use cortado_contract::broadcast::Broadcast;
use cortado_contract::value::{TensorMeta, Violation};

/// Word 0, input, output, number of elements.
pub(super) const UNARY_WORDS: usize = 4;

/// `out[i] = function(input[i])`, over the shorter of both.
pub fn map(input: &[f32], function: impl Fn(f32) -> f32, out: &mut [f32]) {
    for (out, input) in out.iter_mut().zip(input) {
        *out = function(*input);
    }
}

/// `out[i] = function(lhs[i], rhs[i])`, with broadcasting.
///
/// `None` when a slice is shorter than [`Broadcast::element_counts`] says.
pub fn combine(
    broadcast: &Broadcast,
    lhs: Source<'_, f32>,
    rhs: Source<'_, f32>,
    function: impl Fn(f32, f32) -> f32,
    out: &mut [f32],
) -> Option<()> {
    for_each_run(broadcast, lhs, rhs, out, |run, out| run.apply(out, &function))
}

/// `Σ_i lhs[i] · rhs[i]` over the shorter of both, as four sums of every fourth product.
#[inline(always)]
pub fn dot(lhs: &[f32], rhs: &[f32]) -> f32 {
    let length = lhs.len().min(rhs.len());
    let (lhs, lhs_rest) = lhs.get(..length).unwrap_or(lhs).as_chunks::<4>();
    let (rhs, rhs_rest) = rhs.get(..length).unwrap_or(rhs).as_chunks::<4>();
    let mut sums = [0.0f32; 4];
    for (lhs, rhs) in lhs.iter().zip(rhs) {
        for (sum, (lhs, rhs)) in sums.iter_mut().zip(lhs.iter().zip(rhs)) {
            *sum += lhs * rhs;
        }
    }
    for (sum, (lhs, rhs)) in sums.iter_mut().zip(lhs_rest.iter().zip(rhs_rest)) {
        *sum += lhs * rhs;
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// Packs a function of one number.
pub(super) fn prepare_unary(
    input: &LoadedTensor,
    out: &LoadedTensor,
    out_argument: u8,
    state: &mut [u32],
) -> Result<(), Violation> {
    require_element_by_element(input, out, out_argument)?;
    if let [_, source, target, count, ..] = state {
        *source = Location::to_word(Some(input.location));
        *target = Location::to_word(Some(out.location));
        *count = input.element_count().unwrap_or(0);
    }
    Ok(())
}

/// Runs a packed function of one number.
pub(super) fn execute_unary<M: Micro>(
    state: &[u32],
    memory: &mut Memory<'_>,
    function: impl Fn(f32) -> f32,
) -> Option<()> {
    let [_, source, target, count, ..] = *state else { return None };
    let (input, out) = (Location::from_word(source)?, Location::from_word(target)?);
    memory.map::<M, _, _>(input, out, count as usize, |_, input, out| map(input, &function, out))
}

/// The words of a function of two numbers; one more holds a number of its own.
pub(super) const BINARY_STATE_WORDS: usize = BINARY_WORDS + 1;

/// Packs a function of two numbers, and a factor.
pub(super) fn prepare_binary(
    [lhs, rhs, out]: [&LoadedTensor; 3],
    [lhs_argument, rhs_argument, out_argument]: [u8; 3],
    factor: f64,
    state: &mut [u32],
) -> Result<(), Violation> {
    let broadcast = Broadcast::new((lhs, lhs_argument), (rhs, rhs_argument), (out, out_argument))?;
    if let Some((words, [word])) = state.split_first_chunk_mut::<BINARY_WORDS>() {
        pack(&broadcast, [lhs, rhs, out], out_argument, words)?;
        *word = (factor as f32).to_bits();
    }
    Ok(())
}

/// Runs a packed function of two numbers and the factor.
pub(super) fn execute_binary(
    state: &[u32],
    memory: &mut Memory<'_>,
    function: impl Fn(f32, f32, f32) -> f32,
) -> Option<()> {
    let (words, [factor]) = state.split_first_chunk::<BINARY_WORDS>()? else { return None };
    let factor = f32::from_bits(*factor);
    let Operands { broadcast, lhs, rhs, out } = borrow::<f32>(words, memory)?;
    combine(&broadcast, lhs, rhs, |lhs, rhs| function(lhs, rhs, factor), out)
}
