//! `cargo xtask bench`: what kernels, models and memory plans need, beside what the peers need.

mod kernels;
mod loops;
pub(crate) mod models;
mod plan;
mod quantize;
mod stack;
pub(crate) mod table;

use clap::Subcommand;

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    /// Every layer of the MLPerf Tiny models and single kernels: instructions, scratch and code, held against CMSIS-NN's
    Kernels(kernels::Options),
    /// The innermost loops of the kernels: instructions, and the cycles that LLVM's static analyser expects
    Loops(loops::Options),
    /// Whole programs, executed by the runtime, held against ExecuTorch's
    Models(models::Options),
    /// Memory plans of the models beside ExecuTorch's, and the planner's exact search on hard instances
    Plan(plan::Options),
    /// Float models quantized here and by PT2E, held against what they compute in float
    Quantize(quantize::Options),
    /// The stack that loading and each operator take on boards; writes the compiler's table of it
    Stack,
}

/// Measures.
pub(crate) fn run(subject: &Subject) -> Result<(), String> {
    match subject {
        Subject::Kernels(options) => kernels::run(options),
        Subject::Loops(options) => loops::run(options),
        Subject::Models(options) => models::run(options),
        Subject::Plan(options) => plan::run(options),
        Subject::Quantize(options) => quantize::run(options),
        Subject::Stack => stack::run(),
    }
}
