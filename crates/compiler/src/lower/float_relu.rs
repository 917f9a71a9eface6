//! The rectifier, left in float.

use super::float::lower_unary;
use super::{Lowerer, Outcome};
use crate::graph::Node;
use cortado_contract::ops::{FloatRelu, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    lower_unary(lowerer, node, "relu", |input, out| Operator::FloatRelu(FloatRelu { input, out }))
}
