//! Random calls of every operator: the kernels' portable models against the contract, through a whole file.

use cortado_compiler::lift::lift;
use cortado_compiler::link::{Linked, link};
use cortado_contract::ops::OperatorKind;
use cortado_contract::{Cpu, Target};
use cortado_host::local::{AlignedBytes, Lent, Method};
use cortado_runtime::Banks;
use cortado_trials::choices::Choices;
use cortado_trials::{operators, targets};
use std::collections::BTreeMap;
use std::sync::Mutex;

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

/// Calls one by one, so that each has a kernel that is narrowed to it.
#[test]
fn narrowed_kernels_compute_what_whole_ones_do() {
    let mut forms: BTreeMap<&str, BTreeMap<u16, usize>> = BTreeMap::new();
    for seed in 0..6000 {
        let program = operators::program(&mut Choices::seeded(seed), 1);
        for cpu in [Cpu::M0, Cpu::M4, Cpu::M55] {
            let target = Target::new(cpu);
            let file = operators::file(&program, target)
                .unwrap_or_else(|error| panic!("seed {seed} for {cpu}: {error}"));
            let linked = link(&file, target).expect("a file for this target");
            for (kind, form) in linked.operators.iter().zip(&linked.forms) {
                *forms.entry(kind.name()).or_default().entry(*form).or_default() += 1;
            }
            let inputs = targets::inputs(&lift(&file).expect("it was linked"));
            let file = AlignedBytes::copy_of(&file);
            let whole = targets::run(&file, target.isa(), &inputs);
            let narrowed = run_linked(&linked, file.as_ref(), target, &inputs);
            assert_eq!(narrowed, whole, "seed {seed} for {cpu}: {:?}", program.calls);
        }
    }
    println!("{forms:#?}");
    for (name, least) in [
        ("cortex_m::quantized_linear", 3),
        ("cortex_m::quantized_conv2d", 3),
        ("cortex_m::quantized_depthwise_conv2d", 4),
        ("cortex_m::quantized_avg_pool2d", 2),
        ("cortex_m::quantized_add", 2),
    ] {
        let seen = forms.get(name).map_or(0, BTreeMap::len);
        assert!(seen >= least, "{name}: {seen} forms");
    }
}

/// A value for as long as the tests run, as a firmware's constants are there.
fn kept<T: ?Sized>(value: Box<T>) -> &'static T {
    /// What is found here is not lost, says AddressSanitizer.
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let value = Box::leak(value);
    let address = std::ptr::from_ref(value).expose_provenance();
    KEPT.lock().expect("no test fails while it holds the lock").push(address);
    value
}

/// The outputs of a program that was loaded ahead of time.
fn run_linked(linked: &Linked, file: &[u8], target: Target, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let constants = AlignedBytes::copy_of(&file[linked.constants_start..]);
    let constants = kept(Box::new(constants));
    let state = kept(linked.state.clone().into_boxed_slice());
    let kernels = kept(linked.kernels(target.isa()).into_boxed_slice());
    let program = cortado_runtime::Linked::new(constants.as_ref(), state, kernels);
    let needed = program.requirements();
    let mut arena = AlignedBytes::filled(needed.arena_bytes as usize, 0x5a);
    let banks = Banks::split(arena.as_mut(), &needed.banks).expect("as much as is needed");
    let mut method: Method<'_> = program.method(banks);
    let mut lent = Lent::new(&method);
    for (position, bytes) in inputs.iter().enumerate() {
        lent.set_input(&mut method, position, bytes).expect("an input of its own size");
    }
    lent.execute(&mut method).expect("a program that was loaded");
    let output = |position| lent.output(&method, position).expect("an output").to_vec();
    (0..method.output_count()).map(output).collect()
}
