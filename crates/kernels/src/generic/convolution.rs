//! What the convolutions' glue has in common: prepared state, and axes.

use super::int16::Int16Params;
use super::taps::Axis;
use super::{halves, require_disjoint, unpack_halves};
use crate::memory::{Location, Memory};
use crate::micro::is_short;
use crate::operand::{Lists, Loaded, LoadedTensor};
use core::num::NonZeroUsize;
use cortado_contract::ops::quantized_conv2d::{ConvArguments, ConvParams, ConvShape, Plane};
use cortado_contract::ops::quantized_linear::Rescale;
use cortado_contract::quant::{Activation, InputOffset, OutputOffset, Requantize, SHIFT_MAX_S64};
use cortado_contract::value::{Rule, TensorMeta, Violation, require};

/// A convolution's kernel over 16-bit activations.
type KernelInt16 = fn(&ConvShape, &Int16Params<'_>, &[i16], &[i8], &mut [i16]) -> Option<()>;

/// The words of a prepared convolution.
pub(super) const STATE_WORDS: usize = 16;

/// A convolution's kernel.
type Kernel = fn(&ConvShape, &ConvParams<'_>, &[i8], &[i8], &mut [i8]) -> Option<()>;

/// Packs a checked convolution: word 0 holds the output's zero point and limits, a location for each operand and two numbers of 16
/// bits in each other word. `form` tells the [form](super::form) from the extents and from whether all factors are short.
pub(super) fn prepare<L: Lists>(
    arguments: &ConvArguments<'_, Loaded<L>>,
    shape: Option<ConvShape>,
    program: &[u8],
    state: &mut [u32],
    form: impl FnOnce(&ConvShape, bool) -> u16,
) -> Result<(), Violation> {
    let are_short = check_factors(
        program,
        arguments.requantize_multipliers,
        arguments.requantize_shifts,
        arguments.multipliers_argument,
    )?;
    let numbers = [arguments.output_offset.0, arguments.activation.min, arguments.activation.max];
    let [offset, min, max] = numbers.map(|number| number as u8);
    let head = u32::from_le_bytes([0, offset, min, max]);
    let offset = arguments.input_offset.0;
    pack(arguments, shape, state, head, |shape| halves(offset, i32::from(form(shape, are_short))))
}

/// The same for a convolution over 16-bit activations, which has no zero points and one form: its last word holds the limits.
pub(super) fn prepare_int16<L: Lists>(
    arguments: &ConvArguments<'_, Loaded<L>>,
    shape: Option<ConvShape>,
    program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let multipliers = arguments.multipliers_argument;
    check_factors_int16(
        program,
        arguments.requantize_multipliers,
        arguments.requantize_shifts,
        multipliers,
    )?;
    let Activation { min, max } = arguments.activation;
    pack(arguments, shape, state, 0, |_| halves(min, max))
}

/// Packs a convolution with what its kind puts into word 0 and into the last one.
fn pack<L: Lists>(
    arguments: &ConvArguments<'_, Loaded<L>>,
    shape: Option<ConvShape>,
    state: &mut [u32],
    head: u32,
    last: impl FnOnce(&ConvShape) -> u32,
) -> Result<(), Violation> {
    let ConvArguments { input, weight, bias, out, .. } = *arguments;
    let (multipliers, shifts) = (arguments.requantize_multipliers, arguments.requantize_shifts);
    let operands = [Some(input), Some(weight), bias, Some(multipliers), Some(shifts)];
    require_disjoint(out, arguments.out_argument, &operands)?;
    let (Some(shape), Some(words)) = (shape, state.first_chunk_mut::<STATE_WORDS>()) else {
        return Err(Violation { argument: 0, rule: Rule::Shape });
    };
    let place = |tensor: Option<&LoadedTensor>| Location::to_word(tensor.map(|it| it.location));
    let pair = |high: usize, low: usize| halves(low as i32, high as i32);
    let plane = |plane: Plane| pair(plane.height, plane.width);
    *words = [
        words[0] & 0xff | head,
        place(Some(input)),
        place(Some(out)),
        place(Some(weight)),
        place(bias),
        place(Some(multipliers)),
        place(Some(shifts)),
        plane(shape.input),
        plane(shape.output),
        pair(shape.in_channels, shape.out_channels),
        plane(shape.kernel),
        plane(shape.stride),
        plane(shape.padding),
        plane(shape.dilation),
        pair(shape.batches, shape.group_channels),
        last(&shape),
    ];
    Ok(())
}

/// The form that a convolution was packed with; all bits for other state.
pub(super) const fn form(state: &[u32]) -> u16 {
    match *state {
        [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, last] => (last >> 16) as u16,
        _ => u16::MAX,
    }
}

/// Runs a kernel on a packed convolution.
pub(super) fn execute(state: &[u32], memory: &mut Memory<'_>, kernel: Kernel) -> Option<()> {
    let words = state.first_chunk::<STATE_WORDS>()?;
    let shape = unpack_shape(words);
    let [_, output_offset, min, max] = words[0].to_le_bytes().map(|byte| i32::from(byte as i8));
    let (input_offset, _) = unpack_halves(words[15]);
    let [_, input, out, weights, bias, multipliers, shifts, ..] = *words;
    let outputs = shape.batches * shape.output.area() * shape.out_channels;
    let (reader, out) = memory.write::<i8>(Location::from_word(out)?, outputs)?;
    let inputs = shape.batches * shape.input.area() * shape.in_channels;
    let input = reader.read::<i8>(Location::from_word(input)?, inputs)?;
    let weight_count = shape.out_channels * shape.kernel_size();
    let weights = reader.read::<i8>(Location::from_word(weights)?, weight_count)?;
    let factors = |word| reader.read::<i32>(Location::from_word(word)?, shape.out_channels);
    let bias = match Location::from_word(bias) {
        Some(location) => Some(reader.read::<i32>(location, shape.out_channels)?),
        None => None,
    };
    let params = ConvParams {
        input_offset: InputOffset(input_offset),
        output_offset: OutputOffset(output_offset),
        bias,
        rescale: Rescale::PerChannel {
            multipliers: factors(multipliers)?,
            shifts: factors(shifts)?,
        },
        activation: Activation { min, max },
    };
    kernel(&shape, &params, input, weights, out)
}

/// Runs a kernel on a packed convolution over 16-bit activations.
pub(super) fn execute_int16(
    state: &[u32],
    memory: &mut Memory<'_>,
    kernel: KernelInt16,
) -> Option<()> {
    let words = state.first_chunk::<STATE_WORDS>()?;
    let shape = unpack_shape(words);
    let (min, max) = unpack_halves(words[15]);
    let [_, input, out, weights, bias, multipliers, shifts, ..] = *words;
    let outputs = shape.batches * shape.output.area() * shape.out_channels;
    let (reader, out) = memory.write::<i16>(Location::from_word(out)?, outputs)?;
    let inputs = shape.batches * shape.input.area() * shape.in_channels;
    let input = reader.read::<i16>(Location::from_word(input)?, inputs)?;
    let weight_count = shape.out_channels * shape.kernel_size();
    let weights = reader.read::<i8>(Location::from_word(weights)?, weight_count)?;
    let factors = |word| reader.read::<i32>(Location::from_word(word)?, shape.out_channels);
    let bias = match Location::from_word(bias) {
        Some(location) => Some(reader.read::<i64>(location, shape.out_channels)?),
        None => None,
    };
    let params = Int16Params {
        bias,
        multipliers: factors(multipliers)?,
        shifts: factors(shifts)?,
        activation: Activation { min, max },
    };
    kernel(&shape, &params, input, weights, out)
}

fn unpack_shape(words: &[u32; STATE_WORDS]) -> ConvShape {
    let [_, _, _, _, _, _, _, input, output, channels, kernel, stride, padding, dilation, rest, _] =
        *words;
    let pair = |word: u32| ((word >> 16) as usize, (word & 0xffff) as usize);
    let plane = |word| {
        let (height, width) = pair(word);
        Plane { height, width }
    };
    let (in_channels, out_channels) = pair(channels);
    let (batches, group_channels) = pair(rest);
    ConvShape {
        batches,
        input: plane(input),
        in_channels,
        output: plane(output),
        out_channels,
        kernel: plane(kernel),
        group_channels,
        stride: plane(stride),
        padding: plane(padding),
        dilation: plane(dilation),
    }
}

/// Rows and columns of a convolution.
pub(super) fn axes(shape: &ConvShape) -> (Axis, Axis) {
    let ConvShape { input, kernel, stride, padding, dilation, .. } = *shape;
    // The contract refuses 0.
    let positive = |step: usize| NonZeroUsize::new(step).unwrap_or(NonZeroUsize::MIN);
    let rows = Axis {
        input: input.height,
        kernel: kernel.height,
        stride: positive(stride.height),
        padding: padding.height,
        dilation: positive(dilation.height),
    };
    let columns = Axis {
        input: input.width,
        kernel: kernel.width,
        stride: positive(stride.width),
        padding: padding.width,
        dilation: positive(dilation.width),
    };
    (rows, columns)
}

/// Checks the rescaling factors of all channels, and returns whether all of them are short for the loops of every instruction set. They
/// must be in the file, where nothing can change them after this check; the shifts' argument follows that of the multipliers.
pub(super) fn check_factors(
    program: &[u8],
    multipliers: &LoadedTensor,
    shifts: &LoadedTensor,
    multipliers_argument: u8,
) -> Result<bool, Violation> {
    let multipliers = table(program, multipliers, multipliers_argument)?;
    let shifts = table(program, shifts, multipliers_argument + 1)?;
    let factors = multipliers.iter().zip(shifts);
    let mut factors =
        factors.map(|(multiplier, shift)| Requantize { multiplier: *multiplier, shift: *shift });
    require(factors.clone().all(Requantize::is_valid), multipliers_argument, Rule::Range)?;
    Ok(factors.all(is_short))
}

/// The same for kernels over 16-bit activations: factors are below 2^14, since [`cortado_contract::quant::requantize_s64`] takes no
/// greater shift.
pub(super) fn check_factors_int16(
    program: &[u8],
    multipliers: &LoadedTensor,
    shifts: &LoadedTensor,
    multipliers_argument: u8,
) -> Result<(), Violation> {
    check_factors(program, multipliers, shifts, multipliers_argument)?;
    let shifts_argument = multipliers_argument + 1;
    let shifts = table(program, shifts, shifts_argument)?;
    require(shifts.iter().all(|shift| *shift <= SHIFT_MAX_S64), shifts_argument, Rule::Range)
}

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
    bytes.and_then(crate::memory::cast).ok_or(not_constant)
}
