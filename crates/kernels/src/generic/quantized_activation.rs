//! Functions of one `int8` number, as tables.

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedActivation;
use cortado_contract::ops::quantized_activation::{ENTRIES, argument};
use cortado_contract::value::{TensorMeta, Violation};

/// Input, output, table, and the number of elements.
pub const STATE_WORDS: usize = 5;

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedActivation<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let operands = [Some(&arguments.input), Some(&arguments.lut)];
    require_disjoint(&arguments.out, argument::out, &operands)?;
    if let [_, words @ ..] = state {
        words.copy_from_slice(&[
            Location::to_word(Some(arguments.input.location)),
            Location::to_word(Some(arguments.out.location)),
            Location::to_word(Some(arguments.lut.location)),
            arguments.input.element_count().unwrap_or(0),
        ]);
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, input, out, table, count] = *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let (reader, out) = memory.write::<i8>(Location::from_word(out)?, count as usize)?;
    let input = reader.read::<i8>(Location::from_word(input)?, count as usize)?;
    let table = reader.read::<i8>(Location::from_word(table)?, ENTRIES)?;
    M::lookup(table.first_chunk::<ENTRIES>()?, input, out);
    Some(())
}
