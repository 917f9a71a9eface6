//! Transposed convolutions over `int8`.
//!
//! ```text
//! for each output position:
//!     for each four output channels:                                   (1)
//!         accumulators = bias
//!         for each tap with which an input pixel reaches the position: (2)
//!             accumulators += (input pixel + input_offset) · weights
//!         out = clamp(requantize(accumulators) + output_offset)
//! ```
//!
//! 1. Four rows of weights share each load of the input. Channels left over are done one by one.
//! 2. Gathering what reaches an output position, rather than spreading out the input, needs no memory for partial sums and
//!    works for any stride, uneven ones and those larger than the window included. Which taps these are takes divisions, so it
//!    is found once per position.

use super::convolution::{self, axes};
use super::quantized_conv2d::{Channels, dot_each};
use super::quantized_depthwise_conv2d::for_each_tap;
use super::taps::Taps;
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedTransposeConv2d;
use cortado_contract::ops::quantized_conv2d::{ConvParams, ConvShape};
use cortado_contract::value::Violation;

/// The words of a prepared convolution.
pub const STATE_WORDS: usize = convolution::STATE_WORDS;

/// Computes a transposed convolution; see the operator's contract for its meaning and
/// [`cortado_contract::ops::quantized_transpose_conv2d::reference`] for its bits.
///
/// `None` when a slice is shorter than the extents say; nothing useful is in `out` then.
pub fn transpose_conv_s8<M: Micro>(
    shape: &ConvShape,
    params: &ConvParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    if shape.out_channels == 0 {
        return Some(());
    }
    let layer = Layer { shape, params, input, weights };
    let (rows, columns) = axes(shape);
    let mut pixels = out.chunks_exact_mut(shape.out_channels.max(1));
    for batch in 0..shape.batches {
        for row in 0..shape.output.height {
            let row = rows.transposed_taps(row);
            for column in 0..shape.output.width {
                let window = Window { batch, row, column: columns.transposed_taps(column) };
                layer.convolve_pixel::<M>(&window, pixels.next()?)?;
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
}

/// What reaches an output position.
struct Window {
    batch: usize,
    row: Taps,
    column: Taps,
}

impl Layer<'_> {
    /// Computes all channels of one position.
    #[inline(always)]
    fn convolve_pixel<M: Micro>(&self, window: &Window, out: &mut [i8]) -> Option<()> {
        let mut first = 0;
        while first < out.len() {
            if out.len() - first >= 4 {
                self.convolve::<M, 4>(window, first, out)?;
                first += 4;
            } else {
                self.convolve::<M, 1>(window, first, out)?;
                first += 1;
            }
        }
        Some(())
    }

    /// Computes the channels from `first` on.
    #[inline(always)]
    fn convolve<M: Micro, const CHANNELS: usize>(
        &self,
        window: &Window,
        first: usize,
        out: &mut [i8],
    ) -> Option<()> {
        let depth = self.shape.in_channels;
        let channels = Channels::<CHANNELS>::read(self.shape, self.params, self.weights, first)?;
        let mut sums = channels.bias;
        let Window { batch, row, column } = window;
        for_each_tap(self.shape, *batch, row, column, |pixel, tap| {
            let run = self.input.get(pixel * depth..)?.get(..depth)?;
            let offset = self.params.input_offset.0;
            dot_each::<M, CHANNELS>(run, offset, &channels.weights, tap * depth, &mut sums)
        })?;
        channels.store(self.params, sums, out)
    }
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedTransposeConv2d<Loaded<L>>,
    program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    convolution::prepare(&arguments.common(), arguments.shape(), program, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    convolution::execute(state, memory, transpose_conv_s8::<M>)
}
