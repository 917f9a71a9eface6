//! The bodies of the fuzz targets: each takes any bytes, and panics when something does not hold.
//!
//! What takes long is not tried: [`STEPS_MAX`] bounds the work of a program, [`ARENA_BYTES_MAX`] its memory.

use crate::choices::Choices;
use crate::interpret::{NoAnswer, interpret, steps};
use cortado_compiler::finish::finish;
use cortado_compiler::import::ExportedProgram;
use cortado_compiler::judge::forms::contradictions;
use cortado_compiler::judge::upstream::verdict;
use cortado_compiler::judge::{broken_rules, dead, harmful_overlaps, suits};
use cortado_compiler::lift::{Lifted, lift};
use cortado_compiler::plan::PlanOptions;
use cortado_compiler::retarget::retarget as convert;
use cortado_compiler::{CompileError, compile_with};
use cortado_contract::{Cpu, Isa, Target};
use cortado_host::local::{AlignedBytes, Lent, with_method};
use cortado_npz::Archive;
use cortado_pte::owned;
use cortado_runtime::{LayoutPolicy, LoadError, Program};

/// The most steps of the reference that a program on trial may take.
pub const STEPS_MAX: u64 = 1 << 21;
/// The most memory that a program on trial may ask for, in bytes.
pub const ARENA_BYTES_MAX: u32 = 1 << 20;

/// The body of a fuzz target.
pub type Body = fn(&[u8]);

/// Every target with its name, which is also the name of its folder in `testdata/fuzz`.
pub const TARGETS: &[(&str, Body)] = &[
    ("pte", pte),
    ("execute", execute),
    ("retarget", retarget),
    ("pt2", pt2),
    ("npz", npz),
    ("operators", operators),
    ("graphs", graphs),
];

/// Reading and loading: every reader ends with an answer, and every kernel's loader.
pub fn pte(bytes: &[u8]) {
    if let Ok(view) = cortado_pte::Program::parse(bytes) {
        let _ = owned::Program::from_view(&view);
        let _ = cortado_pte::dump(&view);
    }
    if let Ok(lifted) = lift(bytes) {
        let _ = broken_rules(&lifted);
        let _ = contradictions(&lifted);
        let _ = harmful_overlaps(&lifted).count();
        for isa in Isa::ALL {
            let _ = (verdict(&lifted, isa), suits(&lifted, isa));
        }
    }
    let _ = dead::dead(bytes);
    let file = AlignedBytes::copy_of(bytes);
    for (isa, policy) in loads() {
        let _ = load(&file, isa, policy);
    }
}

/// Every instruction set, with every policy.
fn loads() -> impl Iterator<Item = (Isa, LayoutPolicy)> {
    let policies = [LayoutPolicy::Refuse, LayoutPolicy::Adapt];
    Isa::ALL.into_iter().flat_map(move |isa| policies.map(|policy| (isa, policy)))
}

/// Whether a program loads; `None` where it would take too much memory to try.
fn load(file: &AlignedBytes, isa: Isa, policy: LayoutPolicy) -> Option<Result<(), LoadError>> {
    let program = Program::parse(file.as_ref());
    match program.and_then(|program| program.requirements()) {
        Ok(needs) if needs.arena_bytes > ARENA_BYTES_MAX => None,
        _ => Some(with_method(file, isa, policy, |_| ())),
    }
}

/// Loading and executing: what loads executes, alike on all instruction sets, and as the contract says where it has bits for it.
pub fn execute(bytes: &[u8]) {
    let Some(answers) = answers(bytes) else { return };
    let [first, rest @ ..] = &answers[..] else { return };
    for other in rest {
        assert_eq!(first, other, "the instruction sets differ");
    }
}

/// The answers of a file on all instruction sets that load it. `None` where it would take too long.
///
/// # Panics
/// When a loaded program does not execute, or differs from the contract.
pub fn answers(bytes: &[u8]) -> Option<Vec<Vec<Vec<u8>>>> {
    let file = AlignedBytes::copy_of(bytes);
    load(&file, Isa::Scalar, LayoutPolicy::Adapt)?.ok()?;
    // The loader accepts nothing that the compiler's own reader does not understand, or there is nothing to hold it against.
    let lifted = lift(bytes).ok()?;
    if steps(&lifted.program) > STEPS_MAX {
        return None;
    }
    let inputs = inputs(&lifted);
    let expected = interpret(&lifted.program, &inputs);
    let mut all = Vec::new();
    for isa in Isa::ALL {
        let found = run(&file, isa, &inputs);
        match &expected {
            Ok(expected) => assert_eq!(&found, expected, "{isa} differs from the contract"),
            Err(NoAnswer::Float(_)) => {}
            Err(other) => panic!("it is loaded, and has no answer: {other:?}"),
        }
        all.push(found);
    }
    Some(all)
}

/// Bytes for every input of a program, always the same.
pub fn inputs(lifted: &Lifted) -> Vec<Vec<u8>> {
    let program = &lifted.program;
    inputs_of(program.inputs.iter().map(|id| program.buffer(*id).size_bytes() as usize))
}

/// Bytes for inputs of these sizes, always the same.
pub fn inputs_of(sizes: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
    let mut state = 0x2545_f491u32;
    let mut byte = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    sizes.map(|size| (0..size).map(|_| byte()).collect()).collect()
}

/// The outputs of a program that loads.
///
/// # Panics
/// When it does not execute.
pub fn run(file: &AlignedBytes, isa: Isa, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let loaded = with_method(file, isa, LayoutPolicy::Adapt, |mut method| {
        let mut lent = Lent::new(&method);
        for (position, bytes) in inputs.iter().enumerate() {
            lent.set_input(&mut method, position, bytes).expect("an input of its own size");
        }
        let mut done = 0;
        let outcome = lent.execute_observed(&mut method, |step| done = step.instruction + 1);
        if let Err(error) = outcome {
            let lifted = lift(file.as_ref()).expect("it was loaded");
            let call = lifted.program.calls.get(done);
            panic!("what is loaded can be executed: {isa}: {error:?} at {call:?}");
        }
        let output = |position| lent.output(&method, position).expect("an output").to_vec();
        (0..method.output_count()).map(output).collect()
    });
    loaded.expect("it was loaded before")
}

/// Retargeting: what loads and is retargeted loads there without adapting, and computes the same.
pub fn retarget(bytes: &[u8]) {
    let Ok(lifted) = lift(bytes) else { return };
    if !contradictions(&lifted).is_empty() || steps(&lifted.program) > STEPS_MAX {
        return;
    }
    let before = answers(bytes).and_then(|answers| answers.into_iter().next());
    for cpu in [Cpu::M0, Cpu::M4, Cpu::M55] {
        let target = Target::new(cpu);
        let mut program = lifted.program.clone();
        if convert(&mut program, target.isa()).is_err() {
            continue;
        }
        let options = PlanOptions { seconds: 0.01, ..lifted.plan_options() };
        let Ok(finished) = finish(&program, target, &options) else { continue };
        let Some(before) = &before else { continue };
        let file = AlignedBytes::copy_of(&finished.pte);
        match load(&file, target.isa(), LayoutPolicy::Refuse) {
            Some(Ok(())) => {}
            Some(Err(error)) => panic!("the retargeted program does not load: {error}"),
            None => continue,
        }
        let after = run(&file, target.isa(), &inputs(&lifted));
        assert_eq!(before, &after, "retargeted for {cpu}, it computes something else");
    }
}

/// Importing and compiling: an error, or a program that loads.
pub fn pt2(bytes: &[u8]) {
    let Ok(exported) = ExportedProgram::read(bytes) else { return };
    let _ = exported.to_string();
    for cpu in [Cpu::M55, Cpu::M0] {
        let target = Target::new(cpu);
        let options = PlanOptions { seconds: 0.01, ..PlanOptions::default() };
        match compile_with(&exported, target, &options) {
            Ok(compiled) => {
                let file = AlignedBytes::copy_of(&compiled.pte);
                if let Some(Err(error)) = load(&file, target.isa(), LayoutPolicy::Refuse) {
                    panic!("the compiled program does not load: {error}");
                }
            }
            Err(CompileError::Internal(what)) => panic!("internal: {what}"),
            Err(_) => {}
        }
    }
}

/// Reading arrays: an error, or what is written back and read again alike.
pub fn npz(bytes: &[u8]) {
    if let Ok(array) = cortado_npz::Array::read_npy(bytes) {
        let again = cortado_npz::Array::read_npy(&array.to_npy()).expect("what was written");
        assert_eq!(array, again);
    }
    let Ok(archive) = Archive::read(bytes) else { return };
    let Ok(written) = archive.to_bytes() else { return };
    assert_eq!(Archive::read(&written).expect("what was written"), archive);
}

/// Calls of operators that the bytes choose: every instruction set computes what the contract says.
pub fn operators(bytes: &[u8]) {
    let program = crate::operators::program(&mut Choices::Bytes(bytes), 8);
    if program.calls.is_empty() || steps(&program) > STEPS_MAX {
        return;
    }
    for cpu in [Cpu::M4, Cpu::M55] {
        let file = crate::operators::file(&program, Target::new(cpu)).expect("a sound program");
        assert!(answers(&file).is_some(), "a sound program is executed");
    }
}

/// Quantized models that the bytes choose: compiled and executed, they stay within the bounds of the graph.
pub fn graphs(bytes: &[u8]) {
    let model = crate::graphs::model(&mut Choices::Bytes(bytes));
    for cpu in [Cpu::M0, Cpu::M4, Cpu::M55] {
        let _ = crate::graphs::try_model(&model, Target::new(cpu));
    }
}
