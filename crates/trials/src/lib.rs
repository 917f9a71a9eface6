//! Programs on trial: what must hold for any program and any file, as functions that tests and fuzz targets share.
//!
//! * [`interpret`] computes a program by the contract's references, call by call.
//! * [`operators`] makes random calls of every operator with integer results.
//! * [`graphs`] makes random quantized models, and says within which bounds they compute.
//! * [`targets`] holds the bodies of the fuzz targets in `fuzz/`; ordinary tests replay `testdata/fuzz` through them.

#![forbid(unsafe_code)]

pub mod choices;
pub mod graphs;
pub mod interpret;
pub mod operators;
pub mod targets;
