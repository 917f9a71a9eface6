//! Programs with an `int8` border compute the same integers as those that convert floats themselves.

mod common;

use common::TARGETS;
use cortado_compiler::finish::finish;
use cortado_compiler::lift::lift;
use cortado_compiler::lowered::Affine;
use cortado_compiler::plan::PlanOptions;
use cortado_compiler::retarget::retarget;
use cortado_contract::quant::{Activation, ZeroPoint, dequantize, inverse_scale, quantize};
use cortado_contract::{Cpu, DType, Target};
use cortado_host::local::{AlignedBytes, Lent, Method, with_method};
use cortado_runtime::{LayoutPolicy, Program};
use cortado_testkit::random::Random;

fn options() -> PlanOptions {
    PlanOptions { int8_border: true, ..PlanOptions::default() }
}

/// Runs a program on random real numbers, converted as `inputs` and `outputs` say, and gives its outputs as real numbers.
fn run(pte: &[u8], target: Target, seed: u32) -> Vec<Vec<f32>> {
    let program = lift(pte).unwrap().program;
    let (inputs, outputs) = (program.input_affines, program.output_affines);
    let file = AlignedBytes::copy_of(pte);
    // A device learns from the file what the host was told.
    let parsed = Program::parse(file.as_ref()).unwrap();
    for (index, affine) in inputs.iter().enumerate() {
        let found = parsed.input_quantization(index).map(|it| (it.scale, it.zero_point));
        assert_eq!(found, affine.map(|it| (it.scale as f32, it.zero_point)), "input {index}");
    }
    for (index, affine) in outputs.iter().enumerate() {
        let found = parsed.output_quantization(index).map(|it| (it.scale, it.zero_point));
        assert_eq!(found, affine.map(|it| (it.scale as f32, it.zero_point)), "output {index}");
    }
    let run = |mut method: Method<'_>| -> Vec<Vec<f32>> {
        let mut random = Random::new(seed);
        let mut lent = Lent::new(&method);
        for index in 0..method.input_count() {
            let info = method.input_info(index).unwrap();
            let count: u32 = info.dims[..usize::from(info.rank)].iter().product();
            let numbers: Vec<f32> =
                (0..count).map(|_| random.between(-400, 400) as f32 / 100.0).collect();
            let bytes: Vec<u8> = match inputs.get(index).copied().flatten() {
                None => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
                Some(Affine { scale, zero_point }) => {
                    let (inverse, point) = (inverse_scale(scale), ZeroPoint(zero_point));
                    let convert =
                        |number: &f32| quantize(*number, inverse, point, Activation::INT8);
                    numbers.iter().map(|number| convert(number) as u8).collect()
                }
            };
            lent.set_input(&mut method, index, &bytes).unwrap();
        }
        lent.execute(&mut method).unwrap();
        let output = |index: usize| {
            let bytes = lent.output(&method, index).unwrap();
            match outputs.get(index).copied().flatten() {
                Some(Affine { scale, zero_point }) => bytes
                    .iter()
                    .map(|byte| {
                        let integer = i32::from(*byte as i8);
                        dequantize(integer, scale as f32, ZeroPoint(zero_point))
                    })
                    .collect(),
                None => {
                    let numbers = bytes.as_chunks().0.iter();
                    numbers.map(|number| f32::from_le_bytes(*number)).collect()
                }
            }
        };
        (0..method.output_count()).map(output).collect()
    };
    with_method(&file, target.isa(), LayoutPolicy::Refuse, run).unwrap()
}

#[test]
fn outputs_are_the_same_and_the_border_is_int8() {
    let (mut integers, mut floats) = (0, 0);
    for model in common::models() {
        let cpu = Cpu::M4;
        let plain = common::compiled(&model, cpu);
        if plain.pte.len() > 120_000 {
            continue;
        }
        let int8 = common::compiled_with(&model, cpu, &options());
        assert!(int8.plan.arena_bytes <= plain.plan.arena_bytes, "{model}");
        assert!(int8.scheduled.calls.len() <= plain.scheduled.calls.len(), "{model}");
        for id in int8.scheduled.inputs.iter().chain(&int8.scheduled.outputs) {
            let is_int8 = int8.scheduled.buffer(*id).dtype == DType::I8;
            *(if is_int8 { &mut integers } else { &mut floats }) += 1;
        }
        let target = Target::new(cpu);
        assert_eq!(run(&int8.pte, target, 1), run(&plain.pte, target, 1), "{model}");
    }
    // What stays in float is read or made by operators in float.
    assert!(integers > 70 && floats < 10, "{integers} {floats}");
}

#[test]
fn files_with_an_int8_border_are_retargeted_byte_for_byte() {
    for model in ["digits_mlp", "op_flatten", "multiple_outputs", "op_cat"] {
        let fresh = TARGETS.map(|(_, cpu)| common::compiled_with(model, cpu, &options()).pte);
        for file in &fresh {
            for ((_, cpu), expected) in TARGETS.iter().zip(&fresh) {
                let mut lifted = lift(file).unwrap();
                let target = Target::new(*cpu);
                retarget(&mut lifted.program, target.isa()).unwrap();
                let made = finish(&lifted.program, target, &lifted.plan_options()).unwrap().pte;
                assert!(made == *expected, "{model} for {cpu}");
            }
        }
    }
}
