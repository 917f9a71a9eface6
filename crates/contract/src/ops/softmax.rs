//! `cortex_m::softmax`: exponentials that sum to one, over `int8`, in integers throughout.

use super::Rules;
use crate::DType;
use crate::quant::{Activation, doubling_high_multiply, rounding_shift_right};
use crate::strided::axis_of;
use crate::value::{Domain, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// `out[i] ≈ 256 · exp(s·input[i]) / Σ_j exp(s·input[j]) − 128` along axis `dim`, where `s` is the input's scale.
    ///
    /// The scale comes as `s · 2^26 = input_multiplier / 2^31 · 2^input_shift`. Inputs that lie more than `−diff_min` below the
    /// greatest one count as zero. [`reference`] has the exact integers. `input` and `out` are `int8` and have the same order in
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
        let axis = axis_of(self.dim, self.input.rank())?;
        let mut rows = SoftmaxRows { outer: 1, length: 1, inner: 1 };
        let mut extents = &mut rows.outer;
        for position in 0..self.input.rank() {
            let at = self.input.dim_order(position);
            let extent = self.input.dim(at) as usize;
            if at == axis {
                rows.length = extent;
                extents = &mut rows.inner;
            } else {
                *extents = extents.checked_mul(extent)?;
            }
        }
        Some(rows)
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
        let Softmax { input, out, .. } = self;
        require(input.dtype() == DType::I8, argument::input, Rule::DType)?;
        require(out.dtype() == DType::I8, argument::out, Rule::DType)?;
        require(input.same_shape(out), argument::out, Rule::Shape)?;
        require(input.same_layout(out), argument::out, Rule::Layout)?;
        let fits = input.element_count().is_some_and(|count| count <= i32::MAX as u32);
        require(fits, argument::input, Rule::TooLarge)?;
        let axis = require_some(axis_of(self.dim, input.rank()), argument::dim, Rule::Range)?;
        require(input.dim(axis) <= MAX_LENGTH, argument::input, Rule::TooLarge)?;
        require(self.output_zero_point == -128, argument::output_zero_point, Rule::Range)?;
        require(self.input_multiplier >= 0, argument::input_multiplier, Rule::Range)?;
        require((0..=31).contains(&self.input_shift), argument::input_shift, Rule::Range)?;
        require(self.diff_min <= 0, argument::diff_min, Rule::Range)?;
        // The difference is at least −255 and is shifted left before it is multiplied.
        let least = i64::from(self.diff_min.max(-255)) << self.input_shift;
        require(least >= i64::from(i32::MIN), argument::diff_min, Rule::Range)
    }
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
    /// `1 / (2·mantissa of the sum)` in Q31.
    reciprocal: i32,
    /// What brings the product to multiples of 1/256.
    shift: u32,
}

impl Normalizer {
    /// For a sum of [`summand`]s, one of which is that of the greatest logit.
    #[inline]
    pub fn new(sum: u32) -> Normalizer {
        let headroom = sum.leading_zeros();
        let fraction = (sum.wrapping_shl(headroom) & i32::MAX as u32) as i32;
        Normalizer {
            reciprocal: reciprocal_of_one_plus(fraction),
            shift: DROPPED_BITS + 23 - headroom,
        }
    }

    /// The result for an exponential.
    ///
    /// A quotient that is shifted by more than 31 bits is less than a half of 1/256, and so the result is the least. CMSIS-NN
    /// leaves that undefined; it takes a row of 512 and more almost equal logits.
    #[inline(always)]
    pub fn result(&self, exponential: i32) -> i8 {
        if self.shift > 31 {
            return i8::MIN;
        }
        let quotient = doubling_high_multiply(self.reciprocal, exponential);
        let result = rounding_shift_right(quotient, self.shift).wrapping_add(i32::from(i8::MIN));
        Activation::INT8.clamp(result) as i8
    }
}

/// The exact meaning of softmax over `int8`.
///
/// # Panics
/// If a slice is shorter than its extents say.
pub fn reference(rows: SoftmaxRows, scale: &SoftmaxScale, input: &[i8], out: &mut [i8]) {
    let SoftmaxRows { outer, length, inner } = rows;
    for row in 0..outer * inner {
        let start = row / inner * length * inner + row % inner;
        let elements = (0..length).map(|index| start + index * inner);
        let values = elements.clone().map(|index| i32::from(input[index]));
        let Some(greatest) = values.clone().max() else { continue };
        let exponential = |value: i32| scale.exponential(value - greatest);
        let sum = values.fold(0, |sum: u32, value| sum + summand(exponential(value)));
        let normalizer = Normalizer::new(sum);
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
            reference(rows, &scale, &std::vec![3; length], &mut out);
            let expected = if length < 512 { -127 } else { -128 };
            assert!(out.iter().all(|value| *value == expected), "{length}: {}", out[0]);
        }
    }
}
