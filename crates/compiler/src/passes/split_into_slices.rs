//! Replaces operators with several results by one operator for each result that is used.
//!
//! Splits become slices and unbinding becomes selections, which are what they come to and which every later stage knows.
//! Maximum pooling that also returns where the maxima are loses the latter where nobody reads it.

use super::PassContext;
use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, ValueId};

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        match split(graph, &node) {
            Some(parts) => nodes.extend(parts),
            None => nodes.push(node),
        }
    }
    graph.nodes = nodes;
    drop_unread_indices(graph);
    graph.remove_dead_nodes();
    Ok(())
}

/// A node per result of a split.
fn split(graph: &Graph, node: &Node) -> Option<Vec<Node>> {
    let is_unbound = match node.target.as_str() {
        "aten.split.Tensor"
        | "aten.split.sizes"
        | "aten.split_with_sizes.default"
        | "aten.unsafe_split.Tensor"
        | "aten.chunk.default"
        | "aten.unsafe_chunk.default"
        | "aten.tensor_split.sections"
        | "aten.tensor_split.indices" => false,
        "aten.unbind.int" => true,
        _ => return None,
    };
    let input = node.value("self")?;
    let rank = graph.value(input).shape.len();
    let dim = node.int("dim").unwrap_or(0);
    let axis = cortado_contract::strided::axis_of(dim, rank)?;
    let mut start = 0;
    let part = |(index, output): (usize, &ValueId)| {
        let value = graph.value(*output);
        let (target, place) = if is_unbound {
            ("aten.select.int", vec![("index".to_owned(), Argument::Int(index as i64))])
        } else {
            let end = start + i64::from(*value.shape.get(axis)?);
            let place = vec![
                ("start".to_owned(), Argument::Int(start)),
                ("end".to_owned(), Argument::Int(end)),
            ];
            start = end;
            ("aten.slice.Tensor", place)
        };
        let mut arguments = vec![
            ("self".to_owned(), Argument::Value(input)),
            ("dim".to_owned(), Argument::Int(dim)),
        ];
        arguments.extend(place);
        Some(Node {
            name: value.name.clone(),
            target: target.to_owned(),
            arguments,
            outputs: vec![*output],
            activation: None,
            source: node.source.clone(),
        })
    };
    node.outputs.iter().enumerate().map(part).collect()
}

/// Makes `max_pool2d_with_indices` a `max_pool2d` where nobody reads the indices.
fn drop_unread_indices(graph: &mut Graph) {
    for position in 0..graph.nodes.len() {
        let node = &graph.nodes[position];
        let [_, indices] = node.outputs[..] else { continue };
        if node.target == "aten.max_pool2d_with_indices.default"
            && graph.users(indices).is_empty()
            && !graph.outputs.contains(&indices)
        {
            let node = &mut graph.nodes[position];
            node.target = "aten.max_pool2d.default".to_owned();
            node.outputs.truncate(1);
        }
    }
}
