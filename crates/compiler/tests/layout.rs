//! The defect that the project began from, as a regression: a 512 → 10 linear layer on inputs in [0, 0.002], where the constant
//! term is nearly all of the answer, for each instruction set.

mod common;

use cortado_compiler::lowered::BufferKind;
use cortado_contract::ops::quantized_linear::kernel_sums;
use cortado_contract::ops::{Operator, Rules};
use cortado_contract::{ConstantForm, Cpu, Isa, Target};
use cortado_host::local::{self, AlignedBytes, RunError};
use cortado_host::mutate::swap_forms;
use cortado_host::samples::Samples;
use cortado_npz::Archive;
use cortado_runtime::{LayoutPolicy, LoadError, OperatorProblem};

const CPUS: [Cpu; 3] = [Cpu::M0, Cpu::M4, Cpu::M55];

/// The constants of the layer, by value: bias and kernel sum.
fn constants(cpu: Cpu) -> (Option<Vec<i32>>, Option<Vec<i32>>) {
    let program = common::compiled("tiny_linear", cpu).lowered;
    let Operator::QuantizedLinear(linear) = &program.calls[1].operator else {
        panic!("no linear layer")
    };
    let values =
        |tensor: &cortado_compiler::lowered::LoweredTensor| match &program.buffer(tensor.id).kind {
            BufferKind::Constant(data) => {
                data.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()
            }
            _ => panic!("no constant"),
        };
    (linear.bias.as_ref().map(values), linear.kernel_sum.as_ref().map(values))
}

#[test]
fn each_target_gets_the_form_that_it_reads() {
    for cpu in CPUS {
        let (bias, kernel_sum) = constants(cpu);
        match cpu.default_isa() {
            Isa::Mve => assert!(bias.is_none() && kernel_sum.is_some(), "{cpu}"),
            Isa::Dsp | Isa::Scalar => assert!(bias.is_some() && kernel_sum.is_none(), "{cpu}"),
        }
        let linear = &common::compiled("tiny_linear", cpu).lowered.calls[1].operator;
        assert_eq!(linear.constant_form(), Some(cpu.default_isa().constant_form()));
    }
}

#[test]
fn both_forms_hold_the_same_numbers() {
    let program = common::compiled("tiny_linear", Cpu::M4).lowered;
    let Operator::QuantizedLinear(linear) = &program.calls[1].operator else {
        panic!("no linear layer")
    };
    let BufferKind::Constant(weights) = &program.buffer(linear.weights.id).kind else {
        panic!("no weights")
    };
    let weights: Vec<i8> = weights.iter().map(|byte| *byte as i8).collect();
    let (bias, _) = constants(Cpu::M4);
    let mut sums = vec![0; 10];
    kernel_sums(
        512,
        &weights,
        linear.input_offset,
        linear.filter_offset,
        bias.as_deref(),
        &mut sums,
    );
    assert_eq!(constants(Cpu::M55).1, Some(sums));
    assert_eq!(constants(Cpu::M0).0, bias);
}

#[test]
fn no_copy_of_the_other_form_is_left_in_the_file() {
    let bytes =
        |values: Vec<i32>| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let holds = |file: &[u8], part: &[u8]| file.windows(part.len()).any(|window| window == part);
    let (bias, sums) =
        (bytes(constants(Cpu::M4).0.unwrap()), bytes(constants(Cpu::M55).1.unwrap()));
    for cpu in CPUS {
        let pte = common::compiled("tiny_linear", cpu).pte;
        let reads_sums = cpu.default_isa().constant_form() == ConstantForm::KernelSum;
        assert_eq!(holds(&pte, &sums), reads_sums, "{cpu}");
        assert_eq!(holds(&pte, &bias), !reads_sums, "{cpu}");
    }
}

#[test]
fn a_lesser_isa_of_a_greater_core_gets_its_own_form() {
    let exported = cortado_compiler::import::ExportedProgram::open(common::path(
        "tiny_linear",
        "quantized.pt2",
    ))
    .unwrap();
    for isa in Isa::ALL {
        let target = Target::with_isa(Cpu::M55, isa).unwrap();
        let compiled = cortado_compiler::compile(&exported, target).unwrap();
        assert_eq!(compiled.lowered.calls[1].operator.constant_form(), Some(isa.constant_form()));
    }
}

/// The negative test: with the form swapped on purpose, a stamped file is refused under each policy, and an unstamped one either is
/// refused or gives other outputs, so a comparison of outputs cannot pass.
#[test]
fn a_swapped_form_is_noticed() {
    let inputs = Archive::open(common::path("tiny_linear", "inputs.npz")).unwrap();
    let run = |file: &[u8], kernels: Isa, policy: LayoutPolicy| {
        let file = AlignedBytes::copy_of(file);
        let own = AlignedBytes::copy_of(&common::compiled("tiny_linear", Cpu::M4).pte);
        let samples = Samples::take(&inputs, &[], &local::boundary(&own).unwrap().inputs).unwrap();
        local::run(&file, kernels, policy, &samples, || {})
    };
    let right =
        run(&common::compiled("tiny_linear", Cpu::M4).pte, Isa::Dsp, LayoutPolicy::Refuse).unwrap();
    for cpu in CPUS {
        let pte = common::compiled("tiny_linear", cpu).pte;
        for kernels in Isa::ALL {
            for policy in [LayoutPolicy::Refuse, LayoutPolicy::Adapt] {
                let stamped = run(&swap_forms(&pte, true).unwrap(), kernels, policy);
                let problem = match stamped {
                    Err(RunError::Load(LoadError::Operator { problem, .. })) => problem,
                    other => panic!("{cpu} on {kernels}, {policy:?}: {other:?}"),
                };
                assert!(matches!(problem, OperatorProblem::ContradictsStamp { .. }));
                match run(&swap_forms(&pte, false).unwrap(), kernels, policy) {
                    Err(RunError::Load(LoadError::Layout(_))) => {
                        assert_eq!(policy, LayoutPolicy::Refuse)
                    }
                    Ok(outputs) => assert!(outputs != right, "{cpu} on {kernels}, {policy:?}"),
                    Err(error) => panic!("{cpu} on {kernels}, {policy:?}: {error}"),
                }
            }
        }
    }
}
