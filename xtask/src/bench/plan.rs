//! `cargo xtask bench plan`: the models' memory plans, and how far and how fast the planner's exact search gets.

mod instances;
mod models;

use crate::steps::cargo;
use clap::Args;
use std::path::PathBuf;

/// What to solve.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Instances to solve in place of those in testdata/planner, each named NAME.CAPACITY.csv, with the columns
    /// id,lower,upper,size
    files: Vec<PathBuf>,
    /// The budget per instance, in seconds of a machine on which the budget's constant holds
    #[arg(long, default_value_t = 60.0, value_parser = parse_seconds)]
    seconds: f64,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0 to 86400".to_owned()),
    }
}

/// Prints its tables, each of which is a module; that of the models only where no instances are given. Fails where an answer is wrong,
/// where a plan is larger than ExecuTorch's, and where something cannot be read.
pub(super) fn run(options: &Options) -> Result<(), String> {
    if cfg!(debug_assertions) {
        return again_in_release(options);
    }
    if options.files.is_empty() {
        models::run()?;
        println!();
    }
    instances::run(&options.files, options.seconds)
}

/// Seconds mean nothing without optimization.
fn again_in_release(options: &Options) -> Result<(), String> {
    let seconds = format!("--seconds={}", options.seconds);
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let files: Vec<String> =
        options.files.iter().map(|it| here.join(it).display().to_string()).collect();
    let mut arguments =
        vec!["run", "--quiet", "--release", "--package", "xtask", "--", "bench", "plan"];
    arguments.push(&seconds);
    // What follows is a file, whatever its name begins with.
    arguments.push("--");
    arguments.extend(files.iter().map(String::as_str));
    cargo(&arguments)
}
