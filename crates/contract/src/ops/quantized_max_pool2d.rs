//! `cortex_m::quantized_max_pool2d`: the greatest value of each window, over `int8` images.

use super::Rules;
use super::quantized_avg_pool2d::{MAX_EXTENT, Pool, PoolArguments, fold_windows};
use crate::quant::Activation;
use crate::value::{Domain, IntList, Rule, Violation, require};

operator! {
    /// `out[n,c,y,x] = clamp(max input[n,c,i,j])` over the positions `i, j` of the image that the window at `y·stride − padding`,
    /// `x·stride − padding` covers, `dilation` apart.
    ///
    /// Padding never wins. `input` `[N, C, H, W]` and `out` `[N, C, H', W']` are `int8` and NHWC in memory, and have the same
    /// scale and zero point. Lists have two items, height first. ExecuTorch's kernel refuses `ceil_mode` and a dilation other
    /// than 1.
    ///
    /// Source: `arm_max_pool_s8`.
    QuantizedMaxPool2d = "cortex_m::quantized_max_pool2d" {
        /// The image.
        input: Tensor,
        /// The window's number of positions.
        kernel_size: IntList,
        /// The distance between windows.
        stride: IntList,
        /// How far windows reach over each edge.
        padding: IntList,
        /// The distance between two positions of a window.
        dilation: IntList,
        /// Whether a window that only begins in the image has a result.
        ceil_mode: Bool,
        /// The input's zero point; has no effect.
        input_zero_point: Int<i64>,
        /// The result's zero point, which must be the input's.
        output_zero_point: Int<i64>,
        /// The least result.
        activation_min: Int<i32>,
        /// The greatest result.
        activation_max: Int<i32>,
    }
}

impl<D: Domain> QuantizedMaxPool2d<D> {
    /// Extents and windows, or the rule that they break.
    ///
    /// # Errors
    /// As [`Rules::check`].
    pub fn pool(&self) -> Result<Pool, Violation> {
        require(self.dilation.len() == 2, argument::dilation, Rule::Length)?;
        let item = |index| self.dilation.get(index).unwrap_or(0);
        let dilation = [item(0), item(1)];
        let is_valid = dilation.iter().all(|it| (1..=i64::from(MAX_EXTENT)).contains(it));
        require(is_valid, argument::dilation, Rule::Range)?;
        PoolArguments {
            input: &self.input,
            lists: [&self.kernel_size, &self.stride, &self.padding],
            dilation,
            ceil_mode: self.ceil_mode,
            out: &self.out,
            out_argument: argument::out,
        }
        .check()
    }
}

impl<D: Domain> Rules for QuantizedMaxPool2d<D> {
    fn check(&self) -> Result<(), Violation> {
        self.pool()?;
        let is_same = self.input_zero_point == self.output_zero_point;
        require(is_same, argument::output_zero_point, Rule::Range)?;
        require(self.activation_min >= -128, argument::activation_min, Rule::Range)?;
        let fits = self.activation_min <= self.activation_max && self.activation_max <= 127;
        require(fits, argument::activation_max, Rule::Range)
    }
}

/// The exact meaning of maximum pooling over `int8` in NHWC.
///
/// # Panics
/// If a slice is shorter than its extents say.
pub fn reference(pool: &Pool, activation: Activation, input: &[i8], out: &mut [i8]) {
    fold_windows(pool, input, out, i32::MIN, i32::max, |max| activation.clamp(max));
}
