//! Reciprocals of square roots, left in float.

use super::float::lower_unary;
use super::{Lowerer, Outcome};
use crate::graph::Node;
use cortado_contract::ops::{FloatRsqrt, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    lower_unary(lowerer, node, "rsqrt", |input, out| {
        Operator::FloatRsqrt(FloatRsqrt { input, out })
    })
}
