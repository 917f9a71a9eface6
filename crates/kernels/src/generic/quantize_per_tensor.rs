//! Real numbers to integers at the border of a program.

use super::{halves, require_disjoint, unpack_halves};
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
    require_disjoint(&arguments.out, argument::out, &[Some(&arguments.input)])?;
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
    let (reader, out) = memory.write::<T>(Location::from_word(out)?, count as usize)?;
    let input = reader.read::<f32>(Location::from_word(input)?, count as usize)?;
    let (min, max) = unpack_halves(range);
    let range = Activation { min, max };
    M::quantize(input, f32::from_bits(inverse_scale), ZeroPoint(zero_point as i32), range, out);
    Some(())
}
