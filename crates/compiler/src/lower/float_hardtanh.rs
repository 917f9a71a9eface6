//! Limits that are both given, left in float.

use super::float::is_float;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::passes::clamp_range;
use cortado_contract::ops::{FloatHardtanh, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["hardtanh", "relu6"]).then(|| lower_hardtanh(lowerer, node))
}

fn lower_hardtanh(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let range = clamp_range(node)
        .ok_or_else(|| Unsupported::new(node, "its limits are no numbers, or cross each other"))?;
    let input = lowerer.float_operand(node, "self")?;
    lowerer.float_call(node, |out| {
        let (min_val, max_val) = (range.min, range.max);
        Operator::FloatHardtanh(FloatHardtanh { input, min_val, max_val, out })
    })
}
