//! Targets: a Cortex-M core and the instruction set that its kernels are built for.
//!
//! A [`Target`] is a value. It is parsed or made once and handed to whoever needs it; nothing in Cortado keeps
//! a current target or guesses one.

use core::fmt;
use core::str::FromStr;

/// A family of int8 kernels, fixed when a firmware is built.
///
/// The order is inclusion: a core that has one also has the lesser ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Isa {
    /// Plain Thumb or Thumb-2.
    Scalar,
    /// `SMLAD` and its relatives: Armv7E-M, or Armv8-M Mainline with the DSP extension.
    Dsp,
    /// Helium: the M-profile vector extension of Armv8.1-M.
    Mve,
}

impl Isa {
    /// Every instruction set, least first.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Dsp, Isa::Mve];

    /// The name used on the command line and in the target stamp.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Dsp => "dsp",
            Isa::Mve => "mve",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Isa {
    type Err = UnknownIsa;

    /// Parses a name as [`Isa::name`] gives it, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownIsa> {
        Isa::ALL.into_iter().find(|isa| isa.name().eq_ignore_ascii_case(text)).ok_or(UnknownIsa)
    }
}

/// The text names no instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownIsa;

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown instruction set; known are scalar, dsp and mve")
    }
}

impl core::error::Error for UnknownIsa {}

macro_rules! cpus {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $isa:ident;)*) => {
        /// A Cortex-M core.
        ///
        /// The discriminants are stored in the target stamp and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr(u8)]
        pub enum Cpu { $($(#[$doc])* $variant = $code,)* }

        impl Cpu {
            /// Every core, in the order of their names.
            pub const ALL: &'static [Cpu] = &[$(Cpu::$variant),*];

            /// The name as compilers spell it, such as `cortex-m55`.
            pub const fn name(self) -> &'static str {
                match self { $(Cpu::$variant => $name),* }
            }

            /// The greatest instruction set that the core can have; also its default.
            pub const fn default_isa(self) -> Isa {
                match self { $(Cpu::$variant => Isa::$isa),* }
            }

            /// The core with this discriminant.
            pub const fn from_code(code: u8) -> Option<Cpu> {
                match code { $($code => Some(Cpu::$variant),)* _ => None }
            }
        }
    };
}

cpus! {
    /// Armv6-M.
    M0 = 0, "cortex-m0", Scalar;
    /// Armv6-M.
    M0Plus = 1, "cortex-m0plus", Scalar;
    /// Armv6-M, for FPGAs.
    M1 = 2, "cortex-m1", Scalar;
    /// Armv7-M.
    M3 = 3, "cortex-m3", Scalar;
    /// Armv7E-M.
    M4 = 4, "cortex-m4", Dsp;
    /// Armv7E-M, dual issue.
    M7 = 5, "cortex-m7", Dsp;
    /// Armv8-M Baseline.
    M23 = 6, "cortex-m23", Scalar;
    /// Armv8-M Mainline, DSP optional.
    M33 = 7, "cortex-m33", Dsp;
    /// Armv8-M Mainline with tamper protection, DSP optional.
    M35P = 8, "cortex-m35p", Dsp;
    /// Armv8.1-M Mainline, Helium optional.
    M52 = 9, "cortex-m52", Mve;
    /// Armv8.1-M Mainline, Helium optional.
    M55 = 10, "cortex-m55", Mve;
    /// Armv8.1-M Mainline, Helium optional, dual issue.
    M85 = 11, "cortex-m85", Mve;
}

impl Cpu {
    /// The instruction sets that the core may be given, least first.
    pub fn allowed_isas(self) -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(move |isa| *isa <= self.default_isa())
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Cpu {
    type Err = UnknownCpu;

    /// Parses `cortex-m55`, `m55` or `Cortex-M0+`, in any case; `+` and `plus` are the same.
    fn from_str(text: &str) -> Result<Self, UnknownCpu> {
        let short = text.get(..7).filter(|prefix| prefix.eq_ignore_ascii_case("cortex-"));
        let text = if short.is_some() { &text[7..] } else { text };
        Cpu::ALL
            .iter()
            .copied()
            .find(|cpu| {
                let name = &cpu.name()[7..];
                name.eq_ignore_ascii_case(text)
                    || *cpu == Cpu::M0Plus && text.eq_ignore_ascii_case("m0+")
            })
            .ok_or(UnknownCpu)
    }
}

/// The text names no Cortex-M core that Cortado knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCpu;

impl fmt::Display for UnknownCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown core; known are ")?;
        write_list(f, Cpu::ALL.iter().map(|cpu| cpu.name()))
    }
}

impl core::error::Error for UnknownCpu {}

/// A core together with the instruction set that its kernels use: never greater than the core can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Target {
    cpu: Cpu,
    isa: Isa,
}

impl Target {
    /// A core with its default (greatest) instruction set.
    pub const fn new(cpu: Cpu) -> Self {
        Target { cpu, isa: cpu.default_isa() }
    }

    /// A core with a chosen instruction set, such as an M33 without the DSP extension.
    ///
    /// # Errors
    /// The core cannot have that instruction set.
    pub fn with_isa(cpu: Cpu, isa: Isa) -> Result<Self, UnsupportedIsa> {
        if isa <= cpu.default_isa() {
            Ok(Target { cpu, isa })
        } else {
            Err(UnsupportedIsa { cpu, isa })
        }
    }

    /// The core.
    pub const fn cpu(self) -> Cpu {
        self.cpu
    }

    /// The instruction set of the kernels.
    pub const fn isa(self) -> Isa {
        self.isa
    }
}

impl fmt::Display for Target {
    /// `cortex-m55`, or `cortex-m55 (dsp)` when the instruction set is not the core's default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cpu.name())?;
        if self.isa != self.cpu.default_isa() {
            write!(f, " ({})", self.isa)?;
        }
        Ok(())
    }
}

/// An instruction set that the core cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedIsa {
    /// The core asked for.
    pub cpu: Cpu,
    /// The instruction set that it lacks.
    pub isa: Isa,
}

impl fmt::Display for UnsupportedIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot have the {} instruction set; allowed for it: ", self.cpu, self.isa)?;
        write_list(f, self.cpu.allowed_isas().map(Isa::name))
    }
}

impl core::error::Error for UnsupportedIsa {}

fn write_list(
    f: &mut fmt::Formatter<'_>,
    names: impl Iterator<Item = &'static str>,
) -> fmt::Result {
    for (index, name) in names.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        f.write_str(name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn names_parse_back() {
        for cpu in Cpu::ALL {
            assert_eq!(cpu.name().parse(), Ok(*cpu));
            assert_eq!(cpu.name()[7..].parse(), Ok(*cpu));
            assert_eq!(cpu.name().to_uppercase().parse(), Ok(*cpu));
            assert_eq!(Cpu::from_code(*cpu as u8), Some(*cpu));
        }
        assert_eq!("Cortex-M0+".parse(), Ok(Cpu::M0Plus));
        assert_eq!("m0+".parse(), Ok(Cpu::M0Plus));
        for bad in ["", "cortex-m", "cortex-m56", "cortex-m4 ", "a55", "cortex-\u{e9}4", "m4+"] {
            assert_eq!(bad.parse::<Cpu>(), Err(UnknownCpu), "{bad:?}");
        }
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
        assert_eq!("neon".parse::<Isa>(), Err(UnknownIsa));
    }

    #[test]
    fn a_greater_isa_is_refused_with_the_allowed_ones() {
        let error = Target::with_isa(Cpu::M0, Isa::Mve).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cortex-m0 cannot have the mve instruction set; allowed for it: scalar"
        );
        let error = Target::with_isa(Cpu::M4, Isa::Mve).unwrap_err();
        assert!(error.to_string().ends_with("scalar, dsp"));
        for cpu in Cpu::ALL {
            for isa in Isa::ALL {
                let made = Target::with_isa(*cpu, isa);
                assert_eq!(made.is_ok(), isa <= cpu.default_isa());
            }
        }
    }

    #[test]
    fn targets_print() {
        assert_eq!(Target::new(Cpu::M55).to_string(), "cortex-m55");
        assert_eq!(Target::with_isa(Cpu::M55, Isa::Dsp).unwrap().to_string(), "cortex-m55 (dsp)");
    }
}
