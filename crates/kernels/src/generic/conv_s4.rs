//! Convolutions over `int8` activations and packed 4-bit weights (`arm_convolve_wrapper_s4`).
//!
//! Weights are packed as in [`super::linear_s4`], output channel by output channel without a gap.

use super::convolution::axes;
use super::linear_s4::{BLOCK, unpack};
use super::quantized_conv2d::for_each_run;
use crate::micro::Micro;
use cortado_contract::ops::quantized_conv2d::{ConvParams, ConvShape};

/// Computes a convolution whose `weights` are packed 4-bit numbers.
///
/// Bits: those of [`cortado_contract::ops::quantized_conv2d::reference`] over the unpacked weights. `None` when a slice is shorter
/// than the extents say.
pub fn conv_s4<M: Micro>(
    shape: &ConvShape,
    params: &ConvParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let groups = shape.in_channels.checked_div(shape.group_channels)?;
    let group_outputs = shape.out_channels.checked_div(groups)?;
    let offset = params.input_offset.0;
    let (rows, columns) = axes(shape);
    let mut outputs = out.iter_mut();
    for batch in 0..shape.batches {
        for row in 0..shape.output.height {
            let row = rows.taps(row);
            for column in 0..shape.output.width {
                let column = columns.taps(column);
                for channel in 0..shape.out_channels {
                    let mut sum = match params.bias {
                        Some(bias) => *bias.get(channel)?,
                        None => 0,
                    };
                    let first = channel * shape.kernel_size();
                    let group = channel.checked_div(group_outputs)?;
                    for_each_run(shape, batch, group, &row, &column, |start, tap, length| {
                        let run = input.get(start..)?.get(..length)?;
                        sum = sum.wrapping_add(dot_packed::<M>(run, offset, weights, first + tap)?);
                        Some(())
                    })?;
                    *outputs.next()? = params.finish(sum, channel);
                }
            }
        }
    }
    Some(())
}

/// The dot product of `run` with as many packed weights, from the one at `first` on.
fn dot_packed<M: Micro>(run: &[i8], offset: i32, weights: &[i8], first: usize) -> Option<i32> {
    let mut sum = 0i32;
    for (block, run) in run.chunks(BLOCK).enumerate() {
        let mut unpacked = [0; BLOCK];
        let unpacked = unpacked.get_mut(..run.len())?;
        unpack(weights, first + block * BLOCK, unpacked)?;
        sum = sum.wrapping_add(M::dot(run, offset, unpacked));
    }
    Some(sum)
}
