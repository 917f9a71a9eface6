//! ExecuTorch's program format, `.pte`: reading on the device, writing and dumping on the host.
//!
//! This crate knows how a program is written down and nothing of what it means: operators are names,
//! arguments are indices of values, constants are bytes.
//!
//! * [`Program`] and the views that it leads to read a file in place, without allocation. Nothing is
//!   verified ahead: each accessor checks what it reads, on any bytes, and returns an [`Error`]
//!   rather than panicking or reading outside of the file.
//! * `owned` (feature `write`) is the same as plain data to build or edit, and `write` writes it so
//!   that ExecuTorch's runtime and tools load it.
//! * `dump` (feature `dump`) is a readable text of a whole program.
//! * Feature `serde` lets the owned model be serialized.
//!
//! # The format
//!
//! A file is a flatbuffer (schema `program.fbs`, identifier `ET12`) with a header of ExecuTorch's own
//! behind the flatbuffer's eight bytes, then *segments*: byte ranges that the flatbuffer describes.
//! The constants of a program share one segment, in which each has an offset; a constant's length is
//! not stored but follows from the tensor that uses it.
//!
//! ```
//! # fn run(file: &[u8]) -> Result<(), cortado_pte::Error> {
//! use cortado_pte::{Instruction, Program, Value};
//!
//! let program = Program::parse(file)?;
//! let plan = program.plan("forward")?;
//! for chain in plan.chains()?.iter() {
//!     for instruction in chain?.instructions()?.iter() {
//!         if let Instruction::KernelCall { op_index, args } = instruction? {
//!             let operator = plan.operator(op_index)?;
//!             for arg in args.iter() {
//!                 if let Value::Tensor(tensor) = plan.value(arg)? {
//!                     let _ = (operator, tensor.sizes()?);
//!                 }
//!             }
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "write", feature = "dump"))]
extern crate alloc;

mod error;
mod flatbuffer;
mod plan;
mod program;
mod schema;
mod value;

#[cfg(any(feature = "write", feature = "dump"))]
mod budget;
#[cfg(feature = "dump")]
mod dump;
#[cfg(feature = "write")]
pub mod owned;
#[cfg(feature = "write")]
mod write;

pub use error::{Error, ErrorKind};
pub use flatbuffer::{Scalars, Text, Vector};
pub use plan::{
    BufferDevice, Chain, CompileSpec, ContainerMetadata, DataReference, Delegate, Frame, FrameList,
    Instruction, Operator, Plan,
};
pub use program::{InlineData, NamedData, Program, Segment, Subsegments};
pub use value::{
    Allocation, ExtraTensorInfo, ScalarType, ShapeDynamism, Storage, Tensor, TensorLocation, Value,
};

#[cfg(feature = "dump")]
pub use dump::dump;
#[cfg(feature = "write")]
pub use write::{WriteError, WriteOptions, write};

/// Highest schema version of a program that this crate reads (ExecuTorch's
/// `EXECUTORCH_SCHEMA_VERSION`), and the one to write.
pub const MAX_VERSION: u32 = 0;

/// Most dimensions that a tensor may have (ExecuTorch's `kTensorDimensionLimit`).
pub const MAX_RANK: usize = 16;

/// Alignment in bytes that ExecuTorch gives to the data of constants, from the start of the file.
pub const CONSTANT_ALIGNMENT: usize = 16;
