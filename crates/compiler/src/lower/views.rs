//! Nodes that see the same elements under another shape: no instruction, no memory.

use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Graph, Node, ValueId};

/// Operators whose result is a view of their input.
const VIEWS: &[&str] = &[
    "aten.view.default",
    "aten._unsafe_view.default",
    "aten.reshape.default",
    "aten.flatten.using_ints",
    "aten.unflatten.int",
    "aten.squeeze.default",
    "aten.squeeze.dim",
    "aten.squeeze.dims",
    "aten.unsqueeze.default",
];

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    if !VIEWS.contains(&node.target.as_str()) {
        return None;
    }
    Some(lower_view(lowerer, node))
}

fn lower_view(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let input = node.value("self").or_else(|| node.value("input"));
    let (Some(input), [output]) = (input, node.outputs.as_slice()) else {
        return Err(Unsupported::new(node, "it has no input or more than one result"));
    };
    let graph = lowerer.graph;
    if graph.value(input).quantization != graph.value(*output).quantization {
        return Err(Unsupported::new(node, "its input and its result are quantized differently")
            .with_remedy(
                "let both share their quantization parameters, as PT2E quantizers do for views",
            ));
    }
    if !is_row_major(graph, input) || !is_row_major(graph, *output) {
        return Err(Unsupported::new(
            node,
            "it reshapes a tensor whose axes are not in memory in their logical order",
        ));
    }
    lowerer.view(*output, input);
    Ok(())
}

/// Whether elements follow each other in logical order; axes of extent 1 may stand anywhere.
fn is_row_major(graph: &Graph, id: ValueId) -> bool {
    let value = graph.value(id);
    value.dim_order.iter().filter(|axis| value.shape[usize::from(**axis)] != 1).is_sorted()
}
