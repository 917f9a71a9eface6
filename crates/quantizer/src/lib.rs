//! From a float model to int8, on the host: what `cortado quantize` does.
//!
//! [`execute`] runs a graph in binary32.

#![forbid(unsafe_code)]

pub mod execute;
pub mod tensor;
