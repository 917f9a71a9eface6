//! Files are read back as the programs that they were made from, and made for another instruction set from the file alone.

mod common;

use common::TARGETS;
use cortado_compiler::finish::finish;
use cortado_compiler::judge::dead::dead;
use cortado_compiler::judge::forms::contradictions;
use cortado_compiler::judge::memory::memory;
use cortado_compiler::judge::upstream::verdict;
use cortado_compiler::judge::{broken_rules, suits};
use cortado_compiler::lift::lift;
use cortado_compiler::plan::PlanOptions;
use cortado_compiler::retarget::retarget;
use cortado_contract::{Cpu, Isa, Target};
use cortado_host::mutate::edited;
use cortado_pte::owned::{Allocation, Instruction, Program, Value};

/// For every pair of targets: what is made of the one's file is the other's file, byte for byte. The pair of a target with itself is the
/// round trip through lifting alone.
#[test]
fn our_files_are_retargeted_byte_for_byte() {
    let mut problems = Vec::new();
    for model in common::models() {
        // Short searches, so that many plans can be made; they count steps and not time.
        let short = |options| PlanOptions { seconds: 0.01, ..options };
        let compiled = |cpu| common::compiled_with(&model, cpu, &short(PlanOptions::default()));
        let fresh = TARGETS.map(|(_, cpu)| compiled(cpu).pte);
        for (from, file) in TARGETS.iter().zip(&fresh) {
            for (to, expected) in TARGETS.iter().zip(&fresh) {
                let mut lifted =
                    lift(file).unwrap_or_else(|error| panic!("{model} {}: {error}", from.0));
                let target = Target::new(to.1);
                retarget(&mut lifted.program, target.isa()).unwrap();
                let options = short(lifted.plan_options());
                let made = finish(&lifted.program, target, &options).unwrap().pte;
                if made != *expected {
                    problems.push(format!("{model}: {} to {}", from.0, to.0));
                }
            }
        }
    }
    assert!(
        problems.is_empty(),
        "not the same bytes as a fresh compilation:\n{}",
        problems.join("\n")
    );
}

#[test]
fn there_and_back_again_is_the_same_file() {
    for model in ["digits_mlp", "digits_cnn", "op_bmm"] {
        let file = common::compiled(model, Cpu::M55).pte;
        let mut bytes = file.clone();
        for cpu in [Cpu::M0, Cpu::M4, Cpu::M55] {
            let mut lifted = lift(&bytes).unwrap();
            let target = Target::new(cpu);
            retarget(&mut lifted.program, target.isa()).unwrap();
            bytes = finish(&lifted.program, target, &lifted.plan_options()).unwrap().pte;
        }
        assert!(bytes == file, "{model}");
    }
}

/// Judges and rewrites whatever can be read of a file.
fn look_at(file: &[u8]) {
    let _ = dead(file);
    let Ok(lifted) = lift(file) else { return };
    let (_, _, _) = (contradictions(&lifted), broken_rules(&lifted), memory(&lifted, 0.0));
    for isa in Isa::ALL {
        let _ = (suits(&lifted, isa), verdict(&lifted, isa));
        let mut program = lifted.program.clone();
        if retarget(&mut program, isa).is_ok() {
            let target = Target::with_isa(Cpu::M55, isa).unwrap();
            let _ =
                finish(&program, target, &PlanOptions { seconds: 0.0, ..lifted.plan_options() });
        }
    }
}

/// No bytes make lifting, judging or rewriting panic: bytes of files changed in several ways, and files cut off in many places.
#[test]
fn damaged_files_are_errors_or_programs() {
    let chosen =
        ["digits_mlp", "tiny_linear_nobias", "op_bmm", "op_cat", "op_conv_transpose", "op_lstm"];
    for (model, target, file) in common::upstream_files() {
        if !chosen.contains(&model.as_str()) || target == "m0" {
            continue;
        }
        // What instructions and tensors say is in the flatbuffer; constants behind it are only numbers.
        let program = cortado_pte::Program::parse(&file).unwrap().program_size();
        for position in (0..program).step_by(program / 160 + 1) {
            for change in [0x01, 0xff] {
                let mut damaged = file.clone();
                damaged[position] ^= change;
                look_at(&damaged);
            }
        }
        (0..file.len()).step_by(file.len() / 50 + 1).for_each(|length| look_at(&file[..length]));
    }
}

/// The place of the tensor that a call's argument names.
fn allocation(program: &mut Program, call: usize, argument: usize) -> &mut Option<Allocation> {
    let plan = &mut program.plans[0];
    let Instruction::KernelCall { args, .. } = &plan.chains[0].instructions[call] else {
        panic!("no call")
    };
    match &mut plan.values[args[argument] as usize] {
        Value::Tensor(tensor) => &mut tensor.allocation,
        _ => panic!("no tensor"),
    }
}

#[test]
fn wrong_memory_plans_are_found_out() {
    let file = common::compiled("digits_mlp", Cpu::M4).pte;
    let message = |file: &[u8]| lift(file).unwrap_err().to_string();
    let moved = edited(&file, |program| {
        let last = program.plans[0].non_const_buffer_sizes.last_mut().unwrap();
        *last += 1024;
        let far = *last as u64 - 512;
        let value =
            program.plans[0].values.iter().position(|value| matches!(value, Value::Tensor(_)));
        assert!(value.is_some());
        allocation(program, 1, 11).as_mut().unwrap().offset = far;
    })
    .unwrap();
    assert!(lift(&moved).is_ok(), "a tensor may be anywhere");
    let outside = edited(&file, |program| {
        allocation(program, 1, 11).as_mut().unwrap().offset = 1 << 20;
    })
    .unwrap();
    assert!(message(&outside).contains("outside of the planned memory"), "{}", message(&outside));
    // Two results of one place: the first is gone before it is read.
    let file = common::upstream_files();
    let (.., file) =
        file.iter().find(|(model, target, _)| model == "op_cat" && target == "m4").unwrap();
    let collision = edited(file, |program| {
        let first = *allocation(program, 0, 6);
        *allocation(program, 1, 6) = first;
    })
    .unwrap();
    assert!(message(&collision).contains("was given to another tensor"), "{}", message(&collision));
    // A result that takes a part of another's memory, which is read later.
    let part = edited(file, |program| {
        let first = allocation(program, 0, 6).unwrap();
        allocation(program, 1, 6).as_mut().unwrap().offset = first.offset + 16;
    })
    .unwrap();
    assert!(message(&part).contains("was given to another tensor"), "{}", message(&part));
}
