//! Judging: what a compiled program is, from its bytes alone, whoever made it.
//!
//! The parts are independent of each other: [`forms`] of constant terms and what contradicts itself, [`scratch`] sizes against the
//! rule of each instruction set, [`memory`] against what its tensors need, [`dead`] bytes, and [`upstream`], what
//! ExecuTorch's own runtime would do with the file.

pub mod dead;
pub mod forms;
pub mod memory;
pub mod scratch;
pub mod upstream;

use crate::lift::{Lifted, Overlap};
use cortado_contract::Isa;
use cortado_contract::ops::{Rules, is_result, is_scratch};
use forms::Term;
use scratch::Scratch;

/// Whether a program has the constant forms and scratch sizes of an instruction set: what a compiler makes for it.
pub fn suits(lifted: &Lifted, isa: Isa) -> bool {
    lifted.program.calls.iter().all(|call| {
        let form = match Term::of(&call.operator) {
            None => true,
            Some(Term::Both) => false,
            Some(_) => call.operator.constant_form() == Some(isa.constant_form()),
        };
        let scratch = Scratch::of(&call.operator);
        form && scratch.is_none_or(|scratch| scratch.rule(isa).starts_with(&scratch.bytes))
    })
}

/// The operands of calls that share memory although they must not: all but results on an operand that is gone through in step.
pub fn harmful_overlaps(lifted: &Lifted) -> impl Iterator<Item = &Overlap> {
    lifted.overlaps.iter().filter(|overlap| {
        let operator = &lifted.program.calls[overlap.call].operator;
        !is_result(overlap.written)
            || is_scratch(overlap.other)
            || !operator.is_element_by_element()
    })
}

/// Every rule of an operator that a program breaks, as sentences.
pub fn broken_rules(lifted: &Lifted) -> Vec<String> {
    let calls = lifted.program.calls.iter().enumerate();
    let broken = calls.filter_map(|(index, call)| {
        let kind = call.operator.kind();
        let violation = call.operator.check().err()?;
        let argument = kind.argument_name(violation.argument);
        Some(format!(
            "instruction {index}, {}: argument `{argument}` {}",
            kind.name(),
            violation.rule.explain()
        ))
    });
    broken.collect()
}
