//! `cortex_m::quantized_conv2d`: a convolution over images, dense or grouped.
//!
//! What all convolutions share stands here too: their geometry ([`ConvShape`]), their numbers ([`ConvParams`]) and the rules of
//! the arguments that they have in common.

use super::Rules;
use super::quantized_linear::Rescale;
use crate::DType;
use crate::quant::{
    Activation, InputOffset, OutputOffset, reduce_multiplier, requantize, requantize_s64,
};
use crate::target::Isa;
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[n,o,y,x] = clamp(requantize(Σ_{i,j,c} (input[n, g·C + c, y·sy − py + i·dy, x·sx − px + j·dx] + input_offset) ·
    /// weight[o,i,j,c] + bias[o]) + output_offset)`, where `g` is the group of `o`, `C` the input channels of a group, and
    /// positions outside of the input contribute nothing.
    ///
    /// Shapes in logical order: `input` `[N, in_channels, H, W]` and `out` `[N, out_channels, H', W']`, both NHWC in memory;
    /// `weight` `[out_channels, kernel_height, kernel_width, C]` in just that order, which makes `in_channels / C` groups;
    /// `bias`, `requantize_multipliers` and `requantize_shifts` `[out_channels]`. `input`, `weight` and `out` are `int8`, the
    /// others `int32`. `padding` counts the positions above and left of the input; those below and right of it follow from the
    /// extents of `out`. The sum wraps in 32 bits.
    ///
    /// Source: `arm_convolve_wrapper_s8` of CMSIS-NN.
    QuantizedConv2d = "cortex_m::quantized_conv2d" {
        /// The image.
        input: Tensor,
        /// The weights: OHWI.
        weight: Tensor,
        /// One number per output channel, or none for zero.
        bias: OptionalTensor,
        /// The steps between windows: height, width.
        stride: IntList,
        /// The positions above and left of the input: height, width.
        padding: IntList,
        /// The steps between the taps of a window: height, width.
        dilation: IntList,
        /// Minus the input's zero point.
        input_offset: Int<InputOffset>,
        /// The output's zero point.
        output_offset: Int<OutputOffset>,
        /// One multiplier per output channel.
        requantize_multipliers: Tensor,
        /// One shift per output channel.
        requantize_shifts: Tensor,
        /// The least result.
        activation_min: Int<i32>,
        /// The greatest result.
        activation_max: Int<i32>,
        /// Memory that ExecuTorch's kernels use; Cortado's do without.
        scratch: Tensor,
    }
}

impl<D: Domain> QuantizedConv2d<D> {
    /// What this operator has in common with the other convolutions.
    pub fn common(&self) -> ConvArguments<'_, D> {
        ConvArguments {
            input: &self.input,
            weight: &self.weight,
            bias: self.bias.as_ref(),
            stride: &self.stride,
            padding: &self.padding,
            dilation: &self.dilation,
            input_offset: self.input_offset,
            output_offset: self.output_offset,
            requantize_multipliers: &self.requantize_multipliers,
            requantize_shifts: &self.requantize_shifts,
            activation: Activation { min: self.activation_min, max: self.activation_max },
            out: &self.out,
            activations: DType::I8,
            dilation_argument: argument::dilation,
            multipliers_argument: argument::requantize_multipliers,
            out_argument: argument::out,
        }
    }

    /// The geometry, or `None` when the arguments have none.
    pub fn shape(&self) -> Option<ConvShape> {
        self.common().shape(self.weight.dim(3))
    }
}

impl<D: Domain> Rules for QuantizedConv2d<D> {
    fn check(&self) -> Result<(), Violation> {
        self.common().check_grouped()
    }

    fn scratch_bytes(&self, isa: Isa) -> [u32; 2] {
        [self.shape().map_or(0, |shape| scratch_bytes(&shape, isa)), 0]
    }

    fn multiply_accumulates(&self) -> u64 {
        self.shape().map_or(0, |shape| shape.multiply_accumulates())
    }
}

/// A number along the height and one along the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Along the height.
    pub height: usize,
    /// Along the width.
    pub width: usize,
}

impl Plane {
    /// The same number along both.
    pub const fn square(number: usize) -> Plane {
        Plane { height: number, width: number }
    }

    /// The product of both numbers.
    pub const fn area(self) -> usize {
        self.height * self.width
    }
}

/// The geometry of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// The number of images.
    pub batches: usize,
    /// The extents of an input image.
    pub input: Plane,
    /// The input's channels.
    pub in_channels: usize,
    /// The extents of an output image.
    pub output: Plane,
    /// The output's channels.
    pub out_channels: usize,
    /// The taps of a window.
    pub kernel: Plane,
    /// The input channels that one output channel reads.
    pub group_channels: usize,
    /// The steps between windows.
    pub stride: Plane,
    /// The positions above and left of the input.
    pub padding: Plane,
    /// The steps between the taps of a window.
    pub dilation: Plane,
}

impl ConvShape {
    /// The number of groups; `group_channels` must not be 0.
    pub const fn groups(&self) -> usize {
        self.in_channels / self.group_channels
    }

    /// The number of weights of one output channel.
    pub const fn kernel_size(&self) -> usize {
        self.kernel.area() * self.group_channels
    }

    /// The multiply-accumulates of a convolution, those on padding included.
    pub const fn multiply_accumulates(&self) -> u64 {
        (self.batches * self.output.area()) as u64 * (self.out_channels * self.kernel_size()) as u64
    }

    /// Whether the groups divide the channels of input and output.
    fn has_groups(&self) -> bool {
        self.group_channels > 0
            && self.in_channels.is_multiple_of(self.group_channels)
            && self.groups() > 0
            && self.out_channels.is_multiple_of(self.groups())
    }

    /// Whether every window starts inside of the padded input.
    pub(super) fn has_windows(&self) -> bool {
        let starts = |output: usize, stride: usize, input: usize, padding: usize| {
            output == 0 || (output - 1) * stride < input + 2 * padding
        };
        let Self { output, stride, input, padding, .. } = self;
        starts(output.height, stride.height, input.height, padding.height)
            && starts(output.width, stride.width, input.width, padding.width)
    }
}

/// The greatest extent, number of channels, stride, padding and dilation; prepared convolutions hold each in 16 bits.
pub const MAX_EXTENT: u32 = u16::MAX as u32;

/// The arguments that all convolutions have, with the positions of those that stand elsewhere in each schema.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named as the operators' arguments are")]
pub struct ConvArguments<'a, D: Domain> {
    pub input: &'a D::Tensor,
    pub weight: &'a D::Tensor,
    pub bias: Option<&'a D::Tensor>,
    pub stride: &'a D::IntList,
    pub padding: &'a D::IntList,
    pub dilation: &'a D::IntList,
    pub input_offset: InputOffset,
    pub output_offset: OutputOffset,
    pub requantize_multipliers: &'a D::Tensor,
    pub requantize_shifts: &'a D::Tensor,
    pub activation: Activation,
    pub out: &'a D::Tensor,
    /// The element type of `input` and `out`: `int8` with a bias of `int32`, or `int16` with one of `int64`.
    pub activations: DType,
    pub dilation_argument: u8,
    /// Shifts, least and greatest result follow in this order. Where there are offsets, that of the input and that of the output stand
    /// before.
    pub multipliers_argument: u8,
    pub out_argument: u8,
}

impl<D: Domain> ConvArguments<'_, D> {
    /// Checks what does not depend on how the operator reads its weights.
    pub(super) fn check(&self) -> Result<(), Violation> {
        let Self { input, weight, out, out_argument, .. } = *self;
        for (position, tensor, dtype) in [
            (argument::input, input, self.activations),
            (argument::weight, weight, DType::I8),
            (out_argument, out, self.activations),
        ] {
            require(tensor.dtype() == dtype, position, Rule::DType)?;
            require(tensor.rank() == 4, position, Rule::Rank)?;
            let fits = tensor.element_count().is_some_and(|count| count <= i32::MAX as u32);
            require(fits, position, Rule::TooLarge)?;
            let counts = (0..4).all(|axis| tensor.dim(axis) <= MAX_EXTENT);
            require(counts, position, Rule::TooLarge)?;
        }
        require(input.is_channels_last(), argument::input, Rule::Layout)?;
        require(out.is_channels_last(), out_argument, Rule::Layout)?;
        require(weight.is_row_major(), argument::weight, Rule::Layout)?;
        require(input.dim(0) == out.dim(0), out_argument, Rule::Shape)?;
        self.check_planes()?;
        self.check_channel_constants()?;
        let multipliers = self.multipliers_argument;
        if self.activations == DType::I8 {
            let input_offset = (-127..=128).contains(&self.input_offset.0);
            require(input_offset, multipliers - 2, Rule::Range)?;
            let output_offset = (-128..=127).contains(&self.output_offset.0);
            require(output_offset, multipliers - 1, Rule::Range)?;
        }
        let (least, greatest) = self.activations.quantized_range().unwrap_or((0, 0));
        let Activation { min, max } = self.activation;
        require(least <= min && min <= max, multipliers + 2, Rule::Range)?;
        require(max <= greatest, multipliers + 3, Rule::Range)
    }

    /// [`Self::check`] of a dense or grouped convolution, whose weights are OHWI.
    pub(super) fn check_grouped(&self) -> Result<(), Violation> {
        self.check()?;
        let shape = self.require_shape(self.weight.dim(3))?;
        require(self.weight.dim(0) == self.out.dim(1), argument::weight, Rule::Shape)?;
        require(shape.has_groups(), argument::weight, Rule::Shape)?;
        require(shape.has_windows(), self.out_argument, Rule::Shape)
    }

    /// [`Self::check`] of a depthwise convolution, whose weights are 1HWO, with so many output channels for each input channel.
    pub(super) fn check_depthwise(
        &self,
        depth_multiplier: i32,
        depth_multiplier_argument: u8,
    ) -> Result<(), Violation> {
        self.check()?;
        let shape = self.require_shape(1)?;
        require(self.weight.dim(0) == 1, argument::weight, Rule::Shape)?;
        require(self.weight.dim(3) == self.out.dim(1), argument::weight, Rule::Shape)?;
        let (channels, multiplier) = (i64::from(self.input.dim(1)), i64::from(depth_multiplier));
        let divides = multiplier >= 1 && channels * multiplier == i64::from(self.out.dim(1));
        require(divides, depth_multiplier_argument, Rule::Range)?;
        require(channels >= 1, argument::input, Rule::Shape)?;
        require(shape.has_windows(), self.out_argument, Rule::Shape)
    }

    fn check_planes(&self) -> Result<(), Violation> {
        for (position, list, least) in [
            (argument::stride, self.stride, 1),
            (argument::padding, self.padding, 0),
            (self.dilation_argument, self.dilation, 1),
        ] {
            require(list.len() == 2, position, Rule::Length)?;
            let range = least..=i64::from(MAX_EXTENT);
            let is_valid = |index| list.get(index).is_some_and(|value: i64| range.contains(&value));
            require(is_valid(0) && is_valid(1), position, Rule::Range)?;
        }
        Ok(())
    }

    fn check_channel_constants(&self) -> Result<(), Violation> {
        let channels = self.out.dim(1);
        let bias = if self.activations == DType::I16 { DType::I64 } else { DType::I32 };
        for (position, table, dtype) in [
            (argument::bias, self.bias, bias),
            (self.multipliers_argument, Some(self.requantize_multipliers), DType::I32),
            (self.multipliers_argument + 1, Some(self.requantize_shifts), DType::I32),
        ] {
            let Some(table) = table else { continue };
            require(table.dtype() == dtype, position, Rule::DType)?;
            require(table.rank() == 1 && table.dim(0) == channels, position, Rule::Shape)?;
        }
        Ok(())
    }

    /// The geometry with this many input channels per output channel, or `None` when lists are not as [`Self::check`] demands.
    pub(super) fn shape(&self, group_channels: u32) -> Option<ConvShape> {
        let plane = |list: &D::IntList| {
            let number = |index| usize::try_from(list.get(index)?).ok();
            Some(Plane { height: number(0)?, width: number(1)? })
        };
        let extents = |tensor: &D::Tensor, axis: usize| Plane {
            height: tensor.dim(axis) as usize,
            width: tensor.dim(axis + 1) as usize,
        };
        Some(ConvShape {
            batches: self.input.dim(0) as usize,
            input: extents(self.input, 2),
            in_channels: self.input.dim(1) as usize,
            output: extents(self.out, 2),
            out_channels: self.out.dim(1) as usize,
            kernel: extents(self.weight, 1),
            group_channels: group_channels as usize,
            stride: plane(self.stride)?,
            padding: plane(self.padding)?,
            dilation: plane(self.dilation)?,
        })
    }

    /// The geometry, in which every position that a window reaches can be counted in 32 bits.
    pub(super) fn require_shape(&self, group_channels: u32) -> Result<ConvShape, Violation> {
        let too_large = Violation { argument: argument::stride, rule: Rule::TooLarge };
        let shape = self.shape(group_channels).ok_or(too_large)?;
        // The image that is stepped over is the output of a convolution and the input of a transposed one.
        let reaches = |steps: usize, stride: usize, taps: usize, dilation: usize| {
            let reach = steps as u64 * stride as u64 + taps as u64 * dilation as u64;
            reach <= MAX_REACH
        };
        for steps in [shape.output, shape.input] {
            let Plane { height: rows, width: columns } = steps;
            let ConvShape { stride, kernel, dilation, .. } = shape;
            let holds = reaches(rows, stride.height, kernel.height, dilation.height)
                && reaches(columns, stride.width, kernel.width, dilation.width);
            require(holds, argument::stride, Rule::TooLarge)?;
        }
        Ok(shape)
    }
}

/// The farthest position that a window may reach.
const MAX_REACH: u64 = 1 << 30;

/// The numbers of a convolution besides its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvParams<'a> {
    /// Minus the input's zero point.
    pub input_offset: InputOffset,
    /// The output's zero point.
    pub output_offset: OutputOffset,
    /// One number per output channel, or `None` for zero.
    pub bias: Option<&'a [i32]>,
    /// The rescaling of accumulators to outputs.
    pub rescale: Rescale<'a>,
    /// The range of results.
    pub activation: Activation,
}

impl ConvParams<'_> {
    /// The result of an output channel's accumulator.
    #[inline(always)]
    pub fn finish(&self, accumulator: i32, channel: usize) -> i8 {
        let scaled = self.rescale.factor(channel).apply(accumulator);
        self.activation.clamp(scaled.wrapping_add(self.output_offset.0)) as i8
    }
}

/// The exact meaning of a convolution over `int8`.
///
/// `input` is `[batches, H, W, in_channels]`, `weights` `[out_channels, kernel_height, kernel_width, group_channels]`, `out`
/// `[batches, H', W', out_channels]`.
///
/// # Panics
/// If a slice is shorter than its extents say.
pub fn reference(
    shape: &ConvShape,
    params: &ConvParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) {
    for_each_output(shape, |channel, position| {
        let mut accumulator = params.bias.map_or(0, |bias| bias[channel]);
        for_each_product(shape, channel, position, |pixel, weight| {
            let product = (i32::from(input[pixel]) + params.input_offset.0)
                .wrapping_mul(i32::from(weights[weight]));
            accumulator = accumulator.wrapping_add(product);
        });
        out[position.index * shape.out_channels + channel] = params.finish(accumulator, channel);
    });
}

/// The position of an output pixel: its image, row, column, and number.
#[derive(Clone, Copy)]
pub(super) struct Position {
    pub(super) batch: usize,
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) index: usize,
}

/// Calls `visit` with every output channel and position.
pub(super) fn for_each_output(shape: &ConvShape, mut visit: impl FnMut(usize, Position)) {
    let Plane { height, width } = shape.output;
    for index in 0..shape.batches * height * width {
        let position = Position {
            batch: index / (height * width),
            row: index / width % height,
            column: index % width,
            index,
        };
        (0..shape.out_channels).for_each(|channel| visit(channel, position));
    }
}

/// Calls `visit` with every tap of the window at an output position that lies on the input: the number of the input pixel
/// and that of the tap.
pub(super) fn for_each_tap(
    shape: &ConvShape,
    position: Position,
    mut visit: impl FnMut(usize, usize),
) {
    let ConvShape { input, kernel, stride, padding, dilation, .. } = *shape;
    for tap in 0..kernel.area() {
        let row = position.row * stride.height + tap / kernel.width * dilation.height;
        let column = position.column * stride.width + tap % kernel.width * dilation.width;
        // What wraps below zero is larger than any extent.
        let (row, column) = (row.wrapping_sub(padding.height), column.wrapping_sub(padding.width));
        if row < input.height && column < input.width {
            visit((position.batch * input.height + row) * input.width + column, tap);
        }
    }
}

/// Calls `visit` with the index of the input and that of the weight of every product of an output channel at a position.
fn for_each_product(
    shape: &ConvShape,
    channel: usize,
    position: Position,
    mut visit: impl FnMut(usize, usize),
) {
    let depth = shape.group_channels;
    let group = channel / (shape.out_channels / shape.groups());
    for_each_tap(shape, position, |pixel, tap| {
        for c in 0..depth {
            let weight = (channel * shape.kernel.area() + tap) * depth + c;
            visit(pixel * shape.in_channels + group * depth + c, weight);
        }
    });
}

/// The bias of a convolution with 16-bit activations; its width decides how accumulators are rescaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BiasS16<'a> {
    /// 64-bit accumulators, rescaled with 16-bit multipliers ([`requantize_s64`]).
    Wide(Option<&'a [i64]>),
    /// 32-bit accumulators, rescaled with 32-bit multipliers ([`requantize`]).
    Narrow(Option<&'a [i32]>),
}

/// The numbers of a convolution with 16-bit activations besides its weights; zero points are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvParamsS16<'a> {
    /// One number per output channel, or `None` for zero.
    pub bias: BiasS16<'a>,
    /// The rescaling of accumulators to outputs.
    pub rescale: Rescale<'a>,
    /// The range of results.
    pub activation: Activation,
}

impl ConvParamsS16<'_> {
    /// The result of an output channel's sum of products; a channel without bias counts as one with zero.
    #[inline(always)]
    pub fn finish(&self, sum: i64, channel: usize) -> i16 {
        let factor = self.rescale.factor(channel);
        let value = match self.bias {
            BiasS16::Wide(bias) => {
                let bias = bias.and_then(|bias| bias.get(channel)).copied().unwrap_or(0);
                let multiplier = reduce_multiplier(factor.multiplier);
                requantize_s64(sum.wrapping_add(bias), multiplier, factor.shift)
            }
            BiasS16::Narrow(bias) => {
                let bias = bias.and_then(|bias| bias.get(channel)).copied().unwrap_or(0);
                requantize((sum as i32).wrapping_add(bias), factor.multiplier, factor.shift)
            }
        };
        self.activation.clamp(value) as i16
    }
}

/// The exact meaning of a convolution with 16-bit activations and 8-bit weights (`arm_convolve_wrapper_s16`); shapes as in
/// [`reference()`].
///
/// # Panics
/// If a slice is shorter than its extents say.
pub fn reference_s16(
    shape: &ConvShape,
    params: &ConvParamsS16<'_>,
    input: &[i16],
    weights: &[i8],
    out: &mut [i16],
) {
    for_each_output(shape, |channel, position| {
        let mut sum = 0i64;
        for_each_product(shape, channel, position, |pixel, weight| {
            sum += i64::from(input[pixel]) * i64::from(weights[weight]);
        });
        out[position.index * shape.out_channels + channel] = params.finish(sum, channel);
    });
}

/// The scratch memory that `arm_convolve_wrapper_s8` uses for a convolution
/// (`arm_convolve_wrapper_s8_get_buffer_size` of CMSIS-NN, built with GCC or Clang).
///
/// A pointwise convolution needs none. The others gather windows: four of them, each rounded up to a vector, with Helium;
/// two of them in 16 bits elsewhere. With Helium a convolution along a single row gathers only windows at its ends.
pub fn scratch_bytes(shape: &ConvShape, isa: Isa) -> u32 {
    let ConvShape { kernel, stride, padding, dilation, in_channels, .. } = *shape;
    let is_dense = shape.group_channels == in_channels;
    let one = Plane::square(1);
    if is_dense && kernel == one && dilation == one && padding == Plane::square(0) {
        return 0;
    }
    let is_row = is_dense
        && shape.input.height == 1
        && kernel.height == 1
        && dilation.width == 1
        && (stride.width * in_channels).is_multiple_of(4);
    if isa == Isa::Mve
        && is_row
        && let Some(bytes) = row_scratch_bytes(shape)
    {
        return bytes;
    }
    window_scratch_bytes(shape, isa)
}

/// The scratch memory for gathering windows.
pub(super) fn window_scratch_bytes(shape: &ConvShape, isa: Isa) -> u32 {
    let window = shape.kernel.area() * shape.in_channels;
    let bytes = match isa {
        Isa::Mve => 4 * window.next_multiple_of(16),
        Isa::Dsp | Isa::Scalar => 2 * 2 * window.next_multiple_of(4),
    };
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The scratch memory for the ends of a single row, or `None` when padding leaves no window between both ends, in which case
/// windows are gathered as elsewhere.
fn row_scratch_bytes(shape: &ConvShape) -> Option<u32> {
    let number = |value: usize| value as i64;
    let (kernel, stride) = (number(shape.kernel.width), number(shape.stride.width));
    let (input, output) = (number(shape.input.width), number(shape.output.width));
    let (padding, channels) = (number(shape.padding.width), number(shape.in_channels));
    if stride == 0 {
        return None;
    }
    let uneven = ((output - 1) * stride + kernel - input) % 2;
    let windows =
        |padding: i64| if padding == 0 { 0 } else { 1.max((padding + stride - 1) / stride) };
    let (left, right) = (windows(padding), windows(padding + uneven));
    if left + right > output {
        return None;
    }
    let padding_left = padding * channels;
    let padding_right = if uneven == 0 { padding_left } else { right * channels };
    let bytes = (kernel * channels + padding_left).max((kernel - 1) * channels + padding_right);
    u32::try_from(bytes).ok()
}

#[cfg(test)]
pub(super) mod tests {
    extern crate std;
    use super::*;
    use crate::ops::{Nowhere, QuantizedDepthwiseConv2d, QuantizedTransposeConv2d};
    use crate::value::TensorList;
    use std::vec::Vec;

    /// A domain of plain vectors.
    #[derive(Clone, Debug)]
    pub(crate) struct Plain;

    impl Domain for Plain {
        type Tensor = Tensor;
        type IntList = Vec<i64>;
        type TensorList = Vec<Tensor>;
    }

    #[derive(Clone, Debug)]
    pub(crate) struct Tensor {
        pub(crate) dtype: DType,
        pub(crate) shape: Vec<u32>,
        pub(crate) order: Vec<usize>,
    }

    impl TensorMeta for Tensor {
        fn dtype(&self) -> DType {
            self.dtype
        }
        fn rank(&self) -> usize {
            self.shape.len()
        }
        fn dim(&self, axis: usize) -> u32 {
            self.shape.get(axis).copied().unwrap_or(0)
        }
        fn dim_order(&self, position: usize) -> usize {
            self.order[position]
        }
    }

    impl IntList for Vec<i64> {
        fn len(&self) -> usize {
            Vec::len(self)
        }
        fn get(&self, index: usize) -> Option<i64> {
            self.as_slice().get(index).copied()
        }
    }

    impl TensorList<Tensor> for Vec<Tensor> {
        fn len(&self) -> usize {
            Vec::len(self)
        }
        fn get(&self, index: usize) -> Option<Tensor> {
            self.as_slice().get(index).cloned()
        }
    }

    pub(crate) fn tensor(dtype: DType, shape: &[u32]) -> Tensor {
        Tensor { dtype, shape: shape.to_vec(), order: (0..shape.len()).collect() }
    }

    pub(crate) fn image(shape: [u32; 4]) -> Tensor {
        Tensor { order: [0, 2, 3, 1].to_vec(), ..tensor(DType::I8, &shape) }
    }

    /// Six channels to four in two groups, 3 × 2 windows, stride 2.
    fn grouped() -> QuantizedConv2d<Plain> {
        QuantizedConv2d {
            input: image([2, 6, 9, 8]),
            weight: tensor(DType::I8, &[4, 3, 2, 3]),
            bias: Some(tensor(DType::I32, &[4])),
            stride: [2, 2].to_vec(),
            padding: [1, 0].to_vec(),
            dilation: [1, 1].to_vec(),
            input_offset: InputOffset(128),
            output_offset: OutputOffset(-128),
            requantize_multipliers: tensor(DType::I32, &[4]),
            requantize_shifts: tensor(DType::I32, &[4]),
            activation_min: -128,
            activation_max: 127,
            scratch: tensor(DType::U8, &[0]),
            out: image([2, 4, 5, 4]),
        }
    }

    fn depthwise() -> QuantizedDepthwiseConv2d<Plain> {
        let QuantizedConv2d { input, stride, padding, dilation, scratch, .. } = grouped();
        QuantizedDepthwiseConv2d {
            input,
            weight: tensor(DType::I8, &[1, 3, 2, 12]),
            bias: None,
            stride,
            padding,
            dilation,
            depth_multiplier: 2,
            input_offset: InputOffset(0),
            output_offset: OutputOffset(0),
            requantize_multipliers: tensor(DType::I32, &[12]),
            requantize_shifts: tensor(DType::I32, &[12]),
            activation_min: -128,
            activation_max: 127,
            scratch,
            out: image([2, 12, 5, 4]),
        }
    }

    fn transposed() -> QuantizedTransposeConv2d<Plain> {
        let QuantizedConv2d { input, stride, padding, dilation, scratch, .. } = grouped();
        QuantizedTransposeConv2d {
            input,
            weight: tensor(DType::I8, &[4, 3, 2, 6]),
            bias: None,
            stride,
            padding,
            output_padding: [1, 0].to_vec(),
            dilation,
            input_offset: InputOffset(0),
            output_offset: OutputOffset(0),
            requantize_multipliers: tensor(DType::I32, &[4]),
            requantize_shifts: tensor(DType::I32, &[4]),
            activation_min: -128,
            activation_max: 127,
            scratch: scratch.clone(),
            output_scratch: scratch,
            out: image([2, 4, 18, 16]),
        }
    }

    #[test]
    fn schemas_are_upstreams() {
        assert_eq!(
            QuantizedConv2d::<Nowhere>::SCHEMA,
            "cortex_m::quantized_conv2d.out(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, \
             int[] dilation, int input_offset, int output_offset, Tensor requantize_multipliers, \
             Tensor requantize_shifts, int activation_min, int activation_max, Tensor scratch, *, Tensor(a!) out) \
             -> Tensor(a!)"
        );
        assert_eq!(
            QuantizedDepthwiseConv2d::<Nowhere>::SCHEMA,
            "cortex_m::quantized_depthwise_conv2d.out(Tensor input, Tensor weight, Tensor? bias, int[] stride, \
             int[] padding, int[] dilation, int depth_multiplier, int input_offset, int output_offset, \
             Tensor requantize_multipliers, Tensor requantize_shifts, int activation_min, int activation_max, \
             Tensor scratch, *, Tensor(a!) out) -> Tensor(a!)"
        );
        assert_eq!(
            QuantizedTransposeConv2d::<Nowhere>::SCHEMA,
            "cortex_m::quantized_transpose_conv2d.out(Tensor input, Tensor weight, Tensor? bias, int[] stride, \
             int[] padding, int[] output_padding, int[] dilation, int input_offset, int output_offset, \
             Tensor requantize_multipliers, Tensor requantize_shifts, int activation_min, int activation_max, \
             Tensor scratch, Tensor output_scratch, *, Tensor(a!) out) -> Tensor(a!)"
        );
    }

    #[test]
    fn good_arguments_pass() {
        assert_eq!(grouped().check(), Ok(()));
        assert_eq!(grouped().multiply_accumulates(), 2 * 5 * 4 * 4 * 3 * 2 * 3);
        assert_eq!(depthwise().check(), Ok(()));
        assert_eq!(depthwise().multiply_accumulates(), 2 * 5 * 4 * 12 * 3 * 2);
        assert_eq!(transposed().check(), Ok(()));
        assert_eq!(transposed().multiply_accumulates(), 2 * 9 * 8 * 6 * 4 * 3 * 2);
    }

    /// What is wrong after a change, by the argument's name.
    fn problem<O: Rules>(
        mut operator: O,
        names: &[&'static str],
        change: impl FnOnce(&mut O),
    ) -> (&'static str, Rule) {
        change(&mut operator);
        let violation = operator.check().expect_err("the change breaks a rule");
        (names[usize::from(violation.argument)], violation.rule)
    }

    #[test]
    fn broken_rules_are_named() {
        type Change = fn(&mut QuantizedConv2d<Plain>);
        let cases: [(Change, (&str, Rule)); 16] = [
            (|it| it.input.dtype = DType::U8, ("input", Rule::DType)),
            (|it| it.input = tensor(DType::I8, &[2, 6, 9, 8]), ("input", Rule::Layout)),
            (|it| it.out = tensor(DType::I8, &[2, 4, 5, 4]), ("out", Rule::Layout)),
            (|it| it.out = tensor(DType::I8, &[2, 4, 5]), ("out", Rule::Rank)),
            (|it| it.weight = image([4, 3, 2, 3]), ("weight", Rule::Layout)),
            (|it| it.weight.shape[3] = 4, ("weight", Rule::Shape)),
            (|it| it.weight.shape[0] = 5, ("weight", Rule::Shape)),
            (|it| it.bias = Some(tensor(DType::I32, &[5])), ("bias", Rule::Shape)),
            (|it| it.stride = [2].to_vec(), ("stride", Rule::Length)),
            (|it| it.stride[1] = 0, ("stride", Rule::Range)),
            (|it| it.padding[0] = -1, ("padding", Rule::Range)),
            (|it| it.dilation[0] = 65536, ("dilation", Rule::Range)),
            (|it| it.input_offset.0 = 129, ("input_offset", Rule::Range)),
            (|it| it.requantize_shifts.dtype = DType::I8, ("requantize_shifts", Rule::DType)),
            (|it| it.activation_min = 128, ("activation_min", Rule::Range)),
            (|it| it.activation_max = 128, ("activation_max", Rule::Range)),
        ];
        for (change, expected) in cases {
            let names = QuantizedConv2d::<Plain>::ARGUMENTS;
            assert_eq!(problem(grouped(), names, change), expected);
        }
    }

    #[test]
    fn broken_rules_of_the_others_are_named() {
        let names = QuantizedDepthwiseConv2d::<Plain>::ARGUMENTS;
        let found = problem(depthwise(), names, |it| it.depth_multiplier = 3);
        assert_eq!(found, ("depth_multiplier", Rule::Range));
        let found = problem(depthwise(), names, |it| it.dilation[1] = 0);
        assert_eq!(found, ("dilation", Rule::Range));
        let found = problem(depthwise(), names, |it| it.output_offset.0 = 128);
        assert_eq!(found, ("output_offset", Rule::Range));
        let names = QuantizedTransposeConv2d::<Plain>::ARGUMENTS;
        let found = problem(transposed(), names, |it| it.output_padding[1] = 1);
        assert_eq!(found, ("out", Rule::Shape));
        let found = problem(transposed(), names, |it| it.output_padding.clear());
        assert_eq!(found, ("output_padding", Rule::Length));
        let found = problem(transposed(), names, |it| it.weight.shape[3] = 3);
        assert_eq!(found, ("weight", Rule::Shape));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let mut far = grouped();
        far.stride = [40_000, 40_000].to_vec();
        far.out = image([2, 4, 40_000, 1]);
        let too_large = Err(Violation { argument: argument::stride, rule: Rule::TooLarge });
        assert_eq!(far.check(), too_large);
        let mut beyond = grouped();
        beyond.out = image([2, 4, 7, 4]);
        assert_eq!(beyond.check(), Err(Violation { argument: argument::out, rule: Rule::Shape }));
    }

    /// A convolution of one row, as CMSIS-NN's kernel for such sizes its memory.
    #[test]
    fn scratch_memory_of_single_rows() {
        let row = |input, output, kernel, stride, padding| ConvShape {
            batches: 1,
            input: Plane { height: 1, width: input },
            in_channels: 4,
            output: Plane { height: 1, width: output },
            out_channels: 5,
            kernel: Plane { height: 1, width: kernel },
            group_channels: 4,
            stride: Plane { height: 1, width: stride },
            padding: Plane { height: 0, width: padding },
            dilation: Plane::square(1),
        };
        // Uneven padding, and ends that overlap.
        assert_eq!(scratch_bytes(&row(11, 11, 4, 1, 1), Isa::Mve), 20);
        assert_eq!(scratch_bytes(&row(2, 2, 5, 1, 2), Isa::Mve), 4 * 32);
        assert_eq!(scratch_bytes(&row(11, 11, 4, 1, 1), Isa::Dsp), 4 * 16);
    }
}
