//! Fully connected layers over `int8`.
//!
//! ```text
//! offset = 0 if the constant term is a kernel sum, else input_offset
//! for each block of 64 output features:
//!     for each row x of the input:
//!         correction = filter_offset · Σ_i (x[i] + offset)           (1)
//!         for each four output features o:                           (2)
//!             accumulator = constant[o] + Σ_i (x[i] + offset)·w[o,i] + correction
//!             out[o] = clamp(requantize(accumulator) + output_offset)
//! ```
//!
//! 1. A weight offset distributes over the sum, so it costs one sum per row instead of an addition per product. It
//!    is 0 in every program that a compiler writes.
//! 2. Four rows of weights share each load of the input. The last four overlap those before where features do not come in fours; one or
//!    two are done as a pair where instruction sets have a loop for that.

use super::{ALL_FORMS, halves, has, require_disjoint, unpack_halves};
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
#[inline(always)]
pub fn linear_s8<M: Micro>(
    shape: LinearShape,
    params: &LinearParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    linear_of::<M, ALL_FORMS>(shape, params, input, weights, out)
}

/// [`linear_s8`] for some forms.
#[inline(always)]
fn linear_of<M: Micro, const FORMS: u16>(
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
    let (offset, constants) = offset_and_constants(params);
    if M::TAKES_LINES {
        return match constants {
            Some(constants) if offset == 0 => {
                let is_any = has(FORMS, !SUMS);
                let lines =
                    if is_any { M::multiply_lines::<true> } else { M::multiply_lines::<false> };
                lines(&shape, params, constants, input, weights, out)
            }
            _ if has(FORMS, BIASES | FEW | OTHER) => {
                with_offsets::<M>(shape, params, input, weights, out)
            }
            _ => None,
        };
    }
    let weights = weights.get(..out_features.checked_mul(in_features)?)?;
    let out = out.get_mut(..rows.checked_mul(out_features)?)?;
    let layer = Product { params, offset, constants, rows, in_features, out_features, weights };
    let whole = out_features / 4 * 4;
    if FORMS == FEW {
        layer.by_pairs::<M, false>(input, 0, out)?;
    } else if !has(FORMS, OTHER) {
        layer.plain_quads::<M>(input, out)?;
    } else if whole > 0 {
        layer.quads::<M>(input, 0, whole, out)?;
    }
    match out_features - whole {
        _ if !has(FORMS, OTHER) => {}
        0 => {}
        // The last four features overlap those before.
        rest if whole > 0 && !(M::PAIRS && rest <= 2) => {
            layer.quads::<M>(input, out_features - 4, 4, out)?;
        }
        _ => layer.by_pairs::<M, true>(input, whole, out)?,
    }
    if params.activation != Activation::INT8 {
        M::clamp(out, params.activation);
    }
    Some(())
}

/// What is added to each input, and what sums start with.
#[inline(always)]
pub(super) fn offset_and_constants<'a>(params: &LinearParams<'a>) -> (i32, Option<&'a [i32]>) {
    match params.constants {
        LinearConstants::Bias(bias) => (params.input_offset.0, bias),
        LinearConstants::KernelSum(sums) => (0, Some(sums)),
    }
}

/// Computes a layer by [`Micro::multiply_lines`] where constants are missing or lack the input's offset: puts them together and
/// computes a layer with a kernel sum from them.
#[inline(never)]
fn with_offsets<M: Micro>(
    shape: LinearShape,
    params: &LinearParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let LinearShape { rows, in_features: depth, out_features } = shape;
    let (offset, constants) = offset_and_constants(params);
    let offsets = (depth as i32).wrapping_mul(params.filter_offset.0);
    let mut sums = [0; FEATURES_MAX];
    let mut first = 0;
    while first < out_features {
        let count = FEATURES_MAX.min(out_features - first);
        let sums = sums.get_mut(..count)?;
        let weights = weights.get(first.checked_mul(depth)?..)?;
        let bias = match constants {
            Some(constants) => Some(constants.get(first..)?),
            None => None,
        };
        M::fold(weights.get(..count.checked_mul(depth)?)?, bias, offset, sums)?;
        let offsets = offset.wrapping_mul(offsets);
        sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(offsets));
        let rescale = match params.rescale {
            Rescale::PerTensor(factor) => Rescale::PerTensor(factor),
            Rescale::PerChannel { multipliers, shifts } => Rescale::PerChannel {
                multipliers: multipliers.get(first..)?,
                shifts: shifts.get(first..)?,
            },
        };
        let params =
            LinearParams { constants: LinearConstants::KernelSum(sums), rescale, ..*params };
        // All rows, or one at a time where not all features are computed.
        let at_a_time = if count == out_features { rows.max(1) } else { 1 };
        let shape = LinearShape { rows: at_a_time.min(rows), out_features: count, ..shape };
        for row in (0..rows).step_by(at_a_time) {
            let input = input.get(row.checked_mul(depth)?..)?;
            let out = out.get_mut(row.checked_mul(out_features)?..)?.get_mut(first..)?;
            linear_s8::<M>(shape, &params, input, weights, out)?;
        }
        first += count;
    }
    Some(())
}

/// The features whose sums are kept at a time.
const FEATURES_MAX: usize = 64;
type Sums = [[i32; 4]; FEATURES_MAX / 4];

/// A layer without its rows.
struct Product<'a> {
    params: &'a LinearParams<'a>,
    offset: i32,
    constants: Option<&'a [i32]>,
    rows: usize,
    in_features: usize,
    out_features: usize,
    weights: &'a [i8],
}

impl Product<'_> {
    /// Computes all features of all rows, of a layer that is not [`OTHER`]: the last four may overlap those before.
    #[inline(always)]
    fn plain_quads<M: Micro>(&self, mut input: &[i8], mut out_rows: &mut [i8]) -> Option<()> {
        let constants = self.constants?;
        for _ in 0..self.rows {
            let (lhs, out);
            (lhs, input) = input.split_at_checked(self.in_features)?;
            (out, out_rows) = out_rows.split_at_mut_checked(self.out_features)?;
            let mut first = 0;
            while first < out.len() {
                first = first.min(out.len().checked_sub(4)?);
                let sums = constants.get(first..)?.as_chunks::<4>().0;
                let out = out.get_mut(first..)?;
                let whole = out.len() / 4 * 4;
                self.row::<M, false>(lhs, first, sums, self.offset, out.get_mut(..whole)?)?;
                first += whole;
            }
        }
        Some(())
    }

    /// Computes `count` features from `first` on of all rows, in fours.
    #[inline(always)]
    fn quads<M: Micro>(
        &self,
        mut input: &[i8],
        first: usize,
        count: usize,
        mut out: &mut [i8],
    ) -> Option<()> {
        // Constants are taken as they are where nothing is to be added to them.
        match self.constants {
            Some(constants) if self.params.filter_offset.0 == 0 => {
                let sums = constants.get(first..)?.as_chunks::<4>().0;
                // Not in chunks, which would cost a division.
                for _ in 0..self.rows {
                    let (lhs, row);
                    (lhs, input) = input.split_at_checked(self.in_features)?;
                    (row, out) = out.split_at_mut_checked(self.out_features)?;
                    let row = row.get_mut(first..)?.get_mut(..count)?;
                    self.row::<M, true>(lhs, first, sums, self.offset, row)?;
                }
            }
            _ => {
                for start in (first..first + count).step_by(FEATURES_MAX) {
                    let count = FEATURES_MAX.min(first + count - start);
                    self.rows::<M>(input, start, count, out)?;
                }
            }
        }
        Some(())
    }

    /// Computes features from `first` on of a row, whose sums start with `sums`; of `ANY` factors, or with short ones.
    #[inline(always)]
    fn row<M: Micro, const ANY: bool>(
        &self,
        lhs: &[i8],
        first: usize,
        sums: &[[i32; 4]],
        offset: i32,
        out: &mut [i8],
    ) -> Option<()> {
        let quads = out.len() / 4;
        let (multiplier, shift);
        let (multipliers, shifts) = match self.params.rescale {
            Rescale::PerTensor(factor) => {
                (multiplier, shift) = ([[factor.multiplier; 4]], [[factor.shift; 4]]);
                (&multiplier[..], &shift[..])
            }
            Rescale::PerChannel { multipliers, shifts } => {
                let multipliers = multipliers.get(first..)?.as_chunks::<4>().0.get(..quads)?;
                (multipliers, shifts.get(first..)?.as_chunks::<4>().0.get(..quads)?)
            }
        };
        let is_short = |multiplier, shift| M::is_short(Requantize { multiplier, shift });
        let are_short = || match self.params.rescale {
            Rescale::PerTensor(factor) => is_short(factor.multiplier, factor.shift),
            Rescale::PerChannel { .. } => {
                let mut factors = multipliers.as_flattened().iter().zip(shifts.as_flattened());
                factors.all(|(multiplier, shift)| is_short(*multiplier, *shift))
            }
        };
        let has_loop = !ANY || !lhs.is_empty() && are_short();
        let row = Row {
            input: lhs,
            // No overflow: there are weights for all features.
            weights: self.weights.get(first * lhs.len()..)?,
            constants: sums.get(..quads)?,
            multipliers,
            shifts,
            input_offset: offset,
            output_offset: self.params.output_offset.0,
        };
        match has_loop {
            true if ANY => any_row::<M>(&row, out),
            true => M::multiply_row::<false>(&row, out),
            false => row.model::<M>(out),
        }
    }

    /// Computes `count` features from `first` on, four and more, of all rows; what their sums start with is put together first.
    #[inline(never)]
    fn rows<M: Micro>(
        &self,
        input: &[i8],
        first: usize,
        count: usize,
        out: &mut [i8],
    ) -> Option<()> {
        let depth = self.in_features;
        let mut sums: Sums = [[0; 4]; FEATURES_MAX / 4];
        for (feature, sum) in (first..first + count).zip(sums.as_flattened_mut()) {
            *sum = self.constant(feature);
        }
        let mut added = 0i32;
        for row in 0..self.rows {
            let lhs = input.get(row.checked_mul(depth)?..)?.get(..depth)?;
            let correction = self.correction::<M>(lhs);
            // On top of what the row before needed.
            let change = correction.wrapping_sub(added);
            if change != 0 {
                for sum in sums.as_flattened_mut().iter_mut().take(count) {
                    *sum = sum.wrapping_add(change);
                }
            }
            added = correction;
            let out = out.get_mut(row * self.out_features + first..)?.get_mut(..count)?;
            self.row::<M, true>(lhs, first, &sums, self.offset, out)?;
        }
        Some(())
    }

    /// What the weights' offset adds to each sum of a row.
    #[inline(always)]
    fn correction<M: Micro>(&self, lhs: &[i8]) -> i32 {
        match self.params.filter_offset.0 {
            0 => 0,
            filter_offset => {
                let offsets = self.offset.wrapping_mul(lhs.len() as i32);
                M::sum(lhs).wrapping_add(offsets).wrapping_mul(filter_offset)
            }
        }
    }

    /// Computes the features from `first` on of all rows, two at a time; of `ANY` layer, or one whose weights have no offset.
    #[inline(always)]
    fn by_pairs<M: Micro, const ANY: bool>(
        &self,
        mut input: &[i8],
        first: usize,
        mut out_rows: &mut [i8],
    ) -> Option<()> {
        for _ in 0..self.rows {
            let (lhs, out);
            (lhs, input) = input.split_at_checked(self.in_features)?;
            (out, out_rows) = out_rows.split_at_mut_checked(self.out_features)?;
            let mut feature = first;
            while feature < self.out_features {
                self.pair::<M, ANY>(lhs, feature, out)?;
                feature += 2;
            }
        }
        Some(())
    }

    /// Computes a feature of a row and the one behind it, if there is one.
    #[inline(never)]
    fn pair<M: Micro, const ANY: bool>(
        &self,
        lhs: &[i8],
        feature: usize,
        out: &mut [i8],
    ) -> Option<()> {
        // No overflow: there are weights for all features.
        let weights = self.weights.get(feature * lhs.len()..)?;
        let (one, rest) = weights.split_at_checked(lhs.len())?;
        // A single one is computed twice.
        let other = if out.len() - feature < 2 { one } else { rest.get(..lhs.len())? };
        let sums = M::dot_pair(lhs, self.offset, [one, other]);
        let correction = if ANY { self.correction::<M>(lhs) } else { 0 };
        for (index, (out, sum)) in out.get_mut(feature..)?.iter_mut().zip(sums).enumerate() {
            let feature = feature + index;
            let sum = sum.wrapping_add(self.constant(feature)).wrapping_add(correction);
            *out = finish(sum, self.params.rescale.factor(feature), self.params.output_offset.0);
        }
        Some(())
    }

    fn constant(&self, feature: usize) -> i32 {
        self.constants.and_then(|constants| constants.get(feature)).copied().unwrap_or(0)
    }
}

/// [`Micro::multiply_row`] of any row, of which there are several.
#[inline(never)]
fn any_row<M: Micro>(row: &Row<'_>, out: &mut [i8]) -> Option<()> {
    M::multiply_row::<true>(row, out)
}

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
    execute_of::<M, ALL_FORMS>(state, memory)
}

/// A bias. With [`SUMS`], what compilers write: a weight offset of 0, a constant term, four output features and more of an input feature
/// and more, and a short factor.
const BIASES: u16 = 1;
/// A kernel sum.
const SUMS: u16 = 2;
/// Anything else.
const OTHER: u16 = 4;
/// A bias and fewer than four output features, as of a classifier of two classes, and a weight offset of 0.
const FEW: u16 = 8;

/// See [`super::form`].
pub(super) const fn form(state: &[u32]) -> u16 {
    let [head, _, _, weights, constants, features, _, offsets, _, multiplier] = state else {
        return OTHER;
    };
    form_of(
        is_constant(*weights) && is_constant(*constants) && *offsets >> 16 == 0,
        *head & IS_KERNEL_SUM != 0,
        (*features >> 16, *features & 0xffff),
        Requantize { multiplier: *multiplier as i32, shift: (*head >> 8) as i8 as i32 },
    )
}

const fn is_constant(word: u32) -> bool {
    match Location::from_word(word) {
        Some(location) => location.is_constant(),
        None => false,
    }
}

/// The form of a layer of so many output and input features. `is_usual` is one that has constants in the program's file, as its weights
/// are, and whose weights have no offset.
const fn form_of(
    is_usual: bool,
    is_sum: bool,
    (out_features, in_features): (u32, u32),
    factor: Requantize,
) -> u16 {
    let is_plain = is_usual
        && out_features >= 4
        && in_features > 0
        && factor.multiplier >= 1 << 30
        && factor.shift < 0;
    let is_few = is_usual && matches!(out_features, 1..=3) && !is_sum;
    match is_plain {
        false if is_few => FEW,
        false => OTHER,
        true if is_sum => SUMS,
        true => BIASES,
    }
}

/// [`linear_s8`] by the code that kernels have which are narrowed to the layer's form.
pub fn linear_narrowed_s8<M: Micro>(
    shape: LinearShape,
    params: &LinearParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let features = (shape.out_features as u32, shape.in_features as u32);
    let (has_constants, is_sum) = match params.constants {
        LinearConstants::Bias(bias) => (bias.is_some(), false),
        LinearConstants::KernelSum(_) => (true, true),
    };
    let form = match params.rescale {
        Rescale::PerTensor(factor) => {
            form_of(has_constants && params.filter_offset.0 == 0, is_sum, features, factor)
        }
        Rescale::PerChannel { .. } => OTHER,
    };
    match form {
        BIASES => linear_of::<M, BIASES>(shape, params, input, weights, out),
        SUMS => linear_of::<M, SUMS>(shape, params, input, weights, out),
        FEW => linear_of::<M, FEW>(shape, params, input, weights, out),
        _ => linear_of::<M, ALL_FORMS>(shape, params, input, weights, out),
    }
}

pub(super) const fn narrowed<M: Micro>(forms: u16) -> Option<super::Execute> {
    match forms {
        BIASES => Some(execute_of::<M, BIASES>),
        SUMS => Some(execute_of::<M, SUMS>),
        FEW => Some(execute_of::<M, FEW>),
        _ => None,
    }
}

fn execute_of<M: Micro, const FORMS: u16>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    if form(state) & !FORMS != 0 {
        return None;
    }
    let (words, [multiplier]) = state.split_first_chunk::<LAYER_WORDS>()? else { return None };
    execute_layer::<M, FORMS>(words, memory, |_, _, shift| {
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
pub(super) fn execute_layer<M: Micro, const FORMS: u16>(
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
    let weights = Location::from_word(weights)?;
    let weight_count = shape.out_features * shape.in_features;
    let (weights, constants) = if has(FORMS, OTHER) {
        let weights = reader.read::<i8>(weights, weight_count)?;
        let constants = match Location::from_word(constants) {
            Some(location) => Some(reader.read::<i32>(location, shape.out_features)?),
            None => None,
        };
        (weights, constants)
    } else {
        let constants = Location::from_word(constants)?;
        let constants = reader.read_constant::<i32>(constants, shape.out_features)?;
        (reader.read_constant::<i8>(weights, weight_count)?, Some(constants))
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
    linear_of::<M, FORMS>(shape, &params, input, weights, out)
}
