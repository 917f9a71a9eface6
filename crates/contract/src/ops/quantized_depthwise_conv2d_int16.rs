//! `cortado::quantized_depthwise_conv2d_int16`: a depthwise convolution over 16-bit activations and 8-bit weights.
//!
//! ExecuTorch has no operator for CMSIS-NN's kernels over 16-bit activations. [`super::quantized_depthwise_conv2d::reference_s16`] defines the bits.

use super::Rules;
use super::quantized_conv2d::{ConvArguments, ConvShape};
use crate::DType;
use crate::quant::{Activation, InputOffset, OutputOffset};
use crate::value::{Domain, Violation};

operator! {
    /// As [`super::QuantizedDepthwiseConv2d`], but `input` and `out` are `int16` with zero points of 0, and `bias` is `int64`. The sum has 64 bits.
    ///
    /// Factors must be below 2^14, since [`crate::quant::requantize_s64`] takes no greater shift; whoever can read the constants checks it.
    ///
    /// Source: `arm_depthwise_conv_wrapper_s16` of CMSIS-NN.
    QuantizedDepthwiseConv2dInt16 = "cortado::quantized_depthwise_conv2d_int16" {
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
        /// One multiplier per output channel.
        requantize_multipliers: Tensor,
        /// One shift per output channel.
        requantize_shifts: Tensor,
        /// The least result.
        activation_min: Int<i32>,
        /// The greatest result.
        activation_max: Int<i32>,
    }
}

impl<D: Domain> QuantizedDepthwiseConv2dInt16<D> {
    /// What this operator has in common with the other convolutions.
    pub fn common(&self) -> ConvArguments<'_, D> {
        ConvArguments {
            input: &self.input,
            weight: &self.weight,
            bias: self.bias.as_ref(),
            stride: &self.stride,
            padding: &self.padding,
            dilation: &self.dilation,
            input_offset: InputOffset(0),
            output_offset: OutputOffset(0),
            requantize_multipliers: &self.requantize_multipliers,
            requantize_shifts: &self.requantize_shifts,
            activation: Activation { min: self.activation_min, max: self.activation_max },
            out: &self.out,
            activations: DType::I16,
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

impl<D: Domain> Rules for QuantizedDepthwiseConv2dInt16<D> {
    fn check(&self) -> Result<(), Violation> {
        self.common().check_depthwise(self.depth_multiplier, argument::depth_multiplier)
    }

    fn multiply_accumulates(&self) -> u64 {
        self.shape().map_or(0, |shape| shape.multiply_accumulates())
    }
}
