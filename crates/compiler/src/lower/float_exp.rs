//! The exponential function, left in float.

use super::float::lower_unary;
use super::{Lowerer, Outcome};
use crate::graph::Node;
use cortado_contract::ops::{FloatExp, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    lower_unary(lowerer, node, "exp", |input, out| Operator::FloatExp(FloatExp { input, out }))
}
