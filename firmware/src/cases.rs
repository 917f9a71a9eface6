//! Runs the testkit's kernel cases on this board's kernels.
//!
//! `task=sweep` runs the seeded cases; `task=golden` replays the golden vectors that were loaded as the program
//! (`program=BYTES`). Prints `passed=` and `failed=`, and a line for each failure.

use cortado_kernels::Native;
use cortado_testkit::{Suite, Workspace, golden, sweep};

use crate::arguments::Arguments;
use crate::{board, memory, println};

/// Runs the seeded cases and returns the exit code.
pub fn sweep() -> u8 {
    with_workspace(|workspace, suite| sweep::run_all::<Native>(workspace, suite))
}

/// Replays the golden vectors and returns the exit code.
pub fn golden(arguments: Arguments<'_>) -> u8 {
    let bytes = arguments.number("program").ok().flatten().unwrap_or(0);
    let Some(stream) = memory::program(bytes) else {
        println!("error: the vectors do not fit their place");
        return 1;
    };
    with_workspace(|workspace, suite| golden::run::<Native>(stream, workspace, suite))
}

fn with_workspace(run: impl FnOnce(&mut Workspace<'_>, &mut Suite)) -> u8 {
    println!("board={}", board::NAME);
    println!("isa={}", board::ISA);
    let Some(memory) = memory::take_arena() else { return 1 };
    let mut suite = Suite::reporting(|failure| println!("{failure}"));
    run(&mut Workspace::new(memory), &mut suite);
    println!("passed={}", suite.passed);
    println!("failed={}", suite.failed);
    if suite.failed == 0 && suite.passed > 0 { 0 } else { 1 }
}
