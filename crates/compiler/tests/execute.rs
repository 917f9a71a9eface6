//! Compiled models compute what upstream's runtime computes, bit for bit, on the host's models of all instruction sets.

mod common;

use common::TARGETS;
use cortado_contract::{Cpu, Isa};
use cortado_host::local::{self, AlignedBytes, RunError};
use cortado_host::recorded;
use cortado_host::samples::{Outputs, Samples};
use cortado_npz::Archive;
use cortado_runtime::{LayoutPolicy, LoadError};

#[test]
fn outputs_equal_upstreams() {
    let mut problems = Vec::new();
    for model in common::models() {
        let inputs = Archive::open(common::path(&model, "inputs.npz")).unwrap();
        for (name, cpu) in TARGETS {
            let pte = common::compiled(&model, cpu).pte;
            let outputs = run_all(&pte, cpu.default_isa(), LayoutPolicy::Refuse, &inputs).unwrap();
            let problem = recorded::compare(&common::path(&model, ""), name, &outputs).unwrap();
            problems.extend(problem.map(|problem| format!("{model} {name}: {problem}")));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// For all nine pairs of file and kernels: refused where the form is foreign, and computed exactly when adapted.
#[test]
fn foreign_forms_are_refused_or_adapted() {
    for model in ["tiny_linear", "tiny_linear_nobias", "digits_mlp"] {
        let inputs = Archive::open(common::path(model, "inputs.npz")).unwrap();
        let own =
            run(&common::compiled(model, Cpu::M4).pte, Isa::Dsp, LayoutPolicy::Refuse, &inputs)
                .unwrap();
        for (name, cpu) in TARGETS {
            let pte = common::compiled(model, cpu).pte;
            for kernels in Isa::ALL {
                let is_own_form = kernels.constant_form() == cpu.default_isa().constant_form();
                match run(&pte, kernels, LayoutPolicy::Refuse, &inputs) {
                    Ok(outputs) => {
                        assert!(is_own_form, "{model} {name} on {kernels} must be refused");
                        assert!(outputs == own, "{model} {name} on {kernels}");
                    }
                    Err(LoadError::Layout(mismatch)) => {
                        assert!(!is_own_form, "{model} {name} on {kernels} must run");
                        assert_eq!(mismatch.found, cpu.default_isa().constant_form());
                        assert_eq!(mismatch.kernels, kernels);
                        assert_eq!(mismatch.file.map(|target| target.cpu()), Some(cpu));
                    }
                    Err(error) => panic!("{model} {name} on {kernels}: {error}"),
                }
                let adapted = run(&pte, kernels, LayoutPolicy::Adapt, &inputs).unwrap();
                assert!(adapted == own, "{model} {name} adapted to {kernels}");
            }
        }
    }
}

/// Runs all samples and returns, for each output, the bytes of all of them in logical order.
fn run(
    pte: &[u8],
    kernels: Isa,
    policy: LayoutPolicy,
    inputs: &Archive,
) -> Result<Vec<Vec<u8>>, LoadError> {
    run_all(pte, kernels, policy, inputs)
        .map(|outputs| outputs.bytes().map(<[u8]>::to_vec).collect())
}

/// Runs the first samples: enough to compare, few enough for large models.
fn run_all(
    pte: &[u8],
    kernels: Isa,
    policy: LayoutPolicy,
    inputs: &Archive,
) -> Result<Outputs, LoadError> {
    let file = AlignedBytes::copy_of(pte);
    let mut samples = Samples::take(inputs, &[], &local::boundary(&file)?.inputs)
        .expect("the fixture has all inputs");
    samples.truncate(16);
    match local::run(&file, kernels, policy, &samples, || {}) {
        Ok(outputs) => Ok(outputs),
        Err(RunError::Load(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}
