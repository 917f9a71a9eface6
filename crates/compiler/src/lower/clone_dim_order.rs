//! Copies that bring a tensor's axes into another order in memory; the pass `assign_layouts` inserts them.

use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::lowered::Ints;
use crate::passes::CLONE_DIM_ORDER;
use cortado_contract::ops::{CloneDimOrder, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    (node.target == CLONE_DIM_ORDER).then(|| lower_copy(lowerer, node))
}

fn lower_copy(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (Some(input), [output]) = (node.value("self"), node.outputs.as_slice()) else {
        return Err(Unsupported::new(node, "it has no input or more than one result"));
    };
    let out = lowerer.tensor(*output);
    let operator = CloneDimOrder {
        input: lowerer.tensor(input),
        non_blocking: false,
        dim_order: Some(Ints(out.dim_order.iter().map(|axis| i64::from(*axis)).collect())),
        out,
    };
    lowerer.call(node, Operator::CloneDimOrder(operator));
    Ok(())
}
