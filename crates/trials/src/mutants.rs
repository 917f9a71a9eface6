//! Programs with one thing broken at a time, and what may come of them.
//!
//! [`mutants`] lists the changes to a valid file: every scalar, size, index, kind, list and offset of its model, every word of its
//! flatbuffer, truncations, overlaps, damaged tables. [`judge`] says what became of one:
//!
//! * **refused**: the loader names what is wrong, under either policy;
//! * **harmless**: it computes what the valid program computes, on every instruction set;
//! * **another program**: it computes something else, and exactly what the contract's references compute for the file as it now reads.
//!   A weight, a zero point or an index may be another one and the file as sound as before; nobody could tell;
//! * **wrong**: anything else. It does not execute, instruction sets differ, or it departs from the contract.

use crate::interpret::{NoAnswer, interpret, steps};
use crate::targets::{ARENA_BYTES_MAX, STEPS_MAX, inputs, inputs_of, run};
use cortado_compiler::lift::lift;
use cortado_contract::{DType, Isa};
use cortado_host::local::{AlignedBytes, Method, with_method};
use cortado_pte::owned::{
    Allocation, Delegate, ExtraTensorInfo, Instruction, Operator, Program, ScalarType,
    ShapeDynamism, Tensor, Value,
};
use cortado_pte::{WriteOptions, write};
use cortado_runtime::LayoutPolicy;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A damaged file.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// What was changed, and where.
    pub what: String,
    /// The file.
    pub file: Vec<u8>,
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The loader refused it, for this reason.
    Refused(String),
    /// It computes what the valid program computes.
    Harmless,
    /// It computes what the contract says for what the file now says.
    AnotherProgram,
    /// It could not be tried: it would take too long, or too much memory.
    NotTried,
    /// None of these.
    Wrong(String),
}

/// What became of many mutants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Mutants that were tried.
    pub tried: usize,
    /// See [`Verdict::Refused`].
    pub refused: usize,
    /// See [`Verdict::Harmless`].
    pub harmless: usize,
    /// See [`Verdict::AnotherProgram`].
    pub another_program: usize,
    /// See [`Verdict::NotTried`]; not among those tried.
    pub not_tried: usize,
    /// See [`Verdict::Wrong`], with what was changed.
    pub wrong: Vec<String>,
}

impl Counts {
    /// Counts a verdict.
    pub fn add(&mut self, what: &str, verdict: &Verdict) {
        self.tried += 1;
        match verdict {
            Verdict::Refused(_) => self.refused += 1,
            Verdict::Harmless => self.harmless += 1,
            Verdict::AnotherProgram => self.another_program += 1,
            Verdict::NotTried => {
                self.tried -= 1;
                self.not_tried += 1;
            }
            Verdict::Wrong(why) => self.wrong.push(format!("{what}: {why}")),
        }
    }
}

/// The answers of a valid program: what mutants are held against.
///
/// # Panics
/// When the program is not valid.
pub fn answers(file: &[u8]) -> Vec<Vec<u8>> {
    let lifted = lift(file).expect("a valid program");
    run(&AlignedBytes::copy_of(file), Isa::Scalar, &inputs(&lifted))
}

/// What becomes of a mutant of a program with these answers.
pub fn judge(mutant: &[u8], answers: &[Vec<u8>]) -> Verdict {
    match catch_unwind(AssertUnwindSafe(|| judge_calmly(mutant, answers))) {
        Ok(verdict) => verdict,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Verdict::Wrong(format!("it panics: {}", text.unwrap_or_default()))
        }
    }
}

fn judge_calmly(mutant: &[u8], answers: &[Vec<u8>]) -> Verdict {
    let sizes = |method: Method<'_>| -> Vec<usize> {
        let inputs = (0..method.input_count()).map(|index| method.input_info(index));
        inputs.map(|info| info.expect("an input").span().len()).collect()
    };
    let file = AlignedBytes::copy_of(mutant);
    let program = cortado_runtime::Program::parse(file.as_ref());
    let needs = match program.and_then(|program| program.requirements()) {
        Ok(needs) => needs,
        Err(error) => return Verdict::Refused(error.to_string()),
    };
    if needs.arena_bytes > ARENA_BYTES_MAX {
        return Verdict::NotTried;
    }
    // The adapting policy refuses least.
    let loads = Isa::ALL.map(|isa| with_method(&file, isa, LayoutPolicy::Adapt, sizes));
    let inputs = match loads {
        [Ok(sizes), Ok(_), Ok(_)] => inputs_of(sizes.into_iter()),
        [Err(error), Err(_), Err(_)] => return Verdict::Refused(error.to_string()),
        [_, _, _] => return Verdict::Wrong("only some instruction sets refuse it".to_owned()),
    };
    let lifted = lift(mutant);
    // What the host does not read cannot be known to be small, but where it is executed in all, memory bounds it.
    let is_small = match &lifted {
        Ok(lifted) => steps(&lifted.program) <= STEPS_MAX,
        Err(_) => needs.arena_bytes <= SMALL_ARENA_BYTES,
    };
    if !is_small {
        return Verdict::NotTried;
    }
    let found = Isa::ALL.map(|isa| run(&file, isa, &inputs));
    if found.iter().any(|other| *other != found[0]) {
        return Verdict::Wrong("instruction sets differ".to_owned());
    }
    if found[0] == answers {
        return Verdict::Harmless;
    }
    let lifted = match lifted {
        Ok(lifted) => lifted,
        Err(error) => {
            return Verdict::Wrong(format!("another answer, and the host cannot read it: {error}"));
        }
    };
    match interpret(&lifted.program, &inputs) {
        Ok(expected) if expected == found[0] => Verdict::AnotherProgram,
        Ok(_) => Verdict::Wrong("it departs from the contract".to_owned()),
        // For float there is nothing more to hold it against than the other instruction sets.
        Err(NoAnswer::Float(_)) => Verdict::AnotherProgram,
        Err(error) => Verdict::Wrong(format!("it is loaded, and has no answer: {error:?}")),
    }
}

/// The most memory of a program that is executed without knowing how long it takes, in bytes.
const SMALL_ARENA_BYTES: u32 = 16 << 10;

/// Every mutant of a file whose position in the list is a multiple of `step`, counted from `first`.
///
/// Files that the writer does not write are left out.
///
/// # Panics
/// When the file is not a sound program.
pub fn mutants(file: &[u8], first: usize, step: usize) -> Vec<Mutant> {
    let view = cortado_pte::Program::parse(file).expect("a sound program");
    let program = Program::from_view(&view).expect("a sound program");
    let mut chosen = Chosen { program: &program, first, step, position: 0, mutants: Vec::new() };
    chosen.values();
    chosen.tensors();
    chosen.overlaps();
    chosen.plan();
    chosen.instructions();
    chosen.operators();
    chosen.constants();
    chosen.named_data();
    chosen.whole_file(file, view.program_size());
    chosen.mutants
}

/// Numbers at which something may go over.
const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    8,
    31,
    -32,
    32,
    127,
    128,
    -128,
    -129,
    255,
    256,
    32_767,
    32_768,
    65_535,
    65_536,
    i32::MAX as i64,
    i32::MIN as i64,
    i32::MAX as i64 + 1,
    u32::MAX as i64,
    u32::MAX as i64 + 1,
    i64::MAX,
    i64::MIN,
];

struct Chosen<'p> {
    program: &'p Program,
    first: usize,
    step: usize,
    position: usize,
    mutants: Vec<Mutant>,
}

impl Chosen<'_> {
    fn is_next(&mut self) -> bool {
        self.position += 1;
        (self.position - 1) % self.step == self.first % self.step
    }

    fn edit(&mut self, what: impl FnOnce() -> String, edit: impl FnOnce(&mut Program)) {
        if !self.is_next() {
            return;
        }
        let mut program = self.program.clone();
        edit(&mut program);
        if let Ok(file) = write(&program, &WriteOptions::default()) {
            self.mutants.push(Mutant { what: what(), file });
        }
    }

    fn set_value(&mut self, index: usize, value: Value) {
        let what =
            format!("value {index}: {:?} for {:?}", value, self.program.plans[0].values[index]);
        self.edit(|| what, |program| program.plans[0].values[index] = value);
    }

    fn values(&mut self) {
        let plan = &self.program.plans[0];
        let count = plan.values.len();
        let a_tensor = plan.values.iter().find(|value| matches!(value, Value::Tensor(_))).cloned();
        for index in 0..count {
            let value = plan.values[index].clone();
            // Of another kind.
            for other in [
                Value::Null,
                Value::Int(1),
                Value::Bool(true),
                Value::Double(1.0),
                Value::String("none".to_owned()),
                Value::IntList(vec![0]),
                Value::TensorList(vec![0]),
                Value::DoubleList(vec![1.0]),
                Value::OptionalTensorList(vec![0, -1]),
            ]
            .into_iter()
            .chain(a_tensor.clone())
            {
                self.set_value(index, other);
            }
            match value {
                Value::Int(number) => {
                    let near = [
                        number.wrapping_add(1),
                        number.wrapping_sub(1),
                        number.wrapping_neg(),
                        number.wrapping_mul(2),
                    ];
                    for other in near.iter().chain(NUMBERS) {
                        self.set_value(index, Value::Int(*other));
                    }
                }
                Value::Bool(flag) => self.set_value(index, Value::Bool(!flag)),
                Value::Double(number) => {
                    for other in [
                        0.0,
                        -number,
                        2.0 * number,
                        f64::NAN,
                        f64::INFINITY,
                        f64::NEG_INFINITY,
                        1e-46,
                        1e39,
                        f64::MIN_POSITIVE / 2.0,
                        f64::MAX,
                    ] {
                        self.set_value(index, Value::Double(other));
                    }
                }
                Value::IntList(items) => {
                    for items in
                        lists(&items, &[-1, 0, 1, count as i64, i64::from(i32::MAX) + 1, i64::MIN])
                    {
                        self.set_value(index, Value::IntList(items));
                    }
                }
                Value::TensorList(items) => {
                    for items in lists(&items, &[-1, 0, 1, count as i32, i32::MAX, i32::MIN]) {
                        self.set_value(index, Value::TensorList(items));
                    }
                }
                _ => {}
            }
        }
    }

    fn tensors(&mut self) {
        let plan = &self.program.plans[0];
        let constants = self.program.constants.len() as u32;
        for (index, value) in plan.values.iter().enumerate() {
            let Value::Tensor(tensor) = value else { continue };
            let mut set = |what: &str, edit: &dyn Fn(&mut Tensor)| {
                let mut tensor = tensor.clone();
                edit(&mut tensor);
                let what = format!("tensor {index}: {what}");
                self.edit(
                    || what,
                    |program| program.plans[0].values[index] = Value::Tensor(tensor),
                );
            };
            for code in (0..=12).chain([17, -1, 127]) {
                set(&format!("type {code}"), &|tensor| tensor.scalar_type = ScalarType(code));
            }
            for axis in 0..tensor.sizes.len() {
                let size = tensor.sizes[axis];
                for other in [
                    0,
                    1,
                    2,
                    size + 1,
                    size - 1,
                    size * 2,
                    -1,
                    255,
                    65_535,
                    65_536,
                    1 << 20,
                    i32::MAX,
                    i32::MIN,
                ] {
                    set(&format!("size {axis} = {other}"), &|tensor| tensor.sizes[axis] = other);
                }
                set(&format!("size {axis} removed"), &|tensor| {
                    tensor.sizes.remove(axis);
                });
                set(&format!("axis {axis} removed"), &|tensor| {
                    tensor.sizes.remove(axis);
                    tensor.dim_order = (0..tensor.sizes.len() as u8).collect();
                });
                for other in [0, tensor.sizes.len() as u8, 31, 32, 63, 64, 255] {
                    set(&format!("order {axis} = {other}"), &|tensor| {
                        tensor.dim_order[axis] = other
                    });
                }
                for with in axis + 1..tensor.sizes.len() {
                    set(&format!("order {axis} swapped with {with}"), &|tensor| {
                        tensor.dim_order.swap(axis, with);
                    });
                    set(&format!("size {axis} swapped with {with}"), &|tensor| {
                        tensor.sizes.swap(axis, with);
                    });
                    // A product that comes back to what it was in 32 bits, or to 0.
                    set(&format!("sizes {axis} and {with} of 65536"), &|tensor| {
                        (tensor.sizes[axis], tensor.sizes[with]) = (65_536, 65_536);
                    });
                    set(&format!("sizes {axis} and {with} beyond 32 bits"), &|tensor| {
                        tensor.sizes[axis] = 1 << 16;
                        tensor.sizes[with] = (1 << 16) + 1;
                    });
                }
            }
            set("an axis more", &|tensor| {
                tensor.dim_order.push(tensor.sizes.len() as u8);
                tensor.sizes.push(1);
            });
            set("an axis more without an order", &|tensor| tensor.sizes.push(1));
            set("seven axes", &|tensor| {
                tensor.sizes = vec![1; 7];
                tensor.dim_order = (0..7).collect();
            });
            set("no axes", &|tensor| (tensor.sizes, tensor.dim_order) = (vec![], vec![]));
            set("all sizes 65536", &|tensor| tensor.sizes.fill(65_536));
            set("all sizes the greatest", &|tensor| tensor.sizes.fill(i32::MAX));
            set("all sizes 0", &|tensor| tensor.sizes.fill(0));
            set("no order", &|tensor| tensor.dim_order.clear());
            set("order reversed", &|tensor| tensor.dim_order.reverse());
            set("an offset into the storage", &|tensor| tensor.storage_offset = 1);
            set("gradients", &|tensor| tensor.requires_grad = true);
            set("another layout", &|tensor| tensor.layout = 1);
            for dynamism in [ShapeDynamism::DynamicBound, ShapeDynamism::DynamicUnbound] {
                set("dynamic", &|tensor| tensor.shape_dynamism = dynamism);
            }
            set("data elsewhere", &|tensor| {
                tensor.extra_tensor_info = Some(ExtraTensorInfo::default());
            });
            for other in
                [0, 1, tensor.data_buffer_idx.wrapping_add(1), constants - 1, constants, u32::MAX]
            {
                set(&format!("constant {other}"), &|tensor| tensor.data_buffer_idx = other);
            }
            set("no memory", &|tensor| tensor.allocation = None);
            let Some(Allocation { memory_id, offset }) = tensor.allocation else {
                set("planned", &|tensor| {
                    tensor.allocation = Some(Allocation { memory_id: 1, offset: 0 });
                });
                continue;
            };
            for other in [0, memory_id.wrapping_add(1), 8, 9, u32::MAX] {
                set(&format!("memory {other}"), &|tensor| {
                    tensor.allocation = Some(Allocation { memory_id: other, offset });
                });
            }
            let arena = plan.non_const_buffer_sizes.get(1).copied().unwrap_or(0) as u64;
            for other in [
                0,
                1,
                4,
                16,
                offset.wrapping_add(1),
                offset.wrapping_add(2),
                offset.wrapping_add(4),
                offset.wrapping_add(16),
                offset.wrapping_sub(1),
                offset.wrapping_sub(16),
                arena.wrapping_sub(1),
                arena,
                arena.wrapping_add(16),
                1 << 28,
                (1 << 31) - 16,
                1 << 31,
                u64::from(u32::MAX) - 15,
                u64::from(u32::MAX) + 1 + offset,
                u64::MAX - 15,
                u64::MAX,
            ] {
                set(&format!("offset {other}"), &|tensor| {
                    tensor.allocation = Some(Allocation { memory_id, offset: other });
                });
            }
        }
    }

    /// Every two tensors in the arena at one place.
    fn overlaps(&mut self) {
        let plan = &self.program.plans[0];
        let planned: Vec<(usize, Allocation)> = plan
            .values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| match value {
                Value::Tensor(tensor) => Some((index, tensor.allocation?)),
                _ => None,
            })
            .collect();
        for (index, _) in &planned {
            for (other, place) in &planned {
                if index == other {
                    continue;
                }
                self.edit(
                    || format!("tensor {index} in the place of {other}"),
                    |program| {
                        if let Value::Tensor(tensor) = &mut program.plans[0].values[*index] {
                            tensor.allocation = Some(*place);
                        }
                    },
                );
            }
        }
    }

    fn plan(&mut self) {
        let plan = &self.program.plans[0];
        let count = plan.values.len() as i32;
        let others = [-1, 0, 1, count - 1, count, i32::MAX, i32::MIN];
        for inputs in lists(&plan.inputs, &others) {
            let what = format!("inputs {inputs:?} for {:?}", plan.inputs);
            self.edit(|| what, |program| program.plans[0].inputs = inputs);
        }
        for outputs in lists(&plan.outputs, &others) {
            let what = format!("outputs {outputs:?} for {:?}", plan.outputs);
            self.edit(|| what, |program| program.plans[0].outputs = outputs);
        }
        self.edit(|| "33 inputs".to_owned(), |program| program.plans[0].inputs = vec![0; 33]);
        let sizes = &plan.non_const_buffer_sizes;
        let arena = sizes.get(1).copied().unwrap_or(0);
        let others = [
            0,
            1,
            -1,
            16,
            arena - 1,
            arena + 1,
            arena / 2,
            1 << 20,
            (1 << 28) + 1,
            1 << 32,
            i64::MAX,
            i64::MIN,
        ];
        for sizes in lists(sizes, &others) {
            let what = format!("planned sizes {sizes:?}");
            self.edit(|| what, |program| program.plans[0].non_const_buffer_sizes = sizes);
        }
        self.edit(
            || "nine banks".to_owned(),
            |program| program.plans[0].non_const_buffer_sizes = vec![16; 10],
        );
        self.edit(|| "no chain".to_owned(), |program| program.plans[0].chains.clear());
        self.edit(
            || "two chains".to_owned(),
            |program| {
                let chain = program.plans[0].chains[0].clone();
                program.plans[0].chains.push(chain);
            },
        );
        self.edit(
            || "a delegate".to_owned(),
            |program| program.plans[0].delegates.push(Delegate::default()),
        );
        self.edit(|| "no method".to_owned(), |program| program.plans.clear());
        self.edit(
            || "two methods".to_owned(),
            |program| program.plans.push(program.plans[0].clone()),
        );
        self.edit(|| "no values".to_owned(), |program| program.plans[0].values.clear());
        for version in [1, 2, u32::MAX] {
            self.edit(|| format!("version {version}"), |program| program.version = version);
        }
    }

    fn instructions(&mut self) {
        let plan = &self.program.plans[0];
        let instructions = &plan.chains[0].instructions;
        let (values, operators) = (plan.values.len() as i32, plan.operators.len() as i32);
        for (index, instruction) in instructions.iter().enumerate() {
            let Instruction::KernelCall { op_index, args } = instruction else { continue };
            let mut set = |what: String, instruction: Instruction| {
                let what = format!("instruction {index}: {what}");
                self.edit(
                    || what,
                    |program| program.plans[0].chains[0].instructions[index] = instruction,
                );
            };
            let call = |op_index: i32, args: Vec<i32>| Instruction::KernelCall { op_index, args };
            for other in (0..operators).chain([-1, operators, i32::MAX, i32::MIN]) {
                set(format!("operator {other}"), call(other, args.clone()));
            }
            for position in 0..args.len() {
                for other in [
                    -1,
                    0,
                    1,
                    args[position] + 1,
                    args[position] - 1,
                    values - 1,
                    values,
                    i32::MAX,
                    i32::MIN,
                ] {
                    let mut args = args.clone();
                    args[position] = other;
                    set(format!("argument {position} = {other}"), call(*op_index, args));
                }
                let mut fewer = args.clone();
                fewer.remove(position);
                set(format!("argument {position} removed"), call(*op_index, fewer));
                if position + 1 < args.len() {
                    let mut swapped = args.clone();
                    swapped.swap(position, position + 1);
                    set(
                        format!("argument {position} swapped with the next"),
                        call(*op_index, swapped),
                    );
                }
                // A result over an operand, or the other way about.
                let mut aliased = args.clone();
                aliased[position] = args[args.len() - 1];
                set(format!("argument {position} is the result"), call(*op_index, aliased));
            }
            let more = args.iter().copied().chain([0]).collect();
            set("an argument more".to_owned(), call(*op_index, more));
            set("no arguments".to_owned(), call(*op_index, Vec::new()));
            set("a move".to_owned(), Instruction::MoveCall { move_from: 0, move_to: 1 });
            set("a free".to_owned(), Instruction::FreeCall { value_index: 0 });
            let (cond_value_index, destination_instruction) = (0, 0);
            set(
                "a jump".to_owned(),
                Instruction::JumpFalseCall { cond_value_index, destination_instruction },
            );
            set(
                "a delegate".to_owned(),
                Instruction::DelegateCall { delegate_index: 0, args: vec![] },
            );
            self.edit(
                || format!("instruction {index} removed"),
                |program| {
                    program.plans[0].chains[0].instructions.remove(index);
                },
            );
            self.edit(
                || format!("instruction {index} twice"),
                |program| {
                    let again = program.plans[0].chains[0].instructions[index].clone();
                    program.plans[0].chains[0].instructions.insert(index, again);
                },
            );
            if index + 1 < instructions.len() {
                self.edit(
                    || format!("instruction {index} after the next"),
                    |program| program.plans[0].chains[0].instructions.swap(index, index + 1),
                );
            }
        }
        self.edit(
            || "no instructions".to_owned(),
            |program| program.plans[0].chains[0].instructions.clear(),
        );
    }

    fn operators(&mut self) {
        for (index, operator) in self.program.plans[0].operators.iter().enumerate() {
            let Operator { name, overload } = operator.clone();
            for (name, overload) in [
                (String::new(), overload.clone()),
                (name.clone(), String::new()),
                (format!("{name}x"), overload.clone()),
                (name.clone(), format!("{overload}x")),
                (name[..name.len() - 1].to_owned(), overload.clone()),
                (name.to_uppercase(), overload.clone()),
                (format!("{name}.{overload}"), overload),
            ] {
                let what = format!("operator {index}: {name}.{overload}");
                let other = Operator { name, overload };
                self.edit(|| what, |program| program.plans[0].operators[index] = other);
            }
        }
    }

    fn constants(&mut self) {
        let mut types = vec![DType::I8; self.program.constants.len()];
        for value in &self.program.plans[0].values {
            if let Value::Tensor(tensor) = value
                && let Some(dtype) = DType::from_scalar_type(i64::from(tensor.scalar_type.0))
                && let Some(slot) = types.get_mut(tensor.data_buffer_idx as usize)
            {
                *slot = dtype;
            }
        }
        for (index, dtype) in types.into_iter().enumerate().skip(1) {
            let bytes = self.program.constants[index].len();
            for length in [0, 1, bytes / 2, bytes.saturating_sub(1), bytes + 1] {
                self.edit(
                    || format!("constant {index}: {length} bytes for {bytes}"),
                    |program| program.constants[index].resize(length, 0),
                );
            }
            // Tables of multipliers and shifts, biases: every item, with every extreme number.
            if dtype == DType::I32 {
                for item in 0..(bytes / 4).min(16) {
                    for number in [i32::MIN, i32::MAX, -1, 0, 1, 30, 31, 32, -31, -32, 100] {
                        self.edit(
                            || format!("constant {index}: item {item} = {number}"),
                            |program| {
                                program.constants[index][4 * item..][..4]
                                    .copy_from_slice(&number.to_le_bytes());
                            },
                        );
                    }
                }
            }
            for at in (0..bytes).step_by((bytes / 8).max(1)) {
                self.edit(
                    || format!("constant {index}: byte {at} inverted"),
                    |program| program.constants[index][at] ^= 0xff,
                );
            }
        }
    }

    fn named_data(&mut self) {
        for (index, entry) in self.program.named_data.iter().enumerate() {
            let key = entry.key.clone();
            self.edit(
                || format!("named data {key} removed"),
                |program| {
                    program.named_data.remove(index);
                },
            );
            for at in 0..entry.data.len().min(64) {
                for change in [1, 0x80, 0xff] {
                    self.edit(
                        || format!("named data {key}: byte {at} changed by {change:#x}"),
                        |program| program.named_data[index].data[at] ^= change,
                    );
                }
            }
            for length in [0, 1, 15, 17, 4096] {
                self.edit(
                    || format!("named data {key}: {length} bytes"),
                    |program| program.named_data[index].data.resize(length, 0),
                );
            }
        }
    }

    /// The bytes themselves: truncations, and every word and halfword of the flatbuffer and its header.
    fn whole_file(&mut self, file: &[u8], program_bytes: usize) {
        let mut take = |chosen: bool, what: &dyn Fn() -> String, file: Vec<u8>| {
            if chosen {
                self.mutants.push(Mutant { what: what(), file });
            }
        };
        let mut position = self.position;
        let (first, step) = (self.first, self.step);
        let mut is_next = || {
            position += 1;
            (position - 1) % step == first % step
        };
        // Small files at every byte, large ones at every sixteenth.
        let stride = if file.len() <= 8192 { 1 } else { 16 };
        for length in (0..file.len()).step_by(stride) {
            let chosen = is_next();
            if chosen {
                take(
                    true,
                    &|| format!("{length} of {} bytes", file.len()),
                    file[..length].to_vec(),
                );
            }
        }
        for at in (0..program_bytes.min(file.len()).saturating_sub(3)).step_by(2) {
            let old = u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]);
            for word in [
                0,
                1,
                old.wrapping_add(1),
                old.wrapping_sub(1),
                old.wrapping_add(4),
                old.wrapping_sub(4),
                old ^ 0x80,
                old << 8,
                file.len() as u32,
                0x7fff_ffff,
                0x8000_0000,
                0xffff_fff0,
                u32::MAX,
            ] {
                if !is_next() {
                    continue;
                }
                let mut changed = file.to_vec();
                changed[at..at + 4].copy_from_slice(&word.to_le_bytes());
                take(true, &|| format!("byte {at:#x}: word {word:#x} for {old:#x}"), changed);
            }
        }
        self.position = position;
    }
}

/// A list with an item less, more, or another one in the place of each.
fn lists<T: Copy>(items: &[T], others: &[T]) -> Vec<Vec<T>> {
    let mut lists = vec![Vec::new()];
    for position in 0..items.len() {
        let mut fewer = items.to_vec();
        fewer.remove(position);
        lists.push(fewer);
        for other in others {
            let mut list = items.to_vec();
            list[position] = *other;
            lists.push(list);
        }
    }
    for other in others {
        lists.push(items.iter().copied().chain([*other]).collect());
    }
    if let Some(last) = items.last() {
        lists.push(items.iter().copied().chain([*last]).collect());
    }
    if items.len() > 1 {
        lists.push(items.iter().rev().copied().collect());
    }
    lists
}
