//! The ground that a bare-metal image stands on, the same on six boards: memory, faults, the stack, counting
//! instructions and talk with the host.
//!
//! The build script settles the board and the instruction set ([`board`]). `cortex-m-rt` sets up the vector
//! table, the stack and the statics and turns the floating point and vector unit on; [`start`] does the rest.

#![no_std]

pub mod arguments;
#[cfg(feature = "bench")]
pub mod bench;
pub mod board;
#[cfg(feature = "cases")]
pub mod cases;
#[cfg(not(feature = "bare"))]
pub mod counter;
#[cfg(not(feature = "without-programs"))]
pub mod execute;
#[cfg(not(feature = "bare"))]
pub mod fault;
pub mod memory;
#[cfg(not(feature = "bare"))]
pub mod protection;
#[cfg(not(feature = "bare"))]
pub mod selftest;
pub mod semihosting;
#[cfg(not(feature = "bare"))]
pub mod stack;
#[cfg(not(feature = "without-programs"))]
pub mod trials;

/// Gets ready what start-up leaves off: memory protection and the clock. To be called first in `main`.
#[cfg(not(feature = "bare"))]
pub fn start() {
    protection::enable();
    counter::start_clock();
}
