//! The greater of two numbers, element by element, on the result's scale.

use super::elementwise::{Binary, is_quantized};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::ops::{Maximum, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_quantized(lowerer, node, &["maximum"]).then(|| lower_maximum(lowerer, node))
}

fn lower_maximum(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let binary = Binary::on_one_scale(lowerer, node)?;
    let (lhs, rhs) = (binary.lhs.tensor.clone(), binary.rhs.tensor.clone());
    binary.call_clamped(lowerer, node, |out| Operator::Maximum(Maximum { lhs, rhs, out }));
    Ok(())
}
