//! What happens when something goes wrong: a report on the console and an exit code of its own, never silence.

use core::arch::global_asm;
use core::panic::PanicInfo;

use cortex_m_rt::exception;

use crate::{println, semihosting, stack};

/// Exit code after a panic.
pub const PANIC_EXIT_CODE: u8 = 101;
/// Exit code after a fault of the core.
pub const FAULT_EXIT_CODE: u8 = 102;
/// Exit code after an exception or interrupt that nobody asked for.
pub const UNEXPECTED_EXCEPTION_EXIT_CODE: u8 = 103;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("{info}");
    semihosting::exit(PANIC_EXIT_CODE)
}

/// Every other exception ends here, the configurable faults excepted, which are left disabled and so become
/// hard faults.
#[exception]
unsafe fn DefaultHandler(number: i16) -> ! {
    println!("unexpected exception: interrupt number {number}");
    semihosting::exit(UNEXPECTED_EXCEPTION_EXIT_CODE)
}

// Enters `report_hard_fault(frame, exc_return)`. If the stack may be what failed, it is given up and the report
// starts at its top again: without a usable stack, the report's own first push would lock the core up.
global_asm!(
    ".section .HardFault.user, \"ax\"",
    ".global HardFault",
    ".type HardFault,%function",
    ".thumb_func",
    "HardFault:",
    "mrs r0, msp",
    "mov r1, lr",
    "ldr r2, =_stack_end + {reserve}",
    "cmp r0, r2",
    "bhs 2f",
    "ldr r2, =_stack_start",
    "msr msp, r2",
    "2:",
    "bl {report}",
    ".pool",
    ".size HardFault, . - HardFault",
    reserve = const REPORT_STACK_BYTES,
    report = sym report_hard_fault,
);

/// Stack that the report needs.
const REPORT_STACK_BYTES: usize = 1024;

/// What the core pushes when it takes an exception.
#[repr(C)]
struct Frame {
    r0: u32,
    r1: u32,
    r2: u32,
    r3: u32,
    r12: u32,
    lr: u32,
    pc: u32,
    xpsr: u32,
}

extern "C" fn report_hard_fault(frame: *const Frame, exc_return: u32) -> ! {
    println!("hard fault (exc_return {exc_return:#010x}, sp {:#010x})", frame.addr());
    if frame.addr() < stack::bottom() + size_of::<Frame>() {
        println!("  the stack of {} bytes has overflowed", stack::bytes());
    } else if frame.addr() < stack::top() {
        // SAFETY: the frame lies in the stack, where the core has just pushed it; all bits are valid in it.
        let Frame { r0, r1, r2, r3, r12, lr, pc, xpsr } = unsafe { frame.read_volatile() };
        println!("  pc  {pc:#010x}  lr  {lr:#010x}  xpsr {xpsr:#010x}");
        println!(
            "  r0  {r0:#010x}  r1  {r1:#010x}  r2  {r2:#010x}  r3  {r3:#010x}  r12 {r12:#010x}"
        );
    }
    report_status();
    semihosting::exit(FAULT_EXIT_CODE)
}

/// The fault status registers, which Armv6-M does not have.
#[cfg(not(cortado_architecture = "armv6m"))]
fn report_status() {
    const CFSR: *const u32 = 0xe000_ed28 as *const u32;
    const HFSR: *const u32 = 0xe000_ed2c as *const u32;
    const MMFAR: *const u32 = 0xe000_ed34 as *const u32;
    const BFAR: *const u32 = 0xe000_ed38 as *const u32;
    // SAFETY: every core of Armv7-M and Armv8-M Mainline has these registers; reading them has no effect.
    let (cfsr, hfsr, mmfar, bfar) = unsafe {
        (CFSR.read_volatile(), HFSR.read_volatile(), MMFAR.read_volatile(), BFAR.read_volatile())
    };
    println!("  cfsr {cfsr:#010x}  hfsr {hfsr:#010x}");
    // Names and bits from the Armv8-M Architecture Reference Manual, D1.2 (CFSR); the last does not exist
    // before Armv8-M.
    let causes = [
        (0, "instruction fetch from memory without permission"),
        (1, "data access to memory without permission"),
        (3, "memory fault while leaving an exception"),
        (4, "memory fault while entering an exception"),
        (8, "bus error at an instruction fetch"),
        (9, "bus error at a data access"),
        (10, "bus error, imprecise"),
        (11, "bus error while leaving an exception"),
        (12, "bus error while entering an exception"),
        (16, "undefined instruction"),
        (17, "invalid state: a jump to an address without the Thumb bit"),
        (18, "invalid exception return"),
        (19, "coprocessor, floating point or vector unit absent or off"),
        (20, "stack limit passed"),
        (24, "unaligned access"),
        (25, "division by zero"),
    ];
    for (bit, cause) in causes {
        if cfsr & 1 << bit != 0 {
            println!("  {cause}");
        }
    }
    if cfsr & 1 << 7 != 0 {
        println!("  at address {mmfar:#010x}");
    }
    if cfsr & 1 << 15 != 0 {
        println!("  at address {bfar:#010x}");
    }
}

#[cfg(cortado_architecture = "armv6m")]
fn report_status() {
    println!(
        "  Armv6-M does not tell the cause: bad address, unaligned access, undefined instruction, ..."
    );
}
