//! `cortex_m::quantized_avg_pool2d`: the average of each window, over `int8` images.

use super::Rules;
use crate::DType;
use crate::quant::Activation;
use crate::target::Isa;
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[n,c,y,x] = round(Σ input[n,c,i,j] / count)` over the `count` positions `i, j` of the image that the window at
    /// `y·stride − padding`, `x·stride − padding` covers, ties away from zero.
    ///
    /// Positions in the padding count neither in the sum nor in `count`. The integers themselves are averaged, so input and
    /// result have the same scale and zero point. `input` `[N, C, H, W]` and `out` `[N, C, H', W']` are `int8` and NHWC in
    /// memory. Lists have two items, height first.
    ///
    /// Source: `arm_avgpool_s8`.
    QuantizedAvgPool2d = "cortex_m::quantized_avg_pool2d" {
        /// The image.
        input: Tensor,
        /// The window's extents.
        kernel_size: IntList,
        /// The distance between windows.
        stride: IntList,
        /// How far windows reach over each edge.
        padding: IntList,
        /// Whether a window that only begins in the image has a result.
        ceil_mode: Bool,
        /// The zero point of input and result; has no effect.
        zero_point: Int<i64>,
        /// The multiplier of the scale of input and result; has no effect.
        multiplier: Int<i64>,
        /// The shift of the scale of input and result; has no effect.
        shift: Int<i64>,
        /// Room for ExecuTorch's kernels; unused here.
        scratch: Tensor,
    }
}

impl<D: Domain> QuantizedAvgPool2d<D> {
    /// Extents and windows, or the rule that they break.
    ///
    /// # Errors
    /// As [`Rules::check`].
    pub fn pool(&self) -> Result<Pool, Violation> {
        PoolArguments {
            input: &self.input,
            lists: [&self.kernel_size, &self.stride, &self.padding],
            dilation: [1, 1],
            ceil_mode: self.ceil_mode,
            out: &self.out,
            out_argument: argument::out,
        }
        .check()
    }
}

impl<D: Domain> Rules for QuantizedAvgPool2d<D> {
    fn check(&self) -> Result<(), Violation> {
        let pool = self.pool()?;
        // A window's sum must fit 32 bits.
        let positions = u64::from(pool.height.kernel) * u64::from(pool.width.kernel);
        require(positions <= 1 << 23, argument::kernel_size, Rule::TooLarge)
    }

    fn scratch_bytes(&self, isa: Isa) -> [u32; 2] {
        match isa {
            // The DSP kernel keeps one 32-bit sum per channel.
            Isa::Dsp => [self.input.dim(1).saturating_mul(4), 0],
            Isa::Mve | Isa::Scalar => [0, 0],
        }
    }
}

/// The arguments that both pooling operators have in the same positions.
pub(super) struct PoolArguments<'a, T, L> {
    pub(super) input: &'a T,
    /// `kernel_size`, `stride` and `padding`.
    pub(super) lists: [&'a L; 3],
    pub(super) dilation: [i64; 2],
    pub(super) ceil_mode: bool,
    pub(super) out: &'a T,
    pub(super) out_argument: u8,
}

impl<T: TensorMeta, L: IntList> PoolArguments<'_, T, L> {
    /// Checks types, layout and windows, every one of which must cover a position of the image.
    pub(super) fn check(self) -> Result<Pool, Violation> {
        let PoolArguments { input, lists, dilation, ceil_mode, out, out_argument } = self;
        for (argument, tensor) in [(argument::input, input), (out_argument, out)] {
            require(tensor.dtype() == DType::I8, argument, Rule::DType)?;
            require(tensor.rank() == 4, argument, Rule::Rank)?;
            require(tensor.is_channels_last(), argument, Rule::Layout)?;
            let fits = tensor.element_count().is_some_and(|count| count <= i32::MAX as u32);
            require(fits, argument, Rule::TooLarge)?;
            let counts = (1..4).all(|axis| tensor.dim(axis) <= MAX_EXTENT);
            require(counts, argument, Rule::TooLarge)?;
        }
        for axis in 0..2 {
            require(out.dim(axis) == input.dim(axis), out_argument, Rule::Shape)?;
        }
        let least = [1, 1, 0];
        for ((argument, list), least) in (argument::kernel_size..).zip(lists).zip(least) {
            require(list.len() == 2, argument, Rule::Length)?;
            let range = least..=i64::from(MAX_EXTENT);
            let fits = (0..2).all(|item| list.get(item).is_some_and(|it| range.contains(&it)));
            require(fits, argument, Rule::Range)?;
        }
        let [kernel, stride, padding] = lists;
        let item = |list: &L, index| list.get(index).unwrap_or(0) as u32;
        let windows = |index: usize| Windows {
            input: input.dim(2 + index),
            out: out.dim(2 + index),
            kernel: item(kernel, index),
            stride: item(stride, index),
            padding: item(padding, index),
            dilation: dilation[index] as u32,
        };
        let pool = Pool {
            batch: input.dim(0),
            channels: input.dim(1),
            height: windows(0),
            width: windows(1),
        };
        for windows in [pool.height, pool.width] {
            require(windows.count(ceil_mode) == Some(windows.out), out_argument, Rule::Shape)?;
            let covers = (0..windows.out).all(|index| !windows.taps(index).is_empty());
            require(covers, argument::padding, Rule::Range)?;
        }
        Ok(pool)
    }
}

/// The greatest channels, height, width, window, stride, padding and dilation; prepared operators count them in 16 bits.
pub const MAX_EXTENT: u32 = u16::MAX as u32;

/// The extents of a pooling operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The number of images.
    pub batch: u32,
    /// The number of channels.
    pub channels: u32,
    /// The windows' vertical extents.
    pub height: Windows,
    /// The windows' horizontal extents.
    pub width: Windows,
}

/// Windows along one axis of an image. The window at `index` covers the positions `index·stride − padding + k·dilation` for
/// `k` in `0..kernel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The image's extent.
    pub input: u32,
    /// The number of windows.
    pub out: u32,
    /// The number of positions of a window.
    pub kernel: u32,
    /// The distance between windows.
    pub stride: u32,
    /// How far the first window reaches over the edge.
    pub padding: u32,
    /// The distance between two positions of a window.
    pub dilation: u32,
}

impl Windows {
    /// The number of windows that PyTorch's pooling operators have, or `None` when not even one fits.
    ///
    /// With `ceil_mode` the last window may reach over the far padding, but must begin within the image or the near padding.
    pub fn count(&self, ceil_mode: bool) -> Option<u32> {
        let reach = self.kernel.checked_sub(1)?.checked_mul(self.dilation)?.checked_add(1)?;
        let room = self.input.checked_add(self.padding.checked_mul(2)?)?.checked_sub(reach)?;
        let stride = self.stride.max(1);
        let steps = if ceil_mode { room.div_ceil(stride) } else { room / stride };
        let begins_outside =
            ceil_mode && steps.checked_mul(self.stride)? >= self.input + self.padding;
        Some(if begins_outside { steps } else { steps + 1 })
    }

    /// The positions of the image that a window covers.
    #[inline]
    pub fn taps(&self, index: u32) -> Taps {
        // Counted from the start of the padding, nothing is negative; extents and padding stay below 2^17.
        let end = self.padding + self.input;
        let start = u64::from(index) * u64::from(self.stride);
        if start >= u64::from(end) {
            return Taps { first: 0, count: 0 };
        }
        let start = start as u32;
        // The first k that reaches the image, and the first one beyond it.
        let reach = |position: u32| match self.dilation {
            0 | 1 => position.saturating_sub(start),
            dilation => position.saturating_sub(start).div_ceil(dilation),
        };
        let (skipped, beyond) = (reach(self.padding), reach(end).min(self.kernel));
        let first = start + skipped * self.dilation - self.padding;
        Taps { first, count: beyond.saturating_sub(skipped) }
    }
}

/// The positions of an image that a window covers along one axis: `count` of them, `dilation` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taps {
    /// The first one.
    pub first: u32,
    /// How many there are.
    pub count: u32,
}

impl Taps {
    /// Whether the window covers no position of the image.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The exact meaning of average pooling over `int8` in NHWC.
///
/// # Panics
/// If a slice is shorter than its extents say, or a window covers nothing.
pub fn reference(pool: &Pool, activation: Activation, input: &[i8], out: &mut [i8]) {
    fold_windows(
        pool,
        input,
        out,
        (0i32, 0i32),
        |(sum, count), value| (sum + value, count + 1),
        |(sum, count)| {
            let half = count / 2;
            let rounded = if sum > 0 { (sum + half) / count } else { (sum - half) / count };
            activation.clamp(rounded)
        },
    );
}

/// Folds the values of each window, in plain loops.
pub(super) fn fold_windows<S: Copy>(
    pool: &Pool,
    input: &[i8],
    out: &mut [i8],
    start: S,
    step: impl Fn(S, i32) -> S,
    finish: impl Fn(S) -> i32,
) {
    let Pool { batch, channels, height, width } = *pool;
    let position = |windows: &Windows, index: u32, k: u32| {
        (index * windows.stride + k * windows.dilation)
            .checked_sub(windows.padding)
            .filter(|position| *position < windows.input)
    };
    for n in 0..batch {
        for y in 0..height.out {
            for x in 0..width.out {
                for c in 0..channels {
                    let mut state = start;
                    for i in (0..height.kernel).filter_map(|k| position(&height, y, k)) {
                        for j in (0..width.kernel).filter_map(|k| position(&width, x, k)) {
                            let index = ((n * height.input + i) * width.input + j) * channels + c;
                            state = step(state, i32::from(input[index as usize]));
                        }
                    }
                    let index = ((n * height.out + y) * width.out + x) * channels + c;
                    out[index as usize] = finish(state) as i8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn windows_are_counted_as_pytorch_counts_them() {
        let windows = |input, kernel, stride, padding, dilation| Windows {
            input,
            out: 0,
            kernel,
            stride,
            padding,
            dilation,
        };
        // torch.nn.functional.max_pool2d on an image of that height, without and with ceil_mode.
        let cases = [
            (windows(12, 3, 2, 1, 1), Some(6), Some(7)),
            (windows(12, 2, 2, 0, 1), Some(6), Some(6)),
            (windows(7, 2, 2, 0, 1), Some(3), Some(4)),
            (windows(5, 2, 3, 1, 1), Some(2), Some(2)),
            (windows(4, 3, 3, 1, 1), Some(2), Some(2)),
            (windows(9, 3, 1, 0, 2), Some(5), Some(5)),
            (windows(2, 3, 1, 0, 1), None, None),
        ];
        for (windows, floor, ceil) in cases {
            assert_eq!((windows.count(false), windows.count(true)), (floor, ceil), "{windows:?}");
        }
    }

    #[test]
    fn taps_are_the_positions_inside_of_the_image() {
        for input in 1..7u32 {
            for kernel in 1..5 {
                for (stride, padding, dilation) in [(1, 0, 1), (2, 1, 1), (3, 2, 2), (1, 4, 3)] {
                    let windows = Windows { input, out: 0, kernel, stride, padding, dilation };
                    for index in 0..6 {
                        let inside: std::vec::Vec<u32> = (0..kernel)
                            .filter_map(|k| (index * stride + k * dilation).checked_sub(padding))
                            .filter(|position| *position < input)
                            .collect();
                        let taps = windows.taps(index);
                        assert_eq!(taps.count as usize, inside.len(), "{windows:?} {index}");
                        assert!(taps.is_empty() || taps.first == inside[0], "{windows:?} {index}");
                    }
                }
            }
        }
    }
}
