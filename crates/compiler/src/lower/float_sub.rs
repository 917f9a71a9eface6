//! Differences of two tensors, or of a tensor and a number, left in float.

use super::float::is_float;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::ops::{FloatSub, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["sub", "subtract", "rsub"]).then(|| lower_difference(lowerer, node))
}

fn lower_difference(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let alpha = node.float("alpha").unwrap_or(1.0);
    let input = lowerer.float_operand(node, "self")?;
    let other = lowerer.float_operand(node, "other")?;
    // `rsub(self, other)` is `other − alpha · self`.
    let is_reversed = node.target.starts_with("aten.rsub");
    let (lhs, rhs) = if is_reversed { (other, input) } else { (input, other) };
    lowerer.float_binary(node, lhs, rhs, &|input, other, out| {
        Operator::FloatSub(FloatSub { input, other, alpha, out })
    })
}
