//! `cortado retarget`: a compiled program for another target, from the file alone.

use crate::arguments::RetargetArguments;
use crate::failure::Failure;
use crate::model::{self, Model};
use crate::quiet::is_quiet;
use cortado_compiler::CompileError;
use cortado_compiler::finish::{Finished, finish};
use cortado_compiler::judge::forms::{Term, contradictions};
use cortado_compiler::judge::suits;
use cortado_compiler::judge::upstream::{Outcome, verdict};
use cortado_compiler::lift::{Lifted, lift};
use cortado_compiler::plan::Shortage;
use cortado_compiler::retarget::{Changes, retarget as convert};
use cortado_contract::{Isa, Target};
use cortado_host::local::{AlignedBytes, with_method};
use cortado_npz::file::write_atomically;
use cortado_runtime::{LayoutPolicy, LoadError};
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn retarget(arguments: &RetargetArguments) -> Result<ExitCode, Failure> {
    let path = &arguments.model;
    let Model::Compiled(bytes) = model::read(path)? else {
        return Err(Failure::at(
            path,
            "this is an exported program (.pt2); retarget rewrites compiled ones (.pte)",
        )
        .help(
            "compile it for the target: cortado compile MODEL.pt2 --target cortex-m4 -o MODEL.pte",
        ));
    };
    let target = arguments.target.target()?.ok_or_else(|| {
        Failure::at(path, "no target was given").help("say for which core: --target cortex-m4")
    })?;
    let lifted = provable(path, &bytes)?;
    let made = rewritten(&lifted, target).map_err(|error| {
        let failure = Failure::at(path, &error);
        match error {
            Unwritable::Memory(_) => failure.help(
                "the file says how much its banks hold, and this target needs more; compile the model again, with the sizes that the \
                 banks have: cortado compile MODEL.pt2 --memory NAME=BYTES",
            ),
            Unwritable::Text(_) => failure,
        }
    })?;
    confirm(&made.finished.pte, target).map_err(|error| Failure::at(path, error))?;
    write_atomically(&arguments.output, &made.finished.pte).map_err(Failure::new)?;
    if !is_quiet() {
        summarize(arguments, &lifted, &made, bytes.len(), target);
    }
    Ok(ExitCode::SUCCESS)
}

/// The program of a file, if there is only one thing that it can mean.
fn provable(path: &Path, bytes: &[u8]) -> Result<Lifted, Failure> {
    let lifted = lift(bytes).map_err(|error| Failure::at(path, error))?;
    if let [first, ..] = &contradictions(&lifted)[..] {
        return Err(Failure::at(path, format!("the program contradicts itself: {first}")).help(
            "compile the model again; what it should compute cannot be told from this file",
        ));
    }
    // Loading holds everything against the rules, overlapping memory included.
    load(bytes, Isa::Scalar, LayoutPolicy::Adapt).map_err(|error| Failure::load(path, error))?;
    Ok(lifted)
}

/// A rewritten program.
struct Rewritten {
    finished: Finished,
    changes: Changes,
}

/// Why a program cannot be rewritten.
#[derive(Debug)]
enum Unwritable {
    /// It does not fit the banks that the file names.
    Memory(Shortage),
    /// Anything else.
    Text(String),
}

impl std::fmt::Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unwritable::Memory(shortage) => shortage.fmt(f),
            Unwritable::Text(text) => text.fmt(f),
        }
    }
}

/// A program for another target.
fn rewritten(lifted: &Lifted, target: Target) -> Result<Rewritten, Unwritable> {
    let mut program = lifted.program.clone();
    let text = |error: &dyn std::fmt::Display| Unwritable::Text(error.to_string());
    let changes = convert(&mut program, target.isa()).map_err(|error| text(&error))?;
    if lifted.named_banks.is_empty() && lifted.planned_bytes.len() > 2 {
        let count = lifted.planned_bytes.len() - 1;
        return Err(Unwritable::Text(format!(
            "its memory is planned in {count} buffers, and the file does not say what each of them may hold"
        )));
    }
    let options = lifted.plan_options();
    let finished = finish(&program, target, &options).map_err(|error| match error {
        CompileError::Memory(shortage) => Unwritable::Memory(shortage),
        other => text(&other),
    })?;
    Ok(Rewritten { finished, changes })
}

/// A program for another target, as a file.
pub(crate) fn file_for(path: &Path, bytes: &[u8], target: Target) -> Result<Vec<u8>, Failure> {
    let lifted = provable(path, bytes)?;
    let made = rewritten(&lifted, target).map_err(|error| Failure::at(path, error))?;
    Ok(made.finished.pte)
}

/// Whether a file can be rewritten for a target so that it is right there, on ExecuTorch's runtime too.
pub(crate) fn mends(file: &[u8], target: Target) -> bool {
    let Ok(lifted) = lift(file) else { return false };
    if !contradictions(&lifted).is_empty() || load(file, Isa::Scalar, LayoutPolicy::Adapt).is_err()
    {
        return false;
    }
    let made = rewritten(&lifted, target).ok().and_then(|made| lift(&made.finished.pte).ok());
    made.is_some_and(|made| verdict(&made, target.isa()).outcome == Outcome::Equal)
}

/// Holds what was made against the rules that any file is held against.
fn confirm(pte: &[u8], target: Target) -> Result<(), String> {
    let defect = |what: String| format!("this is a defect of Cortado, please report it: {what}");
    load(pte, target.isa(), LayoutPolicy::Refuse).map_err(|error| defect(error.to_string()))?;
    let lifted = lift(pte).map_err(|error| defect(error.to_string()))?;
    if suits(&lifted, target.isa()) && contradictions(&lifted).is_empty() {
        Ok(())
    } else {
        Err(defect(format!("the rewritten program does not suit {target}")))
    }
}

fn load(file: &[u8], isa: Isa, policy: LayoutPolicy) -> Result<(), LoadError> {
    with_method(&AlignedBytes::copy_of(file), isa, policy, |_| ())
}

fn summarize(
    arguments: &RetargetArguments,
    lifted: &Lifted,
    made: &Rewritten,
    file_bytes: usize,
    target: Target,
) {
    let Rewritten { finished, changes } = made;
    let Changes { forms, scratch_buffers, orders } = *changes;
    let isa = target.isa();
    eprintln!("{}: for {target}, {isa} kernels", arguments.output.display());
    let form = isa.constant_form();
    match forms {
        0 => eprintln!("  constant forms  none to convert to {form}"),
        layers => eprintln!("  constant forms  {layers} converted to {form}"),
    }
    match scratch_buffers {
        0 => eprintln!("  scratch buffers none to resize"),
        buffers => eprintln!("  scratch buffers {buffers} resized"),
    }
    if orders > 0 {
        eprintln!(
            "  memory order    {orders} instructions rewritten that take it for the logical one"
        );
    }
    eprintln!("  file            {} bytes, was {file_bytes}", finished.pte.len());
    eprintln!(
        "  planned memory  {} bytes, was {}",
        finished.plan.arena_bytes,
        lifted.arena_bytes()
    );
    if !lifted.other_named_data.is_empty() {
        eprintln!(
            "note: named data that no instruction uses is left out: {}",
            lifted.other_named_data.join(", ")
        );
    }
    let bare =
        lifted.program.calls.iter().filter(|call| Term::of(&call.operator) == Some(Term::Neither));
    let bare = bare.count();
    if bare > 0 && lifted.stamp.is_none() {
        eprintln!(
            "note: {bare} of its linear layers {} neither bias nor kernel_sum, which means a bias of zero",
            if bare == 1 { "has" } else { "have" }
        );
    }
    let after = lift(&finished.pte).map(|lifted| verdict(&lifted, isa));
    if let Ok(after) = after
        && after.outcome != Outcome::Equal
    {
        let why = after.findings.iter().find(|finding| finding.outcome == after.outcome);
        eprintln!(
            "note: on ExecuTorch's own runtime the result is still: {}{}",
            after.outcome.describe(),
            why.map_or(String::new(), |it| format!(
                " (instruction {}, {}: {})",
                it.instruction, it.operator, it.why
            ))
        );
    }
}
