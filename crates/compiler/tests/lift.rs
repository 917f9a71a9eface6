//! Files are read back as the programs that they were made from, and made for another instruction set from the file alone.

mod common;

use common::TARGETS;
use cortado_compiler::finish::finish;
use cortado_compiler::lift::lift;
use cortado_compiler::retarget::retarget;
use cortado_contract::{Cpu, Target};

/// For every pair of targets: what is made of the one's file is the other's file, byte for byte. The pair of a target with itself is the
/// round trip through lifting alone.
#[test]
fn our_files_are_retargeted_byte_for_byte() {
    let mut problems = Vec::new();
    for model in common::models() {
        let fresh = TARGETS.map(|(_, cpu)| common::compiled(&model, cpu).pte);
        for (from, file) in TARGETS.iter().zip(&fresh) {
            for (to, expected) in TARGETS.iter().zip(&fresh) {
                let mut lifted =
                    lift(file).unwrap_or_else(|error| panic!("{model} {}: {error}", from.0));
                let target = Target::new(to.1);
                retarget(&mut lifted.program, target.isa()).unwrap();
                let made = finish(&lifted.program, target, &lifted.plan_options()).unwrap().pte;
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
