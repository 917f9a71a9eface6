//! Random calls of every operator: the kernels' portable models against the contract, through a whole file.

use cortado_compiler::lift::lift;
use cortado_contract::ops::OperatorKind;
use cortado_contract::{Cpu, Target};
use cortado_trials::choices::Choices;
use cortado_trials::{operators, targets};
use std::collections::BTreeMap;

#[test]
fn every_instruction_set_computes_what_the_contract_says() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..200 {
        let program = operators::program(&mut Choices::seeded(seed), 30);
        for cpu in [Cpu::M0, Cpu::M4, Cpu::M55] {
            let target = Target::new(cpu);
            let file = operators::file(&program, target)
                .unwrap_or_else(|error| panic!("seed {seed} for {cpu}: {error}"));
            lift(&file).unwrap_or_else(|error| panic!("seed {seed} for {cpu}: {error}"));
            assert!(targets::answers(&file).is_some(), "seed {seed} for {cpu} is not executed");
        }
        for call in &program.calls {
            *counts.entry(call.operator.kind().name()).or_default() += 1;
        }
    }
    println!("{counts:#?}");
    let missing: Vec<&str> = operators::KINDS
        .iter()
        .map(|kind: &OperatorKind| kind.name())
        .filter(|name| counts.get(name).copied().unwrap_or(0) < 20)
        .collect();
    assert!(missing.is_empty(), "hardly ever tried: {missing:?}");
}
