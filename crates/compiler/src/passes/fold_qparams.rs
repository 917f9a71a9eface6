//! Folds quantize and dequantize nodes into the values around them.
//!
//! PT2E writes a quantized operator as `dequantize → operator → quantize`. Where every tensor that an operator reads comes from
//! a dequantize node or is a constant, and everybody who reads its result quantizes it alike, the operator works on the integers
//! themselves: it reads the dequantize nodes' inputs and computes the quantize nodes' output. What is left of the
//! quantize and dequantize nodes stands at the border of the program, or around operators that nobody quantized.

use super::PassContext;
use crate::error::{CompileError, Unsupported};
use crate::graph::{Argument, Graph, Node, Quantization, Scale, ValueId};
use cortado_contract::DType;
use std::collections::HashMap;

/// The operator that makes integers of real numbers.
pub const QUANTIZE: &str = "quantized_decomposed.quantize_per_tensor.default";
/// The operator that makes real numbers of integers on one scale.
pub const DEQUANTIZE: &str = "quantized_decomposed.dequantize_per_tensor.default";
/// The same for integers with a scale for each index of an axis.
pub const DEQUANTIZE_PER_CHANNEL: &str = "quantized_decomposed.dequantize_per_channel.default";

/// Operators without an integer kernel, which compute in float even between a dequantize and a quantize node.
const FLOAT_ONLY: &[&str] = &[
    "aten.layer_norm.default",
    "aten.native_layer_norm.default",
    "aten.log_softmax.int",
    "aten._log_softmax.default",
];

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    let mut problems = Vec::new();
    let mut dequantized: HashMap<ValueId, ValueId> = HashMap::new();
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let parameters = match node.target.as_str() {
            QUANTIZE | DEQUANTIZE => per_tensor(node),
            DEQUANTIZE_PER_CHANNEL => per_channel(graph, node),
            _ => continue,
        };
        let (Some(parameters), Some(input), [output]) =
            (parameters, node.value("input"), &node.outputs[..])
        else {
            problems.push(Unsupported::new(
                node,
                "its quantization parameters are not constants of the known form",
            ));
            continue;
        };
        let output = *output;
        let integers = if node.target == QUANTIZE { output } else { input };
        if node.target != QUANTIZE {
            dequantized.insert(output, input);
        }
        if let Some(problem) = annotate(graph, index, integers, parameters) {
            problems.push(problem);
        }
    }
    if !problems.is_empty() {
        return Err(CompileError::Unsupported(problems));
    }
    for index in 0..graph.nodes.len() {
        fold(graph, index, &dequantized);
    }
    graph.remove_dead_nodes();
    Ok(())
}

/// Records what a value's integers stand for; a second statement must agree with the first.
fn annotate(
    graph: &mut Graph,
    node: usize,
    integers: ValueId,
    parameters: Quantization,
) -> Option<Unsupported> {
    let value = &mut graph.values[integers.0];
    if value.dtype != parameters.dtype {
        let why =
            format!("its type is {} but `{}` is {}", parameters.dtype, value.name, value.dtype);
        return Some(Unsupported::new(&graph.nodes[node], why));
    }
    let Quantization { quant_min, quant_max, .. } = parameters;
    if quant_min > quant_max {
        let why = format!(
            "its range of integers is empty: quant_min {quant_min} is above quant_max {quant_max}"
        );
        return Some(
            Unsupported::new(&graph.nodes[node], why)
                .with_remedy("quantize with quant_min below quant_max, as PyTorch's observers do"),
        );
    }
    if let Scale::PerChannel { axis, scales } = &parameters.scale {
        let channels = value.shape.get(*axis).copied();
        if channels != Some(scales.len() as u32) || parameters.zero_points.len() != scales.len() {
            let why = format!(
                "it has {} scales and {} zero points along axis {axis} of `{}`, whose shape is {:?}",
                scales.len(),
                parameters.zero_points.len(),
                value.name,
                value.shape
            );
            return Some(Unsupported::new(&graph.nodes[node], why));
        }
    }
    match &value.quantization {
        Some(known) if !same_meaning(known, &parameters) => {
            let why = format!(
                "`{}` is quantized with one scale or zero point and read with another",
                value.name
            );
            Some(Unsupported::new(&graph.nodes[node], why))
        }
        Some(_) => None,
        None => {
            value.quantization = Some(parameters);
            None
        }
    }
}

/// Whether both say the same about the integers; limits may differ, since only quantizing applies them.
fn same_meaning(a: &Quantization, b: &Quantization) -> bool {
    a.scale == b.scale && a.zero_points == b.zero_points && a.dtype == b.dtype
}

/// Makes the operator at `index` work on integers if all of its surroundings are quantized.
fn fold(graph: &mut Graph, index: usize, dequantized: &HashMap<ValueId, ValueId>) -> Option<()> {
    let node = &graph.nodes[index];
    if matches!(node.target.as_str(), QUANTIZE | DEQUANTIZE | DEQUANTIZE_PER_CHANNEL)
        || FLOAT_ONLY.contains(&node.target.as_str())
    {
        return None;
    }
    let operands: Vec<ValueId> = node.operands().collect();
    let is_quantized = |id: &ValueId| dequantized.contains_key(id);
    if !operands.iter().any(is_quantized)
        || !operands.iter().all(|id| is_quantized(id) || graph.value(*id).data.is_some())
    {
        return None;
    }
    let [output] = node.outputs[..] else { return None };
    let quantized = common_quantization(graph, output)?;
    let node = &mut graph.nodes[index];
    for operand in operands {
        if let Some(integers) = dequantized.get(&operand) {
            node.replace_operand(operand, *integers);
        }
    }
    node.outputs = vec![quantized];
    for user in graph.users(output) {
        // The quantize nodes compute nothing new any more; whoever reads one of them reads the operator's result.
        let duplicate = graph.nodes[user].outputs[0];
        graph.nodes[user].outputs.clear();
        graph.replace_uses(duplicate, quantized);
    }
    Some(())
}

/// The result of the first quantize node if all that read `output` quantize it alike.
fn common_quantization(graph: &Graph, output: ValueId) -> Option<ValueId> {
    if graph.outputs.contains(&output) {
        return None;
    }
    let users = graph.users(output);
    let results: Option<Vec<ValueId>> = users
        .iter()
        .map(|user| {
            let user = &graph.nodes[*user];
            (user.target == QUANTIZE).then(|| user.outputs.first().copied()).flatten()
        })
        .collect();
    let results = results?;
    let (first, rest) = results.split_first()?;
    let parameters = &graph.value(*first).quantization;
    rest.iter().all(|result| graph.value(*result).quantization == *parameters).then_some(*first)
}

fn per_tensor(node: &Node) -> Option<Quantization> {
    let (quant_min, quant_max, dtype) = limits(node)?;
    Some(Quantization {
        scale: Scale::PerTensor(node.float("scale")?),
        zero_points: vec![i32::try_from(node.int("zero_point")?).ok()?],
        quant_min,
        quant_max,
        dtype,
    })
}

fn per_channel(graph: &Graph, node: &Node) -> Option<Quantization> {
    let (quant_min, quant_max, dtype) = limits(node)?;
    let scales = constant_numbers(graph, node.value("scales")?)?;
    let zero_points = match node.argument("zero_points") {
        Some(Argument::Value(id)) => {
            constant_numbers(graph, *id)?.iter().map(|zero| *zero as i32).collect()
        }
        _ => vec![0; scales.len()],
    };
    let axis = usize::try_from(node.int("axis")?).ok()?;
    Some(Quantization {
        scale: Scale::PerChannel { axis, scales },
        zero_points,
        quant_min,
        quant_max,
        dtype,
    })
}

fn limits(node: &Node) -> Option<(i32, i32, DType)> {
    let Some(Argument::DType(dtype)) = node.argument("dtype") else { return None };
    let saturate = |value: i64| value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
    Some((saturate(node.int("quant_min")?), saturate(node.int("quant_max")?), *dtype))
}

/// The elements of a constant, as numbers.
pub fn constant_numbers(graph: &Graph, id: ValueId) -> Option<Vec<f64>> {
    let value = graph.value(id);
    let data = value.data.as_deref()?;
    fn each<const N: usize>(data: &[u8], convert: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks::<N>().0.iter().map(|bytes| convert(*bytes)).collect()
    }
    Some(match value.dtype {
        DType::U8 | DType::Bool => each(data, |[byte]| f64::from(byte)),
        DType::I8 => each(data, |[byte]| f64::from(byte as i8)),
        DType::I16 => each(data, |bytes| f64::from(i16::from_le_bytes(bytes))),
        DType::I32 => each(data, |bytes| f64::from(i32::from_le_bytes(bytes))),
        DType::I64 => each(data, |bytes| i64::from_le_bytes(bytes) as f64),
        DType::F32 => each(data, |bytes| f64::from(f32::from_le_bytes(bytes))),
        DType::F64 => each(data, f64::from_le_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;
    use cortado_contract::{Cpu, Target};

    #[test]
    fn an_empty_range_is_refused_by_name() {
        let refused = |min: i64, max: i64| {
            let mut sample = Sample::default();
            let input = sample.input("x", &[4]);
            let arguments = [
                ("input", input.into()),
                ("scale", Argument::Float(0.5)),
                ("zero_point", Argument::Int(0)),
                ("quant_min", Argument::Int(min)),
                ("quant_max", Argument::Int(max)),
                ("dtype", Argument::DType(DType::I8)),
            ];
            sample.results("integers", QUANTIZE, &arguments, &[(DType::I8, &[4])]);
            let outcome = run(&PassContext { target: Target::new(Cpu::M4) }, &mut sample.graph);
            outcome.err().map(|error| error.to_string())
        };
        assert_eq!(refused(-128, 127), None);
        assert_eq!(refused(5, 5), None);
        let why = refused(100, -100).unwrap();
        assert!(why.contains("quant_min 100 is above quant_max -100"), "{why}");
    }
}
