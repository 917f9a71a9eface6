//! Elementary functions of `float32` numbers, without a library.
//!
//! Each is computed in `float64`, to about ten digits more than the result holds, and rounded once: so results are those of exact
//! arithmetic but for rare ties. Only additions, multiplications, divisions and conversions are used, which every machine rounds
//! alike; so hosts and devices give the same bits.

use core::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, LN_2, LOG2_E};

/// `e^x`.
#[must_use]
pub fn exp(x: f32) -> f32 {
    exp_f64(f64::from(x)) as f32
}

/// The natural logarithm; NaN below zero.
#[must_use]
pub fn log(x: f32) -> f32 {
    // A `float64` holds every `float32` as a normal number.
    log_f64(f64::from(x)) as f32
}

/// The square root, correctly rounded; NaN below zero.
#[must_use]
pub fn sqrt(x: f32) -> f32 {
    if x.is_nan() || x < 0.0 {
        return f32::NAN;
    }
    if x == 0.0 || x.is_infinite() {
        return x;
    }
    sqrt_f64(f64::from(x)) as f32
}

/// `1 / sqrt(x)`; NaN below zero.
#[must_use]
pub fn reciprocal_sqrt(x: f32) -> f32 {
    if x.is_nan() || x < 0.0 {
        return f32::NAN;
    }
    if x == 0.0 {
        return 1.0 / x;
    }
    if x.is_infinite() {
        return 0.0;
    }
    (1.0 / sqrt_f64(f64::from(x))) as f32
}

/// The hyperbolic tangent.
#[must_use]
pub fn tanh(x: f32) -> f32 {
    let wide = f64::from(x);
    let magnitude = wide.abs();
    // Near zero the quotient would cancel; the first terms of the series are exact enough.
    if magnitude < 1e-3 {
        let square = wide * wide;
        return (wide - wide * square * (1.0 / 3.0 - square * (2.0 / 15.0))) as f32;
    }
    let result = 1.0 - 2.0 / (exp_f64(2.0 * magnitude) + 1.0);
    (if wide < 0.0 { -result } else { result }) as f32
}

/// The logistic function, `1 / (1 + e^-x)`.
#[must_use]
pub fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + exp_f64(-f64::from(x)))) as f32
}

/// The error function.
#[must_use]
pub fn erf(x: f32) -> f32 {
    let wide = f64::from(x);
    if wide.abs() < 0.5 { erf_near_zero(wide) as f32 } else { (1.0 - erfc_f64(wide)) as f32 }
}

/// The Gaussian error linear unit, `x · Φ(x)` with the normal distribution's `Φ`.
#[must_use]
pub fn gelu(x: f32) -> f32 {
    if x.is_infinite() {
        return if x > 0.0 { x } else { 0.0 };
    }
    let wide = f64::from(x);
    (0.5 * wide * erfc_f64(-wide * FRAC_1_SQRT_2)) as f32
}

/// The approximation of [`gelu`] with a hyperbolic tangent, `x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))`.
#[must_use]
pub fn gelu_tanh(x: f32) -> f32 {
    if x.is_infinite() {
        return if x > 0.0 { x } else { 0.0 };
    }
    let wide = f64::from(x);
    // (1 + tanh u) / 2 = 1 / (1 + e^(−2u)), which does not cancel.
    let doubled = 2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2 * (wide + 0.044_715 * wide * wide * wide);
    (wide / (1.0 + exp_f64(-doubled))) as f32
}

/// `e^x` in `float64`, for results from about `10^-304` to `10^304`; 0 and infinity outside.
#[must_use]
pub fn exp_f64(x: f64) -> f64 {
    /// ln 2 with its last 20 bits 0, so that its product with an exponent is exact, and the rest of it.
    const LN_2_HIGH: f64 = f64::from_bits(LN_2.to_bits() >> 20 << 20);
    const LN_2_LOW: f64 = 7.440_617_110_012_397e-11;
    if x.is_nan() {
        return x;
    }
    if x > 700.0 {
        return f64::INFINITY;
    }
    if x < -700.0 {
        return 0.0;
    }
    let exponent = (x * LOG2_E + if x < 0.0 { -0.5 } else { 0.5 }) as i32;
    let rest = x - f64::from(exponent) * LN_2_HIGH - f64::from(exponent) * LN_2_LOW;
    // Σ rest^n / n! by Horner's rule, |rest| < 0.35.
    let series = EXP_TERMS.iter().rev().fold(0.0, |sum, term| sum * rest + term);
    series * f64::from_bits(((1023 + exponent) as u64) << 52)
}

/// `1/n!`.
const EXP_TERMS: [f64; 14] = {
    let mut terms = [1.0; 14];
    let mut n = 1;
    while n < terms.len() {
        terms[n] = terms[n - 1] / n as f64;
        n += 1;
    }
    terms
};

/// The natural logarithm of zero or a normal number; NaN below zero.
#[must_use]
pub fn log_f64(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_infinite() {
        return x;
    }
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if mantissa > core::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    // ln m = 2 · artanh s = 2 · (s + s³/3 + s⁵/5 + …) with |s| < 0.172.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = (0..10).rev().fold(0.0, |sum, n| sum * square + 1.0 / f64::from(2 * n + 1));
    f64::from(exponent) * LN_2 + 2.0 * s * series
}

/// The square root in `float64`, for positive finite numbers that are a `float32` or near one.
#[must_use]
pub fn sqrt_f64(x: f64) -> f64 {
    // Halving the exponent gives the reciprocal root to a few percent; Newton's steps double the digits.
    let mut reciprocal = f64::from_bits(0x5fe6_eb50_c7b5_37a9 - (x.to_bits() >> 1));
    for _ in 0..4 {
        reciprocal *= 1.5 - 0.5 * x * reciprocal * reciprocal;
    }
    let root = x * reciprocal;
    root + 0.5 * reciprocal * (x - root * root)
}

/// `1 − erf(x)` in `float64`, to about `10^-11` of its value.
///
/// `erfc x = t · e^(−x² + P(t))` with `t = 2 / (2 + x)`, where `P` is the Chebyshev approximation on `0 ≤ x ≤ 10`, after Press et
/// al., Numerical Recipes, section 6.2.
#[must_use]
pub fn erfc_f64(x: f64) -> f64 {
    let magnitude = x.abs();
    if magnitude < 0.5 {
        return 1.0 - erf_near_zero(x);
    }
    if magnitude > 10.0 {
        return if x < 0.0 { 2.0 } else { 0.0 };
    }
    let t = 2.0 / (2.0 + magnitude);
    // t is within 1/6..1, the polynomial's argument within −1..1.
    let argument = (t - 7.0 / 12.0) * (12.0 / 5.0);
    let exponent = ERFC_TERMS.iter().rev().fold(0.0, |sum, term| sum * argument + term);
    let result = t * exp_f64(exponent - magnitude * magnitude);
    if x < 0.0 { 2.0 - result } else { result }
}

const ERFC_TERMS: [f64; 15] = [
    -0.558_595_351_135_709_9,
    0.570_307_152_404_196_4,
    0.015_744_884_852_414_02,
    -0.029_471_315_399_479_55,
    -0.001_043_302_129_532_143_5,
    0.003_712_872_487_312_563,
    -0.000_285_829_615_200_791_65,
    -0.000_546_333_421_614_977_4,
    0.000_149_767_176_230_825_32,
    6.623_240_837_019_493e-5,
    -4.208_495_756_230_896e-5,
    -3.436_440_983_767_419e-6,
    7.950_951_008_302_58e-6,
    -3.942_459_175_879_395_5e-7,
    -8.129_521_011_008_959e-7,
];

/// The error function for `|x| < 0.5`: `2/√π · Σ (−1)^n x^(2n+1) / (n! · (2n+1))`. NaN stays NaN.
fn erf_near_zero(x: f64) -> f64 {
    let square = x * x;
    let term = |n: usize| EXP_TERMS[n] / (2 * n + 1) as f64;
    let series = (0..10).rev().fold(0.0, |sum, n| term(n) - sum * square);
    FRAC_2_SQRT_PI * x * series
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    /// Numbers of all magnitudes and both signs, and the special ones.
    fn samples() -> impl Iterator<Item = f32> {
        let dense = (0..=u32::MAX / 4099).map(|step| f32::from_bits(step * 4099));
        let near = (-20_000..=20_000).map(|step| step as f32 / 1000.0);
        let special = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            -f32::from_bits(1),
            f32::MAX,
            f32::MIN,
        ];
        dense.chain(near).chain(special)
    }

    /// Holds a function against one in `float64` whose rounded result it may miss by `steps` neighbours.
    fn assert_accurate(name: &str, function: fn(f32) -> f32, exact: fn(f64) -> f64, steps: i32) {
        for x in samples() {
            let (found, expected) = (function(x), exact(f64::from(x)) as f32);
            if expected.is_nan() {
                assert!(found.is_nan(), "{name}({x:e}) is {found:e}, not NaN");
                continue;
            }
            let order = |value: f32| {
                let bits = value.to_bits() as i32;
                if bits < 0 { i32::MIN.wrapping_sub(bits) } else { bits }
            };
            let distance = order(found).abs_diff(order(expected));
            assert!(
                distance <= steps as u32,
                "{name}({x:e}) is {found:e}, expected {expected:e}, {distance} neighbours away"
            );
        }
    }

    /// As the series of DLMF 7.6.2, whose terms have one sign.
    fn exact_erf(x: f64) -> f64 {
        if x.is_nan() || x.abs() > 6.0 {
            return if x.is_nan() { x } else { x.signum() };
        }
        let (mut term, mut sum, mut odd) = (x, x, 1.0);
        while term.abs() > f64::EPSILON / 4.0 * sum.abs() {
            odd += 2.0;
            term *= 2.0 * x * x / odd;
            sum += term;
        }
        FRAC_2_SQRT_PI * (-x * x).exp() * sum
    }

    #[test]
    fn functions_are_accurate() {
        assert_accurate("exp", exp, f64::exp, 1);
        assert_accurate("log", log, f64::ln, 1);
        assert_accurate("tanh", tanh, f64::tanh, 1);
        assert_accurate("sigmoid", sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 1);
        assert_accurate("erf", erf, exact_erf, 1);
        assert_accurate("reciprocal_sqrt", reciprocal_sqrt, |x| 1.0 / x.sqrt(), 1);
    }

    #[test]
    fn square_roots_are_correctly_rounded() {
        assert_accurate("sqrt", sqrt, f64::sqrt, 0);
        for x in samples() {
            assert!(sqrt(x).to_bits() == x.sqrt().to_bits() || x.is_nan() || x < 0.0, "{x:e}");
        }
    }

    #[test]
    fn gelu_keeps_its_digits_where_it_vanishes() {
        // Computed with 50 digits.
        for (x, expected) in [
            (-8.0f32, -4.976_768_5e-15f32),
            (-5.0, -1.433_257_9e-6),
            (-1.0, -0.158_655_25),
            (0.3, 0.185_373_42),
            (3.0, 2.995_950_3),
            (0.0, 0.0),
        ] {
            assert!((gelu(x) - expected).abs() <= 2e-7 * expected.abs(), "{x}: {}", gelu(x));
        }
        let tanh_form = |x: f64| {
            0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x.powi(3))).tanh())
        };
        for step in -3000..=3000 {
            let x = step as f32 / 1000.0;
            let expected = tanh_form(f64::from(x)) as f32;
            assert!((gelu_tanh(x) - expected).abs() <= 3e-7 * expected.abs(), "{x}");
        }
        for function in [gelu, gelu_tanh] {
            assert!(function(f32::NAN).is_nan());
            assert_eq!(function(f32::INFINITY), f32::INFINITY);
            assert_eq!(function(f32::NEG_INFINITY), 0.0);
        }
    }
}
