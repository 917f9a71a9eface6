//! Convolutions over 16-bit activations and 8-bit weights (`arm_convolve_wrapper_s16`).

use super::convolution::axes;
use super::linear_s16::dot_s16;
use super::quantized_conv2d::for_each_run;
use cortado_contract::ops::quantized_conv2d::{ConvParamsS16, ConvShape};

/// Computes a convolution over `int16`; see [`cortado_contract::ops::quantized_conv2d::reference_s16`] for its bits.
///
/// `None` when a slice is shorter than the extents say.
pub fn conv_s16(
    shape: &ConvShape,
    params: &ConvParamsS16<'_>,
    input: &[i16],
    weights: &[i8],
    out: &mut [i16],
) -> Option<()> {
    let groups = shape.in_channels.checked_div(shape.group_channels)?;
    let group_outputs = shape.out_channels.checked_div(groups)?;
    let (rows, columns) = axes(shape);
    let mut outputs = out.iter_mut();
    for batch in 0..shape.batches {
        for row in 0..shape.output.height {
            let row = rows.taps(row);
            for column in 0..shape.output.width {
                let column = columns.taps(column);
                for channel in 0..shape.out_channels {
                    let weights = weights.get(channel * shape.kernel_size()..)?;
                    let group = channel.checked_div(group_outputs)?;
                    let mut sum = 0i64;
                    for_each_run(shape, batch, group, &row, &column, |start, tap, length| {
                        let run = input.get(start..)?.get(..length)?;
                        sum += dot_s16(run, weights.get(tap..)?.get(..length)?);
                        Some(())
                    })?;
                    *outputs.next()? = params.finish(sum, channel);
                }
            }
        }
    }
    Some(())
}
