//! Lifting: a compiled program, whoever made it, back as a [`Lowered`] program.
//!
//! A file says which bytes of memory each call reads and writes, and not which tensors these are: a later tensor has the memory of
//! an earlier one, and a view is one more tensor in the same place. So calls are followed in their order. What a call writes is a
//! tensor from then on, and ends those whose memory it takes; what a call reads is the tensor that was last written there, as a
//! view where the file has another tensor for it. Reading what nobody wrote, a part of a tensor, or a tensor whose memory was
//! taken, is an error, because then the file's memory plan is wrong.
//!
//! What the file says of memory is kept beside the program: [`Lifted::places`] and [`Lifted::planned_bytes`].
//!
//! Any bytes may be given: the result is a program or a [`LiftError`].

mod arguments;
mod memory;

use crate::emit::{BANKS_KEY, INPUT_NAMES_KEY};
use crate::lowered::{Affine, BufferId, BufferKind, Call, Lowered};
use crate::plan::{Bank, PlanOptions};
use crate::report::BankReport;
use cortado_contract::DType;
use cortado_contract::border;
use cortado_contract::ops::OperatorKind;
use cortado_contract::stamp::{self, StampError, TargetStamp};
use cortado_pte::owned::{Instruction, Plan, Program, Value};
use std::collections::BTreeSet;

pub(crate) use arguments::Named;
pub use memory::Place;

/// A compiled program, read back.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// The calls and their buffers. Buffers are in the order in which the file refers to them; a view follows what it views.
    pub program: Lowered,
    /// What the file says of its target, `None` in files of other compilers.
    pub stamp: Option<TargetStamp>,
    /// Where the file has each buffer of the program, `None` for constants and for what the caller gives.
    pub places: Vec<Option<Place>>,
    /// The size of each planned memory; entry 0 is reserved.
    pub planned_bytes: Vec<u64>,
    /// The banks that the memory was planned for, one per planned memory; empty where it is one arena, or the file does not say.
    pub named_banks: Vec<Bank>,
    /// Operands of one call that share memory although the call writes one of them.
    pub overlaps: Vec<Overlap>,
    /// The keys of named data that is not Cortado's.
    pub other_named_data: Vec<String>,
}

/// Two operands of a call that share memory, the first of which the call writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The position of the call.
    pub call: usize,
    /// The argument that is written.
    pub written: &'static str,
    /// The other one.
    pub other: &'static str,
    /// Whether both are the same bytes from the first to the last.
    pub is_whole: bool,
}

/// Why a file cannot be lifted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LiftError {
    /// The file is not a sound program.
    #[error("the file is not a sound program: {0}")]
    Format(#[from] cortado_pte::Error),
    /// The target stamp cannot be believed.
    #[error("{0}")]
    Stamp(#[from] StampError),
    /// The program uses a part of the format that Cortado does not have.
    #[error("{0}")]
    Unsupported(String),
    /// Operators that Cortado does not have: all of them.
    #[error("Cortado has no operator {}", .0.join(", "))]
    UnknownOperators(Vec<String>),
    /// An instruction cannot be read.
    #[error("instruction {instruction}, {operator}: {what}")]
    Call {
        /// Its position.
        instruction: usize,
        /// The operator.
        operator: &'static str,
        /// What is wrong.
        what: String,
    },
    /// An input or an output cannot be read.
    #[error("{side} {index}: {what}")]
    Boundary {
        /// `input` or `output`.
        side: &'static str,
        /// Its position.
        index: usize,
        /// What is wrong.
        what: String,
    },
}

/// Reads a compiled program back.
///
/// # Errors
/// See [`LiftError`].
pub fn lift(file: &[u8]) -> Result<Lifted, LiftError> {
    let view = cortado_pte::Program::parse(file)?;
    let owned = Program::from_view(&view)?;
    let stamp = owned.named(stamp::KEY).map(TargetStamp::parse).transpose()?;
    let plan = owned
        .plans
        .first()
        .ok_or_else(|| LiftError::Unsupported("the program has no method".to_owned()))?;
    let calls = calls(plan)?;
    let mut lifter = memory::Lifter::new(&view, plan, file.len());
    lifter.inputs(&input_names(&owned, plan.inputs.len()))?;
    for (index, (kind, args)) in calls.into_iter().enumerate() {
        let operator = lifter.call(index, kind, args)?;
        lifter.program.calls.push(Call {
            name: format!("{}_{index}", short_name(kind)),
            source: source(plan, index),
            operator,
        });
    }
    lifter.outputs()?;
    let is_other =
        |key: &str| ![stamp::KEY, INPUT_NAMES_KEY, BANKS_KEY, border::KEY].contains(&key);
    let banks = owned.named(BANKS_KEY).map(banks).transpose()?.unwrap_or_default();
    if !banks.is_empty() && banks.len() + 1 != plan.non_const_buffer_sizes.len() {
        return Err(LiftError::Unsupported(format!(
            "the program names {} banks and has another number of planned buffers",
            banks.len()
        )));
    }
    let other_named_data = owned
        .named_data
        .iter()
        .map(|entry| entry.key.clone())
        .filter(|key| is_other(key))
        .collect();
    let planned_bytes =
        plan.non_const_buffer_sizes.iter().map(|size| u64::try_from(*size).unwrap_or(0)).collect();
    let memory::Lifter { mut program, places, overlaps, .. } = lifter;
    if let Some(data) = owned.named(border::KEY) {
        read_border(&mut program, data)?;
    }
    let named_banks = banks;
    Ok(Lifted { program, stamp, places, planned_bytes, named_banks, overlaps, other_named_data })
}

/// What integers stand for, in the named data of [`border::KEY`].
fn read_border(program: &mut Lowered, data: &[u8]) -> Result<(), LiftError> {
    let wrong = || {
        LiftError::Unsupported(
            "what its inputs and outputs stand for (named data `cortado.border`) cannot be read"
                .to_owned(),
        )
    };
    program.input_affines = vec![None; program.inputs.len()];
    program.output_affines = vec![None; program.outputs.len()];
    for line in std::str::from_utf8(data).map_err(|_| wrong())?.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [side, index, scale, zero_point] = words[..] else { return Err(wrong()) };
        let (affines, ids) = match side {
            "input" => (&mut program.input_affines, &program.inputs),
            "output" => (&mut program.output_affines, &program.outputs),
            _ => return Err(wrong()),
        };
        let index: usize = index.parse().map_err(|_| wrong())?;
        let affine = Affine {
            scale: scale.parse().map_err(|_| wrong())?,
            zero_point: zero_point.parse().map_err(|_| wrong())?,
        };
        let is_sound = affine.scale.is_finite() && affine.scale > 0.0;
        let is_int8 = ids.get(index).is_some_and(|id| program.buffers[id.0].dtype == DType::I8);
        if !is_sound || !is_int8 || !(-128..=127).contains(&affine.zero_point) {
            return Err(wrong());
        }
        affines[index] = Some(affine);
    }
    Ok(())
}

/// The banks in the named data of [`BANKS_KEY`].
fn banks(data: &[u8]) -> Result<Vec<Bank>, LiftError> {
    let bank = |line: &str| {
        let (name, bytes) = line.rsplit_once('=')?;
        Some(Bank { name: name.to_owned(), capacity_bytes: bytes.parse().ok()? })
    };
    let text = std::str::from_utf8(data).ok();
    let banks = text.and_then(|text| text.lines().map(bank).collect::<Option<Vec<_>>>());
    banks.ok_or_else(|| LiftError::Unsupported("the names of its banks cannot be read".to_owned()))
}

/// The operator and the arguments of every instruction; the repeated result is left out.
fn calls(plan: &Plan) -> Result<Vec<(OperatorKind, &[i32])>, LiftError> {
    let unsupported = |what: &str| Err(LiftError::Unsupported(what.to_owned()));
    let [chain] = &plan.chains[..] else {
        return unsupported("the method has other than one chain of instructions");
    };
    if !plan.delegates.is_empty() {
        return unsupported("a part of the program is delegated to another backend");
    }
    let mut calls = Vec::new();
    let mut unknown = BTreeSet::new();
    for (index, instruction) in chain.instructions.iter().enumerate() {
        let Instruction::KernelCall { op_index, args } = instruction else {
            return Err(LiftError::Unsupported(format!(
                "instruction {index} is not a call of an operator (control flow is not supported)"
            )));
        };
        let operator = usize::try_from(*op_index).ok().and_then(|at| plan.operators.get(at));
        let Some(operator) = operator else {
            return Err(LiftError::Unsupported(format!(
                "instruction {index} calls operator {op_index} of {}",
                plan.operators.len()
            )));
        };
        let Some(kind) = OperatorKind::from_name(&operator.name, &operator.overload) else {
            unknown.insert(format!("{}.{}", operator.name, operator.overload));
            continue;
        };
        calls.push((kind, arguments(plan, index, kind, args)?));
    }
    if unknown.is_empty() {
        Ok(calls)
    } else {
        Err(LiftError::UnknownOperators(unknown.into_iter().collect()))
    }
}

/// The arguments of the schema. ExecuTorch repeats the output after them, or has a list of all outputs there.
fn arguments<'p>(
    plan: &Plan,
    instruction: usize,
    kind: OperatorKind,
    args: &'p [i32],
) -> Result<&'p [i32], LiftError> {
    let expected = kind.argument_names().len();
    let is_list = |index: i32| {
        let value = usize::try_from(index).ok().and_then(|at| plan.values.get(at));
        matches!(value, Some(Value::TensorList(_)))
    };
    let repeats_out = args.len() == expected + 1
        && (args[expected] == args[expected - 1] || is_list(args[expected]));
    if args.len() == expected || repeats_out {
        return Ok(&args[..expected]);
    }
    let what = format!("it has {} arguments; the schema has {expected}", args.len());
    Err(LiftError::Call { instruction, operator: kind.name(), what })
}

/// The names of the inputs: those in the file, else `input0`, `input1`, …
fn input_names(program: &Program, count: usize) -> Vec<String> {
    let named = program.named(INPUT_NAMES_KEY).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let names: Vec<String> =
        named.map(|text| text.split('\n').map(str::to_owned).collect()).unwrap_or_default();
    if names.len() == count {
        names
    } else {
        (0..count).map(|index| format!("input{index}")).collect()
    }
}

/// Where the user wrote what became of an instruction: its innermost source line, if the file has any.
fn source(plan: &Plan, instruction: usize) -> String {
    let frames = plan.chains.first().and_then(|chain| chain.stacktrace.get(instruction));
    let frame = frames.and_then(|frames| frames.last());
    frame.map(|frame| format!("{}:{}", frame.filename, frame.lineno)).unwrap_or_default()
}

/// The name of an operator without its namespace.
fn short_name(kind: OperatorKind) -> &'static str {
    let name = kind.name();
    name.split_once("::").map_or(name, |(_, short)| short)
}

impl Lifted {
    /// The planned buffers.
    pub fn banks(&self) -> Vec<BankReport> {
        let sizes = self.planned_bytes.iter().skip(1).enumerate();
        sizes
            .map(|(index, bytes)| {
                let named = self.named_banks.get(index);
                BankReport {
                    name: named.map_or(String::new(), |bank| bank.name.clone()),
                    capacity_bytes: named.map(|bank| bank.capacity_bytes),
                    bytes: *bytes,
                }
            })
            .collect()
    }

    /// How to plan the program's memory once more: for the same banks, with the caller's memory where the file has it.
    pub fn plan_options(&self) -> PlanOptions {
        let is_lent = |id: &BufferId| {
            let storage = self.program.storage(*id);
            let is_activation = matches!(self.program.buffer(storage).kind, BufferKind::Activation);
            is_activation && self.places.get(storage.0).copied().flatten().is_none()
        };
        PlanOptions {
            banks: self.named_banks.clone(),
            lend_inputs: self.program.inputs.iter().any(is_lent),
            lend_outputs: self.program.outputs.iter().any(is_lent),
            ..PlanOptions::default()
        }
    }
    /// The sum of all planned memories.
    pub fn arena_bytes(&self) -> u64 {
        self.planned_bytes.iter().skip(1).fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// The place of a buffer's storage.
    pub fn place(&self, id: BufferId) -> Option<Place> {
        self.places.get(self.program.storage(id).0).copied().flatten()
    }
}
