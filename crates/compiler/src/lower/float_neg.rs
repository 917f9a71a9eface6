//! Negation, left in float.

use super::float::lower_unary;
use super::{Lowerer, Outcome};
use crate::graph::Node;
use cortado_contract::ops::{FloatNeg, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    lower_unary(lowerer, node, "neg", |input, out| Operator::FloatNeg(FloatNeg { input, out }))
}
