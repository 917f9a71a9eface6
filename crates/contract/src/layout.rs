//! Which of two incompatible layouts an instruction set's kernels read.
//!
//! A linear layer computes, for output channel `o`,
//!
//! ```text
//! y[o] = clamp(requantize(Σ_i (x[i] + input_offset)·(w[o,i] + filter_offset) + bias[o]) + output_offset)
//! ```
//!
//! and the part that does not depend on `x` may be folded ahead of time:
//!
//! ```text
//! kernel_sum[o] = input_offset · Σ_i (w[o,i] + filter_offset) + bias[o]
//! ```
//!
//! CMSIS-NN's Helium kernel reads `kernel_sum` and ignores `bias`; its DSP and plain C kernels read `bias` and
//! ignore `kernel_sum`. A file made for one family therefore loses its bias on the other without any sign.
//! [`Isa::constant_form`] is the one statement of that rule: the compiler writes by it, the
//! loader refuses by it and the tests are parametrised over it.

use crate::target::Isa;
use core::fmt;

/// The form in which a linear layer's constant term is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ConstantForm {
    /// `kernel_sum` is present and `bias` is absent; the inner loop adds no input offset.
    KernelSum,
    /// `kernel_sum` is absent; `bias` is present, or absent when it is zero. The inner loop adds the input offset.
    Bias,
}

impl ConstantForm {
    /// The name used in the target stamp, in reports and in errors.
    pub const fn name(self) -> &'static str {
        match self {
            ConstantForm::KernelSum => "kernel_sum",
            ConstantForm::Bias => "bias",
        }
    }

    /// Judges a linear layer by which of its two optional constants are present.
    ///
    /// # Errors
    /// Both present is contradictory: the two kernel families would read different constants.
    pub const fn of_operands(has_bias: bool, has_kernel_sum: bool) -> Result<Self, BothForms> {
        match (has_bias, has_kernel_sum) {
            (true, true) => Err(BothForms),
            (_, true) => Ok(ConstantForm::KernelSum),
            (_, false) => Ok(ConstantForm::Bias),
        }
    }
}

impl fmt::Display for ConstantForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A linear layer carries both a `bias` and a `kernel_sum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BothForms;

impl fmt::Display for BothForms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("both bias and kernel_sum are present, and kernels of different ISAs would read different ones")
    }
}

impl core::error::Error for BothForms {}

impl Isa {
    /// The form of a linear layer's constant term that this instruction set's kernels read.
    pub const fn constant_form(self) -> ConstantForm {
        match self {
            Isa::Mve => ConstantForm::KernelSum,
            Isa::Dsp | Isa::Scalar => ConstantForm::Bias,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_helium_reads_kernel_sums() {
        assert_eq!(Isa::Mve.constant_form(), ConstantForm::KernelSum);
        assert_eq!(Isa::Dsp.constant_form(), ConstantForm::Bias);
        assert_eq!(Isa::Scalar.constant_form(), ConstantForm::Bias);
    }

    #[test]
    fn operands_are_judged() {
        assert_eq!(ConstantForm::of_operands(false, true), Ok(ConstantForm::KernelSum));
        assert_eq!(ConstantForm::of_operands(true, false), Ok(ConstantForm::Bias));
        assert_eq!(ConstantForm::of_operands(false, false), Ok(ConstantForm::Bias));
        assert_eq!(ConstantForm::of_operands(true, true), Err(BothForms));
    }
}
