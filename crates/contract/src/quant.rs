//! Quantization parameters and the integer arithmetic that every kernel reproduces bit for bit.
//!
//! A real number `r` is stored as `q = round(r / scale) + zero_point`. The zero point enters kernels under two
//! signs, which are different types here: [`InputOffset`] is *minus* the input's zero point and is
//! added to inputs, [`OutputOffset`] is *plus* the output's and is added to results.

/// The integer that represents the real number zero: the number added when quantizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ZeroPoint(pub i32);

/// Minus an input's zero point; added to each input before it is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InputOffset(pub i32);

/// Minus a weight's zero point; added to each weight before it is multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FilterOffset(pub i32);

/// An output's zero point; added to each result after it is requantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OutputOffset(pub i32);

impl ZeroPoint {
    /// The offset that undoes this zero point in an input.
    pub const fn input_offset(self) -> InputOffset {
        InputOffset(self.0.wrapping_neg())
    }

    /// The offset that undoes this zero point in a weight.
    pub const fn filter_offset(self) -> FilterOffset {
        FilterOffset(self.0.wrapping_neg())
    }

    /// The offset that applies this zero point to an output.
    pub const fn output_offset(self) -> OutputOffset {
        OutputOffset(self.0)
    }
}

/// The range that results are clamped to, inclusive; where a fused activation lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Activation {
    /// Least value.
    pub min: i32,
    /// Greatest value.
    pub max: i32,
}

impl Activation {
    /// The whole range of `int8`.
    pub const INT8: Activation = Activation { min: -128, max: 127 };

    /// The value in the range that is nearest to `value`.
    #[inline(always)]
    pub const fn clamp(self, value: i32) -> i32 {
        if value < self.min {
            self.min
        } else if value > self.max {
            self.max
        } else {
            value
        }
    }
}

/// A positive real factor as a fixed-point multiplication: `value · multiplier / 2^31 · 2^shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Requantize {
    /// Q31 mantissa, in `[2^30, 2^31)`, or 0 for the factor 0.
    pub multiplier: i32,
    /// Exponent; positive is left.
    pub shift: i32,
}

/// The least exponent that [`requantize`] accepts.
pub const SHIFT_MIN: i32 = -31;
/// The greatest exponent that [`requantize`] accepts.
pub const SHIFT_MAX: i32 = 30;

impl Requantize {
    /// The fixed-point form of a real factor, as TFLite and ExecuTorch derive it: `frexp`, the mantissa rounded
    /// to 31 bits with ties to even, and a carry when it rounds up to one.
    ///
    /// A factor below `2^-32` maps to zero, since no 32-bit accumulator times it can round to anything else.
    ///
    /// # Errors
    /// [`UnrepresentableFactor`] for a negative, infinite or NaN factor, or one of `2^30` and more.
    pub const fn from_real(factor: f64) -> Result<Self, UnrepresentableFactor> {
        const ZERO: Requantize = Requantize { multiplier: 0, shift: 0 };
        let bits = factor.to_bits();
        let biased_exponent = (bits >> 52) as i32 & 0x7ff;
        if bits << 1 == 0 {
            return Ok(ZERO);
        }
        if bits >> 63 != 0 || biased_exponent == 0x7ff {
            return Err(UnrepresentableFactor);
        }
        if biased_exponent == 0 {
            return Ok(ZERO);
        }
        // factor = significand / 2^53 · 2^shift with significand in [2^52, 2^53).
        let significand = bits & ((1 << 52) - 1) | 1 << 52;
        let mut shift = biased_exponent - 1022;
        let mut multiplier = round_half_even(significand, 22);
        if multiplier == 1 << 31 {
            multiplier >>= 1;
            shift += 1;
        }
        if shift > SHIFT_MAX {
            return Err(UnrepresentableFactor);
        }
        if shift < SHIFT_MIN {
            return Ok(ZERO);
        }
        Ok(Requantize { multiplier: multiplier as i32, shift })
    }

    /// Whether kernels may be given these numbers: a non-negative multiplier and a shift within
    /// [`SHIFT_MIN`] and [`SHIFT_MAX`].
    pub const fn is_valid(self) -> bool {
        self.multiplier >= 0 && self.shift >= SHIFT_MIN && self.shift <= SHIFT_MAX
    }

    /// [`requantize`] with these numbers.
    #[inline(always)]
    pub const fn apply(self, value: i32) -> i32 {
        requantize(value, self.multiplier, self.shift)
    }
}

/// A real factor that is negative, not finite, or too large for a 32-bit multiplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnrepresentableFactor;

impl core::fmt::Display for UnrepresentableFactor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the rescaling factor is negative, not finite, or not below 2^30")
    }
}

impl core::error::Error for UnrepresentableFactor {}

/// `value / 2^bits`, rounded to nearest with ties to even.
const fn round_half_even(value: u64, bits: u32) -> u64 {
    let quotient = value >> bits;
    let remainder = value & ((1 << bits) - 1);
    let half = 1 << (bits - 1);
    quotient + (remainder > half || remainder == half && quotient & 1 == 1) as u64
}

/// Multiplies by a fixed-point factor with CMSIS-NN's default double rounding (`arm_nn_requantize`):
/// a left shift, a rounding doubling high multiply (ties up), then a rounding right shift (ties away from zero).
///
/// `shift` must lie in [`SHIFT_MIN`]`..=`[`SHIFT_MAX`]; it is masked to five bits otherwise. The left shift wraps.
#[inline(always)]
pub const fn requantize(value: i32, multiplier: i32, shift: i32) -> i32 {
    let left = if shift > 0 { shift as u32 } else { 0 };
    let right = if shift > 0 { 0 } else { shift.wrapping_neg() as u32 };
    rounding_shift_right(doubling_high_multiply(value.wrapping_shl(left), multiplier), right)
}

/// `round(a·b / 2^31)`, ties up. Wraps for `a = b = i32::MIN`, which no valid multiplier reaches.
#[inline(always)]
pub const fn doubling_high_multiply(a: i32, b: i32) -> i32 {
    ((a as i64 * b as i64 + (1 << 30)) >> 31) as i32
}

/// `round(value / 2^bits)`, ties away from zero; `bits` in `0..=31`, masked to five bits otherwise.
#[inline(always)]
pub const fn rounding_shift_right(value: i32, bits: u32) -> i32 {
    let mask = 1i32.wrapping_shl(bits).wrapping_sub(1);
    let remainder = value & mask;
    let quotient = value.wrapping_shr(bits);
    let threshold = ((mask as u32) >> 1) as i32 + (quotient < 0) as i32;
    quotient.wrapping_add((remainder > threshold) as i32)
}

/// [`requantize`] for 64-bit accumulators and a 16-bit multiplier (`arm_nn_requantize_s64`), as the kernels for
/// 16-bit activations use it: one rounding, ties up.
///
/// `reduced_multiplier` comes from [`reduce_multiplier`]; `shift` in `-31..=14`, see [`SHIFT_MAX_S64`]. The result is cut off to 32 bits,
/// so sums times factors must stay below 2^30: whoever chooses the weights sees to it.
#[inline(always)]
pub const fn requantize_s64(value: i64, reduced_multiplier: i32, shift: i32) -> i32 {
    let total_shift = (14 - shift) as u32;
    let product = value.wrapping_mul(reduced_multiplier as i64);
    (product.wrapping_shr(total_shift) as i32).wrapping_add(1) >> 1
}

/// The greatest shift that [`requantize_s64`] takes.
pub const SHIFT_MAX_S64: i32 = 14;

/// A Q31 multiplier as the Q15 one that [`requantize_s64`] takes (`REDUCE_MULTIPLIER`).
#[inline(always)]
pub const fn reduce_multiplier(multiplier: i32) -> i32 {
    if multiplier < 0x7fff_0000 { (multiplier + (1 << 15)) >> 16 } else { 0x7fff }
}

/// The factor that [`quantize`] multiplies by: `1 / scale` in binary64, rounded to binary32, as
/// `torch.ops.quantized_decomposed.quantize_per_tensor` has it.
pub const fn inverse_scale(scale: f64) -> f32 {
    (1.0 / scale) as f32
}

/// Quantizes one real number: `clamp(round(value · inverse_scale) + zero_point, range)`, ties to even, the product in
/// binary32. Infinities saturate; NaN gives 0 clamped to the range.
///
/// Source: `torch.ops.quantized_decomposed.quantize_per_tensor`; it leaves NaN undefined, and 0 is what its
/// x86-64 build returns.
#[inline]
pub const fn quantize(
    value: f32,
    inverse_scale: f32,
    zero_point: ZeroPoint,
    range: Activation,
) -> i32 {
    let scaled = value * inverse_scale;
    if scaled.is_nan() {
        return range.clamp(0);
    }
    range.clamp(round_ties_even_saturating(scaled).saturating_add(zero_point.0))
}

/// Whether a scale is a normal number above 0 that times 16 bits is one as well; so are all but those of edited files.
pub const fn is_plain_scale(scale: f32) -> bool {
    let exponent = scale.to_bits() >> 23;
    exponent >= 1 && exponent < 238
}

/// The real number behind a quantized one: `(value − zero_point) · scale` in binary32.
///
/// Source: `torch.ops.quantized_decomposed.dequantize_per_tensor`.
#[inline]
pub const fn dequantize(value: i32, scale: f32, zero_point: ZeroPoint) -> f32 {
    value.wrapping_sub(zero_point.0) as f32 * scale
}

/// The nearest integer, ties to even; numbers of `2^24` and more, where quantized values have long
/// saturated, map to `±2^24`.
const fn round_ties_even_saturating(value: f32) -> i32 {
    let bits = value.to_bits();
    let exponent = ((bits >> 23) & 0xff) as i32 - 127;
    let magnitude = if exponent < -1 {
        0
    } else if exponent >= 24 {
        1 << 24
    } else {
        let significand = (bits & 0x7f_ffff | 0x80_0000) as u64;
        // value = significand · 2^(exponent - 23); one extra bit keeps the shift positive up to exponent 23.
        round_half_even(significand << 1, (24 - exponent) as u32) as i32
    };
    if bits >> 31 != 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn factors_decompose_as_upstream_does() {
        // tiny_linear and digits_mlp of ExecuTorch 1.5.1, from their scales.
        let real = 1_156_722_222.0 / 2f64.powi(31) * 2f64.powi(-16);
        assert_eq!(
            Requantize::from_real(real),
            Ok(Requantize { multiplier: 1_156_722_222, shift: -16 })
        );
        assert_eq!(Requantize::from_real(1.0), Ok(Requantize { multiplier: 1 << 30, shift: 1 }));
        assert_eq!(Requantize::from_real(0.5), Ok(Requantize { multiplier: 1 << 30, shift: 0 }));
        assert_eq!(Requantize::from_real(0.0), Ok(Requantize { multiplier: 0, shift: 0 }));
        // The mantissa rounds up to one and carries.
        let nearly_one = 1.0 - 2f64.powi(-40);
        assert_eq!(
            Requantize::from_real(nearly_one),
            Ok(Requantize { multiplier: 1 << 30, shift: 1 })
        );
    }

    #[test]
    fn extreme_factors_are_zero_or_refused() {
        assert_eq!(Requantize::from_real(2f64.powi(-60)).unwrap().multiplier, 0);
        assert_eq!(Requantize::from_real(f64::MIN_POSITIVE / 4.0).unwrap().multiplier, 0);
        for bad in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2f64.powi(30), -0.5] {
            assert_eq!(Requantize::from_real(bad), Err(UnrepresentableFactor), "{bad}");
        }
        assert!(Requantize::from_real(2f64.powi(29)).unwrap().is_valid());
    }

    #[test]
    fn requantize_rounds_twice() {
        // 3 · 0.5 = 1.5 → 2 in the multiply; then -1.5 rounds away from zero in the shift.
        assert_eq!(requantize(3, 1 << 30, 0), 2);
        assert_eq!(requantize(-3, 1 << 30, 0), -1);
        assert_eq!(rounding_shift_right(-3, 1), -2);
        assert_eq!(rounding_shift_right(3, 1), 2);
        assert_eq!(rounding_shift_right(i32::MIN, 31), -1);
        assert_eq!(rounding_shift_right(i32::MAX, 31), 1);
        assert_eq!(rounding_shift_right(-5, 0), -5);
    }

    #[test]
    fn rounding_shift_agrees_with_its_definition() {
        let mut state = 1u32;
        for _ in 0..200_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bits = state >> 27;
            let value = state.rotate_left(7).wrapping_mul(2_654_435_761) as i32 >> (state % 32);
            let exact = i64::from(value);
            let half = if bits == 0 { 0 } else { 1i64 << (bits - 1) };
            let away = if exact < 0 { -((-exact + half) >> bits) } else { (exact + half) >> bits };
            assert_eq!(i64::from(rounding_shift_right(value, bits)), away, "{value} >> {bits}");
        }
    }

    #[test]
    fn quantize_rounds_to_even_and_saturates() {
        let q = |value: f32| quantize(value, 1.0, ZeroPoint(0), Activation::INT8);
        let cases = [
            (0.5, 0),
            (1.5, 2),
            (2.5, 2),
            (-0.5, 0),
            (-1.5, -2),
            (-2.5, -2),
            (0.500_000_06, 1),
            (126.5, 126),
            (127.5, 127),
            (1e30, 127),
            (-1e30, -128),
            (f32::INFINITY, 127),
            (f32::NEG_INFINITY, -128),
            (f32::NAN, 0),
            (1e-40, 0),
        ];
        for (value, expected) in cases {
            assert_eq!(q(value), expected, "{value}");
        }
        let shifted = Activation { min: 3, max: 100 };
        assert_eq!(quantize(f32::NAN, 1.0, ZeroPoint(7), shifted), 3);
        assert_eq!(quantize(-1.0, 1.0, ZeroPoint(7), shifted), 6);
    }

    #[test]
    fn rounding_agrees_with_the_standard_library() {
        let mut state = 7u32;
        for _ in 0..500_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f32::from_bits(state.rotate_left(11) ^ state);
            if value.is_nan() {
                continue;
            }
            let expected = value.round_ties_even().clamp(-16_777_216.0, 16_777_216.0) as i32;
            assert_eq!(round_ties_even_saturating(value), expected, "{value:e}");
        }
        for numerator in -4000i32..4000 {
            let value = numerator as f32 / 8.0;
            assert_eq!(
                round_ties_even_saturating(value),
                value.round_ties_even() as i32,
                "{value}"
            );
        }
    }

    #[test]
    fn offsets_have_opposite_signs() {
        assert_eq!(ZeroPoint(-128).input_offset(), InputOffset(128));
        assert_eq!(ZeroPoint(-128).output_offset(), OutputOffset(-128));
        assert_eq!(ZeroPoint(5).filter_offset(), FilterOffset(-5));
    }
}
