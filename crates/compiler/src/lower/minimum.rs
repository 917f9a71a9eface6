//! The smaller of two numbers, element by element, on the result's scale.

use super::elementwise::{Binary, is_quantized};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::ops::{Minimum, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_quantized(lowerer, node, &["minimum"]).then(|| lower_minimum(lowerer, node))
}

fn lower_minimum(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let binary = Binary::on_one_scale(lowerer, node)?;
    let (lhs, rhs) = (binary.lhs.tensor.clone(), binary.rhs.tensor.clone());
    binary.call_clamped(lowerer, node, |out| Operator::Minimum(Minimum { lhs, rhs, out }));
    Ok(())
}
