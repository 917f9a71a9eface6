//! Fully connected layers that were left in float.

use super::float::is_float;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::ops::{FloatLinear, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["linear"]).then(|| lower_linear(lowerer, node))
}

fn lower_linear(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let input = lowerer.float_operand(node, "input")?;
    let weight = lowerer.float_operand(node, "weight")?;
    let bias = lowerer.optional_float_operand(node, "bias")?;
    lowerer.float_call(node, |out| Operator::FloatLinear(FloatLinear { input, weight, bias, out }))
}
