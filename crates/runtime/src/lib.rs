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
//! state. Both sizes are known before ([`Program::requirements`]).

#![no_std]
#![forbid(unsafe_code)]

mod arguments;
mod error;
mod method;
mod program;

pub use cortado_contract::target::{Cpu, Isa, Target};
pub use cortado_contract::{ConstantForm, DType};
pub use cortado_kernels::memory::Element;
pub use cortado_kernels::{Micro, Native, arch};
pub use error::{
    ExecuteError, LayoutMismatch, LoadError, OperatorProblem, TensorError, Unsupported,
};
pub use method::{Method, TensorInfo};
pub use program::{LayoutPolicy, Program, Requirements};

/// The alignment in bytes that a program's file and its arena must have.
pub const ALIGNMENT: usize = 16;
