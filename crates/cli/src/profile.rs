//! `cortado profile`: what each operator of a program costs on an emulated board.

use crate::arguments::ProfileArguments;
use crate::failure::{Failure, print};
use crate::run;
use cortado_compiler::lift::{Lifted, lift};
use cortado_compiler::lowered::{BufferId, BufferKind, Call, Lowered};
use cortado_compiler::plan::operands_and_results;
use cortado_contract::Target;
use cortado_contract::ops::Rules;
use cortado_host::local::AlignedBytes;
use cortado_report::{Profile, ProfiledOperator};
use cortado_runtime::LayoutPolicy;
use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn profile(arguments: &ProfileArguments) -> Result<ExitCode, Failure> {
    let (file, target) = run::program(&arguments.model, &arguments.target)?;
    let lifted = lift(file.as_ref()).map_err(|error| Failure::at(&arguments.model, error))?;
    let ProfileArguments { model, inputs, layout, .. } = arguments;
    let profile = measure(model, inputs, (*layout).into(), &file, target, &lifted)?;
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&profile).map_err(Failure::new)?,
        false => table(&profile),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the program once and puts its operators beside what they cost.
pub(crate) fn measure(
    model: &Path,
    inputs: &Path,
    policy: LayoutPolicy,
    file: &AlignedBytes,
    target: Target,
    lifted: &Lifted,
) -> Result<Profile, Failure> {
    let mut samples = run::samples(model, inputs, file)?;
    samples.truncate(1);
    let (board, run) = run::on_board(model, file, target, &samples, policy, true)?;
    let measured = run.measured;
    let program = &lifted.program;
    let calls = &program.calls;
    if measured.call_instructions.len() != calls.len() {
        return Err(Failure::at(
            model,
            format!(
                "the board executed {} operators, and the program has {}",
                measured.call_instructions.len(),
                calls.len()
            ),
        ));
    }
    let all: u64 = measured.call_instructions.iter().map(|(_, count)| count).sum();
    let filled = filled(program);
    let operators = calls.iter().zip(&measured.call_instructions);
    let operators: Vec<ProfiledOperator> = operators
        .map(|(call, (name, instructions))| {
            let macs = call.operator.multiply_accumulates();
            let (constant_bytes, activation_bytes) = bytes(program, &filled, call);
            ProfiledOperator {
                operator: name.clone(),
                result: call.name.clone(),
                instructions: *instructions,
                share: *instructions as f64 / all.max(1) as f64,
                macs,
                instructions_per_mac: (macs > 0).then(|| *instructions as f64 / macs as f64),
                constant_bytes,
                activation_bytes,
            }
        })
        .collect();
    Ok(Profile {
        cpu: target.cpu().name().to_owned(),
        isa: target.isa().name().to_owned(),
        board: board.to_owned(),
        instructions: measured.instructions,
        load_instructions: measured.load_instructions,
        macs: operators.iter().map(|operator| operator.macs).sum(),
        stack_bytes: measured.load_stack_bytes.max(measured.execute_stack_bytes),
        operators,
    })
}

/// The buffers that the caller or a call fills; scratch memory, which Cortado's kernels do without, is none of them.
fn filled(program: &Lowered) -> HashSet<BufferId> {
    let results = program.calls.iter().flat_map(|call| operands_and_results(&call.operator));
    let results = results.filter(|(_, is_result)| *is_result).map(|(id, _)| id);
    results.chain(program.inputs.iter().copied()).map(|id| program.storage(id)).collect()
}

/// The bytes of the constants and of the other tensors of a call.
fn bytes(program: &Lowered, filled: &HashSet<BufferId>, call: &Call) -> (u64, u64) {
    let (mut constants, mut activations) = (0, 0);
    for (id, _) in operands_and_results(&call.operator) {
        let size = program.buffer(id).size_bytes();
        let storage = program.storage(id);
        match program.buffer(storage).kind {
            BufferKind::Constant(_) => constants += size,
            _ if filled.contains(&storage) => activations += size,
            _ => {}
        }
    }
    (constants, activations)
}

/// The profile as text, a line for each operator.
fn table(profile: &Profile) -> String {
    let width = profile.operators.iter().map(|operator| operator.operator.len()).max();
    let width = width.unwrap_or(0).max("operator".len());
    let mut text = format!(
        "{} ({} kernels) on {}: {} instructions, {} multiply-accumulates, {} instructions to load, {} bytes of stack\n",
        profile.cpu,
        profile.isa,
        profile.board,
        profile.instructions,
        profile.macs,
        profile.load_instructions,
        profile.stack_bytes,
    );
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:<width$} {:>12} {:>7} {:>12} {:>9} {:>11} {:>11}  result",
        "operator", "instructions", "share", "MACs", "per MAC", "constants", "activations"
    );
    for operator in &profile.operators {
        let per_mac =
            operator.instructions_per_mac.map_or(String::new(), |per| format!("{per:.3}"));
        let _ = writeln!(
            text,
            "{:<width$} {:>12} {:>6.1}% {:>12} {:>9} {:>11} {:>11}  {}",
            operator.operator,
            operator.instructions,
            100.0 * operator.share,
            operator.macs,
            per_mac,
            operator.constant_bytes,
            operator.activation_bytes,
            operator.result,
        );
    }
    text
}
