//! Evaluates nodes that depend on constants only.
//!
//! Covered are tensors that are made from nothing (`zeros`, `full`, `arange`), elements that only move, conversions, functions
//! of single elements, comparisons, and what masks are made with (`tril`, `masked_fill`, `where`). Arithmetic is done in
//! binary64 and rounded once to the result's type. What would enlarge the program (a row repeated a thousand times) is left to
//! be computed on the device.
//!
//! Quantized constants stay integers as long as `fold_qparams` may still make use of them; only elements that move do so in
//! front of their dequantize node. What is left behind that pass is read by operators in float, and becomes numbers.

use super::fold_qparams::DEQUANTIZE_PER_CHANNEL;
use super::{DEQUANTIZE, PassContext, QUANTIZE, constant_numbers, permutation};
use crate::error::CompileError;
use crate::functions::{Elementwise, base_name};
use crate::graph::{Argument, Graph, Node, Scale, Value, ValueId};
use cortado_contract::DType;
use cortado_contract::quant::{Activation, ZeroPoint, dequantize, inverse_scale, quantize};
use cortado_contract::strided::axis_of;
use std::cell::Cell;

/// Results up to this size are folded even if they are larger than what they are computed from.
const SMALL_BYTES: u64 = 4096;

/// Integers up to this magnitude are exact in binary64.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The elements that may be made from nothing in all: more than any flash holds, and little memory here. What is beyond is left to be
/// computed, so that a few bytes of a file cannot ask for any memory.
const MADE_MAX: u64 = 1 << 24;

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    let made = Cell::new(0);
    fold_all(graph, |graph, node| evaluate(graph, node, &made).or_else(|| quantized(graph, node)));
    Ok(())
}

/// The same behind `fold_qparams`, dequantize nodes included.
pub(super) fn run_with_quantized(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    let made = Cell::new(0);
    fold_all(graph, |graph, node| {
        dequantized(graph, node).or_else(|| evaluate(graph, node, &made))
    });
    Ok(())
}

fn fold_all(graph: &mut Graph, evaluate: impl Fn(&Graph, &Node) -> Option<Vec<u8>>) {
    for node in std::mem::take(&mut graph.nodes) {
        let node = match moved_before_dequantize(graph, &node) {
            Some(dequantize) => dequantize,
            None => node,
        };
        let data = match node.outputs[..] {
            // An output of the model is computed, even if it is always the same.
            [output] if !graph.outputs.contains(&output) => {
                // A node may claim extents that its operator does not give; it is left to be refused by name.
                let bytes = value_bytes(graph.value(output));
                evaluate(graph, &node).filter(|data| data.len() as u64 == bytes)
            }
            _ => None,
        };
        match data {
            Some(data) => {
                let value = &mut graph.values[node.outputs[0].0];
                value.dim_order = (0..value.shape.len() as u8).collect();
                value.data = Some(data.into());
            }
            None => graph.nodes.push(node),
        }
    }
    graph.remove_dead_nodes();
}

/// The bytes of a node's result in logical order, if they are known. Elements that are made from nothing are added to `made`.
fn evaluate(graph: &Graph, node: &Node, made: &Cell<u64>) -> Option<Vec<u8>> {
    let output = graph.value(*node.outputs.first()?);
    if node.activation.is_some() {
        return None;
    }
    if let Some(numbers) = filled(node, output, made) {
        return encode(output.dtype, &numbers);
    }
    let operands: Vec<ValueId> = node.operands().collect();
    let given: u64 = operands.iter().map(|id| value_bytes(graph.value(*id))).sum();
    if operands.is_empty()
        || operands.iter().any(|id| graph.value(*id).data.is_none())
        || value_bytes(output) > given.max(SMALL_BYTES)
    {
        return None;
    }
    if let Some(data) = moved(graph, node, output) {
        return Some(data);
    }
    // Integers that stand for other numbers are no numbers to compute with.
    if operands.iter().any(|id| graph.value(*id).quantization.is_some())
        || output.quantization.is_some()
    {
        return None;
    }
    let numbers = converted(graph, node)
        .or_else(|| masked(graph, node, output))
        .or_else(|| compared(graph, node, output))
        .or_else(|| computed(graph, node, output))?;
    encode(output.dtype, &numbers)
}

/// The integers behind numbers that are quantized.
fn quantized(graph: &Graph, node: &Node) -> Option<Vec<u8>> {
    if node.target != QUANTIZE {
        return None;
    }
    let output = graph.value(*node.outputs.first()?);
    let input = node.value("input").filter(|id| graph.value(*id).dtype == DType::F32)?;
    let inverse = inverse_scale(node.float("scale")?);
    let zero_point = ZeroPoint(i32::try_from(node.int("zero_point")?).ok()?);
    let limit = |name: &str| node.int(name).and_then(|limit| i32::try_from(limit).ok());
    let range = Activation { min: limit("quant_min")?, max: limit("quant_max")? };
    let integer = |number: &f64| f64::from(quantize(*number as f32, inverse, zero_point, range));
    let integers: Vec<f64> = constant_numbers(graph, input)?.iter().map(integer).collect();
    encode(output.dtype, &integers)
}

/// The numbers behind a quantized constant.
fn dequantized(graph: &Graph, node: &Node) -> Option<Vec<u8>> {
    if !matches!(node.target.as_str(), DEQUANTIZE | DEQUANTIZE_PER_CHANNEL) {
        return None;
    }
    let output = graph.value(*node.outputs.first()?);
    let input = node.value("input")?;
    let integers = constant_numbers(graph, input)?;
    let value = graph.value(input);
    let quantization = value.quantization.as_ref()?;
    // The number of neighbouring elements that share a channel, and the channels.
    let (run, scales) = match &quantization.scale {
        Scale::PerTensor(scale) => (integers.len().max(1), vec![*scale]),
        Scale::PerChannel { axis, scales } => {
            let inner = value.shape.get(axis + 1..)?.iter().map(|extent| *extent as usize);
            (inner.product::<usize>().max(1), scales.clone())
        }
    };
    let number = |(index, integer): (usize, &f64)| {
        let channel = index / run % scales.len().max(1);
        let zero_point = ZeroPoint(*quantization.zero_points.get(channel)?);
        Some(f64::from(dequantize(*integer as i32, *scales.get(channel)? as f32, zero_point)))
    };
    let numbers: Option<Vec<f64>> = integers.iter().enumerate().map(number).collect();
    encode(output.dtype, &numbers?)
}

/// For a node that moves the elements of a dequantized constant, the dequantize node of the moved integers.
fn moved_before_dequantize(graph: &mut Graph, node: &Node) -> Option<Node> {
    let [output] = node.outputs[..] else { return None };
    let mut operands = node.operands();
    let (numbers, None) = (operands.next()?, operands.next()) else { return None };
    let dequantize = &graph.nodes[graph.producer(numbers)?];
    let integers = dequantize.value("input")?;
    if dequantize.target != DEQUANTIZE || graph.value(integers).data.is_none() {
        return None;
    }
    let mut moving = node.clone();
    moving.replace_operand(numbers, integers);
    let constant = graph.value(integers);
    let shape = graph.value(output).shape.clone();
    let mut value = Value {
        name: format!("{}_integers", graph.value(output).name),
        dim_order: (0..shape.len() as u8).collect(),
        shape,
        data: None,
        ..constant.clone()
    };
    if value_bytes(&value) > value_bytes(constant).max(SMALL_BYTES) {
        return None;
    }
    value.data = Some(moved(graph, &moving, &value)?.into());
    let target = dequantize.target.clone();
    let mut arguments = dequantize.arguments.clone();
    let integers = graph.add_value(value);
    for (name, argument) in &mut arguments {
        if name == "input" {
            *argument = Argument::Value(integers);
        }
    }
    Some(Node { target, arguments, ..node.clone() })
}

/// A constant matrix with its axes exchanged.
pub(super) fn transposed_matrix(value: &Value) -> Option<Value> {
    let [rows, cols] = value.shape[..] else { return None };
    let source = |at: &[usize]| Some(at[1] * cols as usize + at[0]);
    let data = gather(value.data.as_deref()?, value.dtype, &[cols, rows], source)?;
    Some(Value {
        name: format!("{}_transposed", value.name),
        shape: vec![cols, rows],
        dim_order: vec![0, 1],
        data: Some(data.into()),
        ..value.clone()
    })
}

/// The elements of tensors that are made from nothing, unless they are more than [`MADE_MAX`] with what was `made` before.
fn filled(node: &Node, output: &Value, made: &Cell<u64>) -> Option<Vec<f64>> {
    let (name, overload) = base_name(node)?;
    let number = |argument: &str| match node.argument(argument)? {
        Argument::Bool(value) => Some(f64::from(*value)),
        _ => node.float(argument),
    };
    let count =
        output.shape.iter().try_fold(1u64, |count, it| count.checked_mul(u64::from(*it)))?;
    let total = made.get().checked_add(count).filter(|total| *total <= MADE_MAX)?;
    let element = match name {
        "zeros" | "zeros_like" | "new_zeros" => 0.0,
        "ones" | "ones_like" | "new_ones" => 1.0,
        "full" | "full_like" | "new_full" => number("fill_value")?,
        "scalar_tensor" => number("s")?,
        "arange" => {
            let start = if overload == "default" { 0.0 } else { number("start")? };
            let step = node.float("step").unwrap_or(1.0);
            made.set(total);
            return Some((0..count).map(|index| start + index as f64 * step).collect());
        }
        _ => return None,
    };
    made.set(total);
    Some(vec![element; usize::try_from(count).ok()?])
}

/// Where the element at a place of a result comes from: its position among the operand's elements.
type Source<'a> = Box<dyn Fn(&[usize]) -> Option<usize> + 'a>;

/// The elements of a constant, or of several, at other places.
fn moved(graph: &Graph, node: &Node, output: &Value) -> Option<Vec<u8>> {
    let (name, _) = base_name(node)?;
    if matches!(name, "cat" | "concat" | "concatenate" | "stack") {
        return joined(graph, node, output, name == "stack");
    }
    let input = node.value("self").or_else(|| node.value("input"))?;
    let value = graph.value(input);
    let data = value.data.as_deref()?;
    if value.dtype != output.dtype || value.quantization != output.quantization {
        return None;
    }
    let shape = &value.shape;
    let strides = strides(shape);
    let axis = || axis_of(node.int("dim").unwrap_or(0), shape.len());
    // What is repeated stands under the last axes.
    let new_axes = output.shape.len().checked_sub(shape.len());
    let flat = |at: &[usize]| at.iter().zip(&strides).map(|(at, stride)| at * stride).sum();
    let source: Source<'_> = match name {
        "view" | "_unsafe_view" | "reshape" | "flatten" | "unflatten" | "squeeze" | "unsqueeze"
        | "clone" | "contiguous" | "alias" | "detach" | "lift_fresh_copy" | "ravel" => {
            return Some(data.to_vec());
        }
        "permute" | "transpose" | "t" | "swapaxes" => {
            let axes = permutation(graph, node)?;
            let strides = &strides;
            Box::new(move |at| {
                Some(axes.iter().zip(at).map(|(axis, at)| at * strides[*axis]).sum())
            })
        }
        "expand" | "expand_as" | "broadcast_to" | "repeat" | "tile" => {
            let new_axes = new_axes?;
            let strides = &strides;
            Box::new(move |at| {
                let own = at[new_axes..].iter().zip(shape).zip(strides);
                Some(own.map(|((at, extent), stride)| at % *extent as usize * stride).sum())
            })
        }
        "slice" | "narrow" => {
            let axis = axis()?;
            let extent = i64::from(shape[axis]);
            let start = node.int("start").unwrap_or(0);
            let start = if start < 0 { start + extent } else { start }.clamp(0, extent) as usize;
            let step = usize::try_from(node.int("step").unwrap_or(1)).ok()?;
            Box::new(move |at| {
                let mut at = at.to_vec();
                at[axis] = start + at[axis] * step;
                Some(flat(&at))
            })
        }
        "select" => {
            let axis = axis()?;
            let index = node.int("index")?;
            let index = if index < 0 { index + i64::from(shape[axis]) } else { index };
            let index = usize::try_from(index).ok()?;
            Box::new(move |at| {
                let mut at = at.to_vec();
                at.insert(axis, index);
                Some(flat(&at))
            })
        }
        _ => return None,
    };
    gather(data, output.dtype, &output.shape, source)
}

/// Constants one behind the other along an axis, which for `stack` is a new one.
fn joined(graph: &Graph, node: &Node, output: &Value, is_new: bool) -> Option<Vec<u8>> {
    let Some(Argument::Values(tensors)) = node.argument("tensors") else { return None };
    let axis = axis_of(node.int("dim").unwrap_or(0), output.shape.len())?;
    let size = output.dtype.size_bytes() as usize;
    let inner: usize = output.shape[axis + 1..].iter().map(|extent| *extent as usize).product();
    let mut parts = Vec::new();
    for id in tensors.iter().flatten() {
        let value = graph.value(*id);
        let extent = if is_new { 1 } else { *value.shape.get(axis)? as usize };
        let is_alike = value.dtype == output.dtype
            && value.quantization == output.quantization
            && value.shape.len() + usize::from(is_new) == output.shape.len();
        parts.push((value.data.as_deref().filter(|_| is_alike)?, extent * inner * size));
    }
    let outer: usize = output.shape[..axis].iter().map(|extent| *extent as usize).product();
    let mut data = Vec::new();
    for row in 0..outer {
        for (part, bytes) in &parts {
            data.extend(part.get(row * bytes..(row + 1) * bytes)?);
        }
    }
    Some(data)
}

/// The elements under another type.
fn converted(graph: &Graph, node: &Node) -> Option<Vec<f64>> {
    let (name, _) = base_name(node)?;
    let is_conversion =
        matches!(name, "to" | "_to_copy" | "type_as" | "float" | "double" | "int" | "long");
    let input = node.value("self").or_else(|| node.value("input")).filter(|_| is_conversion)?;
    constant_numbers(graph, input)
}

/// What masks are made with.
fn masked(graph: &Graph, node: &Node, output: &Value) -> Option<Vec<f64>> {
    let (name, overload) = base_name(node)?;
    let operand = |argument: &str| broadcast_numbers(graph, node, argument, output);
    match (name, overload) {
        ("tril" | "triu", _) => {
            let diagonal = node.int("diagonal").unwrap_or(0);
            let cols = i64::from(*output.shape.last()?);
            let rows = i64::from(*output.shape.get(output.shape.len().checked_sub(2)?)?);
            let keep = |(index, number): (usize, f64)| {
                let (row, col) = (index as i64 / cols % rows, index as i64 % cols);
                let above = col - row - diagonal;
                let is_kept = if name == "tril" { above <= 0 } else { above >= 0 };
                if is_kept { number } else { 0.0 }
            };
            Some(operand("self")?.into_iter().enumerate().map(keep).collect())
        }
        ("masked_fill", _) => {
            let (from, mask) = (operand("self")?, operand("mask")?);
            let pick = |((from, mask), value)| if mask != 0.0 { value } else { from };
            Some(from.into_iter().zip(mask).zip(operand("value")?).map(pick).collect())
        }
        ("where", "self" | "ScalarOther" | "ScalarSelf" | "Scalar") => {
            let (condition, chosen) = (operand("condition")?, operand("self")?);
            let pick = |((condition, chosen), other)| if condition != 0.0 { chosen } else { other };
            Some(condition.into_iter().zip(chosen).zip(operand("other")?).map(pick).collect())
        }
        ("logical_not", _) => {
            Some(operand("self")?.iter().map(|it| f64::from(*it == 0.0)).collect())
        }
        ("bitwise_not", _) if output.dtype == DType::Bool => {
            Some(operand("self")?.iter().map(|it| f64::from(*it == 0.0)).collect())
        }
        _ => None,
    }
}

/// Truth values.
fn compared(graph: &Graph, node: &Node, output: &Value) -> Option<Vec<f64>> {
    let (name, _) = base_name(node)?;
    let holds: fn(f64, f64) -> bool = match name {
        "eq" => |a, b| a == b,
        "ne" => |a, b| a != b,
        "lt" | "less" => |a, b| a < b,
        "le" | "less_equal" => |a, b| a <= b,
        "gt" | "greater" => |a, b| a > b,
        "ge" | "greater_equal" => |a, b| a >= b,
        "logical_and" | "bitwise_and" if output.dtype == DType::Bool => |a, b| a != 0.0 && b != 0.0,
        "logical_or" | "bitwise_or" if output.dtype == DType::Bool => |a, b| a != 0.0 || b != 0.0,
        _ => return None,
    };
    let operand = |argument: &str| broadcast_numbers(graph, node, argument, output);
    let pairs = operand("self")?.into_iter().zip(operand("other")?);
    Some(pairs.map(|(a, b)| f64::from(holds(a, b))).collect())
}

/// Functions of single elements: in binary32 all of them, in integers sums, differences and products.
fn computed(graph: &Graph, node: &Node, output: &Value) -> Option<Vec<f64>> {
    let (name, _) = base_name(node)?;
    let is_exact_in_integers = matches!(name, "add" | "sub" | "rsub" | "mul");
    let all_alike = node.operands().all(|id| graph.value(id).dtype == output.dtype);
    match output.dtype {
        DType::F32 => {}
        DType::I64 | DType::I32 if is_exact_in_integers && all_alike => {}
        _ => return None,
    }
    let function = Elementwise::of(node)?;
    let columns: Option<Vec<Vec<f64>>> = function
        .operands
        .iter()
        .map(|id| broadcast(&constant_numbers(graph, *id)?, &graph.value(*id).shape, output))
        .collect();
    let columns = columns?;
    let count = columns.first()?.len();
    let at = |index: usize| -> Vec<f64> { columns.iter().map(|column| column[index]).collect() };
    Some((0..count).map(|index| function.apply(&at(index))).collect())
}

/// An argument's elements, repeated to the extents of the result.
fn broadcast_numbers(
    graph: &Graph,
    node: &Node,
    argument: &str,
    output: &Value,
) -> Option<Vec<f64>> {
    match node.argument(argument)? {
        Argument::Value(id) => {
            broadcast(&constant_numbers(graph, *id)?, &graph.value(*id).shape, output)
        }
        Argument::Bool(value) => broadcast(&[f64::from(*value)], &[], output),
        _ => broadcast(&[node.float(argument)?], &[], output),
    }
}

fn broadcast(numbers: &[f64], shape: &[u32], output: &Value) -> Option<Vec<f64>> {
    let new_axes = output.shape.len().checked_sub(shape.len())?;
    let strides = strides(shape);
    let mut elements = Vec::new();
    for at in positions(&output.shape) {
        let own = at[new_axes..].iter().zip(shape).zip(&strides);
        let step = |((at, extent), stride): ((&usize, &u32), &usize)| {
            if *extent == 1 { 0 } else { at * stride }
        };
        elements.push(*numbers.get(own.map(step).sum::<usize>())?);
    }
    Some(elements)
}

/// The elements that `source` names for each place of the result.
fn gather(
    data: &[u8],
    dtype: DType,
    shape: &[u32],
    source: impl Fn(&[usize]) -> Option<usize>,
) -> Option<Vec<u8>> {
    let size = dtype.size_bytes() as usize;
    let mut gathered = Vec::new();
    for at in positions(shape) {
        let from = source(&at)? * size;
        gathered.extend(data.get(from..from + size)?);
    }
    Some(gathered)
}

fn value_bytes(value: &Value) -> u64 {
    let extents = value.shape.iter().map(|extent| u64::from(*extent));
    extents.fold(u64::from(value.dtype.size_bytes()), u64::saturating_mul)
}

/// All places of a tensor in logical order.
fn positions(shape: &[u32]) -> impl Iterator<Item = Vec<usize>> {
    let strides = strides(shape);
    let extents: Vec<usize> = shape.iter().map(|extent| *extent as usize).collect();
    (0..extents.iter().product()).map(move |flat: usize| {
        strides.iter().zip(&extents).map(|(stride, extent)| flat / stride % extent).collect()
    })
}

fn strides(shape: &[u32]) -> Vec<usize> {
    let inner = |axis: usize| shape[axis + 1..].iter().map(|extent| *extent as usize).product();
    (0..shape.len()).map(inner).collect()
}

/// Numbers as elements of a type; `None` where an integer would not be exact.
fn encode(dtype: DType, numbers: &[f64]) -> Option<Vec<u8>> {
    fn each<const N: usize>(numbers: &[f64], convert: impl Fn(f64) -> [u8; N]) -> Vec<u8> {
        numbers.iter().flat_map(|number| convert(*number)).collect()
    }
    let fits =
        |min: f64, max: f64| numbers.iter().all(|number| (min..=max).contains(&number.trunc()));
    Some(match dtype {
        DType::F32 => each(numbers, |number| (number as f32).to_le_bytes()),
        DType::F64 => each(numbers, f64::to_le_bytes),
        DType::Bool => each(numbers, |number| [u8::from(number != 0.0)]),
        DType::U8 if fits(0.0, 255.0) => each(numbers, |number| [number as u8]),
        DType::I8 if fits(-128.0, 127.0) => each(numbers, |number| (number as i8).to_le_bytes()),
        DType::I16 if fits(-32768.0, 32767.0) => {
            each(numbers, |number| (number as i16).to_le_bytes())
        }
        DType::I32 if fits(f64::from(i32::MIN), f64::from(i32::MAX)) => {
            each(numbers, |number| (number as i32).to_le_bytes())
        }
        DType::I64 if fits(-EXACT, EXACT) => each(numbers, |number| (number as i64).to_le_bytes()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;

    type Operand<'a> = (&'a str, &'a [u32], &'a [f32]);

    /// The elements that a node computes of constants; it must go.
    fn folded(
        target: &str,
        operands: &[Operand<'_>],
        others: &[(&str, Argument)],
        shape: &[u32],
    ) -> Vec<f32> {
        let mut sample = Sample::default();
        let mut arguments: Vec<(&str, Argument)> = operands
            .iter()
            .map(|(name, shape, elements)| (*name, sample.constant(name, shape, elements).into()))
            .collect();
        arguments.extend_from_slice(others);
        let constant = sample.node("node", target, &arguments, shape);
        let input = sample.input("x", shape);
        let arguments = [("self", input.into()), ("other", constant.into())];
        let output = sample.node("sum", "aten.add.Tensor", &arguments, shape);
        assert_eq!(sample.run(&[output], run), ["aten.add.Tensor"]);
        sample.elements(constant).unwrap()
    }

    #[test]
    fn tensors_are_filled() {
        assert_eq!(folded("aten.zeros.default", &[], &[], &[2]), [0.0, 0.0]);
        let value = [("fill_value", Argument::Float(1.5))];
        assert_eq!(folded("aten.full.default", &[], &value, &[2]), [1.5, 1.5]);
        let range = [("start", Argument::Int(1)), ("step", Argument::Float(0.5))];
        assert_eq!(folded("aten.arange.start_step", &[], &range, &[3]), [1.0, 1.5, 2.0]);
    }

    #[test]
    fn elements_move() {
        let matrix: &[Operand<'_>] = &[("self", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])];
        let ints = |name, items: &[i64]| (name, Argument::Ints(items.to_vec()));
        let int = |name, item| (name, Argument::Int(item));
        let permuted = folded("aten.permute.default", matrix, &[ints("dims", &[1, 0])], &[3, 2]);
        assert_eq!(permuted, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let last_two = [int("dim", -1), int("start", -2)];
        let sliced = folded("aten.slice.Tensor", matrix, &last_two, &[2, 2]);
        assert_eq!(sliced, [2.0, 3.0, 5.0, 6.0]);
        let last = [int("dim", 1), int("index", -1)];
        assert_eq!(folded("aten.select.int", matrix, &last, &[2]), [3.0, 6.0]);
        let column: &[Operand<'_>] = &[("self", &[2, 1], &[1.0, 2.0])];
        let expanded = folded("aten.expand.default", column, &[ints("size", &[2, 2])], &[2, 2]);
        assert_eq!(expanded, [1.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn elements_are_computed() {
        let pair: &[Operand<'_>] = &[("self", &[2, 1], &[1.0, 2.0]), ("other", &[2], &[3.0, 4.0])];
        assert_eq!(folded("aten.mul.Tensor", pair, &[], &[2, 2]), [3.0, 4.0, 6.0, 8.0]);
        let alone: &[Operand<'_>] = &[("self", &[2], &[1.0, 2.0])];
        let other = [("other", Argument::Float(0.5))];
        assert_eq!(folded("aten.sub.Scalar", alone, &other, &[2]), [0.5, 1.5]);
        let square: &[Operand<'_>] = &[("self", &[2, 2], &[1.0; 4])];
        assert_eq!(folded("aten.tril.default", square, &[], &[2, 2]), [1.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn constants_that_would_grow_stay() {
        let mut sample = Sample::default();
        let row = sample.constant("row", &[1, 2], &[1.0, 2.0]);
        let (size, shape) = (Argument::Ints(vec![1000, 2]), [1000, 2]);
        let arguments = [("self", row.into()), ("size", size)];
        let expand = sample.node("rows", "aten.expand.default", &arguments, &shape);
        let input = sample.input("x", &shape);
        let arguments = [("self", input.into()), ("other", expand.into())];
        let output = sample.node("sum", "aten.add.Tensor", &arguments, &shape);
        assert_eq!(sample.run(&[output], run), ["aten.expand.default", "aten.add.Tensor"]);
    }

    #[test]
    fn quantized_constants_stay_integers_until_nobody_wants_them() {
        let mut sample = Sample::default();
        let input = sample.input("x", &[2]);
        let integers = sample.value("w", DType::I8, &[1, 2], Some(vec![3, 0xff]));
        let arguments = [
            ("input", Argument::Value(integers)),
            ("scale", Argument::Float(0.5)),
            ("zero_point", Argument::Int(1)),
            ("quant_min", Argument::Int(-128)),
            ("quant_max", Argument::Int(127)),
            ("dtype", Argument::DType(DType::I8)),
        ];
        let numbers = sample.node("dequantize", DEQUANTIZE, &arguments, &[1, 2]);
        let moved = sample.node("moved", "aten.squeeze.dim", &[("self", numbers.into())], &[2]);
        let arguments = [("self", input.into()), ("other", moved.into())];
        let output = sample.node("sum", "aten.add.Tensor", &arguments, &[2]);
        assert_eq!(sample.run(&[output], run), [DEQUANTIZE, "aten.add.Tensor"]);
        let integers = sample.graph.nodes[0].value("input").unwrap();
        assert_eq!(sample.graph.value(integers).shape, [2]);
        sample.run(&[output], super::super::fold_qparams::run);
        assert_eq!(sample.run(&[output], run_with_quantized), ["aten.add.Tensor"]);
        assert_eq!(sample.elements(moved), Some(vec![1.0, -1.0]));
    }
}
