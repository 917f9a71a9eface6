//! `cortex_m::quantized_transpose_conv2d`: a transposed convolution, which spreads every input pixel over a window of the output.

use super::Rules;
use super::quantized_conv2d::{
    ConvArguments, ConvParams, ConvShape, Plane, for_each_output, window_scratch_bytes,
};
use crate::DType;
use crate::quant::{Activation, InputOffset, OutputOffset};
use crate::target::Isa;
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[n,o,y,x] = clamp(requantize(Σ (input[n,c,y',x'] + input_offset) · weight[o,i,j,c] + bias[o]) + output_offset)` over all
    /// `c`, `y'`, `x'`, `i`, `j` with `y = y'·sy − py + i·dy` and `x = x'·sx − px + j·dx`.
    ///
    /// Shapes as in [`super::QuantizedConv2d`] with one group; the extents of `out` are `(H − 1)·sy − 2·py + dy·(kernel_height − 1)
    /// + output_padding + 1`, and likewise for the width. The sum wraps in 32 bits.
    ///
    /// Source: `arm_transpose_conv_wrapper_s8` of CMSIS-NN, which takes no dilation.
    QuantizedTransposeConv2d = "cortex_m::quantized_transpose_conv2d" {
        /// The image.
        input: Tensor,
        /// The weights: OHWI.
        weight: Tensor,
        /// One number per output channel, or none for zero.
        bias: OptionalTensor,
        /// The steps between the windows of neighbouring input pixels: height, width.
        stride: IntList,
        /// What is cut off from each side of the output: height, width.
        padding: IntList,
        /// What is added below and right of the output: height, width.
        output_padding: IntList,
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
        /// More memory that ExecuTorch's kernels use; Cortado's do without.
        output_scratch: Tensor,
    }
}

impl<D: Domain> QuantizedTransposeConv2d<D> {
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
        self.common().shape(self.input.dim(1))
    }

    /// Whether an output axis (2 or 3) is as long as the input, the window and the paddings make it.
    fn has_extent(&self, shape: &ConvShape, axis: usize) -> bool {
        let along = |plane: Plane| if axis == 2 { plane.height } else { plane.width };
        let Some(added) = self.output_padding.get(axis - 2) else { return false };
        let reach = along(shape.input).saturating_sub(1) * along(shape.stride)
            + along(shape.dilation) * along(shape.kernel).saturating_sub(1);
        let extent = reach as i64 + added + 1 - 2 * along(shape.padding) as i64;
        added >= 0 && extent == along(shape.output) as i64
    }
}

impl<D: Domain> Rules for QuantizedTransposeConv2d<D> {
    fn check(&self) -> Result<(), Violation> {
        let common = self.common();
        common.check()?;
        let shape = common.require_shape(self.input.dim(1))?;
        require(self.weight.dim(0) == self.out.dim(1), argument::weight, Rule::Shape)?;
        require(self.weight.dim(3) == self.input.dim(1), argument::weight, Rule::Shape)?;
        require(self.output_padding.len() == 2, argument::output_padding, Rule::Length)?;
        let has_extents = self.has_extent(&shape, 2) && self.has_extent(&shape, 3);
        require(has_extents, argument::out, Rule::Shape)
    }

    fn scratch_bytes(&self, isa: Isa) -> [u32; 2] {
        self.shape().map_or([0, 0], |shape| scratch_bytes(&shape, isa))
    }

    fn multiply_accumulates(&self) -> u64 {
        self.shape().map_or(0, |shape| {
            let weights = shape.out_channels * shape.kernel_size();
            (shape.batches * shape.input.area()) as u64 * weights as u64
        })
    }
}

/// The exact meaning of a transposed convolution over `int8`.
///
/// `input` is `[batches, H, W, in_channels]`, `weights` `[out_channels, kernel_height, kernel_width, in_channels]`, `out`
/// `[batches, H', W', out_channels]`; `shape.group_channels` is `shape.in_channels`.
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
    let ConvShape { kernel, stride, padding, dilation, in_channels, .. } = *shape;
    // The input position whose window has this tap on an output position, if there is one.
    let source = |output: usize, padding: usize, tap: usize, stride: usize, extent: usize| {
        let distance = (output + padding).checked_sub(tap)?;
        let source = distance / stride;
        (distance % stride == 0 && source < extent).then_some(source)
    };
    for_each_output(shape, |channel, position| {
        let mut accumulator = params.bias.map_or(0, |bias| bias[channel]);
        for tap in 0..kernel.area() {
            let (i, j) = (tap / kernel.width, tap % kernel.width);
            let Plane { height, width } = shape.input;
            let row =
                source(position.row, padding.height, i * dilation.height, stride.height, height);
            let column =
                source(position.column, padding.width, j * dilation.width, stride.width, width);
            let (Some(row), Some(column)) = (row, column) else { continue };
            let pixel = (position.batch * height + row) * width + column;
            for c in 0..in_channels {
                let weight = weights[(channel * kernel.area() + tap) * in_channels + c];
                let input = i32::from(input[pixel * in_channels + c]) + params.input_offset.0;
                accumulator = accumulator.wrapping_add(input.wrapping_mul(i32::from(weight)));
            }
        }
        out[position.index * shape.out_channels + channel] = params.finish(accumulator, channel);
    });
}

/// The number of input channels from which on CMSIS-NN computes a transposed convolution as a convolution of the spread-out
/// input (`REVERSE_TCOL_EFFICIENT_THRESHOLD`, exclusive).
const REVERSED_CHANNELS: usize = 16;

/// The scratch memory that `arm_transpose_conv_wrapper_s8` uses: for computing, and for the weights turned around
/// (`arm_transpose_conv_s8_get_buffer_size` and `…_get_reverse_conv_buffer_size` of CMSIS-NN).
///
/// It computes either as a convolution of the spread-out input with weights turned around, or in 32-bit sums of as many
/// output rows as a window touches. The latter size takes the vertical stride where the horizontal one should stand, as
/// CMSIS-NN's does; Cortado's kernel uses neither memory.
pub fn scratch_bytes(shape: &ConvShape, isa: Isa) -> [u32; 2] {
    let ConvShape { kernel, stride, in_channels, out_channels, .. } = *shape;
    let bytes = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let is_reversed = stride.height <= 2 && stride.width <= 2 && in_channels > REVERSED_CHANNELS;
    if is_reversed {
        return [
            window_scratch_bytes(shape, isa),
            bytes(out_channels * kernel.area() * in_channels),
        ];
    }
    let columns =
        shape.input.width.saturating_sub(1) * stride.width + kernel.width.max(stride.height);
    let rows = kernel.height.max(stride.height);
    [bytes(columns * out_channels * rows * size_of::<i32>()), 0]
}
