//! Counts the instructions of layers on this board's kernels.
//!
//! The program's place holds descriptions of layers (`program=BYTES`), each of them as `cortado_testkit::bench` has it. Prints a
//! line for each: its number, instructions, stack and a digest of the output. The count is held against loops of known length first.

use core::hint::black_box;

use cortado_kernels::Native;
use cortado_testkit::Workspace;
use cortado_testkit::bench::{Kernels, LAYER_WORDS, Layer};

use crate::arguments::Arguments;
use crate::counter::{Counter, RESOLUTION_INSTRUCTIONS, known_loop};
use crate::{board, memory, println, stack};

/// Runs the layers and returns the exit code.
pub fn run(arguments: Arguments<'_>) -> u8 {
    println!("board={}", board::NAME);
    println!("isa={}", board::ISA);
    if !is_calibrated() {
        return 1;
    }
    let bytes = arguments.number("program").ok().flatten().unwrap_or(0);
    let words = memory::program(bytes).and_then(cortado_kernels::memory::cast::<u32>);
    let (Some(words), Some(memory)) = (words, memory::take_arena()) else { return 1 };
    let mut workspace = Workspace::new(memory);
    // Hidden from the compiler, so that each kernel stays a function of its own.
    let kernels = black_box(Kernels::of::<Native>());
    for (index, words) in words.as_chunks::<LAYER_WORDS>().0.iter().enumerate() {
        let Some(layer) = Layer::from_words(words) else {
            println!("error: layer {index} is none");
            return 1;
        };
        let (mut instructions, mut stack_bytes) = (0, 0);
        let digest = kernels.run(&layer, &mut workspace, &mut |compute| {
            let ((), used) = stack::measure(|| {
                let counter = Counter::start();
                compute();
                instructions = counter.elapsed();
            });
            stack_bytes = used;
        });
        match digest {
            Some(digest) => println!("layer={index} {instructions} {stack_bytes} {digest:016x}"),
            None => println!("error: the kernel refuses layer {index}"),
        }
    }
    0
}

/// Whether loops of known length count as long as they are. Prints both numbers of each.
fn is_calibrated() -> bool {
    /// Called alike each time, so that the call's own instructions are the same.
    #[inline(never)]
    fn count(iterations: u32) -> u64 {
        let counter = Counter::start();
        known_loop(black_box(iterations));
        counter.elapsed()
    }
    let shortest = count(1);
    [2u32, 10, 1000, 100_000, 1_000_000].into_iter().all(|iterations| {
        let expected = 2 * u64::from(iterations - 1);
        let counted = count(iterations).saturating_sub(shortest);
        println!("calibration={expected} {counted}");
        counted.abs_diff(expected) <= RESOLUTION_INSTRUCTIONS
    })
}
