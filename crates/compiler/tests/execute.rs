//! Compiled models compute what upstream's runtime computes, bit for bit, on the host's models of all instruction sets.

mod common;

use common::TARGETS;
use cortado_contract::{Cpu, Isa};
use cortado_host::local::{self, AlignedBytes, RunError};
use cortado_host::samples::Samples;
use cortado_npz::Archive;
use cortado_runtime::{LayoutPolicy, LoadError};

#[test]
fn outputs_equal_upstreams() {
    for model in common::models() {
        let inputs = Archive::open(common::path(&model, "inputs.npz")).unwrap();
        let expected = Archive::open(common::path(&model, "expected.npz")).unwrap();
        let runtime = Archive::open(common::path(&model, "upstream-runtime.npz")).ok();
        for (name, cpu) in TARGETS {
            let pte = common::compiled(&model, cpu).pte;
            let outputs = run(&pte, cpu.default_isa(), LayoutPolicy::Refuse, &inputs).unwrap();
            for (index, output) in outputs.iter().enumerate() {
                let key = format!("{name}_output{index}");
                let runtime = runtime.as_ref().and_then(|archive| archive.get(&key));
                let recorded =
                    runtime.or_else(|| expected.get(&key)).expect("the fixture has the output");
                // The runtime's results cover the first samples only.
                let prefix = &output[..recorded.bytes().len().min(output.len())];
                assert!(prefix == &recorded.bytes()[..prefix.len()], "{model} {key} differs");
            }
        }
    }
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
    let file = AlignedBytes::copy_of(pte);
    let samples = Samples::take(inputs, &[], &local::boundary(&file)?.inputs)
        .expect("the fixture has all inputs");
    match local::run(&file, kernels, policy, &samples, || {}) {
        Ok(outputs) => Ok(outputs.bytes().map(<[u8]>::to_vec).collect()),
        Err(RunError::Load(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}
