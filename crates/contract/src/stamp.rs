//! The target stamp: what a `.pte` says about the target that it was compiled for.
//!
//! A named-data entry with the key [`KEY`]; ExecuTorch's runtime ignores entries that it does not ask for. The
//! content is [`SIZE_BYTES`] bytes:
//!
//! | offset | bytes | meaning |
//! |---|---|---|
//! | 0 | 4 | `CTDO` |
//! | 4 | 1 | version of the stamp's format, [`VERSION`] |
//! | 5 | 1 | core, the discriminant of [`Cpu`] |
//! | 6 | 1 | instruction set: 0 scalar, 1 DSP, 2 MVE |
//! | 7 | 1 | form of linear layers' constant terms: 0 bias, 1 kernel sum |
//! | 8 | 1 | rounding of requantization: 0 double (CMSIS-NN's default) |
//! | 9 | 1 | reserved, 0 |
//! | 10 | 6 | compiler version: major, minor, patch, 16-bit little-endian |

use crate::layout::ConstantForm;
use crate::target::{Cpu, Isa, Target};

/// The key of the named-data entry.
pub const KEY: &str = "cortado.target";
/// The version of the stamp's format that this crate writes and reads.
pub const VERSION: u8 = 1;
/// The size of a stamp.
pub const SIZE_BYTES: usize = 16;
const MAGIC: [u8; 4] = *b"CTDO";

/// How accumulators are rescaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Two roundings, as [`crate::quant::requantize`]: CMSIS-NN's default, and the only mode of Cortado's kernels.
    Double,
}

/// What a program says about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetStamp {
    /// The target that the program was compiled for.
    pub target: Target,
    /// The form of linear layers' constant terms.
    pub constant_form: ConstantForm,
    /// How accumulators are rescaled.
    pub rounding: Rounding,
    /// The compiler's version: major, minor, patch.
    pub compiler: [u16; 3],
}

impl TargetStamp {
    /// The stamp of a program compiled for `target` by the compiler of this version.
    pub const fn new(target: Target, compiler: [u16; 3]) -> Self {
        let constant_form = target.isa().constant_form();
        TargetStamp { target, constant_form, rounding: Rounding::Double, compiler }
    }

    /// The stamp's bytes.
    pub const fn to_bytes(&self) -> [u8; SIZE_BYTES] {
        let form = match self.constant_form {
            ConstantForm::Bias => 0,
            ConstantForm::KernelSum => 1,
        };
        let [a, b, c, d] = MAGIC;
        let [major, minor, patch] = self.compiler;
        let ([m0, m1], [n0, n1], [p0, p1]) =
            (major.to_le_bytes(), minor.to_le_bytes(), patch.to_le_bytes());
        let (cpu, isa) = (self.target.cpu() as u8, self.target.isa() as u8);
        [a, b, c, d, VERSION, cpu, isa, form, 0, 0, m0, m1, n0, n1, p0, p1]
    }

    /// Reads a stamp.
    ///
    /// # Errors
    /// See [`StampError`]. A stamp whose form is not the one that its own instruction set reads is an error: no
    /// compiler writes it, so either of the two is wrong.
    pub fn parse(bytes: &[u8]) -> Result<TargetStamp, StampError> {
        let bytes: &[u8; SIZE_BYTES] = bytes.try_into().map_err(|_| StampError::Malformed)?;
        let [a, b, c, d, version, cpu, isa, form, rounding, _, m0, m1, n0, n1, p0, p1] = *bytes;
        if [a, b, c, d] != MAGIC {
            return Err(StampError::Malformed);
        }
        if version != VERSION {
            return Err(StampError::Version(version));
        }
        let cpu = Cpu::from_code(cpu).ok_or(StampError::Malformed)?;
        let isa = *Isa::ALL.get(usize::from(isa)).ok_or(StampError::Malformed)?;
        let target = Target::with_isa(cpu, isa).map_err(|_| StampError::Contradiction)?;
        let constant_form = match form {
            0 => ConstantForm::Bias,
            1 => ConstantForm::KernelSum,
            _ => return Err(StampError::Malformed),
        };
        if rounding != 0 {
            return Err(StampError::Rounding(rounding));
        }
        if constant_form != isa.constant_form() {
            return Err(StampError::Contradiction);
        }
        let compiler = [
            u16::from_le_bytes([m0, m1]),
            u16::from_le_bytes([n0, n1]),
            u16::from_le_bytes([p0, p1]),
        ];
        Ok(TargetStamp { target, constant_form, rounding: Rounding::Double, compiler })
    }
}

/// Why a stamp cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StampError {
    /// The bytes are not a stamp, or name an unknown core, instruction set or form.
    Malformed,
    /// The stamp has another format version.
    Version(u8),
    /// The program was made for another rounding mode.
    Rounding(u8),
    /// The stamp's own fields exclude each other.
    Contradiction,
}

impl core::fmt::Display for StampError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            StampError::Malformed => f.write_str("the target stamp is malformed"),
            StampError::Version(found) => {
                write!(
                    f,
                    "the target stamp has format version {found}; this build reads version {VERSION}"
                )
            }
            StampError::Rounding(found) => {
                write!(
                    f,
                    "the program was made for rounding mode {found}; kernels have only mode 0 (double)"
                )
            }
            StampError::Contradiction => f.write_str("the target stamp contradicts itself"),
        }
    }
}

impl core::error::Error for StampError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_round_trip() {
        for cpu in Cpu::ALL {
            for isa in cpu.allowed_isas() {
                let stamp = TargetStamp::new(Target::with_isa(*cpu, isa).unwrap(), [1, 2, 300]);
                assert_eq!(TargetStamp::parse(&stamp.to_bytes()), Ok(stamp));
            }
        }
    }

    #[test]
    fn every_changed_byte_is_noticed_or_names_another_target() {
        let stamp = TargetStamp::new(Target::new(Cpu::M55), [0, 1, 0]);
        for position in 0..8 {
            let mut bytes = stamp.to_bytes();
            bytes[position] ^= 1;
            assert_ne!(TargetStamp::parse(&bytes), Ok(stamp), "byte {position}");
        }
        assert_eq!(TargetStamp::parse(&[]), Err(StampError::Malformed));
        assert_eq!(TargetStamp::parse(&stamp.to_bytes()[..15]), Err(StampError::Malformed));
    }

    #[test]
    fn contradictions_are_errors() {
        let mut bytes = TargetStamp::new(Target::new(Cpu::M55), [0, 1, 0]).to_bytes();
        bytes[7] = 0;
        assert_eq!(TargetStamp::parse(&bytes), Err(StampError::Contradiction));
        let mut bytes = TargetStamp::new(Target::new(Cpu::M0), [0, 1, 0]).to_bytes();
        bytes[6] = 2;
        assert_eq!(TargetStamp::parse(&bytes), Err(StampError::Contradiction));
        bytes[4] = 9;
        assert_eq!(TargetStamp::parse(&bytes), Err(StampError::Version(9)));
    }
}
