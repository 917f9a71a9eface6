//! Runs compiled programs on a microcontroller: made ready once, executed many times, without an allocation.
//!
//! A program comes in one of two forms. **Linked**, it was loaded when it was compiled: the module that `cortado compile` writes beside the
//! `.pte` has its prepared state, its constants and a table of just the kernels that it uses. Nothing reads or checks a file on the
//! device, and the state stays in flash.
//!
//! ```no_run
//! # mod model {
//! #     use cortado_runtime::{Aligned, Linked, Method};
//! #     pub type Arena = Aligned<16>;
//! #     pub type Output0Element = f32;
//! #     static LINKED: Linked = Linked::new(&[], &[0, 0, 3], &[]);
//! #     pub fn link(arena: &mut Arena) -> Method<'_> {
//! #         LINKED.method(&mut arena.0)
//! #     }
//! # }
//! # fn run(samples: &[f32]) -> Result<(), Box<dyn std::error::Error>> {
//! let mut arena = model::Arena::new();                           // `mod model;` is the module
//! let mut method = model::link(&mut arena);
//! method.set_input(0, samples)?;
//! method.execute()?;
//! let scores = method.output::<model::Output0Element>(0)?;
//! # Ok(())
//! # }
//! ```
//!
//! The module's constant assertions tie it to the bytes of its program, to the instruction set of this build and to the version of prepared
//! state: where one of these is another, the firmware does not compile.
//!
//! **From a file**, a program is loaded on the device, say after an update over the air. Loading checks everything once: the file's
//! structure, the target stamp, every operator's name, types, extents, parameters, memory and layout form. What it finds wrong it
//! refuses with an error that says where; so a program is either computed exactly or not at all.
//!
//! ```no_run
//! use cortado_runtime::{LayoutPolicy, Operators, Program, operators};
//!
//! const SET: Operators = operators![QuantizePerTensor, QuantizedLinear, DequantizePerTensor];
//! # fn run(file: &[u8], samples: &[f32]) -> Result<(), Box<dyn std::error::Error>> {
//! # let (mut state, mut arena) = ([0; 64], cortado_runtime::Aligned::<256>::new());
//! let program = Program::parse(file)?;
//! let mut method = program.load_with(&SET, LayoutPolicy::Refuse, &mut state, &mut arena.0)?;
//! method.set_input(0, samples)?;
//! method.execute()?;
//! let scores = method.output::<f32>(0)?;
//! # Ok(())
//! # }
//! ```
//!
//! Only the kernels of the set are linked, and an operator that is not in it is refused by name. [`Program::load`] takes every operator of
//! the build. Both forms give the same [`Method`]: executing looks nothing up by name and allocates nothing.
//!
//! Memory is the caller's: the file is read in place, activations live in an arena and prepared operators in a few words of
//! state. Both sizes are known before ([`Program::requirements`]). The arena may be several banks of memory, if the program was
//! compiled for them, and inputs and outputs may be the caller's own buffers ([`Method::execute_with`]).
//!
//! # Features
//!
//! * `isa-scalar`, `isa-dsp`, `isa-mve`: the instruction set of the kernels, exactly one on a Cortex-M. On the host all are there, as portable
//!   models.
//! * `float`: [`Operators::all`] has operators in float too. A set that names one has it without the feature.
//! * `defmt`: errors implement `defmt::Format`.

#![no_std]
#![forbid(unsafe_code)]

mod arguments;
mod context;
mod error;
mod head;
mod lifetimes;
mod linked;
mod method;
mod operators;
mod program;

pub use context::BankSizes;
pub use cortado_contract::border::Quantization;
pub use cortado_contract::ops::OperatorKind;
pub use cortado_contract::target::{Cpu, Isa, Target};
pub use cortado_contract::{ConstantForm, DType};
pub use cortado_kernels::memory::{Element, MAX_REGIONS, bytes_of};
pub use cortado_kernels::{Kernel, Micro, Native, STATE_VERSION, arch, has_kernels_of};
pub use error::{
    ExecuteError, LayoutMismatch, LoadError, OperatorProblem, TensorError, Unsupported,
};
pub use linked::{Linked, digest};
pub use method::{Method, Step, TensorInfo};
pub use operators::{Loader, Operators};
pub use program::{Banks, LayoutPolicy, Program, Requirements};

/// Bytes that start at a multiple of [`ALIGNMENT`]: a program's file in flash, or a bank of its arena.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Aligned<const N: usize>(pub [u8; N]);

impl<const N: usize> Aligned<N> {
    /// Bytes that are all 0.
    #[allow(clippy::new_without_default, reason = "it is for statics")]
    pub const fn new() -> Self {
        Aligned([0; N])
    }

    /// The `N` bytes of `bytes` from `start` on. To be called in constants.
    ///
    /// # Panics
    /// There are fewer.
    pub const fn copy_of(bytes: &[u8], start: usize) -> Self {
        match bytes.split_at(start).1.first_chunk() {
            Some(chunk) => Aligned(*chunk),
            None => panic!("there are fewer bytes"),
        }
    }
}

const _: () =
    assert!(align_of::<Aligned<1>>() == ALIGNMENT, "the type above is aligned by this constant");

/// The alignment in bytes that a program's file, the banks of its arena, and lent inputs and outputs must have.
pub const ALIGNMENT: usize = 16;
