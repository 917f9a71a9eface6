//! Fully connected layers over `int8`.
//!
//! ```text
//! offset = 0 if the constant term is a kernel sum, else input_offset
//! for each row x of the input:
//!     correction = filter_offset · Σ_i (x[i] + offset)           (1)
//!     for each four output features o:                           (2)
//!         accumulator = constant[o] + Σ_i (x[i] + offset)·w[o,i] + correction
//!         out[o] = clamp(requantize(accumulator) + output_offset)
//! ```
//!
//! 1. A weight offset distributes over the sum, so it costs one sum per row instead of an addition per product. It
//!    is 0 in every program that a compiler writes.
//! 2. Four rows of weights share each load of the input. The last four overlap those before where features do not come in fours; fewer
//!    than four are done one by one.

use super::{halves, require_disjoint, unpack_halves};
use crate::memory::{Location, Memory, Reader};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded, LoadedTensor};
use crate::tile::{Row, finish};
use cortado_contract::ops::QuantizedLinear;
use cortado_contract::ops::quantized_linear::{
    LinearConstants, LinearParams, LinearShape, Rescale, argument,
};
use cortado_contract::quant::{Activation, FilterOffset, InputOffset, OutputOffset, Requantize};
use cortado_contract::value::{TensorMeta, Violation};

/// The layer's words and the multiplier.
pub const STATE_WORDS: usize = LAYER_WORDS + 1;
/// What both linear operators store: word 0, four locations, extents, and the packed numbers.
pub(super) const LAYER_WORDS: usize = 9;

/// Computes a fully connected layer; see the operator's contract for its meaning and
/// [`cortado_contract::ops::quantized_linear::reference`] for its bits.
///
/// `None` when a slice is shorter than the extents say; nothing useful is in `out` then.
pub fn linear_s8<M: Micro>(
    shape: LinearShape,
    params: &LinearParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let LinearShape { rows, in_features, out_features } = shape;
    if out_features == 0 {
        return Some(());
    }
    let (offset, constants) = match params.constants {
        LinearConstants::Bias(bias) => (params.input_offset.0, bias),
        LinearConstants::KernelSum(sums) => (0, Some(sums)),
    };
    let weights = weights.get(..out_features.checked_mul(in_features)?)?;
    let out = out.get_mut(..rows.checked_mul(out_features)?)?;
    for (row, out) in out.chunks_exact_mut(out_features).enumerate() {
        let lhs = input.get(row.checked_mul(in_features)?..)?.get(..in_features)?;
        let correction = match params.filter_offset.0 {
            0 => 0,
            filter_offset => {
                let offsets = offset.wrapping_mul(in_features as i32);
                M::sum(lhs).wrapping_add(offsets).wrapping_mul(filter_offset)
            }
        };
        linear_row::<M>(params, offset, constants, correction, lhs, weights, out)?;
    }
    Some(())
}

/// One output row: `out.len()` rows of `weights` against `lhs`.
fn linear_row<M: Micro>(
    params: &LinearParams<'_>,
    offset: i32,
    constants: Option<&[i32]>,
    correction: i32,
    lhs: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let features = out.len();
    let mut first = 0;
    while features >= 4 && first < features {
        // The last four features overlap those before.
        first = first.min(features - 4);
        let count = FEATURES_MAX.min(features - first) / 4;
        let mut sums = [[0; 4]; FEATURES_MAX / 4];
        let sums = match constants {
            Some(constants) if correction == 0 => constants.get(first..)?.as_chunks::<4>().0,
            _ => {
                for (index, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
                    let constant = constants.and_then(|constants| constants.get(first + index));
                    *sum = constant.copied().unwrap_or(0).wrapping_add(correction);
                }
                &sums
            }
        };
        let (multipliers, shifts);
        let (multipliers, shifts) = match params.rescale {
            Rescale::PerTensor(factor) => {
                (multipliers, shifts) = ([[factor.multiplier; 4]], [[factor.shift; 4]]);
                (&multipliers[..], &shifts[..])
            }
            Rescale::PerChannel { multipliers, shifts } => (
                multipliers.get(first..)?.as_chunks::<4>().0.get(..count)?,
                shifts.get(first..)?.as_chunks::<4>().0.get(..count)?,
            ),
        };
        let row = Row {
            input: lhs,
            weights: weights.get(first.checked_mul(lhs.len())?..)?,
            constants: sums.get(..count)?,
            multipliers,
            shifts,
            input_offset: offset,
            output_offset: params.output_offset.0,
        };
        let factors = multipliers.as_flattened().iter().zip(shifts.as_flattened());
        let is_short = factors.into_iter().all(|(multiplier, shift)| {
            M::is_short(Requantize { multiplier: *multiplier, shift: *shift })
        });
        let out = out.get_mut(first..)?;
        match is_short {
            true => M::multiply_row(&row, out)?,
            false => row.model::<M>(out)?,
        }
        first += 4 * count;
    }
    for (channel, out) in out.iter_mut().enumerate().skip(first) {
        let row = weights.get(channel.checked_mul(lhs.len())?..)?.get(..lhs.len())?;
        let constant = match constants {
            Some(constants) => *constants.get(channel)?,
            None => 0,
        };
        let sum = constant.wrapping_add(correction).wrapping_add(M::dot(lhs, offset, row));
        *out = finish(sum, params.rescale.factor(channel), params.output_offset.0);
    }
    if params.activation != Activation::INT8 {
        M::clamp(out, params.activation);
    }
    Some(())
}

/// The features whose sums are kept at a time.
const FEATURES_MAX: usize = 64;

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedLinear<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let factor = arguments.requantize().unwrap_or(Requantize { multiplier: 0, shift: 0 });
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
        shift: factor.shift,
    };
    if let Some((words, [multiplier])) = state.split_first_chunk_mut::<LAYER_WORDS>() {
        layer.pack(argument::out, words)?;
        *multiplier = factor.multiplier as u32;
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let (words, [multiplier]) = state.split_first_chunk::<LAYER_WORDS>()? else { return None };
    execute_layer::<M>(words, memory, |_, _, shift| {
        Some(Rescale::PerTensor(Requantize { multiplier: *multiplier as i32, shift }))
    })
}

/// The arguments that both linear operators have.
pub(super) struct Layer<'a> {
    pub(super) input: &'a LoadedTensor,
    pub(super) weights: &'a LoadedTensor,
    pub(super) bias: Option<&'a LoadedTensor>,
    pub(super) kernel_sum: Option<&'a LoadedTensor>,
    pub(super) out: &'a LoadedTensor,
    pub(super) input_offset: InputOffset,
    pub(super) filter_offset: FilterOffset,
    pub(super) output_offset: OutputOffset,
    pub(super) activation: Activation,
    pub(super) shift: i32,
}

/// Word 0, bit 16: the constant term is a kernel sum.
const IS_KERNEL_SUM: u32 = 1 << 16;

impl Layer<'_> {
    /// Packs the layer: word 0 holds the shift in bits 8–15 and the form in bit 16.
    pub(super) fn pack(
        &self,
        out_argument: u8,
        words: &mut [u32; LAYER_WORDS],
    ) -> Result<(), Violation> {
        let operands = [Some(self.input), Some(self.weights), self.bias, self.kernel_sum];
        require_disjoint(self.out, out_argument, &operands)?;
        let form = if self.kernel_sum.is_some() { IS_KERNEL_SUM } else { 0 };
        let constants = self.kernel_sum.or(self.bias).map(|tensor| tensor.location);
        let (in_features, out_features) = (self.input.last_dim(), self.out.last_dim());
        let elements = self.out.element_count().unwrap_or(0);
        let [out_offset, min, max] =
            [self.output_offset.0, self.activation.min, self.activation.max];
        *words = [
            words[0] | u32::from(self.shift as u8) << 8 | form,
            Location::to_word(Some(self.input.location)),
            Location::to_word(Some(self.out.location)),
            Location::to_word(Some(self.weights.location)),
            Location::to_word(constants),
            in_features | out_features << 16,
            elements.checked_div(out_features).unwrap_or(0),
            halves(self.input_offset.0, self.filter_offset.0),
            u32::from_le_bytes([out_offset as u8, min as u8, max as u8, 0]),
        ];
        Ok(())
    }
}

/// Runs a packed layer; `rescale` makes the factors from the reader, the number of output features and the shift.
pub(super) fn execute_layer<M: Micro>(
    words: &[u32; LAYER_WORDS],
    memory: &mut Memory<'_>,
    rescale: impl for<'r> FnOnce(&Reader<'r>, usize, i32) -> Option<Rescale<'r>>,
) -> Option<()> {
    let [head, input, out, weights, constants, features, rows, offsets, numbers] = *words;
    let shape = LinearShape {
        rows: rows as usize,
        in_features: (features & 0xffff) as usize,
        out_features: (features >> 16) as usize,
    };
    let (reader, out) =
        memory.write::<i8>(Location::from_word(out)?, shape.rows * shape.out_features)?;
    let input = reader.read::<i8>(Location::from_word(input)?, shape.rows * shape.in_features)?;
    let weights =
        reader.read::<i8>(Location::from_word(weights)?, shape.out_features * shape.in_features)?;
    let constants = match Location::from_word(constants) {
        Some(location) => Some(reader.read::<i32>(location, shape.out_features)?),
        None => None,
    };
    let constants = match (head & IS_KERNEL_SUM != 0, constants) {
        (true, constants) => LinearConstants::KernelSum(constants?),
        (false, constants) => LinearConstants::Bias(constants),
    };
    let (input_offset, filter_offset) = unpack_halves(offsets);
    let [output_offset, min, max, _] = numbers.to_le_bytes().map(|byte| i32::from(byte as i8));
    let params = LinearParams {
        input_offset: InputOffset(input_offset),
        filter_offset: FilterOffset(filter_offset),
        output_offset: OutputOffset(output_offset),
        constants,
        rescale: rescale(&reader, shape.out_features, i32::from((head >> 8) as i8))?,
        activation: Activation { min, max },
    };
    linear_s8::<M>(shape, &params, input, weights, out)
}
