//! Fuses activations that clamp into the operator before them.
//!
//! A rectifier after a linear layer only narrows the range that the layer's result is clamped to anyway. The range is kept
//! in real numbers; lowering quantizes it with the result's scale. An activation whose input has other readers stays.

use super::{DEQUANTIZE, PassContext, QUANTIZE};
use crate::error::CompileError;
use crate::functions::base_name;
use crate::graph::{Graph, Node, RealRange, ValueId};

/// Operators that can clamp their result.
const PRODUCERS: &[&str] = &[
    "aten.linear.default",
    "aten.conv1d.default",
    "aten.conv1d.padding",
    "aten.conv2d.default",
    "aten.conv2d.padding",
    "aten.convolution.default",
    "aten.conv_transpose1d.default",
    "aten.conv_transpose2d.input",
    "aten.max_pool1d.default",
    "aten.max_pool2d.default",
];

/// Operators of two tensors that can clamp their result where they are quantized; those on floats leave it to the activation.
const QUANTIZED_PRODUCERS: &[&str] =
    &["add", "sub", "subtract", "mul", "multiply", "div", "divide", "minimum", "maximum"];

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    let mut index = 0;
    while index < graph.nodes.len() {
        if fuse(graph, index).is_some() {
            graph.nodes.remove(index);
        } else {
            index += 1;
        }
    }
    Ok(())
}

/// Moves the activation at `index` into the node before it, whose result then is the activation's.
fn fuse(graph: &mut Graph, index: usize) -> Option<()> {
    let node = &graph.nodes[index];
    let range = clamp_range(node)?;
    let [output] = node.outputs[..] else { return None };
    let input = node.value("self").or_else(|| node.value("input"))?;
    if graph.outputs.contains(&input) || graph.users(input) != [index] {
        return None;
    }
    let producer = graph.producer(input)?;
    if !can_clamp(graph, producer, output) {
        return None;
    }
    let producer = &mut graph.nodes[producer];
    producer.activation = Some(producer.activation.unwrap_or(RealRange::ALL).then(range));
    producer.outputs = vec![output];
    Some(())
}

/// Whether an operator can clamp its result, which becomes `output` of the activation behind it.
pub(super) fn can_clamp(graph: &Graph, producer: usize, output: ValueId) -> bool {
    let node = &graph.nodes[producer];
    let is_elementwise =
        base_name(node).is_some_and(|(name, _)| QUANTIZED_PRODUCERS.contains(&name));
    PRODUCERS.contains(&node.target.as_str())
        || is_elementwise && is_quantized(graph, producer, output)
}

/// Whether an operator can clamp its result once its operands and its result are quantized.
pub fn is_clamping_producer(node: &Node) -> bool {
    PRODUCERS.contains(&node.target.as_str())
        || base_name(node).is_some_and(|(name, _)| QUANTIZED_PRODUCERS.contains(&name))
}

/// Whether all that a node reads has been dequantized or is constant, and whoever reads `output` quantizes it.
fn is_quantized(graph: &Graph, node: usize, output: ValueId) -> bool {
    let is_dequantized = |id: ValueId| {
        let producer = graph.producer(id).map(|index| graph.nodes[index].target.as_str());
        graph.value(id).data.is_some() || producer == Some(DEQUANTIZE)
    };
    let users = graph.users(output);
    !users.is_empty()
        && !graph.outputs.contains(&output)
        && users.iter().all(|user| graph.nodes[*user].target == QUANTIZE)
        && graph.nodes[node].operands().all(is_dequantized)
}

/// The range that an activation clamps to, if that is all it does and its bounds are known.
pub fn clamp_range(node: &Node) -> Option<RealRange> {
    let bound = |name: &str, default: f64| match node.argument(name) {
        None | Some(crate::graph::Argument::None) => Some(default),
        Some(_) => node.float(name),
    };
    let (min, max) = match node.target.as_str() {
        "aten.relu.default" | "aten.relu_.default" => (0.0, f64::INFINITY),
        "aten.relu6.default" | "aten.relu6_.default" => (0.0, 6.0),
        "aten.hardtanh.default" | "aten.hardtanh_.default" => {
            (bound("min_val", -1.0)?, bound("max_val", 1.0)?)
        }
        "aten.clamp.default" | "aten.clamp_.default" => {
            (bound("min", f64::NEG_INFINITY)?, bound("max", f64::INFINITY)?)
        }
        "aten.clamp_min.default" => (bound("min", f64::NEG_INFINITY)?, f64::INFINITY),
        "aten.clamp_max.default" => (f64::NEG_INFINITY, bound("max", f64::INFINITY)?),
        _ => return None,
    };
    (min <= max).then_some(RealRange { min, max })
}
