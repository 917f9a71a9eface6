//! Sums of two tensors, or of a tensor and a number, left in float.

use super::float::{is_float, lower_binary};
use super::{Lowerer, Outcome};
use crate::graph::Node;
use cortado_contract::ops::{FloatAdd, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["add"]).then(|| {
        let alpha = node.float("alpha").unwrap_or(1.0);
        lower_binary(lowerer, node, &|input, other, out| {
            Operator::FloatAdd(FloatAdd { input, other, alpha, out })
        })
    })
}
