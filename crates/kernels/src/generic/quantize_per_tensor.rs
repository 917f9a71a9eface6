//! Real numbers to integers at the border of a program.

use super::{halves, require_element_by_element, unpack_halves};
use crate::memory::{Location, Memory};
use crate::micro::{Integer, Micro};
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::DType;
use cortado_contract::ops::QuantizePerTensor;
use cortado_contract::ops::quantize_per_tensor::argument;
use cortado_contract::quant::{Activation, ZeroPoint, inverse_scale, quantize};
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
        super::store(
            words,
            [
                Location::to_word(Some(input)),
                Location::to_word(Some(arguments.out.location)),
                arguments.input.element_count().unwrap_or(0),
                inverse_scale(arguments.scale).to_bits(),
                halves(arguments.quant_min, arguments.quant_max),
                arguments.zero_point.0 as u32,
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let is_regular = form(state) & REGULAR != 0;
    match DType::from_scalar_type(i64::from(state.first()? >> 8 & 0xff))? {
        DType::I8 if is_regular => execute_as::<M, i8>(state, memory),
        DType::U8 if is_regular => execute_as::<M, u8>(state, memory),
        DType::I16 if is_regular => execute_as::<M, i16>(state, memory),
        DType::I8 => execute_any::<M, i8>(state, memory),
        DType::U8 => execute_any::<M, u8>(state, memory),
        DType::I16 => execute_any::<M, i16>(state, memory),
        _ => None,
    }
}

/// To `int8`, with an inverse scale that is a normal number above 0.
const INT8: u16 = 1;
/// To another type, with such a scale.
const OTHER: u16 = 2;
/// With any other scale, as only an edited file has it.
const ODD: u16 = 4;
const REGULAR: u16 = INT8 | OTHER;

/// See [`super::form`].
pub(super) const fn form(state: &[u32]) -> u16 {
    let [head, _, _, _, inverse_scale, ..] = state else { return ODD };
    if !is_regular_scale(*inverse_scale) {
        ODD
    } else if (*head >> 8 & 0xff) as u8 == DType::I8.scalar_type() {
        INT8
    } else {
        OTHER
    }
}

pub(super) const fn narrowed<M: Micro>(forms: u16) -> Option<super::Execute> {
    if forms == INT8 { Some(execute_as::<M, i8>) } else { None }
}

/// Whether these are the bits of a normal number above 0.
const fn is_regular_scale(bits: u32) -> bool {
    let exponent = bits >> 23;
    exponent != 0 && exponent < 0xff
}

fn execute_as<M: Micro, T: Integer>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_with::<M, _>(state, memory, M::quantize::<T>)
}

/// With any scale.
fn execute_any<M: Micro, T: Integer>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_with::<M, _>(state, memory, |input, inverse_scale, zero_point, range, out: &mut [T]| {
        for (out, input) in out.iter_mut().zip(input) {
            *out = T::from_i32(quantize(*input, inverse_scale, zero_point, range));
        }
    })
}

#[inline(always)]
fn execute_with<M: Micro, T: Integer>(
    state: &[u32],
    memory: &mut Memory<'_>,
    quantize: impl Fn(&[f32], f32, ZeroPoint, Activation, &mut [T]),
) -> Option<()> {
    let [_, input, out, count, inverse_scale, range, zero_point] =
        *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let (input, out) = (Location::from_word(input)?, Location::from_word(out)?);
    let (min, max) = unpack_halves(range);
    let range = Activation { min, max };
    let (inverse_scale, zero_point) = (f32::from_bits(inverse_scale), ZeroPoint(zero_point as i32));
    memory.map::<M, _, _>(input, out, count as usize, |_, input, out: &mut [T]| {
        quantize(input, inverse_scale, zero_point, range, out);
    })
}
