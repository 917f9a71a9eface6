//! Emitting: a planned program as a `.pte` with its target stamp.
//!
//! Only what an instruction or the boundary refers to is written. Equal integers, numbers and lists share a value.

use crate::error::CompileError;
use crate::lowered::{
    Affine, BufferId, BufferKind, Ints, Lowered, LoweredDomain, LoweredTensor, Tensors,
};
use crate::plan::MemoryPlan;
use cortado_contract::border::{self, Side};
use cortado_contract::stamp::{self, TargetStamp};
use cortado_contract::value::ArgumentWriter;
use cortado_contract::{DType, Target};
use cortado_pte::owned::{
    Allocation, Chain, Instruction, NamedData, Operator, Plan, Program, ScalarType, Tensor, Value,
};
use cortado_pte::{WriteOptions, write};
use std::collections::HashMap;

/// The key of the named data with the banks, one per line: `name=capacity_bytes`. Only files that were planned for banks have it.
pub const BANKS_KEY: &str = "cortado.banks";

/// The key of the named data with the inputs' names, one per line.
pub const INPUT_NAMES_KEY: &str = "cortado.inputs";

/// The version of this compiler, as the target stamp has it.
pub const COMPILER_VERSION: [u16; 3] = [
    version(env!("CARGO_PKG_VERSION_MAJOR")),
    version(env!("CARGO_PKG_VERSION_MINOR")),
    version(env!("CARGO_PKG_VERSION_PATCH")),
];

/// Writes a program as a file.
///
/// # Errors
/// [`CompileError::Write`] when it exceeds the format's limits.
pub fn emit(program: &Lowered, plan: &MemoryPlan, target: Target) -> Result<Vec<u8>, CompileError> {
    let mut emitter = Emitter {
        program,
        plan,
        file: Program::default(),
        values: Vec::new(),
        tensors: HashMap::new(),
        constants: HashMap::new(),
        operators: Vec::new(),
    };
    let inputs = emitter.tensors(&program.inputs);
    let instructions =
        program.calls.iter().map(|call| emitter.instruction(&call.operator)).collect();
    let outputs = emitter.tensors(&program.outputs);
    let Emitter { mut file, values, operators, .. } = emitter;
    file.plans.push(Plan {
        name: "forward".to_owned(),
        container: Some(cortado_pte::owned::ContainerMetadata::default()),
        values,
        inputs,
        outputs,
        chains: vec![Chain { instructions, ..Chain::default() }],
        operators,
        // Entry 0 is reserved.
        non_const_buffer_sizes: [0]
            .into_iter()
            .chain(plan.banks.iter().map(|bank| bank.bytes as i64))
            .collect(),
        ..Plan::default()
    });
    let stamp = TargetStamp::new(target, COMPILER_VERSION);
    file.named_data.push(NamedData { key: stamp::KEY.to_owned(), data: stamp.to_bytes().to_vec() });
    let names: Vec<&str> =
        program.inputs.iter().map(|id| program.buffer(*id).name.as_str()).collect();
    file.named_data
        .push(NamedData { key: INPUT_NAMES_KEY.to_owned(), data: names.join("\n").into_bytes() });
    let banks = plan.banks.iter().filter_map(|bank| Some((&bank.name, bank.capacity_bytes?)));
    let banks: Vec<String> = banks.map(|(name, bytes)| format!("{name}={bytes}")).collect();
    if !banks.is_empty() {
        let data = banks.join("\n").into_bytes();
        file.named_data.push(NamedData { key: BANKS_KEY.to_owned(), data });
    }
    let sides = [(Side::Input, &program.input_affines), (Side::Output, &program.output_affines)];
    let lines: Vec<String> = sides
        .into_iter()
        .flat_map(|(side, affines)| {
            affines.iter().enumerate().filter_map(move |(index, affine)| {
                // A number of this form reads back as the same one.
                affine.map(|Affine { scale, zero_point }| {
                    format!("{} {index} {scale:?} {zero_point}", side.name())
                })
            })
        })
        .collect();
    if !lines.is_empty() {
        let data = lines.join("\n").into_bytes();
        file.named_data.push(NamedData { key: border::KEY.to_owned(), data });
    }
    Ok(write(&file, &WriteOptions::default())?)
}

struct Emitter<'p> {
    program: &'p Lowered,
    plan: &'p MemoryPlan,
    file: Program,
    values: Vec<Value>,
    tensors: HashMap<BufferId, i32>,
    constants: HashMap<BufferId, u32>,
    operators: Vec<Operator>,
}

impl Emitter<'_> {
    fn instruction(
        &mut self,
        operator: &cortado_contract::ops::Operator<LoweredDomain>,
    ) -> Instruction {
        let name = Operator {
            name: operator.kind().name().to_owned(),
            overload: operator.kind().overload().to_owned(),
        };
        let op_index =
            self.operators.iter().position(|known| *known == name).unwrap_or_else(|| {
                self.operators.push(name);
                self.operators.len() - 1
            });
        let mut arguments = Arguments { emitter: self, indices: Vec::new() };
        operator.encode(&mut arguments);
        let mut args = arguments.indices;
        // ExecuTorch's instructions name their result once as an argument and once more as the result.
        args.extend(args.last().copied());
        Instruction::KernelCall { op_index: op_index as i32, args }
    }

    fn tensors(&mut self, ids: &[BufferId]) -> Vec<i32> {
        ids.iter().map(|id| self.tensor(*id)).collect()
    }

    fn tensor(&mut self, id: BufferId) -> i32 {
        if let Some(index) = self.tensors.get(&id) {
            return *index;
        }
        let buffer = self.program.buffer(id);
        let sizes: Vec<i32> = buffer.shape.iter().map(|extent| *extent as i32).collect();
        let mut tensor = Tensor::new(scalar_type(buffer.dtype), &sizes);
        tensor.dim_order = buffer.dim_order.clone();
        let storage = self.program.storage(id);
        if let BufferKind::Constant(data) = &self.program.buffer(storage).kind {
            tensor.data_buffer_idx = *self
                .constants
                .entry(storage)
                .or_insert_with(|| self.file.add_constant(data.to_vec()));
        } else if let Some(placement) = self.plan.placement(self.program, id) {
            // ExecuTorch counts planned memories from 1.
            let memory_id = placement.bank as u32 + 1;
            tensor.allocation = Some(Allocation { memory_id, offset: placement.offset_bytes });
        }
        self.values.push(Value::Tensor(tensor));
        let index = (self.values.len() - 1) as i32;
        self.tensors.insert(id, index);
        index
    }

    /// The index of a value that is not a tensor; equal ones share it.
    fn value(&mut self, value: Value) -> i32 {
        let known = self.values.iter().position(|known| match (known, &value) {
            (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits(),
            (known, value) => known == value,
        });
        known.unwrap_or_else(|| {
            self.values.push(value);
            self.values.len() - 1
        }) as i32
    }
}

struct Arguments<'e, 'p> {
    emitter: &'e mut Emitter<'p>,
    indices: Vec<i32>,
}

impl ArgumentWriter<LoweredDomain> for Arguments<'_, '_> {
    fn tensor(&mut self, _: &'static str, value: &LoweredTensor) {
        let index = self.emitter.tensor(value.id);
        self.indices.push(index);
    }

    fn optional_tensor(&mut self, _: &'static str, value: Option<&LoweredTensor>) {
        let index = match value {
            Some(tensor) => self.emitter.tensor(tensor.id),
            None => self.emitter.value(Value::Null),
        };
        self.indices.push(index);
    }

    fn int(&mut self, _: &'static str, value: i64) {
        let index = self.emitter.value(Value::Int(value));
        self.indices.push(index);
    }

    fn float(&mut self, _: &'static str, value: f64) {
        let index = self.emitter.value(Value::Double(value));
        self.indices.push(index);
    }

    fn text(&mut self, _: &'static str, value: &'static str) {
        let index = self.emitter.value(Value::String(value.to_owned()));
        self.indices.push(index);
    }

    fn optional_int(&mut self, _: &'static str, value: Option<i64>) {
        let index = self.emitter.value(value.map_or(Value::Null, Value::Int));
        self.indices.push(index);
    }

    fn tensor_list(&mut self, _: &'static str, value: &Tensors) {
        let items = value.0.iter().map(|tensor| self.emitter.tensor(tensor.id)).collect();
        let index = self.emitter.value(Value::TensorList(items));
        self.indices.push(index);
    }

    fn bool(&mut self, _: &'static str, value: bool) {
        let index = self.emitter.value(Value::Bool(value));
        self.indices.push(index);
    }

    fn int_list(&mut self, _: &'static str, value: &Ints) {
        let items =
            value.0.iter().map(|item| i64::from(self.emitter.value(Value::Int(*item)))).collect();
        let index = self.emitter.value(Value::IntList(items));
        self.indices.push(index);
    }
}

fn scalar_type(dtype: DType) -> ScalarType {
    ScalarType(dtype.scalar_type() as i8)
}

/// A version number of the package, as a number.
const fn version(text: &str) -> u16 {
    let mut value = 0u16;
    let mut digits = text.as_bytes();
    while let [digit, rest @ ..] = digits {
        value = value * 10 + (*digit - b'0') as u16;
        digits = rest;
    }
    value
}
