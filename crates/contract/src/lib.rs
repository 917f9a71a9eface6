//! What Cortado's compiler and runtime both believe.
//!
//! This crate is the only place where the two meet besides the file format (`cortado-pte`): data types,
//! quantization parameters, targets, layout rules, the target stamp and the list of operators with
//! their arguments, rules and exact integer meaning. It allocates nothing, contains no `unsafe`, and leaves
//! speed to `cortado-kernels` and policy to `cortado-runtime`.
//!
//! An operator is declared once, in `ops/<operator>.rs`, and listed once, in [`for_each_operator!`];
//! encoder, decoder, dispatch, tests and documentation expand from that list.

#![no_std]
#![forbid(unsafe_code)]

pub mod border;
pub mod broadcast;
pub mod dtype;
pub mod float;
pub mod layout;
pub mod ops;
pub mod quant;
pub mod stamp;
pub mod strided;
pub mod target;
pub mod value;

pub use dtype::DType;
pub use layout::ConstantForm;
pub use target::{Cpu, Isa, Target};
