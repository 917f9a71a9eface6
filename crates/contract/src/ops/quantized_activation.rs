//! `cortex_m::quantized_activation`: any function of one `int8` number, as a table.

use super::Rules;
use crate::DType;
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out = lut[input + 128]`, element by element.
    ///
    /// Shapes: `out` as `input`, in the same order in memory; `lut` has [`ENTRIES`] elements. All tensors are `int8`.
    QuantizedActivation = "cortex_m::quantized_activation" {
        /// The numbers to look up.
        input: Tensor,
        /// The function's value for each of −128 … 127.
        lut: Tensor,
    }
}

/// The number of entries of a table.
pub const ENTRIES: usize = 256;

impl<D: Domain> Rules for QuantizedActivation<D> {
    fn check(&self) -> Result<(), Violation> {
        require(self.input.dtype() == DType::I8, argument::input, Rule::DType)?;
        require(self.lut.dtype() == DType::I8, argument::lut, Rule::DType)?;
        require(self.out.dtype() == DType::I8, argument::out, Rule::DType)?;
        require(self.lut.element_count() == Some(ENTRIES as u32), argument::lut, Rule::Shape)?;
        let fits = self.input.element_count().is_some_and(|count| count <= i32::MAX as u32);
        require(fits, argument::input, Rule::TooLarge)?;
        require(self.out.same_shape(&self.input), argument::out, Rule::Shape)?;
        require(self.out.same_layout(&self.input), argument::out, Rule::Layout)
    }

    fn is_element_by_element(&self) -> bool {
        true
    }
}

/// The position of a number's entry in a table.
#[inline(always)]
pub const fn entry_of(value: i8) -> u8 {
    (value as u8).wrapping_add(128)
}

/// The exact meaning: looks up each element of `input`; `out` has as many.
pub fn reference(table: &[i8; ENTRIES], input: &[i8], out: &mut [i8]) {
    for (out, input) in out.iter_mut().zip(input) {
        *out = table[usize::from(entry_of(*input))];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Nowhere;

    #[test]
    fn the_schema_is_upstreams() {
        assert_eq!(
            QuantizedActivation::<Nowhere>::SCHEMA,
            "cortex_m::quantized_activation.out(Tensor input, Tensor lut, *, Tensor(a!) out) -> Tensor(a!)"
        );
    }

    #[test]
    fn tables_start_at_the_least_number() {
        assert_eq!([-128, -1, 0, 127].map(entry_of), [0, 127, 128, 255]);
    }
}
