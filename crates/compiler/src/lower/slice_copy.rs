//! Slices of one axis.

use super::movement::{axis, position_of};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::order;
use cortado_contract::ops::{Operator, SliceCopy};

/// Operators whose result is a part of their input.
const SLICES: &[&str] = &["aten.slice.Tensor", "aten.narrow.default", "aten.narrow_copy.default"];

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    SLICES.contains(&node.target.as_str()).then(|| lower_slice(lowerer, node))
}

fn lower_slice(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = lowerer.moved_ends(node)?;
    let axis = axis(lowerer.graph, node, "dim", 0, input)?;
    let (from, to) = (lowerer.graph.value(input), lowerer.graph.value(output));
    let is_kept = order::is_same(&to.shape, &from.dim_order, &to.dim_order);
    if is_kept && from.shape == to.shape {
        lowerer.view(output, input);
        return Ok(());
    }
    let (start, end) = match node.int("length") {
        // A narrowing has no end, and its start counts from either end of the axis.
        Some(length) => {
            let extent = i64::from(from.shape[axis]);
            let start = node.int("start").unwrap_or(0);
            let start = if start < 0 { start + extent } else { start };
            (Some(start), Some(start + length))
        }
        None => (node.int("start"), node.int("end")),
    };
    let (mut from, mut out) = (lowerer.tensor(input), lowerer.tensor(output));
    let mut dim = node.int("dim").unwrap_or(0);
    if is_kept && !from.dim_order.is_sorted() {
        let order = from.dim_order.clone();
        dim = position_of(&order, axis);
        from = lowerer.in_memory(&from, &order);
        out = lowerer.in_memory(&out, &order);
    }
    let step = node.int("step").unwrap_or(1);
    let operator = SliceCopy { input: from, dim, start, end, step, out };
    lowerer.call(node, Operator::SliceCopy(operator));
    Ok(())
}
