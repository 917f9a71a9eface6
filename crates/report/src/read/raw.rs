//! Programs with operators or parts of the format that Cortado does not have: as far as the file itself says what is in them.
//!
//! ExecuTorch's compiler gives each tensor a value of its own, so a value lives from the first instruction that names it to the last. One
//! that nobody writes and that has the memory of one that was written is a view of it. A kernel's results are its schema's, else its last argument: kernels write into tensors that they are given, and these come last.

use super::describe;
use super::memory::{Place, memory};
use crate::model::{
    Access, Bank, Family, Finding, Layer, Operand, Origin, Report, Severity, Tensor,
};
use crate::text::clean;
use cortado_contract::ops::{OperatorKind, is_result, is_scratch};
use cortado_contract::stamp::{self, TargetStamp};
use cortado_pte::owned::{Instruction, Plan, Program, Value};
use std::collections::{HashMap, HashSet};

/// Fills a report with what the file of a program says that could not be lifted, for this reason.
pub(super) fn fill(report: &mut Report, program: &Program, reason: String) {
    let stamp = program.named(stamp::KEY).and_then(|bytes| TargetStamp::parse(bytes).ok());
    report.origin = Origin::of(stamp);
    report.unread = Some(reason.split(' ').map(clean).collect::<Vec<_>>().join(" "));
    let Some(plan) = program.plans.first() else { return };
    report.tensors = plan
        .values
        .iter()
        .enumerate()
        .map(|(index, value)| tensor(program, index, value))
        .collect();
    let is_tensor = |index: &i32| {
        let value = usize::try_from(*index).ok().and_then(|at| plan.values.get(at));
        matches!(value, Some(Value::Tensor(_)))
    };
    let boundary = |list: &[i32]| -> Vec<usize> {
        list.iter().filter(|it| is_tensor(it)).map(|it| *it as usize).collect()
    };
    report.inputs = boundary(&plan.inputs);
    report.outputs = boundary(&plan.outputs);
    let names = program.named(cortado_compiler::emit::INPUT_NAMES_KEY);
    let names = names.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let names: Vec<&str> = names.map(|names| names.split('\n').collect()).unwrap_or_default();
    for (position, id) in report.inputs.iter().enumerate() {
        report.tensors[*id].name = match names.len() == report.inputs.len() {
            true => clean(names[position]),
            false => format!("input{position}"),
        };
    }
    for (position, id) in report.outputs.iter().enumerate() {
        if !report.inputs.contains(id) {
            report.tensors[*id].name = format!("output{position}");
        }
    }
    report.layers = layers(plan, report);
    find_views(plan, report);
    fill_memory(report, plan);
    if program.plans.len() > 1 {
        let others: Vec<String> = program.plans[1..].iter().map(|it| clean(&it.name)).collect();
        report.findings.push(Finding {
            severity: Severity::Note,
            title: "More than one method".to_owned(),
            text: format!(
                "The page shows the first, {}. There {} also {}.",
                clean(&plan.name),
                if others.len() == 1 { "is" } else { "are" },
                crate::text::list(&others, 5)
            ),
            remedy: None,
            layers: Vec::new(),
        });
    }
}

fn tensor(program: &Program, index: usize, value: &Value) -> Tensor {
    let blank = Tensor {
        name: format!("value{index}"),
        dtype: String::new(),
        shape: Vec::new(),
        dim_order: Vec::new(),
        size_bytes: 0,
        is_constant: false,
        storage: index,
        scale: None,
        zero_point: None,
    };
    let Value::Tensor(tensor) = value else { return blank };
    let constant = match (tensor.allocation, tensor.data_buffer_idx) {
        (None, 1..) => program.constants.get(tensor.data_buffer_idx as usize),
        _ => None,
    };
    let code = tensor.scalar_type;
    let size = tensor.size_bytes().unwrap_or(0) as u64;
    Tensor {
        dtype: code.name().map_or_else(|| format!("type {}", code.0), str::to_owned),
        shape: tensor.sizes.iter().copied().map(i64::from).collect(),
        dim_order: tensor.dim_order.clone(),
        size_bytes: constant.map_or(size, |data| size.min(data.len() as u64)),
        is_constant: constant.is_some(),
        ..blank
    }
}

/// Every instruction of every chain.
fn layers(plan: &Plan, report: &Report) -> Vec<Layer> {
    let mut written: HashSet<usize> = report.inputs.iter().copied().collect();
    let mut layers = Vec::new();
    for chain in &plan.chains {
        for (index, instruction) in chain.instructions.iter().enumerate() {
            let mut layer = layer(plan, instruction, &written);
            let frame = chain.stacktrace.get(index).and_then(|frames| frames.last());
            layer.source = frame.map(|it| clean(&format!("{}:{}", it.filename, it.lineno)));
            // A tensor of the file that is read as a constant is not memory.
            layer.operands.retain(|operand| !report.tensors[operand.tensor].dtype.is_empty());
            let writes = layer.operands.iter().filter(|it| it.access != Access::Read);
            written.extend(writes.map(|it| it.tensor));
            layers.push(layer);
        }
    }
    layers
}

/// Gives values that nobody writes the storage of the value that was written last in their memory.
fn find_views(plan: &Plan, report: &mut Report) {
    let Report { layers, tensors, inputs, outputs, .. } = report;
    let place = |tensor: usize| match plan.values.get(tensor) {
        Some(Value::Tensor(it)) => Some((it.allocation?, it.size_bytes()?)),
        _ => None,
    };
    let key = |tensor: usize| place(tensor).map(|(it, size)| (it.memory_id, it.offset, size));
    let written: HashSet<usize> = layers
        .iter()
        .flat_map(|layer| &layer.operands)
        .filter(|it| it.access != Access::Read)
        .map(|it| it.tensor)
        .chain(inputs.iter().copied())
        .collect();
    // By place, the tensor that was written there last.
    let mut there: HashMap<_, usize> =
        inputs.iter().filter_map(|id| Some((key(*id)?, *id))).collect();
    let mut see = |there: &HashMap<_, usize>, tensor: usize| {
        if let Some(of) = key(tensor).and_then(|key| there.get(&key))
            && !written.contains(&tensor)
            && tensors[tensor].storage == tensor
        {
            tensors[tensor].storage = *of;
        }
    };
    for layer in layers {
        let operands = || layer.operands.iter();
        operands().filter(|it| it.access == Access::Read).for_each(|it| see(&there, it.tensor));
        let writes = operands().filter(|it| it.access != Access::Read);
        there.extend(writes.filter_map(|it| Some((key(it.tensor)?, it.tensor))));
    }
    outputs.iter().for_each(|id| see(&there, *id));
}

fn layer(plan: &Plan, instruction: &Instruction, written: &HashSet<usize>) -> Layer {
    let mut layer = Layer {
        title: String::new(),
        operator: String::new(),
        family: Family::Unknown,
        node: None,
        source: None,
        operands: Vec::new(),
        arguments: Vec::new(),
        rescale: None,
        constant_term: None,
        macs: None,
        is_transpose: false,
        computes_float: false,
    };
    match instruction {
        Instruction::KernelCall { op_index, args } => {
            let operator = usize::try_from(*op_index).ok().and_then(|at| plan.operators.get(at));
            let (name, overload) = operator.map_or(("", ""), |it| (&it.name, &it.overload));
            let kind = OperatorKind::from_name(name, overload);
            layer.operator = clean(&match overload {
                "" => name.to_owned(),
                _ if kind.is_some() => name.to_owned(),
                _ => format!("{name}.{overload}"),
            });
            match kind {
                Some(kind) => {
                    layer.title = describe::name(kind);
                    layer.family = describe::family(kind, false);
                    for (name, index) in kind.argument_names().iter().zip(args) {
                        let access = match *name {
                            name if is_result(name) => Access::Write,
                            name if is_scratch(name) => Access::Scratch,
                            _ => Access::Read,
                        };
                        push(plan, &mut layer, name, *index, access);
                    }
                }
                None => {
                    layer.title = clean(&describe::words(name));
                    let results: Vec<i32> = args.last().copied().into_iter().collect();
                    for (position, index) in args.iter().enumerate() {
                        let is_result = results.contains(index);
                        let repeats = args[..position].contains(index) && is_result;
                        let access = if is_result { Access::Write } else { Access::Read };
                        if !repeats {
                            let role = if is_result {
                                "out".to_owned()
                            } else {
                                format!("argument {position}")
                            };
                            push(plan, &mut layer, &role, *index, access);
                        }
                    }
                }
            }
        }
        Instruction::DelegateCall { delegate_index, args } => {
            let delegate = usize::try_from(*delegate_index).ok();
            let delegate = delegate.and_then(|at| plan.delegates.get(at));
            let backend = delegate.map_or("", |it| it.id.as_str());
            layer.title = format!("Delegate {}", clean(backend));
            layer.operator = "call of a delegate".to_owned();
            // Inputs come before outputs; what is there already is an input.
            for (position, index) in args.iter().enumerate() {
                let is_known = usize::try_from(*index).is_ok_and(|at| {
                    let is_constant = matches!(plan.values.get(at), Some(Value::Tensor(tensor)) if tensor.allocation.is_none());
                    written.contains(&at) || is_constant
                });
                let access = if is_known { Access::Read } else { Access::Write };
                push(plan, &mut layer, &format!("argument {position}"), *index, access);
            }
        }
        Instruction::MoveCall { move_from, move_to } => {
            (layer.title, layer.operator) = ("Move".to_owned(), "move of a value".to_owned());
            push(plan, &mut layer, "from", *move_from, Access::Read);
            push(plan, &mut layer, "to", *move_to, Access::Write);
        }
        Instruction::JumpFalseCall { cond_value_index, destination_instruction } => {
            layer.title = format!("Jump to {destination_instruction} if false");
            layer.operator = "control flow".to_owned();
            push(plan, &mut layer, "condition", *cond_value_index, Access::Read);
        }
        Instruction::FreeCall { value_index } => {
            (layer.title, layer.operator) = ("Free".to_owned(), "free a tensor".to_owned());
            push(plan, &mut layer, "tensor", *value_index, Access::Read);
        }
    }
    layer
}

/// Adds an argument; of a list its tensors.
fn push(plan: &Plan, layer: &mut Layer, role: &str, index: i32, access: Access) {
    const ITEMS_MAX: usize = 64;
    let Some((at, value)) =
        usize::try_from(index).ok().and_then(|at| Some((at, plan.values.get(at)?)))
    else {
        return;
    };
    let mut other = |value: String| layer.arguments.push((role.to_owned(), value));
    match value {
        Value::Tensor(_) => {
            layer.operands.push(Operand { role: role.to_owned(), tensor: at, access });
        }
        Value::TensorList(items) | Value::OptionalTensorList(items) => {
            let is_tensor = |at: &usize| matches!(plan.values.get(*at), Some(Value::Tensor(_)));
            let items = items.iter().filter_map(|item| usize::try_from(*item).ok());
            for tensor in items.filter(is_tensor).take(ITEMS_MAX) {
                layer.operands.push(Operand { role: role.to_owned(), tensor, access });
            }
        }
        Value::Null => other("none".to_owned()),
        Value::Int(number) => other(number.to_string()),
        Value::Bool(is) => other(is.to_string()),
        Value::Double(number) => other(number.to_string()),
        Value::String(text) => other(clean(text)),
        Value::IntList(items) => {
            let item = |item: &i64| match plan.values.get(usize::try_from(*item).ok()?)? {
                Value::Int(number) => Some(number.to_string()),
                _ => None,
            };
            let items: Vec<String> = items.iter().take(8).filter_map(item).collect();
            other(items.join(", "));
        }
        Value::DoubleList(_) | Value::BoolList(_) => other("a list".to_owned()),
    }
}

fn fill_memory(report: &mut Report, plan: &Plan) {
    let sizes = plan.non_const_buffer_sizes.iter().skip(1);
    let bank = |size: &i64| Bank {
        name: String::new(),
        capacity_bytes: None,
        bytes: u64::try_from(*size).unwrap_or(0),
    };
    let banks: Vec<Bank> = sizes.map(bank).collect();
    let place = |value: &Value| -> Option<Place> {
        let Value::Tensor(tensor) = value else { return None };
        let allocation = tensor.allocation?;
        let bank = (allocation.memory_id as usize).checked_sub(1)?;
        let size = tensor.size_bytes()? as u64;
        let end = allocation.offset.checked_add(size)?;
        (end <= banks.get(bank)?.bytes).then_some((bank, allocation.offset, size))
    };
    // Values that no instruction names take no part.
    let named: HashSet<usize> = report
        .layers
        .iter()
        .flat_map(|layer| layer.operands.iter().map(|operand| operand.tensor))
        .chain(report.inputs.iter().copied())
        .chain(report.outputs.iter().copied())
        .collect();
    let places: Vec<Option<Place>> = plan
        .values
        .iter()
        .enumerate()
        .map(|(index, value)| named.contains(&index).then(|| place(value)).flatten())
        .collect();
    report.memory = memory(report, banks.clone(), &places);
}
