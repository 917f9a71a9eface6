//! Programs on trial: what must hold for any program and any file, as functions that tests and fuzz targets share.
//!
//! * [`interpret`] computes a program by the contract's references, call by call.
//! * [`operators`] makes random calls of every operator with integer results.
//! * [`mutants`] breaks one thing of a program at a time, and judges what becomes of it.
//! * [`graphs`] makes random quantized models, and says within which bounds they compute.
//! * [`packs`] puts many programs into one file for a board.
//! * [`targets`] holds the bodies of the fuzz targets in `fuzz/`; ordinary tests replay `testdata/fuzz` through them.

#![forbid(unsafe_code)]

pub mod choices;
pub mod graphs;
pub mod interpret;
pub mod mutants;
pub mod operators;
pub mod packs;
pub mod targets;
pub mod valid;
