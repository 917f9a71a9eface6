//! `cargo xtask bench`: what kernels and models need, beside what the peers need.

mod kernels;
mod models;
mod table;

use clap::Subcommand;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// Every layer of the MLPerf Tiny models and single kernels: instructions, scratch and code, held against CMSIS-NN's
    Kernels(kernels::Options),
    /// Whole programs, executed by the runtime, held against ExecuTorch's
    Models(models::Options),
}

/// Measures.
pub(crate) fn run(subject: &Subject) -> Result<(), String> {
    match subject {
        Subject::Kernels(options) => kernels::run(options),
        Subject::Models(options) => models::run(options),
    }
}
