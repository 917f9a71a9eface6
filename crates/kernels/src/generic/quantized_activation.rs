//! Functions of one `int8` number, as tables.

use super::{require_disjoint, require_element_by_element};
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
    require_element_by_element(&arguments.input, &arguments.out, argument::out)?;
    require_disjoint(&arguments.out, argument::out, &[Some(&arguments.lut)])?;
    if let [_, words @ ..] = state {
        super::store(
            words,
            [
                Location::to_word(Some(arguments.input.location)),
                Location::to_word(Some(arguments.out.location)),
                Location::to_word(Some(arguments.lut.location)),
                arguments.input.element_count().unwrap_or(0),
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, input, out, table, count] = *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let (input, out) = (Location::from_word(input)?, Location::from_word(out)?);
    let table = Location::from_word(table)?;
    let mut has_table = true;
    memory.map::<M, _, _>(input, out, count as usize, |reader, input, out| {
        match reader.read::<i8>(table, ENTRIES).and_then(<[i8]>::first_chunk::<ENTRIES>) {
            Some(table) => M::lookup(table, input, out),
            None => has_table = false,
        }
    })?;
    has_table.then_some(())
}
