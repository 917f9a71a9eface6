//! Int8 kernels for three instruction sets, which give the same bits.
//!
//! Three layers:
//!
//! 1. the exact integer **reference** of an operator stands in `cortado-contract` and defines the answer;
//! 2. a **generic** loop ([`generic`], one file per operator) computes it from a few micro-operations
//!    ([`micro::Micro`]), in safe Rust and for all instruction sets at once;
//! 3. an **arch** module ([`arch`]) implements the micro-operations: plain Rust for scalar cores, `SMLAD` and its
//!    relatives for DSP, tail-predicated loops for Helium. Next to each assembly block stands its portable model,
//!    so that every loop also runs on the host.
//!
//! Kernels take slices and a checked argument struct. The glue that a loader needs, [`loaders`] and [`Kernel`],
//! keeps an operator's arguments in a few words of state between the two, and reaches memory only through
//! [`memory::Memory`]. Those words hold places in memory as offsets and depend neither on the instruction set nor on the machine, so
//! they may be prepared on another one. Nothing here allocates or panics on what a file may hold.

#![no_std]
#![deny(unsafe_code)]

pub mod arch;
pub mod generic;
pub mod memory;
pub mod micro;
pub mod operand;
pub mod tile;

pub use generic::{
    Fault, Kernel, LoadFailure, STATE_VERSION, is_operator_built, loaders, state_words,
};
pub use memory::{Location, Memory};
pub use micro::Micro;
pub use operand::{Lists, Loaded, LoadedTensor};

#[cfg(cortado_isa = "invalid")]
compile_error!(
    "cortado-kernels: choose the firmware's instruction set with exactly one of the features `isa-scalar`, `isa-dsp` \
     and `isa-mve`, and one that the target has: `isa-mve` needs thumbv8m.main (Cortex-M52, M55, M85), `isa-dsp` needs \
     thumbv7em or thumbv8m.main (Cortex-M4, M7, M33, M35P and greater)"
);

/// The instruction set that this build's kernels use on the device; on the host, plain Rust.
#[cfg(cortado_isa = "dsp")]
pub type Native = arch::Dsp;
/// The instruction set that this build's kernels use on the device; on the host, plain Rust.
#[cfg(cortado_isa = "mve")]
pub type Native = arch::Mve;
/// The instruction set that this build's kernels use on the device; on the host, plain Rust.
#[cfg(not(any(cortado_isa = "dsp", cortado_isa = "mve")))]
pub type Native = arch::Scalar;

/// Whether this build's kernels are those of an instruction set: on a Cortex-M the one that was chosen, on the host all of them, as
/// portable models.
pub const fn has_kernels_of(isa: cortado_contract::Isa) -> bool {
    cfg!(cortado_isa = "model") || isa as u8 == <Native as Micro>::ISA as u8
}
