//! Fully connected layers over `int8` with one rescaling factor per output feature.
//!
//! The loop is that of [`super::quantized_linear`].

use super::ALL_FORMS;
use super::convolution::check_factors;
use super::quantized_linear::{LAYER_WORDS, Layer, execute_layer};
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedLinearPerChannel;
use cortado_contract::ops::quantized_linear::Rescale;
use cortado_contract::ops::quantized_linear_per_channel::argument;
use cortado_contract::quant::Activation;
use cortado_contract::value::Violation;

/// The layer's words and the locations of both tables.
pub const STATE_WORDS: usize = LAYER_WORDS + 2;

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedLinearPerChannel<Loaded<L>>,
    program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let layer = Layer {
        input: &arguments.input,
        weights: &arguments.weights,
        bias: arguments.bias.as_ref(),
        kernel_sum: arguments.kernel_sum.as_ref(),
        out: &arguments.out,
        input_offset: arguments.input_offset,
        filter_offset: arguments.filter_offset,
        output_offset: arguments.output_offset,
        activation: Activation { min: arguments.activation_min, max: arguments.activation_max },
        shift: 0,
    };
    check_factors(
        program,
        &arguments.requantize_multipliers,
        &arguments.requantize_shifts,
        argument::requantize_multipliers,
    )?;
    if let Some((words, [multipliers, shifts])) = state.split_first_chunk_mut::<LAYER_WORDS>() {
        layer.pack(argument::out, words)?;
        *multipliers = Location::to_word(Some(arguments.requantize_multipliers.location));
        *shifts = Location::to_word(Some(arguments.requantize_shifts.location));
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let (words, [multipliers, shifts]) = state.split_first_chunk::<LAYER_WORDS>()? else {
        return None;
    };
    execute_layer::<M, ALL_FORMS>(words, memory, |reader, out_features, _| {
        Some(Rescale::PerChannel {
            multipliers: reader.read(Location::from_word(*multipliers)?, out_features)?,
            shifts: reader.read(Location::from_word(*shifts)?, out_features)?,
        })
    })
}
