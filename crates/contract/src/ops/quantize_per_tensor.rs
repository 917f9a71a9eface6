//! `cortex_m::quantize_per_tensor`: real numbers to integers, at the border of a program.

use super::Rules;
use crate::DType;
use crate::quant::{Activation, ZeroPoint, inverse_scale, quantize};
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out = clamp(round(input / scale) + zero_point, quant_min, quant_max)`, element by element.
    ///
    /// Shapes: `out` as `input`. `input` is `float32`, `out` has type `dtype`: `int8`, `int16` or `uint8`.
    /// Rounding, saturation and NaN: [`quantize`].
    QuantizePerTensor = "cortex_m::quantize_per_tensor" {
        /// The real numbers.
        input: Tensor,
        /// The step between neighbouring integers; positive, and so is its inverse in binary32.
        scale: Float,
        /// The integer that stands for zero.
        zero_point: Int<ZeroPoint>,
        /// The least result.
        quant_min: Int<i32>,
        /// The greatest result.
        quant_max: Int<i32>,
        /// The type of the result.
        dtype: ScalarType,
    }
}

impl<D: Domain> Rules for QuantizePerTensor<D> {
    fn check(&self) -> Result<(), Violation> {
        require(self.input.dtype() == DType::F32, argument::input, Rule::DType)?;
        require(self.input.element_count().is_some(), argument::input, Rule::TooLarge)?;
        require(self.out.dtype() == self.dtype, argument::out, Rule::DType)?;
        require(self.out.same_shape(&self.input), argument::out, Rule::Shape)?;
        require(self.out.same_layout(&self.input), argument::out, Rule::Layout)?;
        let inverse = inverse_scale(self.scale);
        require(inverse > 0.0 && inverse.is_finite(), argument::scale, Rule::Range)?;
        check_range(
            self.dtype,
            self.zero_point,
            self.quant_min,
            self.quant_max,
            argument::zero_point,
        )
    }

    fn is_element_by_element(&self) -> bool {
        true
    }
}

/// Checks a quantized type with its zero point and limits, which are the arguments from `zero_point` on.
pub(super) fn check_range(
    dtype: DType,
    zero_point: ZeroPoint,
    quant_min: i32,
    quant_max: i32,
    zero_point_argument: u8,
) -> Result<(), Violation> {
    let Some((least, greatest)) = dtype.quantized_range() else {
        return Err(Violation { argument: zero_point_argument + 3, rule: Rule::DType });
    };
    require(least <= zero_point.0 && zero_point.0 <= greatest, zero_point_argument, Rule::Range)?;
    require(least <= quant_min && quant_min <= quant_max, zero_point_argument + 1, Rule::Range)?;
    require(quant_max <= greatest, zero_point_argument + 2, Rule::Range)
}

/// The exact meaning: quantizes `input` into `out`, which has as many elements.
pub fn reference(
    input: &[f32],
    inverse_scale: f32,
    zero_point: ZeroPoint,
    range: Activation,
    out: &mut [i32],
) {
    for (out, input) in out.iter_mut().zip(input) {
        *out = quantize(*input, inverse_scale, zero_point, range);
    }
}
