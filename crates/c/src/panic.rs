//! What a panic does on a device.

use core::panic::PanicInfo;

unsafe extern "C" {
    safe fn abort() -> !;
}

/// Ends the firmware as C does. A linker drops this where nothing can panic, and `abort` with it.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    abort()
}
