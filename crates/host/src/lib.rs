//! Running programs from a host.
//!
//! [`local`] runs them on this machine, with the portable models of a target's kernels; [`boards`] runs them on emulated boards, with
//! the kernels themselves. [`samples`] turns
//! arrays into the bytes that a program reads and writes, and back.

#![forbid(unsafe_code)]

pub mod boards;
pub mod local;
pub mod mutate;
pub mod recorded;
pub mod samples;
