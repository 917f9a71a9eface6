//! Quotients of two tensors, or of a tensor and a number, left in float.

use super::float::{is_float, lower_binary};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Argument, Node};
use cortado_contract::ops::{FloatDiv, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["div", "divide", "true_divide"]).then(|| lower_div(lowerer, node))
}

fn lower_div(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    if !matches!(node.argument("rounding_mode"), None | Some(Argument::None)) {
        return Err(Unsupported::new(node, "it rounds its result")
            .with_remedy("divide without a rounding mode"));
    }
    lower_binary(lowerer, node, &|input, other, out| {
        Operator::FloatDiv(FloatDiv { input, other, out })
    })
}
