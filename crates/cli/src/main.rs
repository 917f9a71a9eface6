//! The `cortado` command.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 the request cannot be met, 2 usage.

#![forbid(unsafe_code)]

mod arguments;
mod check;
mod compile;
mod dump;
mod failure;
mod manual;
mod model;
mod profile;
mod quantize;
mod quiet;
mod report;
mod retarget;
mod run;
mod suggest;

use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.quiet {
        quiet::be_quiet();
    }
    let outcome = match arguments.command {
        Command::Quantize(arguments) => quantize::run(&arguments),
        Command::Compile(arguments) => compile::compile(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Retarget(arguments) => retarget::retarget(&arguments),
        Command::Profile(arguments) => profile::profile(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Dump(arguments) => dump::dump(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::man(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
