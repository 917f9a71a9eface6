//! Depthwise convolutions over `int8`.
//!
//! ```text
//! for each output position and each block of its channels:           (1)
//!     accumulators = bias
//!     for each tap of the window that falls on the input:
//!         accumulators += (input + input_offset) · weights             (2)
//!     out = clamp(requantize(accumulators) + output_offset)
//! ```
//!
//! 1. Accumulators of a block stay in registers or at least on the stack, so no scratch memory is needed.
//! 2. Channel by channel. Where an input channel feeds several output channels, it is repeated first.

use super::convolution::{self, axes};
use super::taps::Taps;
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedDepthwiseConv2d;
use cortado_contract::ops::quantized_conv2d::{ConvParams, ConvShape};
use cortado_contract::value::Violation;

/// The words of a prepared convolution.
pub const STATE_WORDS: usize = convolution::STATE_WORDS;

/// The channels that are summed at a time.
const BLOCK: usize = 32;

/// Computes a depthwise convolution; see the operator's contract for its meaning and
/// [`cortado_contract::ops::quantized_depthwise_conv2d::reference`] for its bits.
///
/// `None` when a slice is shorter than the extents say, or when output channels are no multiple of input channels; nothing
/// useful is in `out` then.
pub fn depthwise_conv_s8<M: Micro>(
    shape: &ConvShape,
    params: &ConvParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let ConvShape { batches, output, in_channels, out_channels, .. } = *shape;
    let multiplier = out_channels.checked_div(in_channels)?;
    if multiplier == 0 || multiplier * in_channels != out_channels {
        return None;
    }
    let (rows, columns) = axes(shape);
    let layer = Layer { shape, params, input, weights, multiplier };
    let mut pixels = out.chunks_exact_mut(out_channels);
    for batch in 0..batches {
        for row in 0..output.height {
            let row = rows.taps(row);
            for column in 0..output.width {
                let column = columns.taps(column);
                let pixel = pixels.next()?;
                for (block, out) in pixel.chunks_mut(BLOCK).enumerate() {
                    layer.convolve::<M>(batch, &row, &column, block * BLOCK, out)?;
                }
            }
        }
    }
    Some(())
}

struct Layer<'a> {
    shape: &'a ConvShape,
    params: &'a ConvParams<'a>,
    input: &'a [i8],
    weights: &'a [i8],
    multiplier: usize,
}

impl Layer<'_> {
    /// Computes the channels from `first` on at one position.
    #[inline(always)]
    fn convolve<M: Micro>(
        &self,
        batch: usize,
        row: &Taps,
        column: &Taps,
        first: usize,
        out: &mut [i8],
    ) -> Option<()> {
        let ConvShape { in_channels, out_channels, .. } = *self.shape;
        let count = out.len();
        let mut sums = [0; BLOCK];
        let sums = sums.get_mut(..count)?;
        if let Some(bias) = self.params.bias {
            sums.copy_from_slice(bias.get(first..)?.get(..count)?);
        }
        let offset = self.params.input_offset.0;
        for_each_tap(self.shape, batch, row, column, |pixel, tap| {
            let weights = self.weights.get(tap * out_channels + first..)?.get(..count)?;
            let input = self.input.get(pixel * in_channels..)?.get(..in_channels)?;
            if self.multiplier == 1 {
                M::multiply_add(input.get(first..)?, offset, weights, sums);
            } else {
                let mut repeated = [0; BLOCK];
                let repeated = repeated.get_mut(..count)?;
                repeat(input, self.multiplier, first, repeated)?;
                M::multiply_add(repeated, offset, weights, sums);
            }
            Some(())
        })?;
        for (index, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
            *out = self.params.finish(*sum, first + index);
        }
        Some(())
    }
}

/// Calls `visit` with each tap of a window that falls on the input: the number of the input pixel and that of the tap.
#[inline(always)]
pub(super) fn for_each_tap(
    shape: &ConvShape,
    batch: usize,
    row: &Taps,
    column: &Taps,
    mut visit: impl FnMut(usize, usize) -> Option<()>,
) -> Option<()> {
    for (tap_row, row) in row.iter() {
        let row = (batch * shape.input.height + row) * shape.input.width;
        for (tap, column) in column.iter() {
            visit(row + column, tap_row * shape.kernel.width + tap)?;
        }
    }
    Some(())
}

/// Each value as often as `multiplier` says, from the `first` of the repeated values on.
#[inline(always)]
fn repeat(values: &[i8], multiplier: usize, first: usize, out: &mut [i8]) -> Option<()> {
    let mut skip = first % multiplier;
    let mut values = values.get(first / multiplier..)?.iter();
    let mut out = out;
    while !out.is_empty() {
        let (now, rest) = out.split_at_mut((multiplier - skip).min(out.len()));
        now.fill(*values.next()?);
        out = rest;
        skip = 0;
    }
    Some(())
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedDepthwiseConv2d<Loaded<L>>,
    program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    convolution::prepare(&arguments.common(), arguments.shape(), program, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    convolution::execute(state, memory, depthwise_conv_s8::<M>)
}
