//! Takes one tensor out of a join without making the join.
//!
//! The tensor at an index of a stack is the one that was stacked there; the tensor at an index of another axis of joined ones is
//! those tensors' own, joined. So the last step of a recurrent layer, unrolled, needs no sequence of all steps.

use super::PassContext;
use super::rewriter::{Rewriter, replace_each};
use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, ValueId};
use cortado_contract::strided::axis_of;

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    // Selections of joins of stacks become selections of stacks, which the second turn takes.
    for _ in 0..2 {
        narrow_all(graph);
    }
    Ok(())
}

fn narrow_all(graph: &mut Graph) {
    let mut taken = Vec::new();
    replace_each(graph, |rewriter| {
        let (join, dim, index) = selection(rewriter)?;
        match join.target.as_str() {
            "aten.stack.default" => {
                let tensors = tensors(&join)?;
                let rank = rewriter.shape(*tensors.first()?).len() + 1;
                if axis_of(join.int("dim").unwrap_or(0), rank)? == dim {
                    taken.push((rewriter.origin.outputs[0], *tensors.get(index)?));
                }
                None
            }
            "aten.cat.default" => narrow(rewriter, &join, dim, index),
            _ => None,
        }
    });
    for (selected, tensor) in taken {
        // What the model returns is computed by it.
        let is_given = graph.inputs.contains(&tensor) || graph.value(tensor).data.is_some();
        if !(is_given && graph.outputs.contains(&selected)) {
            graph.replace_uses(selected, tensor);
        }
    }
    graph.remove_dead_nodes();
}

/// For a selection from a join in binary32: the join, the axis and the index.
fn selection(rewriter: &Rewriter<'_>) -> Option<(Node, usize, usize)> {
    let node = rewriter.origin;
    if node.target != "aten.select.int" {
        return None;
    }
    let joined = node.value("self").filter(|id| rewriter.is_f32(*id))?;
    let shape = rewriter.shape(joined);
    let dim = axis_of(node.int("dim")?, shape.len())?;
    let index = node.int("index")?;
    let index = if index < 0 { index + i64::from(shape[dim]) } else { index };
    let join = rewriter.graph.nodes[rewriter.graph.producer(joined)?].clone();
    Some((join, dim, usize::try_from(index).ok()?))
}

fn tensors(join: &Node) -> Option<Vec<ValueId>> {
    match join.argument("tensors")? {
        Argument::Values(tensors) => tensors.iter().copied().collect(),
        _ => None,
    }
}

/// Joins what is selected of each tensor.
fn narrow(rewriter: &mut Rewriter<'_>, join: &Node, dim: usize, index: usize) -> Option<()> {
    let output = *rewriter.origin.outputs.first()?;
    let rank = rewriter.shape(output).len() + 1;
    let along = axis_of(join.int("dim").unwrap_or(0), rank)?;
    let tensors = tensors(join)?;
    // Only where the selections themselves will go.
    let is_stack = |id: &ValueId| {
        let node = rewriter.graph.producer(*id).map(|index| &rewriter.graph.nodes[index]);
        node.is_some_and(|node| {
            node.target == "aten.stack.default"
                && axis_of(node.int("dim").unwrap_or(0), rank) == Some(dim)
        })
    };
    if along == dim || !tensors.iter().all(is_stack) {
        return None;
    }
    let mut selected = Vec::new();
    for tensor in tensors {
        let mut shape = rewriter.shape(tensor).to_vec();
        shape.remove(dim);
        let arguments = [
            ("self", tensor.into()),
            ("dim", Argument::Int(dim as i64)),
            ("index", Argument::Int(index as i64)),
        ];
        selected.push(Some(rewriter.call("part", "aten.select.int", arguments, shape)));
    }
    let along = if along > dim { along - 1 } else { along };
    let arguments = [("tensors", Argument::Values(selected)), ("dim", Argument::Int(along as i64))];
    rewriter.call_into("aten.cat.default", arguments, output);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;

    #[test]
    fn the_last_of_joined_stacks_is_taken_out() {
        let mut sample = Sample::default();
        let mut steps = |name: &str| {
            Argument::Values((0..3).map(|_| Some(sample.input(name, &[2, 4]))).collect())
        };
        let (ahead, back) = (steps("ahead"), steps("back"));
        let dim = ("dim", Argument::Int(1));
        let ahead =
            sample.node("a", "aten.stack.default", &[("tensors", ahead), dim.clone()], &[2, 3, 4]);
        let back =
            sample.node("b", "aten.stack.default", &[("tensors", back), dim.clone()], &[2, 3, 4]);
        let both = Argument::Values(vec![Some(ahead), Some(back)]);
        let arguments = [("tensors", both), ("dim", Argument::Int(-1))];
        let both = sample.node("both", "aten.cat.default", &arguments, &[2, 3, 8]);
        let arguments = [("self", both.into()), dim, ("index", Argument::Int(-1))];
        let last = sample.node("last", "aten.select.int", &arguments, &[2, 8]);
        assert_eq!(sample.run(&[last], run), ["aten.cat.default"]);
        let operands: Vec<ValueId> = sample.graph.nodes[0].operands().collect();
        assert_eq!(operands, [sample.graph.inputs[2], sample.graph.inputs[5]]);
        assert_eq!(sample.graph.nodes[0].int("dim"), Some(1));
    }
}
