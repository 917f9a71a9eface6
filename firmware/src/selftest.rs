//! Shows that the ground is firm: the core is the one the image was built for, its units work, time is
//! counted, memory and files are there, and faults are reported.
//!
//! Words on the command line, all optional:
//!
//! * `program=BYTES`: the length of the program that was loaded; its FNV-1a digest is printed;
//! * `read=PATH`: prints the digest of a file of the host;
//! * `write=PATH`: writes a file that repeats the command line;
//! * `loop=ITERATIONS`: counts the instructions of a loop of known length;
//! * `fault=KIND`: does something wrong, see [`misbehave`];
//! * `exit=CODE`: the exit code of a run in which all went well.

use core::arch::asm;
use core::hint::black_box;

use crate::arguments::Arguments;
use crate::counter::{Counter, RESOLUTION_INSTRUCTIONS, known_loop};
use crate::semihosting::{File, FileError};
use crate::{board, memory, println, stack};

/// Runs the checks and returns the exit code: 1 if one of them failed, else the one asked for.
pub fn run(arguments: Arguments<'_>) -> u8 {
    println!("board {} cpu {} isa {}", board::NAME, board::CPU, board::ISA);
    for (index, word) in arguments.words().enumerate() {
        println!("argument {index}: {word}");
    }
    if let Some(kind) = arguments.value("fault") {
        misbehave(kind);
    }
    let mut passed = true;
    let mut check = |name: &str, outcome: bool| {
        println!("{name}: {}", if outcome { "ok" } else { "FAILED" });
        passed &= outcome;
    };
    check("cpuid", board::cpuid_part() == board::CPUID_PART);
    check("units", units_compute());
    check("counter", counter_counts(arguments));
    check("program", program_is_there(arguments));
    check("arena", arena_is_usable());
    check(
        "files",
        files_work(arguments).unwrap_or_else(|error| {
            println!("file error: {error}");
            false
        }),
    );
    println!("stack: {} of {} bytes used", stack::high_water_bytes(), stack::bytes());
    check("stack", stack_is_measured());
    match (passed, arguments.number("exit")) {
        (true, Ok(code)) => code.unwrap_or(0) as u8,
        (false, _) | (_, Err(_)) => 1,
    }
}

/// One instruction of each unit that the code generation may use.
fn units_compute() -> bool {
    floating_point_adds() && dsp_multiplies() && vectors_sum()
}

/// On a hard-float target the compiler adds with the floating point unit.
fn floating_point_adds() -> bool {
    let sum = black_box(1.5f32) + black_box(2.25);
    // Not printed as a number: formatting floats would double the image.
    println!(
        "{} = {:#010x}",
        if cfg!(target_abi = "eabihf") { "vadd.f32" } else { "float add" },
        sum.to_bits()
    );
    sum == 3.75
}

#[cfg(any(feature = "isa-dsp", feature = "isa-mve"))]
fn dsp_multiplies() -> bool {
    let sum: i32;
    // SAFETY: computes 10 + 2*5 + 3*-7 in a register.
    unsafe {
        asm!("smlad {}, {}, {}, {}", out(reg) sum, in(reg) 0x0003_0002, in(reg) 0xfff9_0005u32,
            in(reg) 10, options(pure, nomem, nostack));
    }
    println!("smlad = {sum}");
    sum == -1
}

#[cfg(not(any(feature = "isa-dsp", feature = "isa-mve")))]
fn dsp_multiplies() -> bool {
    true
}

#[cfg(feature = "isa-mve")]
fn vectors_sum() -> bool {
    let lhs: [i8; 16] = [1, -2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12, 13, -14, 15, -128];
    let rhs: [i8; 16] = [3; 16];
    let sum: i32;
    // SAFETY: loads 16 bytes from each array.
    unsafe {
        asm!(
            "vldrb.8 q0, [{lhs}]",
            "vldrb.8 q1, [{rhs}]",
            "vmladav.s8 r0, q0, q1",
            lhs = in(reg) lhs.as_ptr(),
            rhs = in(reg) rhs.as_ptr(),
            out("r0") sum,
            out("q0") _,
            out("q1") _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    println!("vmladav.s8 = {sum}");
    sum == 3 * (8 - 128)
}

#[cfg(not(feature = "isa-mve"))]
fn vectors_sum() -> bool {
    true
}

/// Counts loops of known length. What calling the loop takes is the same each time, and taken off.
fn counter_counts(arguments: Arguments<'_>) -> bool {
    let asked = arguments.number("loop").ok().flatten().and_then(|n| u32::try_from(n).ok());
    let shortest = count_loop(1);
    println!("loop of 2 instructions: counted {shortest} with its call");
    let mut passed = true;
    for iterations in (2..40).chain([1000, 100_000]).chain(asked) {
        let more = 2 * u64::from(iterations - 1);
        let counted = count_loop(iterations).saturating_sub(shortest);
        // A wrap of the clock costs some instructions, once in hundreds of millions.
        let near = counted.abs_diff(more) <= RESOLUTION_INSTRUCTIONS + more / 10_000_000;
        if !near || iterations >= 1000 {
            println!("loop of {more} instructions more: counted {counted} more");
        }
        passed &= near;
    }
    passed
}

#[inline(never)]
fn count_loop(iterations: u32) -> u64 {
    let counter = Counter::start();
    known_loop(iterations);
    counter.elapsed()
}

fn program_is_there(arguments: Arguments<'_>) -> bool {
    println!("program: at most {} bytes", memory::program_bytes_max());
    let bytes = match arguments.number("program") {
        Ok(bytes) => bytes.unwrap_or(0),
        Err(_) => return false,
    };
    let Some(program) = memory::program(bytes) else { return false };
    println!("program: {bytes} bytes at {:p}, digest {:016x}", program.as_ptr(), fnv1a(program));
    program.as_ptr().addr() % 16 == 0
}

fn arena_is_usable() -> bool {
    let Some(arena) = memory::take_arena() else { return false };
    println!("arena: {} bytes at {:p}", arena.len(), arena.as_ptr());
    for (index, byte) in arena.iter_mut().enumerate() {
        *byte = index as u8;
    }
    let kept = arena.iter().enumerate().all(|(index, &byte)| byte == index as u8);
    kept && arena.as_ptr().addr() % 16 == 0 && memory::take_arena().is_none()
}

fn stack_is_measured() -> bool {
    const BYTES: usize = 512;
    let (_, used_bytes) = stack::measure(|| black_box([0x55u8; BYTES])[BYTES / 2]);
    println!("stack: {BYTES} bytes on it measured as {used_bytes}");
    (BYTES..BYTES + 256).contains(&used_bytes)
}

fn files_work(arguments: Arguments<'_>) -> Result<bool, FileError> {
    if let Some(path) = arguments.value("read") {
        let mut file = File::open(path)?;
        let length = file.length()?;
        let mut digest = FNV_OFFSET_BASIS;
        let mut chunk = [0; 256];
        for start in (0..length).step_by(chunk.len()) {
            let chunk = &mut chunk[..(length - start).min(256)];
            file.read_exact(chunk)?;
            digest = fnv1a_from(digest, chunk);
        }
        file.seek(length / 2)?;
        let past_the_end = length - length / 2 + 1;
        let ends = past_the_end > chunk.len()
            || file.read_exact(&mut chunk[..past_the_end])
                == Err(FileError::Ended { missing_bytes: 1 });
        println!("read {path}: {length} bytes, digest {digest:016x}");
        if !ends {
            return Ok(false);
        }
    }
    if let Some(path) = arguments.value("write") {
        let mut file = File::create(path)?;
        for word in arguments.words() {
            file.write_all(word.as_bytes())?;
            file.write_all(b"\n")?;
        }
    }
    Ok(true)
}

/// Does something wrong, to see it reported.
fn misbehave(kind: &str) {
    match kind {
        "panic" => panic!("as asked for"),
        "undefined" => {
            // SAFETY: faults, and does not come back.
            unsafe { asm!("udf #1", options(noreturn)) }
        }
        "address" => {
            // SAFETY: no memory is there on any board: faults.
            unsafe { (0x1f00_0000 as *const u32).read_volatile() };
        }
        "unaligned" => {
            let words = [0x0302_0100u32, 0x0706_0504];
            let read: u32;
            // SAFETY: the four bytes read lie in the array; Armv6-M faults, the others allow it.
            unsafe {
                asm!("ldr {}, [{}]", out(reg) read, in(reg) words.as_ptr().addr() + 1,
                    options(readonly, nostack, preserves_flags));
            }
            println!("unaligned access: allowed, read {read:#010x}");
        }
        "stack" => println!("{}", overflow_the_stack(1)),
        "interrupt" => {
            const ICSR: *mut u32 = 0xe000_ed04 as *mut u32;
            const PEND_PENDSV: u32 = 1 << 28;
            // SAFETY: makes the PendSV exception pending, which nobody handles.
            unsafe { ICSR.write_volatile(PEND_PENDSV) };
        }
        "program" => {
            if let Some(program) = memory::program(1) {
                // SAFETY: not sound, on purpose: nobody holds what is written, and the image ends here.
                unsafe { program.as_ptr().cast_mut().write_volatile(!program[0]) };
                let after = memory::program(1).map(|program| program[0]);
                println!("program memory: a write raised no fault, byte is now {after:?}");
            }
        }
        "hang" => loop {
            core::hint::spin_loop();
        },
        _ => println!("unknown kind of fault: {kind}"),
    }
}

#[inline(never)]
fn overflow_the_stack(depth: u32) -> u32 {
    let frame = black_box([depth; 16]);
    if depth == u32::MAX { 0 } else { overflow_the_stack(depth + 1) + frame[depth as usize % 16] }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    fnv1a_from(FNV_OFFSET_BASIS, bytes)
}

/// The Fowler-Noll-Vo digest 1a of 64 bits.
fn fnv1a_from(digest: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(digest, |digest, &byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
