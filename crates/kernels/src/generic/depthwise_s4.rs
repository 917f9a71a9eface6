//! Depthwise convolutions over `int8` activations and packed 4-bit weights (`arm_depthwise_conv_wrapper_s4`).
//!
//! Weights are packed as in [`super::linear_s4`], tap by tap without a gap.

use super::convolution::axes;
use super::linear_s4::unpack;
use super::quantized_depthwise_conv2d::for_each_tap;
use cortado_contract::ops::quantized_conv2d::{ConvParams, ConvShape};

/// Computes a depthwise convolution whose `weights` are packed 4-bit numbers.
///
/// Bits: those of [`cortado_contract::ops::quantized_depthwise_conv2d::reference`] over the unpacked weights, also where
/// CMSIS-NN's own kernel loses track of odd channels. `None` when a slice is shorter than the extents say.
pub fn depthwise_conv_s4(
    shape: &ConvShape,
    params: &ConvParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let ConvShape { in_channels, out_channels, .. } = *shape;
    let multiplier = out_channels.checked_div(in_channels)?;
    let (rows, columns) = axes(shape);
    let mut outputs = out.iter_mut();
    for batch in 0..shape.batches {
        for row in 0..shape.output.height {
            let row = rows.taps(row);
            for column in 0..shape.output.width {
                let column = columns.taps(column);
                for channel in 0..out_channels {
                    let source = channel.checked_div(multiplier)?;
                    let mut sum = match params.bias {
                        Some(bias) => *bias.get(channel)?,
                        None => 0,
                    };
                    for_each_tap(shape, batch, &row, &column, |pixel, tap| {
                        let input = i32::from(*input.get(pixel * in_channels + source)?);
                        let mut weight = [0];
                        unpack(weights, tap * out_channels + channel, &mut weight)?;
                        let product = (input + params.input_offset.0) * i32::from(weight[0]);
                        sum = sum.wrapping_add(product);
                        Some(())
                    })?;
                    *outputs.next()? = params.finish(sum, channel);
                }
            }
        }
    }
    Some(())
}
