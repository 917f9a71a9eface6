//! `cortado check`: what a compiled program is, whoever made it, and which cores compute it right.

mod text;

use crate::arguments::CheckArguments;
use crate::failure::{Failure, print};
use crate::model::{self, Model};
use cortado_compiler::judge::dead::{Dead, dead};
use cortado_compiler::judge::forms::{Term, contradictions};
use cortado_compiler::judge::memory::{Memory, memory};
use cortado_compiler::judge::scratch::Scratch;
use cortado_compiler::judge::upstream::{Outcome, Verdict, verdict};
use cortado_compiler::judge::{broken_rules, harmful_overlaps, suits};
use cortado_compiler::lift::{Lifted, lift};
use cortado_compiler::lowered::{Affine, Buffer, BufferId};
use cortado_compiler::plan::PlanOptions;
use cortado_contract::ops::{OperatorKind, Rules};
use cortado_contract::{Isa, Target};
use cortado_host::local::{self, AlignedBytes, with_method};
use cortado_host::samples::Signature;
use cortado_runtime::{LayoutPolicy, Program};
use serde::Serialize;
use std::process::ExitCode;

/// What `check --json` prints. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Findings {
    /// The target in the stamp, `null` in files of other compilers.
    made_for: Option<MadeFor>,
    /// The instruction sets whose constant forms and scratch sizes the file has.
    suits: Vec<&'static str>,
    /// How accumulators are rescaled: `double`, or `null` where the file does not say.
    rounding: Option<&'static str>,
    file_bytes: usize,
    /// What no instruction can reach.
    dead: Dead,
    /// The planned memory, `null` where it cannot be told.
    arena_bytes: Option<u64>,
    state_bytes: Option<u32>,
    /// Planned memory against what the tensors need, `null` where the program cannot be read to its end.
    memory: Option<Memory>,
    inputs: Vec<Boundary>,
    outputs: Vec<Boundary>,
    instructions: Vec<Instruction>,
    /// What contradicts itself. Such a program is never run.
    contradictions: Vec<String>,
    /// What else is wrong: types, extents, layouts, overlapping memory, parts that Cortado does not have.
    problems: Vec<String>,
    /// Cortado's runtime: one verdict per instruction set.
    isas: Vec<CortadoVerdict>,
    /// ExecuTorch's runtime: one verdict per instruction set, `null` where the program cannot be read to its end.
    executorch: Option<Vec<Verdict>>,
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
    /// The axes in memory order, outermost first; `null` where the program cannot be read to its end.
    dim_order: Option<Vec<u8>>,
    /// What its integers stand for, where the file says so: `real = scale · (integer − zero_point)`.
    scale: Option<f64>,
    /// See `scale`.
    zero_point: Option<i32>,
}

#[derive(Debug, Serialize)]
struct Instruction {
    operator: String,
    /// Whether Cortado has this operator.
    known: bool,
    /// The form of the constant term, `null` for operators that have only one.
    constant_form: Option<&'static str>,
    /// Which constant terms a linear layer has, `null` for other operators.
    constant_term: Option<Term>,
    /// The scratch buffers, `null` for operators without.
    scratch: Option<ScratchSizes>,
}

/// Sizes of scratch buffers in bytes, one or two each.
#[derive(Debug, Serialize)]
struct ScratchSizes {
    /// What the file has.
    bytes: Vec<u32>,
    /// What ExecuTorch's kernels ask for.
    mve: Vec<u32>,
    dsp: Vec<u32>,
    scalar: Vec<u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CortadoVerdict {
    pub(crate) isa: &'static str,
    /// Whether the program is loaded and computed exactly.
    pub(crate) runs: bool,
    /// Whether it is with the adapting layout policy.
    pub(crate) adapts: bool,
    /// Why it does not run.
    pub(crate) reason: Option<String>,
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
        print(&text::text(&path.display().to_string(), &findings))?;
    }
    let mends = |target| crate::retarget::mends(file.as_ref(), target);
    Ok(conclude(target, &findings, mends))
}

/// Exit code 1 when the program contradicts itself, or would be refused or computed wrongly on the target; without a target, when it
/// runs on no instruction set at all.
///
/// Some of what ExecuTorch's runtime does counts for nothing here: that it cannot load operators of Cortado's own, and whatever is
/// wrong with a program of Cortado's where it was made for, because it was made for Cortado's runtime.
fn conclude(
    target: Option<Target>,
    findings: &Findings,
    mends: impl FnOnce(Target) -> bool,
) -> ExitCode {
    let mut reasons = Vec::new();
    if !findings.contradictions.is_empty() {
        reasons.push("the program contradicts itself".to_owned());
    }
    match target {
        None if findings.isas.iter().all(|verdict| !verdict.runs) => {
            reasons.push("the program runs nowhere".to_owned());
        }
        None => {}
        Some(target) => {
            let isa = target.isa().name();
            let refused = findings.isas.iter().any(|verdict| verdict.isa == isa && !verdict.runs);
            if refused {
                reasons.push(format!("on {target}, Cortado's runtime would refuse the program"));
            }
            let is_at_home = findings.made_for.as_ref().is_some_and(|made_for| made_for.isa == isa);
            let verdicts = findings.executorch.iter().flatten();
            for verdict in verdicts.filter(|verdict| verdict.isa == isa && !is_at_home) {
                let what = match verdict.outcome {
                    Outcome::Equal | Outcome::ErrorAtLoad => continue,
                    Outcome::SilentlyWrong => "would compute the program wrongly, without a sign",
                    Outcome::Unknown => "may do anything",
                    Outcome::ErrorAtExecute => "would fail to execute the program",
                    Outcome::Crash => "would crash",
                };
                reasons.push(format!("on {target}, ExecuTorch's runtime {what}"));
            }
        }
    }
    reasons.iter().for_each(|reason| eprintln!("error: {reason}"));
    if let Some(target) = target.filter(|target| !reasons.is_empty() && mends(*target)) {
        let isa = match target.isa() == target.cpu().default_isa() {
            true => String::new(),
            false => format!(" --isa {}", target.isa()),
        };
        eprintln!(
            "help: this makes it right: cortado retarget FILE.pte --target {}{isa} -o OUT.pte",
            target.cpu()
        );
    }
    if reasons.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

impl Findings {
    fn of(file: &AlignedBytes) -> Result<Findings, cortado_runtime::LoadError> {
        let program = Program::parse(file.as_ref())?;
        let requirements = program.requirements().ok();
        let stamp = program.stamp();
        let made_for = stamp.map(|stamp| MadeFor {
            cpu: stamp.target.cpu().name(),
            isa: stamp.target.isa().name(),
            constant_form: stamp.constant_form.name(),
            compiler_version: stamp.compiler.map(|part| part.to_string()).join("."),
        });
        // Where there is no boundary, the verdicts say why.
        let boundary = local::boundary(file);
        let side = |signatures: &[Signature]| signatures.iter().map(Boundary::from).collect();
        let (inputs, outputs) = boundary
            .map(|boundary| (side(&boundary.inputs), side(&boundary.outputs)))
            .unwrap_or_default();
        let lifted = lift(file.as_ref());
        let mut findings = Findings {
            made_for,
            suits: Vec::new(),
            rounding: stamp.map(|_| "double"),
            file_bytes: file.as_ref().len(),
            dead: dead(file.as_ref())?,
            arena_bytes: planned_bytes(file.as_ref()),
            state_bytes: requirements.map(|requirements| requirements.state_words * 4),
            memory: None,
            inputs,
            outputs,
            instructions: instructions(file.as_ref())?,
            contradictions: Vec::new(),
            problems: Vec::new(),
            isas: cortado_verdicts(file),
            executorch: None,
        };
        match lifted {
            Ok(lifted) => findings.add(&lifted),
            Err(error) => findings.problems.push(error.to_string()),
        }
        Ok(findings)
    }

    /// Adds what is found in a program that could be read to its end.
    fn add(&mut self, lifted: &Lifted) {
        for (instruction, call) in self.instructions.iter_mut().zip(&lifted.program.calls) {
            instruction.constant_form = call.operator.constant_form().map(|form| form.name());
            instruction.constant_term = Term::of(&call.operator);
            instruction.scratch = Scratch::of(&call.operator).map(ScratchSizes::from);
        }
        let boundary = |ids: &[BufferId], affines: &[Option<Affine>]| {
            let tensor = |(index, id): (usize, &BufferId)| {
                let affine = affines.get(index).copied().flatten();
                Boundary {
                    scale: affine.map(|affine| affine.scale),
                    zero_point: affine.map(|affine| affine.zero_point),
                    ..Boundary::from(lifted.program.buffer(*id))
                }
            };
            ids.iter().enumerate().map(tensor).collect()
        };
        self.inputs = boundary(&lifted.program.inputs, &lifted.program.input_affines);
        self.outputs = boundary(&lifted.program.outputs, &lifted.program.output_affines);
        self.suits =
            Isa::ALL.into_iter().filter(|isa| suits(lifted, *isa)).map(Isa::name).collect();
        self.contradictions = contradictions(lifted);
        self.problems.extend(broken_rules(lifted));
        self.problems.extend(harmful_overlaps(lifted).map(|overlap| {
            let name = lifted.program.calls[overlap.call].operator.kind().name();
            format!(
                "instruction {}, {name}: `{}` shares memory with `{}` while the call writes it",
                overlap.call, overlap.written, overlap.other
            )
        }));
        self.memory = Some(memory(lifted, PlanOptions::default().seconds));
        self.executorch = Some(Isa::ALL.map(|isa| verdict(lifted, isa)).to_vec());
    }
}

/// The sum of all planned memories.
fn planned_bytes(file: &[u8]) -> Option<u64> {
    let program = cortado_pte::Program::parse(file).ok()?;
    let plan = program.plans().ok()?.get(0).ok()?;
    plan.non_const_buffer_sizes()
        .ok()?
        .iter()
        .skip(1)
        .try_fold(0u64, |sum, size| sum.checked_add(u64::try_from(size).ok()?))
}

/// The operators that the program's instructions call.
fn instructions(file: &[u8]) -> Result<Vec<Instruction>, cortado_pte::Error> {
    let program = cortado_pte::Program::parse(file)?;
    let plan = program.plans()?.get(0)?;
    let mut list = Vec::new();
    for chain in plan.chains()?.iter() {
        for instruction in chain?.instructions()?.iter() {
            let (operator, known) = match instruction? {
                cortado_pte::Instruction::KernelCall { op_index, .. } => {
                    let operator = plan.operator(op_index)?;
                    let name = operator.name.as_str()?;
                    let overload = operator.overload.as_str()?;
                    let known = OperatorKind::from_name(name, overload).is_some();
                    (format!("{name}.{overload}"), known)
                }
                cortado_pte::Instruction::DelegateCall { .. } => {
                    ("call of a delegate".to_owned(), false)
                }
                _ => ("control flow".to_owned(), false),
            };
            list.push(Instruction {
                operator,
                known,
                constant_form: None,
                constant_term: None,
                scratch: None,
            });
        }
    }
    Ok(list)
}

/// Loads the program with each instruction set's kernels.
pub(crate) fn cortado_verdicts(file: &AlignedBytes) -> Vec<CortadoVerdict> {
    let loads = |isa, policy| with_method(file, isa, policy, |_| ());
    let verdict = |isa: Isa| {
        let reason = loads(isa, LayoutPolicy::Refuse).err().map(|error| error.to_string());
        let adapts = loads(isa, LayoutPolicy::Adapt).is_ok();
        CortadoVerdict { isa: isa.name(), runs: reason.is_none(), adapts, reason }
    };
    Isa::ALL.map(verdict).into()
}

impl From<Scratch> for ScratchSizes {
    fn from(scratch: Scratch) -> Self {
        let rule = |isa| scratch.rule(isa)[..scratch.bytes.len()].to_vec();
        ScratchSizes {
            mve: rule(Isa::Mve),
            dsp: rule(Isa::Dsp),
            scalar: rule(Isa::Scalar),
            bytes: scratch.bytes,
        }
    }
}

impl From<&Signature> for Boundary {
    fn from(signature: &Signature) -> Self {
        Boundary {
            dtype: signature.dtype.name(),
            shape: signature.shape.clone(),
            dim_order: None,
            scale: None,
            zero_point: None,
        }
    }
}

impl From<&Buffer> for Boundary {
    fn from(buffer: &Buffer) -> Self {
        Boundary {
            dtype: buffer.dtype.name(),
            shape: buffer.shape.iter().map(|extent| *extent as usize).collect(),
            dim_order: Some(buffer.dim_order.clone()),
            scale: None,
            zero_point: None,
        }
    }
}
