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

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;
    use cortado_contract::DType;

    #[test]
    fn splits_become_slices_of_what_is_read() {
        let mut sample = Sample::default();
        let input = sample.input("x", &[2, 7]);
        let arguments = [("self", input.into()), ("dim", Argument::Int(-1))];
        let results = [(DType::F32, &[2, 3][..]), (DType::F32, &[2, 3]), (DType::F32, &[2, 1])];
        let parts = sample.results("split", "aten.split.Tensor", &arguments, &results);
        let targets = sample.run(&[parts[0], parts[2]], run);
        assert_eq!(targets, ["aten.slice.Tensor", "aten.slice.Tensor"]);
        let bounds = |node: &Node| (node.int("dim"), node.int("start"), node.int("end"));
        let nodes = &sample.graph.nodes;
        assert_eq!(bounds(&nodes[0]), (Some(-1), Some(0), Some(3)));
        assert_eq!(bounds(&nodes[1]), (Some(-1), Some(6), Some(7)));
    }

    #[test]
    fn unbinding_becomes_selections() {
        let mut sample = Sample::default();
        let input = sample.input("x", &[2, 3]);
        let results = [(DType::F32, &[3][..]), (DType::F32, &[3])];
        let rows = sample.results("rows", "aten.unbind.int", &[("self", input.into())], &results);
        assert_eq!(sample.run(&rows, run), ["aten.select.int", "aten.select.int"]);
        assert_eq!(sample.graph.nodes[1].int("index"), Some(1));
    }

    #[test]
    fn indices_of_maxima_go_unless_they_are_read() {
        let (both, plain) = ("aten.max_pool2d_with_indices.default", "aten.max_pool2d.default");
        for (count, target) in [(1, plain), (2, both)] {
            let mut sample = Sample::default();
            let input = sample.input("x", &[1, 2, 4, 4]);
            let results = [(DType::F32, &[1, 2, 2, 2][..]), (DType::I64, &[1, 2, 2, 2])];
            let pooled = sample.results("pool", both, &[("self", input.into())], &results);
            assert_eq!(sample.run(&pooled[..count], run), [target]);
        }
    }
}
