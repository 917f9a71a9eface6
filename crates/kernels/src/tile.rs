//! The tiles that convolutions are cut into: what one call of an instruction set's whole loop computes, and its portable model.
//!
//! A tile holds everything from the inputs to the clamped outputs, so that an instruction set may keep all of it in registers. The
//! functions `model` define the bits; an assembly loop computes the same, and takes only tiles whose factors are
//! [short](Micro::is_short) for it.

use crate::micro::Micro;
use cortado_contract::ops::quantized_linear::{LinearParams, LinearShape};
use cortado_contract::quant::{Activation, Requantize};

/// A result: rescaled, its zero point added, within `int8`.
// Helium has it in vectors; what is left is rare.
#[cfg_attr(cortado_isa = "mve", inline(never))]
#[cfg_attr(not(cortado_isa = "mve"), inline(always))]
pub fn finish(sum: i32, factor: Requantize, output_offset: i32) -> i8 {
    Activation::INT8.clamp(factor.apply(sum).wrapping_add(output_offset)) as i8
}

/// Output channels, in fours, of several windows, each of which lies in memory as its weights do: one after the other, without a gap.
#[derive(Clone, Copy, Debug)]
pub struct Quads<'a> {
    /// The windows, `depth` elements each.
    pub windows: &'a [i8],
    /// A row of weights for each channel, `depth` elements each.
    pub weights: &'a [i8],
    /// The elements of a window.
    pub depth: usize,
    /// What each channel's sum starts with.
    pub whole: &'a [[i32; 4]],
    /// Added to each input.
    pub input_offset: i32,
    /// Each channel's multiplier.
    pub multipliers: &'a [[i32; 4]],
    /// Each channel's shift.
    pub shifts: &'a [[i32; 4]],
    /// The outputs' zero point.
    pub output_offset: i32,
    /// The distance between two windows' outputs.
    pub out_step: usize,
}

impl Quads<'_> {
    /// Whether the slices hold `pixels` windows, a row of weights and constants for each channel, and the outputs.
    pub fn fits(&self, pixels: usize, out: &[i8]) -> bool {
        let Some(last) = pixels.checked_sub(1) else { return true };
        let holds =
            |count: Option<usize>, length: usize| count.is_some_and(|count| count <= length);
        let channels = 4 * self.whole.len();
        holds(pixels.checked_mul(self.depth), self.windows.len())
            && holds(self.depth.checked_mul(channels), self.weights.len())
            && holds(
                last.checked_mul(self.out_step).and_then(|at| at.checked_add(channels)),
                out.len(),
            )
            && self.multipliers.len() >= self.whole.len()
            && self.shifts.len() >= self.whole.len()
    }

    /// Computes the channels of `pixels` windows into the first elements of each output pixel.
    ///
    /// `None` when a slice is too short.
    #[inline(never)]
    pub fn model<M: Micro>(&self, pixels: usize, out: &mut [i8]) -> Option<()> {
        if !self.fits(pixels, out) {
            return None;
        }
        let wholes = self.whole.as_flattened().iter();
        let factors = self.multipliers.as_flattened().iter().zip(self.shifts.as_flattened());
        for (channel, (whole, (multiplier, shift))) in wholes.zip(factors).enumerate() {
            let weights = self.weights.get(channel * self.depth..)?.get(..self.depth)?;
            let factor = Requantize { multiplier: *multiplier, shift: *shift };
            for pixel in 0..pixels {
                let window = self.windows.get(pixel * self.depth..)?.get(..self.depth)?;
                let sum = dot::<M>(window, self.input_offset, weights);
                *out.get_mut(pixel * self.out_step + channel)? =
                    finish(whole.wrapping_add(sum), factor, self.output_offset);
            }
        }
        Some(())
    }
}

/// [`Micro::dot`], once in an image: models are for what is rare.
#[inline(never)]
pub(crate) fn dot<M: Micro>(lhs: &[i8], lhs_offset: i32, rhs: &[i8]) -> i32 {
    M::dot(lhs, lhs_offset, rhs)
}

/// Output features, in fours, of one row of a fully connected layer.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The input row.
    pub input: &'a [i8],
    /// A row of weights for each feature, each as long as the input.
    pub weights: &'a [i8],
    /// What each feature's sum starts with.
    pub constants: &'a [[i32; 4]],
    /// The features' multipliers; a single four of equal ones stands for all.
    pub multipliers: &'a [[i32; 4]],
    /// The features' shifts, as many as multipliers.
    pub shifts: &'a [[i32; 4]],
    /// Added to each input.
    pub input_offset: i32,
    /// The outputs' zero point.
    pub output_offset: i32,
}

impl Row<'_> {
    /// Whether all features have the same factor.
    pub fn has_one_factor(&self) -> bool {
        self.multipliers.len() == 1
    }

    /// Whether the slices hold weights and outputs for all constants.
    pub fn fits(&self, out: &[i8]) -> bool {
        let features = 4 * self.constants.len();
        self.input.len().checked_mul(features).is_some_and(|count| count <= self.weights.len())
            && features <= out.len()
    }

    /// Computes all features.
    ///
    /// `None` when a slice is too short.
    #[inline(never)]
    pub fn model<M: Micro>(&self, out: &mut [i8]) -> Option<()> {
        if !self.fits(out) {
            return None;
        }
        let depth = self.input.len();
        for (feature, constant) in self.constants.as_flattened().iter().enumerate() {
            let weights = self.weights.get(feature * depth..)?.get(..depth)?;
            let factors = if self.has_one_factor() { feature % 4 } else { feature };
            let factor = Requantize {
                multiplier: *self.multipliers.as_flattened().get(factors)?,
                shift: *self.shifts.as_flattened().get(factors)?,
            };
            let sum = dot::<M>(self.input, self.input_offset, weights);
            *out.get_mut(feature)? = finish(constant.wrapping_add(sum), factor, self.output_offset);
        }
        Some(())
    }
}

/// Computes a fully connected layer whose sums start with `constants`, one for each feature, whatever constants `params` has. Inputs have
/// no offset; that of the weights adds a multiple of a row's sum to all of the row's sums.
///
/// `None` when a slice is too short.
#[inline(never)]
pub fn lines<M: Micro>(
    shape: &LinearShape,
    params: &LinearParams<'_>,
    constants: &[i32],
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let LinearShape { rows, in_features: depth, out_features } = *shape;
    for row in 0..rows {
        let input = input.get(row.checked_mul(depth)?..)?.get(..depth)?;
        let added = params.filter_offset.0.wrapping_mul(M::sum(input));
        for feature in 0..out_features {
            let weights = weights.get(feature.checked_mul(depth)?..)?.get(..depth)?;
            let sum = M::dot(input, 0, weights).wrapping_add(added);
            let sum = constants.get(feature)?.wrapping_add(sum);
            let value = finish(sum, params.rescale.factor(feature), params.output_offset.0);
            let value = params.activation.clamp(i32::from(value));
            *out.get_mut(row * out_features + feature)? = value as i8;
        }
    }
    Some(())
}

/// Numbers along rows and along columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// From one row to the next, or how many rows.
    pub rows: usize,
    /// From one column to the next, or how many columns.
    pub columns: usize,
}

impl Steps {
    /// Each row with each column, if these are how many there are.
    #[inline(always)]
    pub fn each(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.rows).flat_map(move |row| (0..self.columns).map(move |column| (row, column)))
    }

    /// The end of so many rows of so many columns, the rows `width` apart and the first one at `first`.
    fn reach_in(self, width: usize, first: usize) -> Option<usize> {
        let rows = self.rows.saturating_sub(1).checked_mul(width)?;
        rows.checked_add(self.columns)?.checked_add(first)
    }

    /// The distance from the first of `count` to the last.
    fn reach(self, count: Steps) -> Option<usize> {
        let rows = count.rows.checked_sub(1)?.checked_mul(self.rows)?;
        rows.checked_add(count.columns.checked_sub(1)?.checked_mul(self.columns)?)
    }
}

/// All channels of a rectangle of windows that have the same taps on the input.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise<'a> {
    /// The input from the first window's first tap on.
    pub input: &'a [i8],
    /// The weights from the first tap on.
    pub weights: &'a [i8],
    /// The number of channels.
    pub channels: usize,
    /// How many channels, one after the other, read the same channel of the input. More than one only where an instruction set
    /// [takes that](Micro::SPREADS).
    pub multiplier: usize,
    /// The number of taps on the input; not 0.
    pub taps: Steps,
    /// The distances between taps in the input.
    pub input_taps: Steps,
    /// The distances between taps in the weights.
    pub weight_taps: Steps,
    /// The number of windows; not 0.
    pub windows: Steps,
    /// The distances between windows in the input.
    pub input_steps: Steps,
    /// The distances between windows in the output.
    pub out_steps: Steps,
    /// Each channel's bias, if it has one.
    pub bias: Option<&'a [i32]>,
    /// Each channel's multiplier.
    pub multipliers: &'a [i32],
    /// Each channel's shift.
    pub shifts: &'a [i32],
    /// Whether all factors are [short](Micro::is_short); if not, loops find out which are not.
    pub are_short: bool,
    /// Minus the input's zero point.
    pub input_offset: i32,
    /// The outputs' zero point.
    pub output_offset: i32,
}

/// The channels that the model computes at a time.
const BLOCK: usize = 16;

impl Depthwise<'_> {
    /// Whether the slices hold all windows, weights, constants and outputs.
    pub fn fits(&self, out: &[i8]) -> bool {
        let input = self.input_taps.reach(self.taps);
        let windows = self.input_steps.reach(self.windows);
        let channels = match self.multiplier {
            0 | 1 => self.channels,
            multiplier => self.channels.div_ceil(multiplier),
        };
        let end = input.and_then(|taps| taps.checked_add(windows?)?.checked_add(channels));
        end.is_some_and(|end| end <= self.input.len()) && self.fits_besides_input(out)
    }

    /// Whether the slices hold all weights, constants and outputs.
    fn fits_besides_input(&self, out: &[i8]) -> bool {
        self.holds(self.weight_taps.reach(self.taps), self.weights.len())
            && self.holds(self.out_steps.reach(self.windows), out.len())
            && self.bias.is_none_or(|bias| bias.len() >= self.channels)
            && self.multipliers.len() >= self.channels
            && self.shifts.len() >= self.channels
    }

    /// Whether so many elements hold all channels at this distance.
    fn holds(&self, reach: Option<usize>, length: usize) -> bool {
        let end = reach.and_then(|reach| reach.checked_add(self.channels));
        end.is_some_and(|end| end <= length)
    }

    /// A channel's bias.
    pub fn bias_of(&self, channel: usize) -> i32 {
        self.bias.and_then(|bias| bias.get(channel)).copied().unwrap_or(0)
    }

    /// A channel's factor.
    pub fn factor_of(&self, channel: usize) -> Requantize {
        let at = |table: &[i32]| table.get(channel).copied().unwrap_or(0);
        Requantize { multiplier: at(self.multipliers), shift: at(self.shifts) }
    }

    /// Fills the outputs of windows without any tap on the input: their biases alone.
    ///
    /// `None` when a slice is too short.
    pub fn fill(&self, out: &mut [i8]) -> Option<()> {
        for row in 0..self.windows.rows {
            for column in 0..self.windows.columns {
                let place = row * self.out_steps.rows + column * self.out_steps.columns;
                let out = out.get_mut(place..)?.get_mut(..self.channels)?;
                for (channel, out) in out.iter_mut().enumerate() {
                    let (sum, factor) = (self.bias_of(channel), self.factor_of(channel));
                    *out = finish(sum, factor, self.output_offset);
                }
            }
        }
        Some(())
    }

    /// Computes all channels of all windows one by one, whatever inputs they read.
    ///
    /// `None` when a slice is too short.
    #[inline(never)]
    pub fn model_spread(&self, out: &mut [i8]) -> Option<()> {
        if !self.fits(out) {
            return None;
        }
        for (row, column) in self.windows.each() {
            let place = |steps: Steps| row * steps.rows + column * steps.columns;
            let mut input = place(self.input_steps);
            let mut shared = 0;
            for channel in 0..self.channels {
                let mut sum = self.bias_of(channel);
                for (row, column) in self.taps.each() {
                    let place = |steps: Steps| row * steps.rows + column * steps.columns;
                    let input = *self.input.get(input + place(self.input_taps))?;
                    let weight = *self.weights.get(channel + place(self.weight_taps))?;
                    let input = i32::from(input) + self.input_offset;
                    sum = sum.wrapping_add(input * i32::from(weight));
                }
                let out = out.get_mut(place(self.out_steps) + channel)?;
                *out = finish(sum, self.factor_of(channel), self.output_offset);
                shared += 1;
                if shared >= self.multiplier {
                    (input, shared) = (input + 1, 0);
                }
            }
        }
        Some(())
    }

    /// Computes the channels from `first` on of all windows, each of which reads an input of its own.
    ///
    /// `None` when a slice is too short.
    #[inline(never)]
    pub fn model(&self, first: usize, out: &mut [i8]) -> Option<()> {
        if !self.fits(out) {
            return None;
        }
        for start in (first..self.channels).step_by(BLOCK) {
            let count = BLOCK.min(self.channels - start);
            for row in 0..self.windows.rows {
                for column in 0..self.windows.columns {
                    let place = |steps: Steps| row * steps.rows + column * steps.columns + start;
                    let sums = self.sums(start, count, place(self.input_steps))?;
                    let out = out.get_mut(place(self.out_steps)..)?.get_mut(..count)?;
                    for ((channel, out), sum) in (start..).zip(out).zip(sums) {
                        *out = finish(sum, self.factor_of(channel), self.output_offset);
                    }
                }
            }
        }
        Some(())
    }

    #[inline(always)]
    fn sums(&self, start: usize, count: usize, window: usize) -> Option<[i32; BLOCK]> {
        let mut sums = [0i32; BLOCK];
        for (channel, sum) in (start..start + count).zip(&mut sums) {
            *sum = self.bias_of(channel);
        }
        for row in 0..self.taps.rows {
            for column in 0..self.taps.columns {
                let place = |steps: Steps| row * steps.rows + column * steps.columns;
                let inputs = self.input.get(window + place(self.input_taps)..)?.get(..count)?;
                let weights = self.weights.get(start + place(self.weight_taps)..)?.get(..count)?;
                for ((sum, input), weight) in sums.iter_mut().zip(inputs).zip(weights) {
                    let product = (i32::from(*input) + self.input_offset) * i32::from(*weight);
                    *sum = sum.wrapping_add(product);
                }
            }
        }
        Some(sums)
    }
}

/// The most taps of the windows that every instruction set has loops for.
pub const TAPS_MAX: usize = 32;

/// The most pixels of an image in its frame of which four channels at a time are copied.
pub const FRAME_PIXELS: usize = 128;

/// Four channels of an image in its frame.
pub type Frame = [[i8; 4]; FRAME_PIXELS];

/// All channels of a small image, four at a time in a frame of its zero point as wide as the padding, so that all windows have all taps.
#[derive(Clone, Copy, Debug)]
pub struct Framed<'a> {
    /// The input is the image without a frame; the distances between taps and between windows in the input are those in a frame of
    /// four channels.
    pub tile: Depthwise<'a>,
    /// The extents of the image.
    pub image: Steps,
    /// The frame's pixel on which the image's first one lies.
    pub first: usize,
    /// The pixels of a row of the frame.
    pub width: usize,
}

impl Framed<'_> {
    /// Whether there are four channels and more, and the frame and the slices hold all windows, weights, constants and outputs.
    pub fn fits(&self, out: &[i8]) -> bool {
        let Depthwise { taps, windows, .. } = self.tile;
        let frame = (self.tile.input_taps.reach(taps))
            .zip(self.tile.input_steps.reach(windows))
            .and_then(|(taps, windows)| taps.checked_add(windows)?.checked_add(4));
        let image = self.image.rows.checked_mul(self.image.columns);
        let image = image.and_then(|pixels| pixels.checked_mul(self.tile.channels));
        self.tile.channels >= 4
            && frame.is_some_and(|end| end <= 4 * FRAME_PIXELS)
            && image.is_some_and(|count| count <= self.tile.input.len())
            && self.image.reach_in(self.width, self.first).is_some_and(|end| end <= FRAME_PIXELS)
            && self.tile.fits_besides_input(out)
    }

    /// A frame without its image.
    pub fn empty(&self) -> Frame {
        // Minus the input offset is a zero point, which `int8` holds.
        [[self.tile.input_offset.wrapping_neg() as i8; 4]; FRAME_PIXELS]
    }

    /// Copies four channels into the frame.
    ///
    /// `None` when they do not lie in the image or the image does not lie in the frame.
    #[inline(always)]
    pub fn copy(&self, first: usize, frame: &mut Frame) -> Option<()> {
        let channels = self.tile.channels;
        let mut pixels = self.tile.input.get(first..)?.chunks(channels);
        for row in 0..self.image.rows {
            let frame = frame.get_mut(self.first + row * self.width..)?;
            for frame in frame.get_mut(..self.image.columns)? {
                *frame = *pixels.next()?.first_chunk()?;
            }
        }
        Some(())
    }

    /// Computes all windows.
    ///
    /// `None` when a slice is too short.
    #[inline(never)]
    pub fn model(&self, out: &mut [i8]) -> Option<()> {
        if !self.fits(out) {
            return None;
        }
        let tile = &self.tile;
        let mut frame = self.empty();
        let mut first = 0;
        while first < tile.channels {
            first = first.min(tile.channels - 4);
            self.copy(first, &mut frame)?;
            let four = Depthwise {
                input: frame.as_flattened(),
                weights: tile.weights.get(first..)?,
                channels: 4,
                bias: match tile.bias {
                    Some(bias) => Some(bias.get(first..)?),
                    None => None,
                },
                multipliers: tile.multipliers.get(first..)?,
                shifts: tile.shifts.get(first..)?,
                ..*tile
            };
            four.model(0, out.get_mut(first..)?)?;
            first += 4;
        }
        Some(())
    }
}
