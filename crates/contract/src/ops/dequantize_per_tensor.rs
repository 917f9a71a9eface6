//! `cortex_m::dequantize_per_tensor`: integers to real numbers, at the border of a program.

use super::Rules;
use super::quantize_per_tensor::check_range;
use crate::DType;
use crate::quant::{ZeroPoint, dequantize};
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out = (input − zero_point) · scale`, element by element, in binary32.
    ///
    /// Shapes: `out` as `input`. `input` has type `dtype`: `int8`, `int16` or `uint8`; `out` is `float32`.
    DequantizePerTensor = "cortex_m::dequantize_per_tensor" {
        /// The integers.
        input: Tensor,
        /// The step between neighbouring integers; positive, also when rounded to binary32.
        scale: Float,
        /// The integer that stands for zero.
        zero_point: Int<ZeroPoint>,
        /// The least integer that the producer may have written; not read.
        quant_min: Int<i32>,
        /// The greatest integer that the producer may have written; not read.
        quant_max: Int<i32>,
        /// The type of the input.
        dtype: ScalarType,
    }
}

impl<D: Domain> Rules for DequantizePerTensor<D> {
    fn check(&self) -> Result<(), Violation> {
        require(self.input.dtype() == self.dtype, argument::input, Rule::DType)?;
        require(self.input.element_count().is_some(), argument::input, Rule::TooLarge)?;
        require(self.out.dtype() == DType::F32, argument::out, Rule::DType)?;
        require(self.out.same_shape(&self.input), argument::out, Rule::Shape)?;
        require(self.out.same_layout(&self.input), argument::out, Rule::Layout)?;
        let scale = self.scale as f32;
        require(scale > 0.0 && scale.is_finite(), argument::scale, Rule::Range)?;
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

/// The exact meaning: dequantizes `input` into `out`, which has as many elements.
pub fn reference(input: &[i32], scale: f32, zero_point: ZeroPoint, out: &mut [f32]) {
    for (out, input) in out.iter_mut().zip(input) {
        *out = dequantize(*input, scale, zero_point);
    }
}
