//! Runs a `.pte` program on a microcontroller: load once, execute many times.
//!
//! ```text
//! let program = Program::parse(MODEL)?;
//! let mut method = program.load(LayoutPolicy::Refuse, &mut state, &mut arena)?;
//! method.set_input::<f32>(0, &samples)?;
//! method.execute()?;
//! let scores = method.output::<f32>(0)?;
//! ```
//!
//! Loading checks everything once: the file's structure, the target stamp, every operator's name, types, extents, parameters,
//! memory and layout form. What it finds wrong it refuses with an error that says where; so a program is either
//! computed exactly or not at all. [`Method::execute`] then looks nothing up and allocates nothing.
//!
//! Memory is the caller's: the file is read in place, activations live in an arena and prepared operators in a few words of
//! state. Both sizes are known before ([`Program::requirements`]). The arena may be several banks of memory, if the program was
//! compiled for them, and inputs and outputs may be the caller's own buffers ([`Method::execute_with`]).

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
