//! Softmax, left in float.

use super::float::is_float;
use super::movement::axis;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::ops::{FloatSoftmax, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["softmax", "_softmax"]).then(|| lower_softmax(lowerer, node))
}

fn lower_softmax(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, _) = lowerer.ends(node)?;
    let dim = axis(lowerer.graph, node, "dim", -1, input)? as i64;
    let input = lowerer.float_operand(node, "self")?;
    lowerer.float_call(node, |out| {
        Operator::FloatSoftmax(FloatSoftmax { input, dim, half_to_float: false, out })
    })
}
