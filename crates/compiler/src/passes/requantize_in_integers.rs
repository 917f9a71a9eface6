//! Lets integers at one scale become integers at another without a detour over real numbers.
//!
//! Two cases. A dequantized value that is quantized again: both nodes become one, or none where they cancel. And operators whose
//! kernels keep the integers as they are (maximum pooling, and whatever only moves elements), but whose result is quantized
//! otherwise: one node behind them requantizes. Tensors that are joined are requantized before. (Averages can change the
//! scale as they are taken; their lowering sees to it.)
//!
//! Such a node is a table with an entry for each of 256 integers, filled with what the detour computes.

use super::{DEQUANTIZE, PassContext, QUANTIZE};
use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, Quantization, Value, ValueId};
use crate::import::SourceLocation;
use cortado_contract::DType;

/// The target of the nodes that this pass makes.
pub(crate) const REQUANTIZE: &str = "cortado.requantize.default";

/// Operators whose kernels keep the integers as they are.
const KEEP_INTEGERS: &[&str] = &[
    "_unsafe_view",
    "broadcast_to",
    "channel_shuffle",
    "constant_pad_nd",
    "expand",
    "expand_as",
    "flatten",
    "max_pool1d",
    "max_pool2d",
    "moveaxis",
    "movedim",
    "mT",
    "narrow",
    "narrow_copy",
    "numpy_T",
    "pad",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "ravel",
    "repeat",
    "repeat_interleave",
    "reshape",
    "reshape_as",
    "select",
    "slice",
    "squeeze",
    "squeeze_",
    "swapaxes",
    "swapdims",
    "t",
    "tile",
    "transpose",
    "unflatten",
    "unsqueeze",
    "unsqueeze_",
    "upsample_nearest1d",
    "upsample_nearest2d",
    "view",
    "view_as",
];

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    join_pairs(graph);
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        match node.target.split('.').nth(1).unwrap_or_default() {
            "cat" | "concat" | "concatenate" | "stack" => before(graph, node, &mut nodes),
            name if KEEP_INTEGERS.contains(&name) => {
                let operand = node.operands().next();
                let kept = operand.and_then(|id| graph.value(id).quantization.clone());
                behind(graph, node, kept, &mut nodes);
            }
            _ => nodes.push(node),
        }
    }
    graph.nodes = nodes;
    graph.remove_dead_nodes();
    Ok(())
}

/// Joins each quantize node with the dequantize node that it reads.
fn join_pairs(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let (QUANTIZE, Some(real), [output]) =
            (node.target.as_str(), node.value("input"), &node.outputs[..])
        else {
            continue;
        };
        let output = *output;
        let dequantize = graph.producer(real).map(|producer| &graph.nodes[producer]);
        let integers = dequantize
            .filter(|dequantize| dequantize.target == DEQUANTIZE)
            .and_then(|dequantize| dequantize.value("input"));
        let (Some(integers), Some(wanted)) = (integers, graph.value(output).quantization.clone())
        else {
            continue;
        };
        if !is_int8(&wanted) || !graph.value(integers).quantization.as_ref().is_some_and(is_int8) {
            continue;
        }
        if differs(graph, integers, &wanted) {
            let node = &mut graph.nodes[index];
            node.target = REQUANTIZE.to_owned();
            node.arguments = vec![("input".to_owned(), Argument::Value(integers))];
        } else if !graph.outputs.contains(&output) {
            graph.replace_uses(output, integers);
        }
    }
    graph.remove_dead_nodes();
}

/// Requantizes the operands that are quantized otherwise than the result.
fn before(graph: &mut Graph, mut node: Node, nodes: &mut Vec<Node>) {
    let wanted = node.outputs.first().and_then(|id| graph.value(*id).quantization.clone());
    for operand in node.operands().collect::<Vec<_>>() {
        let Some(wanted) = wanted.clone().filter(|wanted| differs(graph, operand, wanted)) else {
            continue;
        };
        let name = format!("{}_for_{}", graph.value(operand).name, node.name);
        let value = Value { name, quantization: Some(wanted), ..graph.value(operand).clone() };
        let requantized = graph.add_value(Value { data: None, ..value });
        nodes.push(requantize(graph, operand, requantized, &node.source));
        node.replace_operand(operand, requantized);
    }
    nodes.push(node);
}

/// Requantizes the result where it is quantized otherwise than the operator computes it.
fn behind(
    graph: &mut Graph,
    mut node: Node,
    computed: Option<Quantization>,
    nodes: &mut Vec<Node>,
) {
    let [output] = node.outputs[..] else { return nodes.push(node) };
    let Some(computed) = computed.filter(|computed| differs(graph, output, computed)) else {
        return nodes.push(node);
    };
    let name = format!("{}_integers", graph.value(output).name);
    let value = Value { name, quantization: Some(computed), ..graph.value(output).clone() };
    let result = graph.add_value(value);
    node.outputs = vec![result];
    let behind = requantize(graph, result, output, &node.source);
    nodes.extend([node, behind]);
}

fn requantize(graph: &Graph, input: ValueId, output: ValueId, source: &SourceLocation) -> Node {
    Node {
        name: graph.value(output).name.clone(),
        target: REQUANTIZE.to_owned(),
        arguments: vec![("input".to_owned(), Argument::Value(input))],
        outputs: vec![output],
        activation: None,
        source: source.clone(),
    }
}

/// Whether a value holds `int8` that stand for other numbers than `wanted` says.
fn differs(graph: &Graph, id: ValueId, wanted: &Quantization) -> bool {
    let value = graph.value(id);
    let known = value.quantization.as_ref().filter(|known| is_int8(known) && is_int8(wanted));
    known.is_some_and(|known| known.per_tensor() != wanted.per_tensor())
}

fn is_int8(quantization: &Quantization) -> bool {
    quantization.dtype == DType::I8 && quantization.per_tensor().is_some()
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;
    use crate::graph::Scale;

    /// Integers at a scale: a node with one result in `int8`.
    fn integers(
        sample: &mut Sample,
        name: &str,
        target: &str,
        input: ValueId,
        scale: f64,
    ) -> ValueId {
        let arguments = [("input", input.into()), ("self", input.into())];
        let id = sample.results(name, target, &arguments, &[(DType::I8, &[4])])[0];
        sample.graph.values[id.0].quantization = Some(Quantization {
            scale: Scale::PerTensor(scale),
            zero_points: vec![0],
            quant_min: -128,
            quant_max: 127,
            dtype: DType::I8,
        });
        id
    }

    #[test]
    fn a_detour_over_real_numbers_becomes_one_node_or_none() {
        for (scale, expected) in [(0.5, vec![QUANTIZE]), (0.25, vec![QUANTIZE, REQUANTIZE])] {
            let mut sample = Sample::default();
            let input = sample.input("x", &[4]);
            let first = integers(&mut sample, "first", QUANTIZE, input, 0.5);
            let real = sample.node("real", DEQUANTIZE, &[("input", first.into())], &[4]);
            let second = integers(&mut sample, "second", QUANTIZE, real, scale);
            let view = integers(&mut sample, "view", "aten.view.default", second, scale);
            let targets = sample.run(&[view], run);
            assert_eq!(targets, [expected, vec!["aten.view.default"]].concat(), "{scale}");
        }
    }

    #[test]
    fn results_at_another_scale_are_requantized_behind() {
        let mut sample = Sample::default();
        let input = sample.input("x", &[4]);
        let first = integers(&mut sample, "first", QUANTIZE, input, 0.5);
        let moved = integers(&mut sample, "moved", "aten.flatten.using_ints", first, 0.25);
        let targets = sample.run(&[moved], run);
        assert_eq!(targets, [QUANTIZE, "aten.flatten.using_ints", REQUANTIZE]);
        let between = sample.graph.nodes[1].outputs[0];
        let scale = |id: ValueId| sample.graph.value(id).quantization.as_ref()?.per_tensor();
        assert_eq!(scale(between), scale(first));
    }

    #[test]
    fn joined_tensors_are_requantized_before() {
        let mut sample = Sample::default();
        let input = sample.input("x", &[4]);
        let first = integers(&mut sample, "first", QUANTIZE, input, 0.5);
        let second = integers(&mut sample, "second", QUANTIZE, input, 0.25);
        let joined = integers(&mut sample, "joined", "aten.cat.default", first, 0.5);
        sample.graph.nodes[2].arguments =
            vec![("tensors".to_owned(), Argument::Values(vec![Some(first), Some(second)]))];
        let targets = sample.run(&[joined], run);
        assert_eq!(targets, [QUANTIZE, QUANTIZE, REQUANTIZE, "aten.cat.default"]);
    }
}
