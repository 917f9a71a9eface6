//! Fully connected layers over `int16`: the glue of [`super::linear_s16`].

use super::convolution::check_factors_int16;
use super::int16::Int16Params;
use super::linear_s16::linear_s16;
use super::{halves, require_disjoint, store, unpack_halves};
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedLinearInt16;
use cortado_contract::ops::quantized_linear::LinearShape;
use cortado_contract::ops::quantized_linear_int16::argument;
use cortado_contract::quant::Activation;
use cortado_contract::value::{TensorMeta, Violation};

/// Word 0, six locations, extents, rows and limits.
pub const STATE_WORDS: usize = 10;

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedLinearInt16<Loaded<L>>,
    program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let QuantizedLinearInt16 { input, weights, bias, out, .. } = arguments;
    let (multipliers, shifts) = (&arguments.requantize_multipliers, &arguments.requantize_shifts);
    let operands = [Some(input), Some(weights), bias.as_ref(), Some(multipliers), Some(shifts)];
    require_disjoint(out, argument::out, &operands)?;
    check_factors_int16(program, multipliers, shifts, argument::requantize_multipliers)?;
    let (in_features, out_features) = (input.last_dim(), out.last_dim());
    let elements = out.element_count().unwrap_or(0);
    let head = state.first().map_or(0, |head| head & 0xff);
    let place = |tensor| Location::to_word(Some(tensor));
    store(
        state,
        [
            head,
            place(input.location),
            place(out.location),
            place(weights.location),
            Location::to_word(bias.as_ref().map(|bias| bias.location)),
            place(multipliers.location),
            place(shifts.location),
            in_features | out_features << 16,
            elements.checked_div(out_features).unwrap_or(0),
            halves(arguments.activation_min, arguments.activation_max),
        ],
    );
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let words = state.first_chunk::<STATE_WORDS>()?;
    let [_, input, out, weights, bias, multipliers, shifts, features, rows, limits] = *words;
    let shape = LinearShape {
        rows: rows as usize,
        in_features: (features & 0xffff) as usize,
        out_features: (features >> 16) as usize,
    };
    let (reader, out) =
        memory.write::<i16>(Location::from_word(out)?, shape.rows * shape.out_features)?;
    let input = reader.read::<i16>(Location::from_word(input)?, shape.rows * shape.in_features)?;
    let weights =
        reader.read::<i8>(Location::from_word(weights)?, shape.out_features * shape.in_features)?;
    let factors = |word| reader.read::<i32>(Location::from_word(word)?, shape.out_features);
    let bias = match Location::from_word(bias) {
        Some(location) => Some(reader.read::<i64>(location, shape.out_features)?),
        None => None,
    };
    let (min, max) = unpack_halves(limits);
    let params = Int16Params {
        bias,
        multipliers: factors(multipliers)?,
        shifts: factors(shifts)?,
        activation: Activation { min, max },
    };
    linear_s16::<M>(shape, &params, input, weights, out)
}
