//! The memory that the linker script sets aside: the program's place and the arena.

use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};

/// The first `bytes` of the program's place, in which the emulator has put a file; `None` if that many do not
/// fit. Aligned to 16 bytes.
pub fn program(bytes: usize) -> Option<&'static [u8]> {
    if bytes > program_bytes_max() {
        return None;
    }
    let start = (&raw const __program_start).cast::<u8>();
    // SAFETY: the linker script reserves the bytes from `__program_start` to `__program_end` for the program
    // and `bytes` is at most their number. Nothing in the image writes there, and the emulator only before
    // the core starts.
    Some(unsafe { slice::from_raw_parts(start, bytes) })
}

/// How large a program may be on this board, with this image, in bytes.
pub fn program_bytes_max() -> usize {
    (&raw const __program_end).addr() - (&raw const __program_start).addr()
}

/// All RAM that neither the statics nor the stack need, aligned to 16 bytes and zeroed; `None` when it has been
/// handed out already.
pub fn take_arena() -> Option<&'static mut [u8]> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    // Not `swap`: Armv6-M has no atomic read-modify-write. Only `main` runs code that calls this; interrupt
    // handlers do not.
    if TAKEN.load(Ordering::Relaxed) {
        return None;
    }
    TAKEN.store(true, Ordering::Relaxed);
    let start = (&raw mut __arena_start).cast::<u8>();
    let bytes = (&raw const __arena_end).addr() - start.addr();
    // SAFETY: the linker script gives the bytes from `__arena_start` to `__arena_end` to nothing else, and the
    // flag above lets only one caller have them. They are RAM, initialised by the zeroing.
    unsafe {
        start.write_bytes(0, bytes);
        Some(slice::from_raw_parts_mut(start, bytes))
    }
}

unsafe extern "C" {
    static __program_start: u32;
    static __program_end: u32;
    static mut __arena_start: u32;
    static __arena_end: u32;
}
