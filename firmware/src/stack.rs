//! How much stack has been used, found by painting it.
//!
//! `cortex-m-rt` paints the stack at reset; what no longer has the paint has been used. A frame that was
//! reserved but not written to, at the very bottom, is missed.

use core::arch::asm;

use cortex_m_rt::STACK_PAINT_VALUE;

/// Bytes of stack there are.
pub fn bytes() -> usize {
    top() - bottom()
}

/// The most stack used since reset or the last [`repaint`], in bytes.
pub fn high_water_bytes() -> usize {
    let mut address = bottom();
    // SAFETY: the addresses lie in the stack, which is RAM; a volatile read of a word there is harmless
    // whatever it holds.
    while address < top() && unsafe { (address as *const u32).read_volatile() } == STACK_PAINT_VALUE
    {
        address += 4;
    }
    top() - address
}

/// Runs `work` and returns with its result how much stack it used, in bytes: not less than it did, and at least
/// [`MEASURED_BYTES_MIN`].
pub fn measure<R>(work: impl FnOnce() -> R) -> (R, usize) {
    // Inlined, what `work` needs would be in a frame that is in use already.
    #[inline(never)]
    fn call<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    let used_before = repaint();
    let result = call(work);
    (result, high_water_bytes().saturating_sub(used_before).max(MEASURED_BYTES_MIN))
}

/// Paints the stack below what is in use now, so that the high-water mark starts anew. Returns how many bytes
/// are in use.
#[inline(never)]
pub fn repaint() -> usize {
    let stack_pointer: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) stack_pointer, options(nomem, nostack, preserves_flags)) };
    let mut address = bottom();
    while address < stack_pointer - MEASURED_BYTES_MIN {
        // SAFETY: the word lies in the stack below its pointer, with a margin for the compiler, so that no
        // live frame is there; an interrupt's frame may be, but only while the interrupt runs, not we.
        unsafe { (address as *mut u32).write_volatile(STACK_PAINT_VALUE) };
        address += 4;
    }
    top() - stack_pointer
}

/// The least that [`measure`] reports: so much below the stack pointer is left unpainted.
pub const MEASURED_BYTES_MIN: usize = 64;

/// The stack's lowest address.
pub fn bottom() -> usize {
    (&raw const _stack_end).addr()
}

/// The address just above the stack.
pub fn top() -> usize {
    (&raw const _stack_start).addr()
}

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}
