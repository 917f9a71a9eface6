//! Which elements equal a number, in `float32`.

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatEq;
use cortado_contract::ops::float_eq::argument;
use cortado_contract::value::{TensorMeta, Violation};

/// Word 0, input, output, number of elements, and the number.
pub const STATE_WORDS: usize = 5;

/// `out[i] = input[i] == number`, over the shorter of both.
pub fn equal(input: &[f32], number: f32, out: &mut [u8]) {
    for (out, input) in out.iter_mut().zip(input) {
        *out = u8::from(*input == number);
    }
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatEq<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let FloatEq { input, other, out } = arguments;
    require_disjoint(out, argument::out, &[Some(input)])?;
    if let [_, words @ ..] = state {
        super::store(
            words,
            [
                Location::to_word(Some(input.location)),
                Location::to_word(Some(out.location)),
                input.element_count().unwrap_or(0),
                (*other as f32).to_bits(),
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, input, out, count, number] = *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let count = count as usize;
    let (reader, out) = memory.write::<u8>(Location::from_word(out)?, count)?;
    equal(reader.read(Location::from_word(input)?, count)?, f32::from_bits(number), out);
    Some(())
}
