//! Nodes that see the same elements under another shape: no instruction, no memory.

use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::order;
use crate::passes::REINTERPRET;

/// Operators whose result is their input under another shape.
const VIEWS: &[&str] = &[
    "aten.view.default",
    "aten.view_as.default",
    "aten._unsafe_view.default",
    "aten.reshape.default",
    "aten.reshape_as.default",
    "aten.ravel.default",
    "aten.flatten.using_ints",
    "aten.unflatten.int",
    "aten.squeeze.default",
    "aten.squeeze.dim",
    "aten.squeeze.dims",
    "aten.squeeze_.default",
    "aten.squeeze_.dim",
    "aten.squeeze_.dims",
    "aten.unsqueeze.default",
    "aten.unsqueeze_.default",
];

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    match node.target.as_str() {
        REINTERPRET => Some(lower_reinterpret(lowerer, node)),
        target => VIEWS.contains(&target).then(|| lower_view(lowerer, node)),
    }
}

/// The same integers, which stand for other numbers.
fn lower_reinterpret(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = lowerer.ends(node)?;
    lowerer.view(output, input);
    Ok(())
}

fn lower_view(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = lowerer.moved_ends(node)?;
    let (from, to) = (lowerer.graph.value(input), lowerer.graph.value(output));
    let seen = order::viewed(&from.shape, &from.dim_order, &to.shape);
    if seen.is_none_or(|seen| !order::is_same(&to.shape, &seen, &to.dim_order)) {
        return Err(Unsupported::new(
            node,
            "it reshapes a tensor whose axes are not in memory in their logical order",
        ));
    }
    lowerer.view(output, input);
    Ok(())
}
