//! Fully connected layers over `int8` with one rescaling factor per output feature.
//!
//! The loop is that of [`super::quantized_linear`].

use super::quantized_linear::{LAYER_WORDS, Layer, execute_layer};
use crate::memory::{Location, Memory, cast};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::ops::QuantizedLinearPerChannel;
use cortado_contract::ops::quantized_linear::Rescale;
use cortado_contract::ops::quantized_linear_per_channel::argument;
use cortado_contract::quant::{Activation, Requantize};
use cortado_contract::value::{Rule, TensorMeta, Violation, require};

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
    let multipliers =
        table(program, &arguments.requantize_multipliers, argument::requantize_multipliers)?;
    let shifts = table(program, &arguments.requantize_shifts, argument::requantize_shifts)?;
    let valid = multipliers.iter().zip(shifts).all(|(multiplier, shift)| {
        Requantize { multiplier: *multiplier, shift: *shift }.is_valid()
    });
    require(valid, argument::requantize_multipliers, Rule::Range)?;
    if let Some((words, [multipliers, shifts])) = state.split_first_chunk_mut::<LAYER_WORDS>() {
        layer.pack(argument::out, words)?;
        *multipliers = Location::to_word(Some(arguments.requantize_multipliers.location));
        *shifts = Location::to_word(Some(arguments.requantize_shifts.location));
    }
    Ok(())
}

/// The values of a constant table; they must be in the file, where nothing can change them after this check.
fn table<'p>(
    program: &'p [u8],
    tensor: &LoadedTensor,
    argument: u8,
) -> Result<&'p [i32], Violation> {
    let not_constant = Violation { argument, rule: Rule::NotConstant };
    if !tensor.location.is_constant() {
        return Err(not_constant);
    }
    let start = tensor.location.offset_bytes();
    let bytes = program.get(start..).and_then(|rest| rest.get(..4 * tensor.last_dim() as usize));
    bytes.and_then(cast).ok_or(not_constant)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let (words, [multipliers, shifts]) = state.split_first_chunk::<LAYER_WORDS>()? else {
        return None;
    };
    execute_layer::<M>(words, memory, |reader, out_features, _| {
        Some(Rescale::PerChannel {
            multipliers: reader.read(Location::from_word(*multipliers)?, out_features)?,
            shifts: reader.read(Location::from_word(*shifts)?, out_features)?,
        })
    })
}
