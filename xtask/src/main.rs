//! The project's own tools: set-up, tests, demo, examples, interop. `cargo xtask help` lists them.

#![forbid(unsafe_code)]

mod bench;
mod c;
mod demo;
mod examples;
mod fixtures;
mod hardening;
mod interop;
mod linked;
mod models;
mod on_boards;
mod packages;
mod pages;
mod panics;
mod release;
mod selftest;
mod size;
mod steps;
mod test;
mod trials;

use clap::{Parser, Subcommand};
use cortado_host::boards::Tools;
use std::path::PathBuf;
use std::process::ExitCode;

/// The project's own tools.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Find or install the emulator and the compiler for Thumb
    Setup,
    /// Compile the digits model and run its test set on four emulated cores
    Demo,
    /// Format, lints, tests on the host, kernels and models on emulated boards
    Test {
        /// Also run what takes long: every image's self-test, with faults on purpose; packages; reports in Chromium
        #[arg(long)]
        full: bool,
    },
    /// Run random, damaged and misused programs on emulated boards and hold them against the host
    Trials {
        /// As much as the long run has: a hundred thousand cases for each instruction set
        #[arg(long)]
        full: bool,
    },
    /// Run the fuzz targets for a while (skipped where cargo-fuzz is absent)
    Fuzz {
        /// How long, all of them together, in seconds
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Only this target
        target: Option<String>,
    },
    /// Run the tests of the kernels, the readers and whole programs under AddressSanitizer (skipped where nightly is absent)
    Sanitize,
    /// Run tests under valgrind (skipped where it is absent)
    Valgrind,
    /// Run tests under Miri (skipped where it is absent)
    Miri,
    /// Link the runtime alone for every instruction set and look whether anything in it can panic
    Panics,
    /// Build the examples, and run those whose boards are emulated
    Examples,
    /// Count instructions, beside what CMSIS-NN and ExecuTorch need for the same
    #[command(subcommand)]
    Bench(bench::Subject),
    /// Build a firmware of each model and nothing else, linked and loaded from a file, and say how large it is beside ExecuTorch's
    Size(size::Options),
    /// Build the static library for C, and put cortado.h beside it
    CLib(c::LibraryArguments),
    /// Try the library for C on the host, under AddressSanitizer, and on emulated boards
    C,
    /// Run the kernels' cases on emulated boards, with every instruction set that their cores can have
    Cases {
        /// Only on this board, such as mps3-an547
        #[arg(long)]
        board: Option<String>,
    },
    /// Run every model of testdata/models, and ExecuTorch's own files of them, on the host and on emulated boards
    Models {
        /// Only ExecuTorch's own files
        #[arg(long)]
        theirs: bool,
    },
    /// Hold files of ours against ExecuTorch's own reader, runtime and files (skipped where its Python package is absent)
    Interop {
        /// The Python that has the package executorch 1.5.1
        #[arg(long, default_value = "python3")]
        python: String,
        /// A folder with ExecuTorch's files as MODEL/executorch-{m55,m4,m0}.pte, instead of those in testdata
        #[arg(long, value_name = "FOLDER")]
        theirs: Option<PathBuf>,
    },
    /// Show reports of models in Chromium, as pictures in target/pages (skipped where it is absent)
    Pages,
    /// Build the command as one static Linux binary, with man pages and completions, in target/dist
    Release,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::Setup => Tools::ensure()
            .map(|tools| println!("ready: {}", tools.compiler()))
            .map_err(|e| e.to_string()),
        Verb::Demo => demo::run(),
        Verb::Test { full } => test::run(full),
        Verb::Fuzz { seconds, target } => hardening::fuzz(seconds, target.as_deref()),
        Verb::Sanitize => hardening::address_sanitizer(test::SANITIZED),
        Verb::Valgrind => hardening::valgrind(),
        Verb::Miri => hardening::miri(),
        Verb::Trials { full } => trials::check(full),
        Verb::Panics => panics::check(),
        Verb::Examples => examples::run(),
        Verb::Bench(subject) => bench::run(&subject),
        Verb::Size(options) => size::run(&options),
        Verb::CLib(arguments) => c::build_libraries(&arguments),
        Verb::C => c::run(),
        Verb::Cases { board } => on_boards::run_cases(board.as_deref()),
        Verb::Models { theirs } => models::run(theirs),
        Verb::Interop { python, theirs } => interop::run(&python, theirs.as_deref()),
        Verb::Pages => pages::run(),
        Verb::Release => release::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
