//! `cortado check`: what a compiled program is, and which cores compute it right.

use crate::arguments::CheckArguments;
use crate::failure::{Failure, print};
use crate::model::{self, Model};
use cortado_contract::{Isa, Target};
use cortado_host::local::{self, AlignedBytes, Visitor, with_method};
use cortado_host::samples::Signature;
use cortado_runtime::{LayoutPolicy, Method, Micro, Program};
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;

/// What `check --json` prints.
#[derive(Debug, Serialize)]
struct Findings {
    /// The target in the stamp, `null` in files of other compilers.
    made_for: Option<MadeFor>,
    file_bytes: usize,
    arena_bytes: u32,
    state_bytes: u32,
    inputs: Vec<Boundary>,
    outputs: Vec<Boundary>,
    instructions: Vec<Instruction>,
    /// One verdict per instruction set.
    isas: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
struct MadeFor {
    cpu: &'static str,
    isa: &'static str,
    constant_form: &'static str,
    compiler_version: String,
}

#[derive(Debug, Serialize)]
struct Boundary {
    dtype: &'static str,
    shape: Vec<usize>,
}

#[derive(Debug, Serialize)]
struct Instruction {
    operator: String,
    /// The form of the constant term, `null` for operators that have only one.
    constant_form: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Verdict {
    isa: &'static str,
    /// Whether the program is loaded and computed exactly.
    runs: bool,
    /// Why not.
    reason: Option<String>,
}

pub(crate) fn check(arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let path = &arguments.model;
    let Model::Compiled(bytes) = model::read(path)? else {
        return Err(Failure::at(
            path,
            "this is an exported program (.pt2); check reads compiled ones (.pte)",
        )
        .help("compile it first: cortado compile MODEL.pt2 --target cortex-m4 -o MODEL.pte"));
    };
    let target = arguments.target.target()?;
    let file = AlignedBytes::copy_of(&bytes);
    let findings = Findings::of(&file).map_err(|error| Failure::load(path, error))?;
    if arguments.json {
        print(&serde_json::to_string_pretty(&findings).map_err(Failure::new)?)?;
    } else {
        print(&text(&path.display().to_string(), &findings))?;
    }
    Ok(verdict(target, &findings))
}

/// Exit code 1 when the program does not run on the target, or on no instruction set at all.
fn verdict(target: Option<Target>, findings: &Findings) -> ExitCode {
    let runs = |verdict: &Verdict| {
        verdict.runs && target.is_none_or(|target| verdict.isa == target.isa().name())
    };
    if findings.isas.iter().any(runs) {
        return ExitCode::SUCCESS;
    }
    if let Some(target) = target {
        eprintln!("error: the program would be refused on {target}");
    }
    ExitCode::from(1)
}

impl Findings {
    fn of(file: &AlignedBytes) -> Result<Findings, cortado_runtime::LoadError> {
        let program = Program::parse(file.as_ref())?;
        let requirements = program.requirements()?;
        let made_for = program.stamp().map(|stamp| MadeFor {
            cpu: stamp.target.cpu().name(),
            isa: stamp.target.isa().name(),
            constant_form: stamp.constant_form.name(),
            compiler_version: stamp.compiler.map(|part| part.to_string()).join("."),
        });
        let mut isas = Vec::new();
        for isa in Isa::ALL {
            let outcome = with_method(file, isa, LayoutPolicy::Refuse, Nothing);
            let reason = outcome.err().map(|error| error.to_string());
            isas.push(Verdict { isa: isa.name(), runs: reason.is_none(), reason });
        }
        // Where there is no boundary, the reasons above say why.
        let boundary = local::boundary(file);
        let side = |signatures: &[Signature]| signatures.iter().map(Boundary::from).collect();
        let (inputs, outputs) = boundary
            .map(|boundary| (side(&boundary.inputs), side(&boundary.outputs)))
            .unwrap_or_default();
        let mut instructions = Vec::new();
        program.visit_operators(|kind, form| {
            instructions.push(Instruction {
                operator: format!("{}.{}", kind.name(), kind.overload()),
                constant_form: form.map(|form| form.name()),
            });
        })?;
        Ok(Findings {
            made_for,
            file_bytes: file.as_ref().len(),
            arena_bytes: requirements.arena_bytes,
            state_bytes: requirements.state_words * 4,
            inputs,
            outputs,
            instructions,
            isas,
        })
    }
}

struct Nothing;

impl Visitor for Nothing {
    type Output = ();
    fn visit<M: Micro>(self, _: Method<'_, M>) {}
}

impl From<&Signature> for Boundary {
    fn from(signature: &Signature) -> Self {
        Boundary { dtype: signature.dtype.name(), shape: signature.shape.clone() }
    }
}

/// The findings as text for people.
fn text(path: &str, findings: &Findings) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut text, path, findings);
    text
}

fn write_text(out: &mut String, path: &str, findings: &Findings) -> std::fmt::Result {
    writeln!(out, "{path}")?;
    match &findings.made_for {
        Some(made_for) => {
            let MadeFor { cpu, isa, constant_form, compiler_version } = made_for;
            writeln!(
                out,
                "  made for       {cpu}, {isa} kernels, constant form {constant_form}, by Cortado {compiler_version}"
            )?;
        }
        None => writeln!(
            out,
            "  made for       a target that the file does not name (no stamp; not made by Cortado)"
        )?,
    }
    writeln!(out, "  file           {} bytes", findings.file_bytes)?;
    writeln!(out, "  arena          {} bytes", findings.arena_bytes)?;
    writeln!(out, "  method state   {} bytes", findings.state_bytes)?;
    for (side, tensors) in [("input", &findings.inputs), ("output", &findings.outputs)] {
        for (index, tensor) in tensors.iter().enumerate() {
            writeln!(
                out,
                "  {:<14} {} {:?}",
                format!("{side} {index}"),
                tensor.dtype,
                tensor.shape
            )?;
        }
    }
    writeln!(out, "  instructions")?;
    for (index, Instruction { operator, constant_form }) in findings.instructions.iter().enumerate()
    {
        match constant_form {
            Some(form) => writeln!(out, "    {index:>3}  {operator} (constant form {form})")?,
            None => writeln!(out, "    {index:>3}  {operator}")?,
        }
    }
    writeln!(out, "  kernels")?;
    for Verdict { isa, reason, .. } in &findings.isas {
        match reason {
            None => writeln!(out, "    {isa:<7} computes it exactly")?,
            Some(reason) => writeln!(out, "    {isa:<7} refuses it: {reason}")?,
        }
    }
    Ok(())
}
