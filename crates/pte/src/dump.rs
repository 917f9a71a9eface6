//! A whole program as text, for people and for text comparisons in tests.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{Display, Write};

use crate::budget::Budget;
use crate::error::Error;
use crate::flatbuffer::{Scalar, Scalars, Text};
use crate::plan::{Chain, DataReference, Instruction, Plan};
use crate::program::Program;
use crate::value::{Allocation, ShapeDynamism, Storage, Tensor, Value};

/// Items of a list that are written out; of longer lists the rest is only counted.
const ITEMS_MAX: usize = 64;

/// A readable text of a program: its segments, and for each method the planned buffers, operators,
/// values and instructions. `%7` is the value with index 7.
///
/// What cannot be read is reported in its place, so a damaged file is shown as far as it goes.
pub fn dump(program: &Program<'_>) -> String {
    let mut dumper =
        Dumper { program, out: String::new(), budget: Budget::new(program.file_size()) };
    if let Err(error) = dumper.program() {
        dumper.out.push_str(&damaged(error));
        dumper.out.push('\n');
    }
    dumper.out
}

struct Dumper<'p, 'a> {
    program: &'p Program<'a>,
    out: String,
    budget: Budget,
}

impl<'a> Dumper<'_, 'a> {
    fn program(&mut self) -> Result<(), Error> {
        let program = self.program;
        let version = program.version()?;
        let bytes = program.program_size();
        self.line(0, format!("program of schema version {version}, {bytes} bytes"))?;
        self.segments()?;
        for plan in program.plans()?.iter() {
            match plan {
                Ok(plan) => self.plan(&plan)?,
                Err(error) => self.line(0, damaged(error))?,
            }
        }
        Ok(())
    }

    fn segments(&mut self) -> Result<(), Error> {
        let base = self.program.segment_base() as u64;
        self.line(0, format!("segments, from byte {base:#x}:"))?;
        let segments = self.program.segments();
        let mut users: Vec<String> = (0..segments.len()).map(|_| String::new()).collect();
        self.segment_users(&mut users)?;
        for (index, (segment, users)) in segments.iter().zip(users).enumerate() {
            let text = match segment {
                Ok(segment) => format!("{} bytes at +{:#x}{users}", segment.size, segment.offset),
                Err(error) => damaged(error),
            };
            self.line(1, format!("{index}: {text}"))?;
        }
        Ok(())
    }

    /// Adds to each segment's text what it is used for.
    fn segment_users(&mut self, users: &mut [String]) -> Result<(), Error> {
        let program = self.program;
        let mut add = |index: u32, text: String| -> Result<(), Error> {
            self.budget.spend(text.len() + 1)?;
            if let Some(user) = users.get_mut(index as usize) {
                user.push_str(if user.is_empty() { ": " } else { ", " });
                user.push_str(&text);
            }
            Ok(())
        };
        if let Some(constants) = program.constant_segment()? {
            // The reserved first buffer is no constant.
            let count = constants.offsets.len().saturating_sub(1);
            add(constants.segment_index, format!("{count} constants"))?;
        }
        for (index, part) in program.mutable_segments()?.iter().enumerate() {
            add(part?.segment_index, format!("mutable data {index}"))?;
        }
        for plan in program.plans()?.iter() {
            for (index, delegate) in plan?.delegates()?.iter().enumerate() {
                if let DataReference::Segment(segment) = delegate?.processed {
                    add(segment, format!("delegate {index}"))?;
                }
            }
        }
        for entry in program.named_data()?.iter() {
            let entry = entry?;
            add(entry.segment_index, format!("named data {}", quoted(entry.key)))?;
        }
        Ok(())
    }

    fn plan(&mut self, plan: &Plan<'a>) -> Result<(), Error> {
        self.line(0, format!("method {}:", show(plan.name().map(quoted))))?;
        self.line(1, format!("inputs: {}", show(plan.inputs().map(values))))?;
        self.line(1, format!("outputs: {}", show(plan.outputs().map(values))))?;
        self.line(1, "planned buffers:".to_string())?;
        for (index, bytes) in plan.non_const_buffer_sizes()?.iter().enumerate() {
            self.line(2, format!("{index}: {bytes} bytes"))?;
        }
        self.line(1, "operators:".to_string())?;
        for index in 0..plan.operators()?.len() {
            self.line(2, format!("{index}: {}", operator(plan, index as i32)))?;
        }
        for (index, delegate) in plan.delegates()?.iter().enumerate() {
            let text = show(delegate.map(|delegate| quoted(delegate.id)));
            self.line(1, format!("delegate {index}: {text}"))?;
        }
        self.line(1, "values:".to_string())?;
        for (index, value) in plan.values().iter().enumerate() {
            let text = show(value.map(|value| self.value(plan, value)));
            self.line(2, format!("%{index}: {text}"))?;
        }
        for (index, chain) in plan.chains()?.iter().enumerate() {
            self.line(1, format!("chain {index}:"))?;
            match chain {
                Ok(chain) => self.chain(plan, &chain)?,
                Err(error) => self.line(2, damaged(error))?,
            }
        }
        Ok(())
    }

    fn chain(&mut self, plan: &Plan<'_>, chain: &Chain<'_>) -> Result<(), Error> {
        for (index, instruction) in chain.instructions()?.iter().enumerate() {
            let text = show(instruction.map(|instruction| call(plan, instruction)));
            self.line(2, format!("{index}: {text}"))?;
        }
        Ok(())
    }

    fn value(&self, plan: &Plan<'_>, value: Value<'_>) -> String {
        match value {
            Value::Tensor(tensor) => show(self.tensor(&tensor)),
            Value::Int(_) => format!("int {}", scalar(value)),
            Value::Bool(_) => format!("bool {}", scalar(value)),
            Value::Double(_) => format!("double {}", scalar(value)),
            Value::String(_) => format!("string {}", scalar(value)),
            Value::Null => scalar(value),
            Value::IntList(items) => {
                let resolved = list(plan.ints(items).map(show));
                format!("int list {} = {resolved}", list(items.iter().map(|i| format!("%{i}"))))
            }
            Value::DoubleList(items) => format!("double list {}", list(items.iter())),
            Value::BoolList(items) => format!("bool list {}", list(items.iter())),
            Value::TensorList(items) => format!("tensor list [{}]", values(items)),
            Value::OptionalTensorList(items) => {
                let item = |item| if item == -1 { "None".into() } else { format!("%{item}") };
                format!("optional tensor list {}", list(items.iter().map(item)))
            }
        }
    }

    fn tensor(&self, tensor: &Tensor<'_>) -> Result<String, Error> {
        let scalar_type = tensor.scalar_type()?;
        let mut text = match scalar_type.name() {
            Some(name) => name.to_string(),
            None => format!("scalar type {}", scalar_type.0),
        };
        text.push_str(&list(tensor.sizes()?.iter()));
        let dim_order = tensor.dim_order()?;
        if !dim_order.iter().copied().eq(0..tensor.sizes()?.len() as u8) {
            text.push_str(&format!(" in order {}", list(dim_order.iter())));
        }
        match tensor.shape_dynamism()? {
            ShapeDynamism::Static => {}
            ShapeDynamism::DynamicBound => text.push_str(", bounded shape"),
            ShapeDynamism::DynamicUnbound => text.push_str(", unbounded shape"),
        }
        match tensor.storage_offset()? {
            0 => {}
            elements => text.push_str(&format!(", storage offset {elements}")),
        }
        text.push_str(&self.storage(tensor.storage()?));
        if let Some(name) = tensor.extra_tensor_info()?.and_then(|info| info.fully_qualified_name) {
            text.push_str(&format!(", named {}", quoted(name)));
        }
        Ok(text)
    }

    fn storage(&self, storage: Storage<'_>) -> String {
        let place = |Allocation { memory_id, offset }| format!("buffer {memory_id} + {offset:#x}");
        match storage {
            Storage::Given => ", given by the caller".to_string(),
            Storage::Planned(allocation) => format!(", planned in {}", place(allocation)),
            Storage::Constant { buffer } => {
                match self.program.constant_offsets().get(buffer as usize) {
                    Some(offset) => format!(", constant {buffer} at +{offset:#x}"),
                    None => format!(", constant {buffer}"),
                }
            }
            Storage::Initialized { allocation, segment, buffer } => format!(
                ", planned in {}, starts as mutable data {segment} buffer {buffer}",
                place(allocation)
            ),
            Storage::External { allocation: None, .. } => ", external constant".to_string(),
            Storage::External { allocation: Some(allocation), .. } => {
                format!(", planned in {}, starts as external data", place(allocation))
            }
        }
    }

    fn line(&mut self, level: usize, text: String) -> Result<(), Error> {
        self.budget.spend(text.len() + 1)?;
        for _ in 0..level {
            self.out.push_str("  ");
        }
        self.out.push_str(&text);
        self.out.push('\n');
        Ok(())
    }
}

fn call(plan: &Plan<'_>, instruction: Instruction<'_>) -> String {
    let argument = |index| match plan.value(index) {
        Ok(Value::Tensor(_)) => format!("%{index}"),
        Ok(value @ (Value::Null | Value::Int(_) | Value::Bool(_) | Value::Double(_))) => {
            format!("%{index}={}", scalar(value))
        }
        Ok(Value::IntList(items)) => format!("%{index}={}", list(plan.ints(items).map(show))),
        Ok(_) => format!("%{index}"),
        Err(error) => format!("%{index}={}", damaged(error)),
    };
    let arguments = |args: Scalars<'_, i32>| joined(args.iter().map(argument));
    match instruction {
        Instruction::KernelCall { op_index, args } => {
            format!("{}({})", operator(plan, op_index), arguments(args))
        }
        Instruction::DelegateCall { delegate_index, args } => {
            format!("call delegate {delegate_index}({})", arguments(args))
        }
        Instruction::MoveCall { move_from, move_to } => format!("move %{move_from} to %{move_to}"),
        Instruction::JumpFalseCall { cond_value_index, destination_instruction } => {
            format!("if not %{cond_value_index} jump to {destination_instruction}")
        }
        Instruction::FreeCall { value_index } => format!("free %{value_index}"),
    }
}

/// Name and overload of an operator, with a dot between.
fn operator(plan: &Plan<'_>, index: i32) -> String {
    show(plan.operator(index).and_then(|operator| {
        let (name, overload) = (operator.name.as_str()?, operator.overload.as_str()?);
        Ok(if overload.is_empty() { name.to_string() } else { format!("{name}.{overload}") })
    }))
}

/// A value that is no tensor and no list.
fn scalar(value: Value<'_>) -> String {
    match value {
        Value::Int(int) => int.to_string(),
        Value::Bool(bool) => bool.to_string(),
        Value::Double(double) => format!("{double:?}"),
        Value::String(text) => quoted(text),
        _ => "None".to_string(),
    }
}

fn values<T: Scalar + Display>(indices: Scalars<'_, T>) -> String {
    joined(indices.iter().map(|index| format!("%{index}")))
}

fn quoted(text: Text<'_>) -> String {
    let bytes = text.as_bytes();
    let start = bytes.get(..ITEMS_MAX * 16).unwrap_or(bytes);
    format!("{:?}", String::from_utf8_lossy(start))
}

fn list(items: impl ExactSizeIterator<Item: Display>) -> String {
    format!("[{}]", joined(items))
}

fn joined(items: impl ExactSizeIterator<Item: Display>) -> String {
    let count = items.len();
    let mut text = String::new();
    for (index, item) in items.take(ITEMS_MAX).enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{item}");
    }
    if count > ITEMS_MAX {
        let _ = write!(text, ", and {} more", count - ITEMS_MAX);
    }
    text
}

fn show<T: Display>(result: Result<T, Error>) -> String {
    match result {
        Ok(text) => text.to_string(),
        Err(error) => damaged(error),
    }
}

fn damaged(error: Error) -> String {
    format!("<damaged at {error}>")
}
