//! `cortex_m::quantized_depthwise_conv2d`: a convolution in which every output channel reads one input channel.

use super::Rules;
use super::quantized_conv2d::{
    self, ConvArguments, ConvParams, ConvParamsS16, ConvShape, Plane, for_each_output, for_each_tap,
};
use crate::DType;
use crate::quant::{Activation, InputOffset, OutputOffset};
use crate::target::Isa;
use crate::value::{Domain, Violation};

operator! {
    /// `out[n,o,y,x] = clamp(requantize(Σ_{i,j} (input[n, o / depth_multiplier, y·sy − py + i·dy, x·sx − px + j·dx] +
    /// input_offset) · weight[0,i,j,o] + bias[o]) + output_offset)`; positions outside of the input contribute nothing.
    ///
    /// As [`super::QuantizedConv2d`], but `weight` is `[1, kernel_height, kernel_width, out_channels]` and `out_channels` is
    /// `in_channels · depth_multiplier`.
    ///
    /// Source: `arm_depthwise_conv_wrapper_s8` of CMSIS-NN. ExecuTorch's kernel takes one image only; Cortado's takes any number.
    QuantizedDepthwiseConv2d = "cortex_m::quantized_depthwise_conv2d" {
        /// The image.
        input: Tensor,
        /// The weights: 1HWO.
        weight: Tensor,
        /// One number per output channel, or none for zero.
        bias: OptionalTensor,
        /// The steps between windows: height, width.
        stride: IntList,
        /// The positions above and left of the input: height, width.
        padding: IntList,
        /// The steps between the taps of a window: height, width.
        dilation: IntList,
        /// The output channels of each input channel.
        depth_multiplier: Int<i32>,
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

impl<D: Domain> QuantizedDepthwiseConv2d<D> {
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
        self.common().shape(1)
    }
}

impl<D: Domain> Rules for QuantizedDepthwiseConv2d<D> {
    fn check(&self) -> Result<(), Violation> {
        self.common().check_depthwise(self.depth_multiplier, argument::depth_multiplier)
    }

    fn scratch_bytes(&self, isa: Isa) -> [u32; 2] {
        [self.shape().map_or(0, |shape| scratch_bytes(&shape, isa)), 0]
    }

    fn multiply_accumulates(&self) -> u64 {
        self.shape().map_or(0, |shape| shape.multiply_accumulates())
    }
}

/// The exact meaning of a depthwise convolution over `int8`.
///
/// `input` is `[batches, H, W, in_channels]`, `weights` `[kernel_height, kernel_width, out_channels]`, `out` `[batches, H', W',
/// out_channels]`; `shape.group_channels` is 1.
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
    let multiplier = shape.out_channels / shape.in_channels;
    for_each_output(shape, |channel, position| {
        let mut accumulator = params.bias.map_or(0, |bias| bias[channel]);
        for_each_tap(shape, position, |pixel, tap| {
            let input = input[pixel * shape.in_channels + channel / multiplier];
            let weight = weights[tap * shape.out_channels + channel];
            let product =
                (i32::from(input) + params.input_offset.0).wrapping_mul(i32::from(weight));
            accumulator = accumulator.wrapping_add(product);
        });
        out[position.index * shape.out_channels + channel] = params.finish(accumulator, channel);
    });
}

/// The exact meaning of a depthwise convolution with 16-bit activations and 8-bit weights
/// (`arm_depthwise_conv_wrapper_s16`); shapes as in [`reference()`].
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
    let multiplier = shape.out_channels / shape.in_channels;
    for_each_output(shape, |channel, position| {
        let mut sum = 0i64;
        for_each_tap(shape, position, |pixel, tap| {
            let input = input[pixel * shape.in_channels + channel / multiplier];
            sum += i64::from(input) * i64::from(weights[tap * shape.out_channels + channel]);
        });
        out[position.index * shape.out_channels + channel] = params.finish(sum, channel);
    });
}

/// The input channels that CMSIS-NN's Helium kernel takes at a time (`CH_IN_BLOCK_MVE`).
const HELIUM_CHANNELS: usize = 124;

/// The scratch memory that `arm_depthwise_conv_wrapper_s8` uses for a depthwise convolution, as ExecuTorch's compiler asks for it
/// (`arm_depthwise_conv_wrapper_s8_get_buffer_size_mve`, `…_dsp` and the plain one of CMSIS-NN, built with GCC or Clang).
///
/// Only undilated convolutions of one image and with as many output channels as input channels use any: gathered windows of a
/// block of channels with Helium, a window in 16 bits with DSP unless it is a 3 × 3 one. With Helium a single input channel
/// that feeds several output channels is convolved as any image, with the weights turned around.
pub fn scratch_bytes(shape: &ConvShape, isa: Isa) -> u32 {
    let ConvShape { kernel, padding, in_channels, out_channels, .. } = *shape;
    let taps = kernel.area();
    if isa == Isa::Mve && in_channels == 1 && out_channels > 1 {
        let turned = u32::try_from(taps * out_channels).unwrap_or(u32::MAX);
        return quantized_conv2d::window_scratch_bytes(shape, isa).saturating_add(turned);
    }
    let is_plain =
        in_channels == out_channels && shape.batches == 1 && shape.dilation == Plane::square(1);
    let is_3_by_3 = kernel == Plane::square(3) && padding.height <= 1 && padding.width <= 1;
    let bytes = match isa {
        Isa::Mve if is_plain => 4 * HELIUM_CHANNELS * taps,
        Isa::Dsp if is_plain && !is_3_by_3 => 2 * in_channels * taps,
        _ => 0,
    };
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
