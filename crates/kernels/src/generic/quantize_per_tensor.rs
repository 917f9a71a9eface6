//! Real numbers to integers at the border of a program.

use super::{halves, require_element_by_element, unpack_halves};
use crate::memory::{Location, Memory};
use crate::micro::{Integer, Micro};
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::DType;
use cortado_contract::ops::QuantizePerTensor;
use cortado_contract::ops::quantize_per_tensor::argument;
use cortado_contract::quant::{Activation, ZeroPoint, inverse_scale};
use cortado_contract::value::{TensorMeta, Violation};

/// Input, output, count, inverse scale, and the range packed.
pub const STATE_WORDS: usize = 7;

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizePerTensor<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let LoadedTensor { location: input, .. } = arguments.input;
    require_element_by_element(&arguments.input, &arguments.out, argument::out)?;
    if let [head, words @ ..] = state {
        *head |= u32::from(arguments.dtype.scalar_type()) << 8;
        words.copy_from_slice(&[
            Location::to_word(Some(input)),
            Location::to_word(Some(arguments.out.location)),
            arguments.input.element_count().unwrap_or(0),
            inverse_scale(arguments.scale).to_bits(),
            halves(arguments.quant_min, arguments.quant_max),
            arguments.zero_point.0 as u32,
        ]);
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    match DType::from_scalar_type(i64::from(state.first()? >> 8 & 0xff))? {
        DType::I8 => execute_as::<M, i8>(state, memory),
        DType::U8 => execute_as::<M, u8>(state, memory),
        DType::I16 => execute_as::<M, i16>(state, memory),
        _ => None,
    }
}

fn execute_as<M: Micro, T: Integer>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, input, out, count, inverse_scale, range, zero_point] =
        *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let (input, out) = (Location::from_word(input)?, Location::from_word(out)?);
    let (min, max) = unpack_halves(range);
    let range = Activation { min, max };
    let (inverse_scale, zero_point) = (f32::from_bits(inverse_scale), ZeroPoint(zero_point as i32));
    memory.map(input, out, count as usize, |_, input, out: &mut [T]| {
        M::quantize(input, inverse_scale, zero_point, range, out);
    })
}
