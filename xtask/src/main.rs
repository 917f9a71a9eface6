//! The project's own tools: set-up, tests, demo, interop. `cargo xtask help` lists them.

#![forbid(unsafe_code)]

mod bench;
mod c;
mod demo;
mod fixtures;
mod interop;
mod models;
mod on_boards;
mod pages;
mod release;
mod selftest;
mod size;
mod steps;
mod test;

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
