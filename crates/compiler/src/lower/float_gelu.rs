//! The Gaussian error linear unit, left in float.

use super::float::is_float;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Argument, Node};
use cortado_contract::float::GeluForm;
use cortado_contract::ops::{FloatGelu, Operator};
use cortado_contract::value::TextArgument;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["gelu"]).then(|| lower_gelu(lowerer, node))
}

fn lower_gelu(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let approximate = match node.argument("approximate") {
        None => Some(GeluForm::Exact),
        Some(Argument::Text(text)) => GeluForm::from_text(text),
        Some(_) => None,
    };
    let approximate = approximate
        .ok_or_else(|| Unsupported::new(node, "its argument `approximate` is not known"))?;
    let input = lowerer.float_operand(node, "self")?;
    lowerer.float_call(node, |out| Operator::FloatGelu(FloatGelu { input, approximate, out }))
}
