//! One index of one axis.

use super::movement::{axis, position_of};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::order;
use cortado_contract::ops::{Operator, SelectCopy};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    (node.target == "aten.select.int").then(|| lower_select(lowerer, node))
}

fn lower_select(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = lowerer.moved_ends(node)?;
    let axis = axis(lowerer.graph, node, "dim", 0, input)?;
    let Some(index) = node.int("index") else {
        return Err(Unsupported::new(node, "its index is not a constant"));
    };
    let (from, to) = (lowerer.graph.value(input), lowerer.graph.value(output));
    let order = order::without(&from.dim_order, axis);
    let is_kept = order::is_same(&to.shape, &order, &to.dim_order);
    if is_kept && from.shape[axis] == 1 {
        lowerer.view(output, input);
        return Ok(());
    }
    let (mut from, mut out) = (lowerer.tensor(input), lowerer.tensor(output));
    let mut dim = node.int("dim").unwrap_or(0);
    if is_kept && !from.dim_order.is_sorted() {
        let from_order = from.dim_order.clone();
        dim = position_of(&from_order, axis);
        from = lowerer.in_memory(&from, &from_order);
        out = lowerer.in_memory(&out, &order);
    }
    let operator = SelectCopy { input: from, dim, index, out };
    lowerer.call(node, Operator::SelectCopy(operator));
    Ok(())
}
