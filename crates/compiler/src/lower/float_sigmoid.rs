//! The logistic function, left in float.

use super::float::lower_unary;
use super::{Lowerer, Outcome};
use crate::graph::Node;
use cortado_contract::ops::{FloatSigmoid, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    lower_unary(lowerer, node, "sigmoid", |input, out| {
        Operator::FloatSigmoid(FloatSigmoid { input, out })
    })
}
