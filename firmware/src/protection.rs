//! Memory protection: the image can read and run its flash, read its program and use its RAM; every other access
//! faults, at the address that went wrong.
//!
//! The emulated MPS2 boards answer accesses to nowhere with 0 and a write to flash or to a constant just
//! happens. With the memory protection unit on, the same mistakes fault as they would on a device, and so does a
//! stack that grows out of the RAM's bottom. Armv6-M has no such unit; the emulated micro:bit faults by
//! itself. What an M0 does have is a fault at each unaligned access, and a core that stands for one is told to.
//!
//! Source: Armv7-M Architecture Reference Manual, B3.2.8 and B3.5; Armv8-M Architecture Reference Manual, B8.

/// Turns the protection on, where there is any.
#[cfg(cortado_architecture = "armv6m")]
pub fn enable() {
    const CONFIGURATION: *mut u32 = 0xe000_ed14 as *mut u32;
    const TRAP_UNALIGNED: u32 = 1 << 3;
    // SAFETY: on an M0 the bit is set and cannot be changed; on an M3 that executes its code it makes unaligned accesses fault.
    unsafe { CONFIGURATION.write_volatile(CONFIGURATION.read_volatile() | TRAP_UNALIGNED) };
}

/// Turns the protection on, where there is any.
#[cfg(not(cortado_architecture = "armv6m"))]
pub fn enable() {
    use core::arch::asm;

    use crate::board::{FLASH, PROGRAM, RAM};

    const CONTROL: *mut u32 = 0xe000_ed94 as *mut u32;
    const ENABLE: u32 = 1;

    set_region(0, FLASH, Access::ReadExecute);
    set_region(1, RAM, Access::ReadWrite);
    if let Some(program) = PROGRAM {
        set_region(2, program, Access::Read);
    }
    // SAFETY: the regions cover all that the image uses, registers of the core excepted, which are never
    // protected. Fault handlers run without protection.
    unsafe {
        asm!("dsb", options(nostack, preserves_flags));
        CONTROL.write_volatile(ENABLE);
        asm!("dsb", "isb", options(nostack, preserves_flags));
    }
}

/// What the image may do in a region.
#[cfg(not(cortado_architecture = "armv6m"))]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    ReadExecute,
    ReadWrite,
}

/// Sets a region of normal, cacheable memory.
#[cfg(cortado_architecture = "armv7m")]
fn set_region(number: u32, (start, bytes): (u32, u32), access: Access) {
    const BASE_ADDRESS: *mut u32 = 0xe000_ed9c as *mut u32;
    const ATTRIBUTES_AND_SIZE: *mut u32 = 0xe000_eda0 as *mut u32;
    const ENABLE: u32 = 1;
    const NUMBER_IS_VALID: u32 = 1 << 4;
    const WRITE_BACK_CACHED: u32 = 0b001_011 << 16;
    const PRIVILEGED_READ_WRITE: u32 = 0b001 << 24;
    const PRIVILEGED_READ: u32 = 0b101 << 24;
    const EXECUTE_NEVER: u32 = 1 << 28;

    assert!(bytes.is_power_of_two() && bytes >= 32 && start.is_multiple_of(bytes));
    let access = match access {
        Access::Read => PRIVILEGED_READ | EXECUTE_NEVER,
        Access::ReadExecute => PRIVILEGED_READ,
        Access::ReadWrite => PRIVILEGED_READ_WRITE | EXECUTE_NEVER,
    };
    let size = (bytes.ilog2() - 1) << 1;
    // SAFETY: the registers belong to this module, and the unit is off.
    unsafe {
        BASE_ADDRESS.write_volatile(start | NUMBER_IS_VALID | number);
        ATTRIBUTES_AND_SIZE.write_volatile(access | WRITE_BACK_CACHED | size | ENABLE);
    }
}

/// Sets a region of normal, cacheable memory.
#[cfg(cortado_architecture = "armv8m")]
fn set_region(number: u32, (start, bytes): (u32, u32), access: Access) {
    const NUMBER: *mut u32 = 0xe000_ed98 as *mut u32;
    const BASE_ADDRESS: *mut u32 = 0xe000_ed9c as *mut u32;
    const LIMIT_ADDRESS: *mut u32 = 0xe000_eda0 as *mut u32;
    const MEMORY_ATTRIBUTES: *mut u32 = 0xe000_edc0 as *mut u32;
    const ENABLE: u32 = 1;
    const EXECUTE_NEVER: u32 = 1;
    const PRIVILEGED_READ_WRITE: u32 = 0b00 << 1;
    const PRIVILEGED_READ: u32 = 0b10 << 1;
    const WRITE_BACK_CACHED: u32 = 0xff;

    assert!(bytes >= 32 && start.is_multiple_of(32) && bytes.is_multiple_of(32));
    let access = match access {
        Access::Read => PRIVILEGED_READ | EXECUTE_NEVER,
        Access::ReadExecute => PRIVILEGED_READ,
        Access::ReadWrite => PRIVILEGED_READ_WRITE | EXECUTE_NEVER,
    };
    // SAFETY: the registers belong to this module, and the unit is off.
    unsafe {
        MEMORY_ATTRIBUTES.write_volatile(WRITE_BACK_CACHED);
        NUMBER.write_volatile(number);
        BASE_ADDRESS.write_volatile(start | access);
        LIMIT_ADDRESS.write_volatile((start + (bytes - 32)) | ENABLE);
    }
}
