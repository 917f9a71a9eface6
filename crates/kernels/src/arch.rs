//! The instruction sets' micro-operations.
//!
//! Each type is there on every machine. Where the build's instruction set is the type's own, it runs assembly;
//! elsewhere it runs the portable model of that assembly, from [`model`], in the same loops.

#[cfg(any(cortado_isa = "dsp", cortado_isa = "scalar"))]
#[allow(unsafe_code, reason = "calls loops in assembly")]
mod channels;
#[cfg(any(cortado_isa = "dsp", cortado_isa = "scalar"))]
#[allow(unsafe_code, reason = "calls loops in assembly")]
mod copy;
pub mod dsp;
#[allow(unsafe_code, reason = "inline assembly")]
mod float;
pub mod model;
pub mod mve;
#[cfg(any(cortado_isa = "dsp", cortado_isa = "scalar"))]
#[allow(unsafe_code, reason = "calls loops in assembly")]
mod pair;
#[allow(unsafe_code, reason = "reads places that are checked once for all")]
mod pool;
#[cfg(any(cortado_isa = "dsp", cortado_isa = "scalar"))]
mod quads;
#[cfg(any(cortado_isa = "dsp", all(cortado_isa = "scalar", cortado_thumb = "2")))]
#[allow(unsafe_code, reason = "calls loops in assembly")]
mod rows;
pub mod scalar;
#[cfg(any(cortado_isa = "dsp", all(cortado_isa = "scalar", cortado_thumb = "2")))]
#[allow(unsafe_code, reason = "calls loops in assembly")]
mod windows;

pub use dsp::Dsp;
pub use mve::Mve;
pub use scalar::Scalar;

/// The value itself, though the compiler does not know that: a loop that ends by it is neither unrolled nor made into several, which takes
/// more code than it saves instructions where a loop is short or rare.
#[allow(unsafe_code, reason = "assembly without instructions")]
#[inline(always)]
pub(crate) fn hidden(value: usize) -> usize {
    #[cfg(target_arch = "arm")]
    {
        let mut value = value;
        // SAFETY: a comment is no instruction.
        unsafe {
            core::arch::asm!("/* {0} */", inlateout(reg) value, options(pure, nomem, nostack, preserves_flags));
        }
        value
    }
    #[cfg(not(target_arch = "arm"))]
    value
}
