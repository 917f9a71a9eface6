//! The runtime and nothing else: loads and executes a program, without saying anything about it.
//!
//! It is linked, not run. `cargo xtask panics` looks whether anything in it can panic, which an image that prints cannot show.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;
use cortado_runtime::{Aligned, LayoutPolicy, Program, Requirements};
use cortex_m_rt::entry;

/// Where a program would be. What it holds is hidden from the compiler, like all lengths below.
static PROGRAM: Aligned<64> = Aligned::new();

#[entry]
fn main() -> ! {
    let (mut state, mut arena) = ([0; 16], Aligned::<64>::new());
    let done = run(
        black_box(&PROGRAM.0),
        black_box(LayoutPolicy::Adapt),
        black_box(&mut state),
        black_box(&mut arena.0),
    );
    black_box(done);
    loop {
        core::hint::spin_loop();
    }
}

/// Everything that a firmware asks of the runtime.
#[inline(never)]
fn run(file: &[u8], policy: LayoutPolicy, state: &mut [u32], arena: &mut [u8]) -> Option<()> {
    let program = Program::parse(file).ok()?;
    black_box(program.stamp());
    black_box(program.constant_form().ok()?);
    let needed: Requirements = program.requirements().ok()?;
    let banks = cortado_runtime::Banks::split(arena, &needed.banks)?;
    let mut method = program.load(policy, state, banks).ok()?;
    for index in 0..method.input_count() {
        black_box(method.input_info(index).ok()?);
        method.fill_input_bytes(index).ok()?.fill(black_box(1));
        method.set_input_bytes(index, black_box(&[1, 2])).ok()?;
        method.set_input(index, black_box(&[1i8, 2])).ok()?;
        method.set_input(index, black_box(&[1f32, 2.0])).ok()?;
    }
    method.execute().ok()?;
    let mut lent = [0; 16];
    method.execute_with(black_box(&[&[1u8, 2]]), black_box(&mut [&mut lent])).ok()?;
    for index in 0..method.output_count() {
        black_box(method.output_info(index).ok()?);
        black_box(method.output_bytes(index).ok()?);
        black_box(method.output::<f32>(index).ok()?);
    }
    Some(())
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
