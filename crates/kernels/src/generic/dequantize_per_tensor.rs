//! Integers to real numbers at the border of a program.

use super::require_element_by_element;
use crate::memory::{Location, Memory};
use crate::micro::{Integer, Micro};
use crate::operand::{Lists, Loaded};
use cortado_contract::DType;
use cortado_contract::ops::DequantizePerTensor;
use cortado_contract::ops::dequantize_per_tensor::argument;
use cortado_contract::quant::{ZeroPoint, dequantize, is_plain_scale};
use cortado_contract::value::{TensorMeta, Violation};

/// Input, output, count, scale; the zero point is in word 0.
pub const STATE_WORDS: usize = 5;

pub(super) fn prepare<L: Lists>(
    arguments: &DequantizePerTensor<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    require_element_by_element(&arguments.input, &arguments.out, argument::out)?;
    if let [head, words @ ..] = state {
        *head |=
            u32::from(arguments.dtype.scalar_type()) << 8 | (arguments.zero_point.0 as u32) << 16;
        super::store(
            words,
            [
                Location::to_word(Some(arguments.input.location)),
                Location::to_word(Some(arguments.out.location)),
                arguments.input.element_count().unwrap_or(0),
                (arguments.scale as f32).to_bits(),
            ],
        );
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let is_plain = form(state) & (INT8 | OTHER) != 0;
    match DType::from_scalar_type(i64::from(state.first()? >> 8 & 0xff))? {
        DType::I8 if is_plain => execute_as::<M, i8>(state, memory),
        DType::U8 if is_plain => execute_as::<M, u8>(state, memory),
        DType::I16 if is_plain => execute_as::<M, i16>(state, memory),
        DType::I8 => execute_any::<M, i8>(state, memory),
        DType::U8 => execute_any::<M, u8>(state, memory),
        DType::I16 => execute_any::<M, i16>(state, memory),
        _ => None,
    }
}

/// From `int8`, with a plain scale.
const INT8: u16 = 1;
/// From another type, with such a scale.
const OTHER: u16 = 2;
/// With any other scale, as only an edited file has it.
const ODD: u16 = 4;

/// See [`super::form`].
pub(super) const fn form(state: &[u32]) -> u16 {
    let [head, _, _, _, scale, ..] = state else { return ODD };
    if !is_plain_scale(f32::from_bits(*scale)) {
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

fn execute_as<M: Micro, T: Integer + Default>(
    state: &[u32],
    memory: &mut Memory<'_>,
) -> Option<()> {
    execute_with::<M, _>(state, memory, M::dequantize::<T>)
}

/// With any scale.
fn execute_any<M: Micro, T: Integer + Default>(
    state: &[u32],
    memory: &mut Memory<'_>,
) -> Option<()> {
    execute_with::<M, _>(state, memory, |input: &[T], scale, zero_point, out| {
        for (out, input) in out.iter_mut().zip(input) {
            *out = dequantize(input.to_i32(), scale, zero_point);
        }
    })
}

#[inline(always)]
fn execute_with<M: Micro, T: Integer + Default>(
    state: &[u32],
    memory: &mut Memory<'_>,
    dequantize: impl Fn(&[T], f32, ZeroPoint, &mut [f32]),
) -> Option<()> {
    let [head, input, out, count, scale] = *<&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let (input, out) = (Location::from_word(input)?, Location::from_word(out)?);
    let (scale, zero_point) = (f32::from_bits(scale), ZeroPoint(head as i32 >> 16));
    memory.map::<M, _, _>(input, out, count as usize, |_, input: &[T], out| {
        dequantize(input, scale, zero_point, out);
    })
}
