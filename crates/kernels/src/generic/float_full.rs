//! Tensors of one number, in `float32`.

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::ops::FloatFull;
use cortado_contract::ops::float_full::argument;
use cortado_contract::value::{TensorMeta, Violation};

/// Word 0, output, number of elements, and the number.
pub const STATE_WORDS: usize = 4;

/// `out[i] = number`.
pub fn fill(number: f32, out: &mut [f32]) {
    out.fill(number);
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatFull<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    prepare_fill(arguments.fill_value, &arguments.out, argument::out, state)
}

/// Packs a tensor and what it is filled with.
pub(super) fn prepare_fill(
    number: f64,
    out: &LoadedTensor,
    out_argument: u8,
    state: &mut [u32],
) -> Result<(), Violation> {
    require_disjoint(out, out_argument, &[])?;
    if let [_, target, count, word, ..] = state {
        *target = Location::to_word(Some(out.location));
        *count = out.element_count().unwrap_or(0);
        *word = (number as f32).to_bits();
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_fill(state, memory)
}

/// Fills a packed tensor.
pub(super) fn execute_fill(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, target, count, word] = *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let (_, out) = memory.write::<f32>(Location::from_word(target)?, count as usize)?;
    fill(f32::from_bits(word), out);
    Some(())
}
