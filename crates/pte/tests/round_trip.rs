//! Random programs: what is written reads equal, by every reader.

mod common;

use std::fmt::Debug;

use common::Walk;
use cortado_pte::owned::{
    Allocation, BufferDevice, Chain, CompileSpec, ContainerMetadata, Delegate, ExtraTensorInfo,
    Frame, Instruction, NamedData, Operator, Plan, Program, ScalarType, ShapeDynamism, Tensor,
    TensorLocation, Value,
};
use cortado_pte::{MAX_RANK, WriteError, WriteOptions, dump, write};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

#[test]
fn random_programs() {
    check(any_program(), |program| {
        let written = write(&program, &WriteOptions::default()).unwrap();
        prop_assert!(written.len() >= 64, "upstream's loader reads 64 bytes ahead");
        let view = cortado_pte::Program::parse(&written).unwrap();
        prop_assert_eq!(&Program::from_view(&view).unwrap(), &program);
        prop_assert_eq!(dump(&view).matches("\nmethod ").count(), program.plans.len());
        for (index, constant) in program.constants.iter().enumerate().skip(1) {
            let found = view.constant(index as u32).unwrap();
            prop_assert_eq!(&found[..constant.len()], &constant[..]);
            prop_assert_eq!((found.as_ptr() as usize - written.as_ptr() as usize) % 16, 0);
        }
        for entry in &program.named_data {
            prop_assert_eq!(view.named(&entry.key).unwrap(), Some(&entry.data[..]));
        }
        Ok(())
    });
}

#[test]
fn random_programs_survive_every_reader() {
    check(any_program(), |program| {
        let written = write(&program, &WriteOptions::default()).unwrap();
        // Random indices lead nowhere, so errors are expected; offsets and type codes are right.
        for error in Walk::everything(&written).errors {
            use cortado_pte::ErrorKind::{Index, Missing, Segment, TooLarge, ValueType};
            prop_assert!(
                matches!(error.kind, Index | Missing | Segment | TooLarge | ValueType),
                "{error}"
            );
        }
        Ok(())
    });
}

#[test]
fn a_program_of_nothing() {
    let program = Program::default();
    let written = write(&program, &WriteOptions::default()).unwrap();
    assert!(written.len() >= 64);
    let view = cortado_pte::Program::parse(&written).unwrap();
    assert_eq!(Program::from_view(&view).unwrap(), program);
    assert_eq!(view.segment_base(), 0);
}

#[test]
fn weights_that_dwarf_the_program() {
    let mut program = Program::default();
    let size = 40 << 20;
    let data_buffer_idx = program.add_constant(vec![0; size]);
    let tensor = Tensor { data_buffer_idx, ..Tensor::new(ScalarType::CHAR, &[size as i32]) };
    program.plans.push(Plan { values: vec![Value::Tensor(tensor)], ..Plan::default() });
    let written = write(&program, &WriteOptions::default()).unwrap();
    let view = cortado_pte::Program::parse(&written).unwrap();
    assert!(Program::from_view(&view).unwrap() == program);
}

#[test]
fn doubles_keep_their_bits() {
    let doubles = [0.0, -0.0, f64::INFINITY, f64::MIN_POSITIVE / 2.0, f64::NAN];
    let values = doubles.iter().map(|&double| Value::Double(double)).collect();
    let program = Program { plans: vec![Plan { values, ..Plan::default() }], ..Program::default() };
    let written = write(&program, &WriteOptions::default()).unwrap();
    let view = cortado_pte::Program::parse(&written).unwrap();
    let plan = view.plans().unwrap().get(0).unwrap();
    for (index, expected) in doubles.iter().enumerate() {
        let Ok(cortado_pte::Value::Double(found)) = plan.values().get(index) else {
            panic!("value {index} is no double");
        };
        assert_eq!(found.to_bits(), expected.to_bits());
    }
}

#[test]
fn programs_that_break_a_rule_are_refused() {
    let refused = |program: &Program| write(program, &WriteOptions::default()).unwrap_err();
    let reserved = Program { constants: vec![vec![1]], ..Program::default() };
    assert_eq!(refused(&reserved), WriteError::ReservedBuffer);
    let reserved = Program { constants: vec![], ..Program::default() };
    assert_eq!(refused(&reserved), WriteError::ReservedBuffer);
    let reserved = Program { mutable_segments: vec![vec![]], ..Program::default() };
    assert_eq!(refused(&reserved), WriteError::ReservedBuffer);
    let entry = NamedData { key: "twice".into(), data: vec![] };
    let twice = Program { named_data: vec![entry.clone(), entry], ..Program::default() };
    assert_eq!(refused(&twice), WriteError::DuplicateName("twice".into()));
    let newer = Program { version: 1, ..Program::default() };
    assert_eq!(refused(&newer), WriteError::Version(1));
    let deep = Tensor::new(ScalarType::CHAR, &[1; MAX_RANK + 1]);
    let values = vec![Value::Null, Value::Tensor(deep)];
    let plan = Plan { name: "forward".into(), values, ..Plan::default() };
    let deep = Program { plans: vec![plan], ..Program::default() };
    assert_eq!(
        refused(&deep).to_string(),
        "value 1 of method `forward`: a tensor of 17 dimensions, at most 16 are allowed"
    );
    for (segment_alignment, constant_alignment) in [(16, 32), (24, 8), (16, 0)] {
        let options = WriteOptions { segment_alignment, constant_alignment };
        let error = write(&Program::default(), &options).unwrap_err();
        assert_eq!(error, WriteError::Alignment(options));
    }
}

/// Runs a property on the same cases every time.
fn check<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S::Value: Debug,
{
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, random).run(&strategy, property).unwrap();
}

fn any_program() -> impl Strategy<Value = Program> {
    let constants = vec(any_constant(), 0..5);
    let mutable = vec(vec(any_bytes(), 0..4), 0..3);
    let named = proptest::collection::btree_map(any_text(), any_bytes(), 0..4);
    (vec(any_plan(), 0..3), constants, mutable, named).prop_map(
        |(mut plans, constants, mutable, named)| {
            let mut program = Program::default();
            for constant in constants {
                // A constant that ends in zeros has them only if a tensor says so.
                let size = constant.len() as i32;
                let data_buffer_idx = program.add_constant(constant);
                let tensor = Tensor { data_buffer_idx, ..Tensor::new(ScalarType::CHAR, &[size]) };
                match plans.first_mut() {
                    Some(plan) => plan.values.push(Value::Tensor(tensor)),
                    None => {
                        program.constants.pop();
                    }
                }
            }
            program.plans = plans;
            program.mutable_segments = mutable
                .into_iter()
                .map(|buffers| std::iter::once(vec![]).chain(buffers).collect())
                .collect();
            program.named_data =
                named.into_iter().map(|(key, data)| NamedData { key, data }).collect();
            program
        },
    )
}

/// Any bytes, with zeros at their end now and then.
fn any_constant() -> impl Strategy<Value = Vec<u8>> {
    (any_bytes(), 0..20usize).prop_map(|(mut bytes, zeros)| {
        bytes.resize(bytes.len() + zeros, 0);
        bytes
    })
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn any_text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn any_indices() -> impl Strategy<Value = Vec<i32>> {
    vec(prop_oneof![-1..20i32, any::<i32>()], 0..6)
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let container = proptest::option::of(
        (any_text(), any_text())
            .prop_map(|(inputs, outputs)| ContainerMetadata { inputs, outputs }),
    );
    let operators = vec(
        (any_text(), any_text()).prop_map(|(name, overload)| Operator { name, overload }),
        0..4,
    );
    let devices =
        vec(
            any::<(i32, i8, i8)>().prop_map(|(buffer_idx, device_type, device_index)| {
                BufferDevice { buffer_idx, device_type, device_index }
            }),
            0..3,
        );
    let parts = (
        any_text(),
        container,
        vec(any_value(), 0..10),
        any_indices(),
        any_indices(),
        vec(any_chain(), 0..3),
        operators,
        vec(any_delegate(), 0..3),
        vec(any::<i64>(), 0..4),
        devices,
    );
    parts.prop_map(
        |(
            name,
            container,
            values,
            inputs,
            outputs,
            chains,
            operators,
            delegates,
            sizes,
            devices,
        )| {
            Plan {
                name,
                container,
                values,
                inputs,
                outputs,
                chains,
                operators,
                delegates,
                non_const_buffer_sizes: sizes,
                non_const_buffer_devices: devices,
            }
        },
    )
}

fn any_value() -> impl Strategy<Value = Value> {
    let double = proptest::num::f64::ANY.prop_filter("NaN equals nothing", |f| !f.is_nan());
    prop_oneof![
        Just(Value::Null),
        prop_oneof![-2..2i64, any::<i64>()].prop_map(Value::Int),
        any::<bool>().prop_map(Value::Bool),
        double.clone().prop_map(Value::Double),
        any_tensor().prop_map(Value::Tensor),
        any_text().prop_map(Value::String),
        vec(prop_oneof![0..20i64, any::<i64>()], 0..6).prop_map(Value::IntList),
        vec(double, 0..6).prop_map(Value::DoubleList),
        vec(any::<bool>(), 0..6).prop_map(Value::BoolList),
        any_indices().prop_map(Value::TensorList),
        any_indices().prop_map(Value::OptionalTensorList),
    ]
}

/// Tensors of any kind but one: constants get theirs where the constants are made.
fn any_tensor() -> impl Strategy<Value = Tensor> {
    let allocation =
        any::<(u32, u64)>().prop_map(|(memory_id, offset)| Some(Allocation { memory_id, offset }));
    let placed = prop_oneof![
        (Just(0u32), proptest::option::of(allocation.clone()).prop_map(Option::flatten)),
        (any::<u32>(), allocation),
    ];
    let dynamism = prop_oneof![
        Just(ShapeDynamism::Static),
        Just(ShapeDynamism::DynamicBound),
        Just(ShapeDynamism::DynamicUnbound),
    ];
    let parts = (
        any::<(i8, i32, bool, i8)>(),
        vec(any::<i32>(), 0..MAX_RANK),
        vec(any::<u8>(), 0..MAX_RANK),
        placed,
        dynamism,
        proptest::option::of(any_extra_tensor_info()),
    );
    parts.prop_map(
        |(
            (code, storage_offset, requires_grad, layout),
            sizes,
            dim_order,
            (data_buffer_idx, allocation),
            shape_dynamism,
            extra_tensor_info,
        )| Tensor {
            scalar_type: ScalarType(code),
            storage_offset,
            sizes,
            dim_order,
            requires_grad,
            data_buffer_idx,
            allocation,
            layout,
            shape_dynamism,
            extra_tensor_info,
        },
    )
}

fn any_extra_tensor_info() -> impl Strategy<Value = ExtraTensorInfo> {
    let location = prop_oneof![Just(TensorLocation::Segment), Just(TensorLocation::External)];
    let parts = (any::<(u64, i8, i8)>(), proptest::option::of(any_text()), location);
    parts.prop_map(|((segment, device_type, device_index), fully_qualified_name, location)| {
        ExtraTensorInfo {
            mutable_data_segments_idx: segment,
            fully_qualified_name,
            location,
            device_type,
            device_index,
        }
    })
}

fn any_chain() -> impl Strategy<Value = Chain> {
    let frame = (any_text(), any::<i32>(), any_text(), any_text())
        .prop_map(|(filename, lineno, name, context)| Frame { filename, lineno, name, context });
    let parts =
        (any_indices(), any_indices(), vec(any_instruction(), 0..6), vec(vec(frame, 0..3), 0..3));
    parts.prop_map(|(inputs, outputs, instructions, stacktrace)| Chain {
        inputs,
        outputs,
        instructions,
        stacktrace,
    })
}

fn any_instruction() -> impl Strategy<Value = Instruction> {
    let index = || prop_oneof![0..20i32, any::<i32>()];
    prop_oneof![
        (index(), any_indices())
            .prop_map(|(op_index, args)| Instruction::KernelCall { op_index, args }),
        (index(), any_indices())
            .prop_map(|(delegate_index, args)| Instruction::DelegateCall { delegate_index, args }),
        (index(), index())
            .prop_map(|(move_from, move_to)| Instruction::MoveCall { move_from, move_to }),
        (index(), index()).prop_map(|(cond_value_index, destination_instruction)| {
            Instruction::JumpFalseCall { cond_value_index, destination_instruction }
        }),
        index().prop_map(|value_index| Instruction::FreeCall { value_index }),
    ]
}

fn any_delegate() -> impl Strategy<Value = Delegate> {
    let spec = (any_text(), any_bytes()).prop_map(|(key, value)| CompileSpec { key, value });
    let parts = (any_text(), any_bytes(), vec(spec, 0..3));
    parts.prop_map(|(id, data, compile_specs)| Delegate { id, data, compile_specs })
}
