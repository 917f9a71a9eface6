//! Depthwise convolutions over 16-bit activations and 8-bit weights (`arm_depthwise_conv_wrapper_s16`).

use super::convolution::axes;
use super::quantized_depthwise_conv2d::for_each_tap;
use cortado_contract::ops::quantized_conv2d::{ConvParamsS16, ConvShape};

/// Computes a depthwise convolution over `int16`; see
/// [`cortado_contract::ops::quantized_depthwise_conv2d::reference_s16`] for its bits.
///
/// `None` when a slice is shorter than the extents say.
pub fn depthwise_conv_s16(
    shape: &ConvShape,
    params: &ConvParamsS16<'_>,
    input: &[i16],
    weights: &[i8],
    out: &mut [i16],
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
                    let mut sum = 0i64;
                    for_each_tap(shape, batch, &row, &column, |pixel, tap| {
                        let input = i32::from(*input.get(pixel * in_channels + source)?);
                        let weight = i32::from(*weights.get(tap * out_channels + channel)?);
                        sum += i64::from(input * weight);
                        Some(())
                    })?;
                    *outputs.next()? = params.finish(sum, channel);
                }
            }
        }
    }
    Some(())
}
