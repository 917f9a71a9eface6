//! The logarithms of a softmax, left in float.

use super::float::is_float;
use super::movement::axis;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::ops::{FloatLogSoftmax, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["log_softmax", "_log_softmax"])
        .then(|| lower_log_softmax(lowerer, node))
}

fn lower_log_softmax(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, _) = lowerer.ends(node)?;
    let dim = axis(lowerer.graph, node, "dim", -1, input)? as i64;
    let input = lowerer.float_operand(node, "self")?;
    lowerer.float_call(node, |out| {
        Operator::FloatLogSoftmax(FloatLogSoftmax { input, dim, half_to_float: false, out })
    })
}
