//! `cortex_m::softmax`: exponentials that sum to one, over `int8`, in integers throughout.

use super::Rules;
use crate::DType;
use crate::quant::{
    Activation, OutputOffset, Requantize, SHIFT_MIN, doubling_high_multiply, requantize,
    rounding_shift_right,
};
use crate::strided::axis_of;
use crate::value::{Domain, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// `out[i] ≈ 256 · exp(s·input[i]) / Σ_j exp(s·input[j]) − 128` along axis `dim`, where `s` is the input's scale.
    ///
    /// The scale comes as `s · 2^26 = input_multiplier / 2^31 · 2^input_shift`. Inputs that lie more than `−diff_min` below the
    /// greatest one count as zero. [`reference()`] has the exact integers. `input` and `out` are `int8` and have the same order in
    /// memory, whichever; the result's scale is 1/256 and its zero point −128. ExecuTorch's kernel takes the last axis only, and
    /// reads memory as if it were row-major.
    ///
    /// Source: `arm_softmax_s8`.
    Softmax = "cortex_m::softmax" {
        /// The logits.
        input: Tensor,
        /// The axis whose results sum to one.
        dim: Int<i64>,
        /// The input's zero point; has no effect, since softmax is the same for shifted logits.
        input_zero_point: Int<i64>,
        /// The result's zero point: −128.
        output_zero_point: Int<i64>,
        /// The multiplier of the input's scale.
        input_multiplier: Int<i32>,
        /// The shift of the input's scale.
        input_shift: Int<i32>,
        /// The least difference from the greatest input that still counts.
        diff_min: Int<i32>,
    }
}

impl<D: Domain> Softmax<D> {
    /// The rows in memory.
    pub fn rows(&self) -> Option<SoftmaxRows> {
        SoftmaxRows::of(&self.input, self.dim)
    }

    /// The scale of the logits.
    pub fn scale(&self) -> SoftmaxScale {
        SoftmaxScale {
            multiplier: self.input_multiplier,
            shift: self.input_shift,
            diff_min: self.diff_min,
        }
    }
}

impl<D: Domain> Rules for Softmax<D> {
    fn check(&self) -> Result<(), Violation> {
        check_tensors(&self.input, self.dim, &self.out, argument::out)?;
        require(self.output_zero_point == -128, argument::output_zero_point, Rule::Range)?;
        check_scale(self.scale(), argument::input_multiplier)
    }
}

/// Checks types, extents and layout; the axis is argument 1.
pub(super) fn check_tensors<T: TensorMeta>(
    input: &T,
    dim: i64,
    out: &T,
    out_argument: u8,
) -> Result<(), Violation> {
    require(input.dtype() == DType::I8, argument::input, Rule::DType)?;
    require(out.dtype() == DType::I8, out_argument, Rule::DType)?;
    require(input.same_shape(out), out_argument, Rule::Shape)?;
    require(input.same_layout(out), out_argument, Rule::Layout)?;
    let fits = input.element_count().is_some_and(|count| count <= i32::MAX as u32);
    require(fits, argument::input, Rule::TooLarge)?;
    let axis = require_some(axis_of(dim, input.rank()), argument::dim, Rule::Range)?;
    require(input.dim(axis) <= MAX_LENGTH, argument::input, Rule::TooLarge)
}

/// Checks the scale of logits, whose multiplier, shift and least difference are neighbours in the schema.
pub(super) fn check_scale(scale: SoftmaxScale, multiplier_argument: u8) -> Result<(), Violation> {
    let SoftmaxScale { multiplier, shift, diff_min } = scale;
    require(multiplier >= 0, multiplier_argument, Rule::Range)?;
    require((0..=31).contains(&shift), multiplier_argument + 1, Rule::Range)?;
    require(diff_min <= 0, multiplier_argument + 2, Rule::Range)?;
    // The difference is at least −255 and is shifted left before it is multiplied.
    let least = i64::from(diff_min.max(-255)) << shift;
    require(least >= i64::from(i32::MIN), multiplier_argument + 2, Rule::Range)
}

/// The greatest length of a row. One of equal logits, each of which counts `2^19`, then sums to less than `2^32`.
pub const MAX_LENGTH: u32 = 8191;

/// The rows of a softmax in memory: `outer · inner` of them, with `length` elements that lie `inner` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftmaxRows {
    /// The product of the extents outside of the axis.
    pub outer: usize,
    /// The axis's extent.
    pub length: usize,
    /// The product of the extents inside of the axis.
    pub inner: usize,
}

impl SoftmaxRows {
    /// The rows of a tensor along an axis, as schemas write it.
    pub(super) fn of(input: &impl TensorMeta, dim: i64) -> Option<SoftmaxRows> {
        let axis = axis_of(dim, input.rank())?;
        let mut rows = SoftmaxRows { outer: 1, length: 1, inner: 1 };
        let mut extents = &mut rows.outer;
        for position in 0..input.rank() {
            let at = input.dim_order(position);
            let extent = input.dim(at) as usize;
            if at == axis {
                rows.length = extent;
                extents = &mut rows.inner;
            } else {
                *extents = extents.checked_mul(extent)?;
            }
        }
        Some(rows)
    }
}

/// What results stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoftmaxResult {
    /// Multiples of 1/256, from −128 on.
    Standard,
    /// Multiples of another scale.
    Rescaled {
        /// 1/256 divided by the scale.
        factor: Requantize,
        /// The zero point.
        offset: OutputOffset,
    },
}

/// The greatest shift of a factor in [`SoftmaxResult::Rescaled`]: quotients have 23 bits more than multiples of 1/256, so that
/// they are never shifted left.
pub const RESULT_SHIFT_MAX: i32 = 20;

/// The scale of logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftmaxScale {
    /// Q31 mantissa of `scale · 2^26`.
    pub multiplier: i32,
    /// Exponent of `scale · 2^26`.
    pub shift: i32,
    /// The least difference from the greatest logit that still counts.
    pub diff_min: i32,
}

/// The fraction bits of a sum of exponentials that are dropped so that many of them fit 32 bits.
const DROPPED_BITS: u32 = 12;

impl SoftmaxScale {
    /// `exp(scale · difference)` in Q31 for a difference from the greatest logit, 0 below `diff_min`.
    #[inline(always)]
    pub fn exponential(&self, difference: i32) -> i32 {
        if difference < self.diff_min {
            return 0;
        }
        let scaled = difference.wrapping_shl(self.shift as u32);
        exp_of_negative(doubling_high_multiply(scaled, self.multiplier))
    }
}

/// What an exponential adds to its row's sum: it in Q19.
#[inline(always)]
pub const fn summand(exponential: i32) -> u32 {
    rounding_shift_right(exponential, DROPPED_BITS) as u32
}

/// What turns the exponentials of a row into its results, from their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalizer {
    /// `1 / (2·mantissa of the sum)` in Q31; greater than 0.
    pub reciprocal: i32,
    /// What brings the product to multiples of 1/256.
    pub shift: u32,
    /// What results stand for.
    pub result: SoftmaxResult,
}

impl Normalizer {
    /// For a sum of [`summand`]s, one of which is that of the greatest logit.
    #[inline]
    pub fn new(sum: u32, result: SoftmaxResult) -> Normalizer {
        let headroom = sum.leading_zeros();
        let fraction = (sum.wrapping_shl(headroom) & i32::MAX as u32) as i32;
        let reciprocal = reciprocal_of_one_plus(fraction);
        Normalizer { reciprocal, shift: DROPPED_BITS + 23 - headroom, result }
    }

    /// The result for an exponential.
    ///
    /// A quotient that is shifted by more than 31 bits is less than a half, and so the result is that of zero. CMSIS-NN
    /// leaves that undefined; it takes a row of 512 and more almost equal logits.
    #[inline(always)]
    pub fn result(&self, exponential: i32) -> i8 {
        let quotient = doubling_high_multiply(self.reciprocal, exponential);
        let result = match self.result {
            SoftmaxResult::Standard => match self.shift {
                0..=31 => rounding_shift_right(quotient, self.shift) + i32::from(i8::MIN),
                _ => i32::from(i8::MIN),
            },
            SoftmaxResult::Rescaled { factor, offset } => {
                let shift = factor.shift - self.shift as i32;
                let is_zero = shift < SHIFT_MIN;
                let scaled =
                    if is_zero { 0 } else { requantize(quotient, factor.multiplier, shift) };
                scaled.wrapping_add(offset.0)
            }
        };
        Activation::INT8.clamp(result) as i8
    }
}

/// The exact meaning of softmax over `int8`.
///
/// # Panics
/// If a slice is shorter than its extents say.
pub fn reference(
    rows: SoftmaxRows,
    scale: &SoftmaxScale,
    result: SoftmaxResult,
    input: &[i8],
    out: &mut [i8],
) {
    let SoftmaxRows { outer, length, inner } = rows;
    for row in 0..outer * inner {
        let start = row / inner * length * inner + row % inner;
        let elements = (0..length).map(|index| start + index * inner);
        let values = elements.clone().map(|index| i32::from(input[index]));
        let Some(greatest) = values.clone().max() else { continue };
        let exponential = |value: i32| scale.exponential(value - greatest);
        let sum = values.fold(0, |sum: u32, value| sum + summand(exponential(value)));
        let normalizer = Normalizer::new(sum, result);
        for index in elements {
            out[index] = normalizer.result(exponential(i32::from(input[index])));
        }
    }
}

/// `exp(value / 2^26)` in Q31 for `value <= 0` (`arm_nn_exp_on_negative_values`, gemmlowp's `exp_on_negative_values`).
///
/// The argument is split into a multiple of −1/4 and a rest in `[−1/4, 0)`. The rest's exponential is a polynomial of degree 4 around
/// −1/8; each bit of the multiple then multiplies by its own constant.
#[inline]
pub const fn exp_of_negative(value: i32) -> i32 {
    /// `exp(−2^(k−2))` in Q31, for the bits k = 0… of the multiple.
    const FACTORS: [i32; 7] =
        [1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242];
    /// `exp(−1/8)` in Q31.
    const EXP_OF_EIGHTH: i32 = 1_895_147_668;
    /// 1/3 in Q31.
    const THIRD: i32 = 715_827_883;
    const QUARTER: i32 = 1 << 24;
    if value == 0 {
        return i32::MAX;
    }
    let rest = (value & (QUARTER - 1)) - QUARTER;
    let multiple = rest.wrapping_sub(value);
    let x = (rest << 5) + (1 << 28);
    let x2 = doubling_high_multiply(x, x);
    let x3 = doubling_high_multiply(x2, x);
    let x4 = doubling_high_multiply(x2, x2);
    let cubic = doubling_high_multiply(rounding_shift_right(x4, 2) + x3, THIRD);
    let series = x + rounding_shift_right(cubic + x2, 1);
    let mut result = EXP_OF_EIGHTH + doubling_high_multiply(EXP_OF_EIGHTH, series);
    let mut bit = 0;
    while bit < FACTORS.len() {
        if multiple & (QUARTER << bit) != 0 {
            result = doubling_high_multiply(result, FACTORS[bit]);
        }
        bit += 1;
    }
    result
}

/// `1 / (1 + fraction)` in Q31 for a fraction in Q31 (`arm_nn_one_over_one_plus_x_for_x_in_0_1`): three steps of Newton's
/// method for half the denominator, from `48/17 − 32/17·d`.
#[inline]
pub const fn reciprocal_of_one_plus(fraction: i32) -> i32 {
    let half_denominator = ((fraction as i64 + i32::MAX as i64 + 1) / 2) as i32;
    let mut x = 1_515_870_810 + doubling_high_multiply(half_denominator, -1_010_580_540);
    let mut step = 0;
    while step < 3 {
        let error = (1 << 29) - doubling_high_multiply(half_denominator, x);
        x += saturating_shift_left(doubling_high_multiply(x, error), 2);
        step += 1;
    }
    saturating_shift_left(x, 1)
}

/// `value · 2^bits`, saturating.
const fn saturating_shift_left(value: i32, bits: u32) -> i32 {
    let limit = (1 << (31 - bits)) - 1;
    if value > limit {
        i32::MAX
    } else if value < -limit {
        i32::MIN
    } else {
        value << bits
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn exponentials_are_close() {
        for step in 0..4000 {
            let value = -(step * 400_000);
            let exact = (f64::from(value) / 2f64.powi(26)).exp() * 2f64.powi(31);
            let found = f64::from(exp_of_negative(value));
            assert!((found - exact).abs() < 600.0, "{value}: {found} instead of {exact}");
        }
        assert_eq!(exp_of_negative(0), i32::MAX);
        assert_eq!(exp_of_negative(i32::MIN), 0);
    }

    #[test]
    fn reciprocals_are_close() {
        for step in 0..1000 {
            let fraction = step * 2_147_483;
            let exact = 2f64.powi(31) / (1.0 + f64::from(fraction) / 2f64.powi(31));
            let found = f64::from(reciprocal_of_one_plus(fraction));
            assert!((found - exact).abs() < 16.0, "{fraction}: {found} instead of {exact}");
        }
    }

    #[test]
    fn long_rows_of_equal_logits_round_to_zero() {
        let scale = SoftmaxScale { multiplier: 1 << 30, shift: 23, diff_min: -248 };
        for length in [511, 512, 513, 1024, 8191] {
            let mut out = std::vec![0; length];
            let rows = SoftmaxRows { outer: 1, length, inner: 1 };
            let input = std::vec![3; length];
            reference(rows, &scale, SoftmaxResult::Standard, &input, &mut out);
            let expected = if length < 512 { -127 } else { -128 };
            assert!(out.iter().all(|value| *value == expected), "{length}: {}", out[0]);
        }
    }
}
