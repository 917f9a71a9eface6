//! Convolutions over one or two axes, in `float32`, in any order in memory.
//!
//! ```text
//! for each image, row and column of the result, and output channel o:
//!     sum = bias[o]
//!     for each tap (i, j) that lies inside of the input:                     (1)
//!         sum += Σ_c input[c, y·stride+i·dilation−padding, …] · weight[o, c, i, j]      (2)
//! ```
//!
//! 1. Taps outside count 0 and are left out.
//! 2. Where channels follow each other in memory, on both sides, they are multiplied four at a time.

use super::float::dot;
use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatConvolution;
use cortado_contract::ops::float_convolution::{Convolution, Window, argument};
use cortado_contract::value::Violation;

/// Word 0, four locations, and extents, windows and strides.
pub const STATE_WORDS: usize = 5 + EXTENT_WORDS;
/// Batches, channels and groups; six numbers per window; four strides per tensor.
const EXTENT_WORDS: usize = 4 + 2 * 6 + 3 * 4;

/// Computes a convolution. `None` when a slice is shorter than the extents say.
pub fn convolve(
    convolution: &Convolution,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) -> Option<()> {
    let Convolution { vertical, horizontal, .. } = convolution;
    let group_outputs = convolution.out_channels.checked_div(convolution.groups)?;
    for batch in 0..convolution.batches {
        for y in 0..vertical.out {
            for x in 0..horizontal.out {
                for channel in 0..convolution.out_channels {
                    let group = channel.checked_div(group_outputs)?;
                    let pixel = Pixel { batch, group, channel, y, x };
                    let constant = match bias {
                        Some(bias) => *bias.get(channel as usize)?,
                        None => 0.0,
                    };
                    let sum = sum_of_taps(convolution, &pixel, input, weight)?;
                    let at = at(convolution.out, [batch, channel, y, x]);
                    *out.get_mut(at)? = sum + constant;
                }
            }
        }
    }
    Some(())
}

/// A number of the result.
struct Pixel {
    batch: u32,
    group: u32,
    channel: u32,
    y: u32,
    x: u32,
}

#[inline(always)]
fn sum_of_taps(
    convolution: &Convolution,
    pixel: &Pixel,
    input: &[f32],
    weight: &[f32],
) -> Option<f32> {
    let Convolution { vertical, horizontal, group_channels, .. } = convolution;
    let first_channel = pixel.group * group_channels;
    let length = *group_channels as usize;
    let (input_step, weight_step) = (convolution.input[1] as usize, convolution.weight[1] as usize);
    let mut sum = 0.0f32;
    for i in 0..vertical.kernel {
        let Some(y) = position(vertical, pixel.y, i) else { continue };
        for j in 0..horizontal.kernel {
            let Some(x) = position(horizontal, pixel.x, j) else { continue };
            let input = input.get(at(convolution.input, [pixel.batch, first_channel, y, x])..)?;
            let weight = weight.get(at(convolution.weight, [pixel.channel, 0, i, j])..)?;
            if input_step == 1 && weight_step == 1 {
                sum += dot(input.get(..length)?, weight.get(..length)?);
                continue;
            }
            for channel in 0..length {
                sum += input.get(channel * input_step)? * weight.get(channel * weight_step)?;
            }
        }
    }
    Some(sum)
}

/// Where a tap lies in the input, if it does.
#[inline(always)]
fn position(window: &Window, out: u32, tap: u32) -> Option<u32> {
    let padded = out.wrapping_mul(window.stride).wrapping_add(tap.wrapping_mul(window.dilation));
    padded.checked_sub(window.padding).filter(|position| *position < window.input)
}

#[inline(always)]
fn at(strides: [u32; 4], index: [u32; 4]) -> usize {
    let steps = strides.iter().zip(index).map(|(stride, index)| stride.wrapping_mul(index));
    steps.fold(0, u32::wrapping_add) as usize
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatConvolution<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let FloatConvolution { input, weight, bias, out, .. } = arguments;
    require_disjoint(out, argument::out, &[Some(input), Some(weight), bias.as_ref()])?;
    let (Some(convolution), [_, locations @ ..]) = (arguments.convolution(), state) else {
        return Ok(());
    };
    if let Some((locations, extents)) = locations.split_first_chunk_mut::<4>() {
        *locations = [
            Location::to_word(Some(input.location)),
            Location::to_word(Some(weight.location)),
            Location::to_word(bias.as_ref().map(|bias| bias.location)),
            Location::to_word(Some(out.location)),
        ];
        super::store(extents, pack(&convolution));
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [_, input, weight, bias, out, extents @ ..] =
        <&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let convolution = unpack(extents)?;
    let Convolution { batches, out_channels, group_channels, groups, vertical, horizontal, .. } =
        convolution;
    let product = |extents: [u32; 4]| extents.iter().map(|extent| *extent as usize).product();
    let inputs = product([batches, group_channels * groups, vertical.input, horizontal.input]);
    let weights = product([out_channels, group_channels, vertical.kernel, horizontal.kernel]);
    let results = product([batches, out_channels, vertical.out, horizontal.out]);
    let (reader, out) = memory.write::<f32>(Location::from_word(*out)?, results)?;
    let bias = match Location::from_word(*bias) {
        Some(bias) => Some(reader.read::<f32>(bias, out_channels as usize)?),
        None => None,
    };
    let input = reader.read(Location::from_word(*input)?, inputs)?;
    let weight = reader.read(Location::from_word(*weight)?, weights)?;
    convolve(&convolution, input, weight, bias, out)
}

fn pack(convolution: &Convolution) -> [u32; EXTENT_WORDS] {
    let Convolution { batches, out_channels, group_channels, groups, .. } = *convolution;
    let window = |window: &Window| {
        [window.input, window.kernel, window.out, window.stride, window.padding, window.dilation]
    };
    let windows = [window(&convolution.vertical), window(&convolution.horizontal)];
    let strides = [convolution.input, convolution.weight, convolution.out];
    let words = [batches, out_channels, group_channels, groups];
    let words = words.into_iter().chain(windows.into_iter().flatten());
    let mut packed = [0; EXTENT_WORDS];
    let words = words.chain(strides.into_iter().flatten());
    packed.iter_mut().zip(words).for_each(|(slot, word)| *slot = word);
    packed
}

fn unpack(words: &[u32; EXTENT_WORDS]) -> Option<Convolution> {
    let ([batches, out_channels, group_channels, groups], words) = words.split_first_chunk()?;
    let window = |words: &[u32; 6]| {
        let [input, kernel, out, stride, padding, dilation] = *words;
        Window { input, kernel, out, stride, padding, dilation }
    };
    let (vertical, words) = words.split_first_chunk()?;
    let (horizontal, words) = words.split_first_chunk()?;
    let [input, weight, out] = words.as_chunks().0 else { return None };
    Some(Convolution {
        batches: *batches,
        out_channels: *out_channels,
        group_channels: *group_channels,
        groups: *groups,
        vertical: window(vertical),
        horizontal: window(horizontal),
        input: *input,
        weight: *weight,
        out: *out,
    })
}
