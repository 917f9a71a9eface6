//! `cortado::rescaled_softmax`: softmax over `int8` whose result has a scale and zero point of its own.
//!
//! ExecuTorch's `cortex_m::softmax` results in multiples of 1/256. A quantizer that observes the result chooses another scale, often
//! a much finer one, and requantizing multiples of 1/256 would lose what it gained. So such a softmax has an operator of its
//! own here, which rounds once.

use super::Rules;
use super::softmax::{
    RESULT_SHIFT_MAX, SoftmaxResult, SoftmaxRows, SoftmaxScale, check_scale, check_tensors,
};
use crate::quant::{OutputOffset, Requantize};
use crate::value::{Domain, Rule, Violation, require};

operator! {
    /// `out[i] ≈ exp(s·input[i]) / Σ_j exp(s·input[j]) / t + output_offset` along axis `dim`, where `s` is the input's scale and `t`
    /// the result's.
    ///
    /// As [`super::Softmax`], but for the scale of the result: `1/256 / t = output_multiplier / 2^31 · 2^output_shift`, with a
    /// shift of at most [`RESULT_SHIFT_MAX`].
    RescaledSoftmax = "cortado::rescaled_softmax" {
        /// The logits.
        input: Tensor,
        /// The axis whose results sum to one.
        dim: Int<i64>,
        /// The multiplier of the input's scale.
        input_multiplier: Int<i32>,
        /// The shift of the input's scale.
        input_shift: Int<i32>,
        /// The least difference from the greatest input that still counts.
        diff_min: Int<i32>,
        /// The result's zero point.
        output_offset: Int<OutputOffset>,
        /// The multiplier of 1/256 divided by the result's scale.
        output_multiplier: Int<i32>,
        /// The shift of 1/256 divided by the result's scale.
        output_shift: Int<i32>,
    }
}

impl<D: Domain> RescaledSoftmax<D> {
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

    /// What results stand for.
    pub fn result(&self) -> SoftmaxResult {
        let factor = Requantize { multiplier: self.output_multiplier, shift: self.output_shift };
        SoftmaxResult::Rescaled { factor, offset: self.output_offset }
    }
}

impl<D: Domain> Rules for RescaledSoftmax<D> {
    fn check(&self) -> Result<(), Violation> {
        check_tensors(&self.input, self.dim, &self.out, argument::out)?;
        check_scale(self.scale(), argument::input_multiplier)?;
        let is_int8 = (-128..=127).contains(&self.output_offset.0);
        require(is_int8, argument::output_offset, Rule::Range)?;
        let factor = Requantize { multiplier: self.output_multiplier, shift: self.output_shift };
        require(factor.multiplier >= 0, argument::output_multiplier, Rule::Range)?;
        let is_shift = factor.is_valid() && factor.shift <= RESULT_SHIFT_MAX;
        require(is_shift, argument::output_shift, Rule::Range)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::ops::softmax::reference;

    #[test]
    fn results_are_rounded_once() {
        // Logits at a scale of 0.1, results at scales coarser and finer than 1/256.
        let scale = SoftmaxScale { multiplier: 1_717_986_918, shift: 23, diff_min: -248 };
        let mut state = 1u32;
        for result_scale in [0.0078, 1.0 / 256.0, 0.0011] {
            for _ in 0..200 {
                let logits: [i8; 9] = core::array::from_fn(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 26) as i8
                });
                let factor = Requantize::from_real(1.0 / 256.0 / result_scale).unwrap();
                let result = SoftmaxResult::Rescaled { factor, offset: OutputOffset(-128) };
                let mut out = [0; 9];
                let rows = SoftmaxRows { outer: 1, length: 9, inner: 1 };
                reference(rows, &scale, result, &logits, &mut out);
                let exponentials = logits.map(|logit| (f64::from(logit) * 0.1).exp());
                let sum: f64 = exponentials.iter().sum();
                for (found, exponential) in out.iter().zip(exponentials) {
                    let exact = (exponential / sum / result_scale - 128.0).min(127.0);
                    let error = (f64::from(*found) - exact).abs();
                    assert!(error < 0.5001, "{found} instead of {exact}");
                }
            }
        }
    }
}
