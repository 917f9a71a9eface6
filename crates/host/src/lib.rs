//! Running programs from a host.
//!
//! [`local`] runs them on this machine, with the portable models of a target's kernels. [`samples`] turns
//! arrays into the bytes that a program reads and writes, and back.

#![forbid(unsafe_code)]

pub mod local;
pub mod samples;
