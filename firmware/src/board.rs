//! The board and instruction set that this image was built for.

include!(concat!(env!("OUT_DIR"), "/board.rs"));

/// The part number in the core's CPUID register, to compare with [`CPUID_PART`].
pub fn cpuid_part() -> u32 {
    const CPUID: *const u32 = 0xe000_ed00 as *const u32;
    // SAFETY: every Cortex-M core has this register at this address; reading it has no effect.
    let cpuid = unsafe { CPUID.read_volatile() };
    cpuid >> 4 & 0xfff
}
