//! Removes operators that change nothing at inference: dropout, copies and conversions that keep the type, and whatever moves or
//! repeats elements so that they end up where they were.
//!
//! In which order a copy puts its elements into memory is no concern here: `assign_layouts` decides that for every value, and
//! an output of the model keeps the order that was declared for it.

use super::{PassContext, permutation};
use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, ValueId};

/// Operators that never change elements, save those that change the type.
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
    "aten.to.dtype",
    "aten.to.dtype_layout",
    "aten.to.device",
    "aten.to.other",
    "aten._to_copy.default",
    "aten.type_as.default",
    "aten.float.default",
];

/// Operators that leave elements where they are if the extents stay.
const NO_OPS_OF_SAME_SHAPE: &[&str] = &[
    "aten.expand.default",
    "aten.expand_as.default",
    "aten.broadcast_to.default",
    "aten.repeat.default",
    "aten.tile.default",
    "aten.narrow.default",
    "aten.view.default",
    "aten.view_as.default",
    "aten._unsafe_view.default",
    "aten.reshape.default",
    "aten.reshape_as.default",
    "aten.flatten.using_ints",
    "aten.squeeze.default",
    "aten.squeeze.dim",
    "aten.squeeze.dims",
];

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    for index in 0..graph.nodes.len() {
        // The operand as earlier turns have left it.
        if let Some((input, output)) = identity(graph, &graph.nodes[index])
            && !(graph.outputs.contains(&output) && differs_at_border(graph, input, output))
        {
            if graph.outputs.contains(&output) {
                graph.values[input.0].dim_order = graph.value(output).dim_order.clone();
            }
            graph.replace_uses(output, input);
        }
    }
    graph.remove_dead_nodes();
    Ok(())
}

/// What a node reads and what it returns, if that is the same.
fn identity(graph: &Graph, node: &Node) -> Option<(ValueId, ValueId)> {
    let input = node.value("input").or_else(|| node.value("self"));
    let input = input.or_else(|| only_joined(node))?;
    let output = *node.outputs.first()?;
    let (from, to) = (graph.value(input), graph.value(output));
    if from.dtype != to.dtype || from.shape != to.shape {
        return None;
    }
    let target = node.target.as_str();
    let ints = |name: &str| match node.argument(name) {
        Some(Argument::Ints(items)) => Some(items.as_slice()),
        _ => None,
    };
    let changes_nothing = match target {
        // Dropout in training mode would not be the identity.
        _ if NO_OPS.contains(&target) => !node.flag("train"),
        _ if NO_OPS_OF_SAME_SHAPE.contains(&target) => true,
        // A negative step, which would reverse, does not exist.
        "aten.slice.Tensor" | "aten.cat.default" => true,
        "aten.pad.default" | "aten.constant_pad_nd.default" => {
            ints("pad").is_some_and(|pad| pad.iter().all(|extent| *extent == 0))
        }
        "aten.permute.default" | "aten.transpose.int" => {
            permutation(graph, node).is_some_and(|axes| axes.is_sorted())
        }
        _ => false,
    };
    changes_nothing.then_some((input, output))
}

/// The tensor that a node joins with no other.
fn only_joined(node: &Node) -> Option<ValueId> {
    match node.argument("tensors")? {
        Argument::Values(tensors) => match tensors[..] {
            [only] => only,
            _ => None,
        },
        _ => None,
    }
}

/// Whether a result of the model that is also an input, a constant or another result lies in memory otherwise than that one.
fn differs_at_border(graph: &Graph, input: ValueId, output: ValueId) -> bool {
    let is_declared = graph.inputs.contains(&input)
        || graph.outputs.contains(&input)
        || graph.value(input).data.is_some();
    is_declared && graph.value(input).dim_order != graph.value(output).dim_order
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;
    use cortado_contract::DType;

    /// Whether a node goes that takes `[2, 3]` to `shape`.
    fn goes(target: &str, arguments: &[(&str, Argument)], shape: &[u32]) -> bool {
        let mut sample = Sample::default();
        let input = sample.input("x", &[2, 3]);
        let negated = sample.node("first", "aten.neg.default", &[("self", input.into())], &[2, 3]);
        let mut all = vec![("self", negated.into())];
        all.extend_from_slice(arguments);
        let node = sample.node("node", target, &all, shape);
        let output = sample.node("last", "aten.neg.default", &[("self", node.into())], shape);
        sample.run(&[output], run).len() == 2
    }

    #[test]
    fn what_changes_nothing_goes() {
        let ints = |name, items: &[i64]| [(name, Argument::Ints(items.to_vec()))];
        assert!(goes("aten.contiguous.default", &[], &[2, 3]));
        assert!(goes("aten.to.dtype", &[("dtype", Argument::DType(DType::F32))], &[2, 3]));
        assert!(goes("aten.expand.default", &ints("size", &[-1, 3]), &[2, 3]));
        assert!(goes("aten.slice.Tensor", &[("dim", Argument::Int(1))], &[2, 3]));
        assert!(!goes("aten.slice.Tensor", &[("dim", Argument::Int(1))], &[2, 2]));
        assert!(goes("aten.constant_pad_nd.default", &ints("pad", &[0, 0]), &[2, 3]));
        assert!(!goes("aten.constant_pad_nd.default", &ints("pad", &[1, -1]), &[2, 3]));
        assert!(goes("aten.permute.default", &ints("dims", &[0, -1]), &[2, 3]));
        assert!(!goes("aten.permute.default", &ints("dims", &[1, 0]), &[3, 2]));
        assert!(goes("aten.dropout.default", &[("train", Argument::Bool(false))], &[2, 3]));
        assert!(!goes("aten.dropout.default", &[("train", Argument::Bool(true))], &[2, 3]));
    }

    #[test]
    fn an_output_keeps_its_declared_order() {
        let mut sample = Sample::default();
        let input = sample.input("x", &[2, 3]);
        let first = sample.node("first", "aten.neg.default", &[("self", input.into())], &[2, 3]);
        let copy = sample.node("copy", "aten.clone.default", &[("self", first.into())], &[2, 3]);
        sample.graph.values[copy.0].dim_order = vec![1, 0];
        assert_eq!(sample.run(&[copy], run), ["aten.neg.default"]);
        assert_eq!(sample.graph.value(sample.graph.outputs[0]).dim_order, [1, 0]);
    }
}
