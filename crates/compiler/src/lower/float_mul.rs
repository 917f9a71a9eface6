//! Products of two tensors, or of a tensor and a number, and squares, left in float.

use super::float::{is_float, lower_binary};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::lowered::{LoweredDomain, LoweredTensor};
use cortado_contract::ops::{FloatMul, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    if is_float(lowerer, node, &["mul", "multiply"]) {
        return Some(lower_binary(lowerer, node, &multiply));
    }
    let is_square = node.target == "aten.pow.Tensor_Scalar" && node.float("exponent") == Some(2.0)
        || node.target == "aten.square.default";
    (is_square && is_float(lowerer, node, &["pow", "square"])).then(|| lower_square(lowerer, node))
}

fn lower_square(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let operand = lowerer.float_operand(node, "self")?;
    lowerer.float_binary(node, operand.clone(), operand, &multiply)
}

fn multiply(
    input: LoweredTensor,
    other: LoweredTensor,
    out: LoweredTensor,
) -> Operator<LoweredDomain> {
    Operator::FloatMul(FloatMul { input, other, out })
}
