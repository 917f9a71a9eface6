//! Cortado's runtime for C: what `include/cortado.h` declares.
//!
//! The header is the documentation of these functions. It is written by hand; `tests/header.rs` holds it against this crate.
//!
//! C's promises cannot be checked by a compiler, so this crate checks what can be checked when a function is called: null pointers,
//! alignment, lengths, overlapping memory, a method that was not loaded or was moved, a call from an interrupt. [`handle`] is the
//! method's opaque memory, [`memory`] turns pointers into slices; both say what they rely on. Behind them everything is the safe
//! Rust of `cortado-runtime`, which checks bounds even where a caller corrupts its state.
//!
//! # Panics
//!
//! There is nothing to unwind on a device, so the archive for one has a panic handler that calls C's `abort`. Nothing leads there:
//! `cargo xtask c` looks at linked firmware and finds no caller.

#![cfg_attr(target_os = "none", no_std)]

pub mod error;
pub mod handle;
pub mod linked;
pub mod memory;
pub mod method;
pub mod tensor;

#[cfg(target_os = "none")]
mod panic;

use core::ffi::{CStr, c_char};
use cortado_runtime::{Micro, Native};

/// The version of the library: major, minor and patch in 16, 8 and 8 bits.
pub const VERSION: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
    | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
    | number(env!("CARGO_PKG_VERSION_PATCH"));

const fn number(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("Cargo's version has other than numbers"),
    }
}

/// See `cortado.h`.
#[unsafe(no_mangle)]
pub extern "C" fn cortado_version() -> u32 {
    VERSION
}

/// See `cortado.h`.
#[unsafe(no_mangle)]
pub extern "C" fn cortado_isa() -> *const c_char {
    const NAME: &CStr = match Native::ISA {
        cortado_runtime::Isa::Scalar => c"scalar",
        cortado_runtime::Isa::Dsp => c"dsp",
        cortado_runtime::Isa::Mve => c"mve",
    };
    NAME.as_ptr()
}
