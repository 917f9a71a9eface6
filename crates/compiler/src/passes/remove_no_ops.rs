//! Removes operators that change nothing at inference: dropout, and copies that keep type and order in memory.

use super::PassContext;
use crate::error::CompileError;
use crate::graph::{Argument, Graph};

const NO_OPS: &[&str] = &[
    "aten.dropout.default",
    "aten.dropout_.default",
    "aten.feature_dropout.default",
    "aten.alpha_dropout.default",
    "aten.clone.default",
    "aten.contiguous.default",
    "aten.detach.default",
    "aten.detach_.default",
    "aten.alias.default",
    "aten.lift_fresh_copy.default",
];

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    let removable: Vec<_> = graph
        .nodes
        .iter()
        .filter(|node| NO_OPS.contains(&node.target.as_str()))
        // Dropout in training mode would not be the identity.
        .filter(|node| node.argument("train") != Some(&Argument::Bool(true)))
        .filter_map(|node| {
            Some((node.value("input").or_else(|| node.value("self"))?, *node.outputs.first()?))
        })
        .filter(|(input, output)| {
            let (input, output) = (graph.value(*input), graph.value(*output));
            input.dtype == output.dtype && input.shape == output.shape
        })
        .collect();
    for (input, output) in &removable {
        // An earlier replacement may already have redirected this node's own input.
        let input = graph
            .nodes
            .iter()
            .find(|node| node.outputs.contains(output))
            .and_then(|node| node.value("input").or_else(|| node.value("self")))
            .unwrap_or(*input);
        graph.replace_uses(*output, input);
    }
    graph.remove_dead_nodes();
    Ok(())
}
