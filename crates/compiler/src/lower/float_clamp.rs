//! Limits of which one may be missing, left in float.

use super::float::is_float;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Argument, Node};
use cortado_contract::ops::{FloatClamp, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["clamp", "clip", "clamp_min", "clamp_max"])
        .then(|| lower_clamp(lowerer, node))
}

fn lower_clamp(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let limit = |name: &str| match node.argument(name) {
        None | Some(Argument::None) => Ok(None),
        Some(Argument::Value(_)) => Err(Unsupported::new(node, "one of its limits is a tensor")
            .with_remedy("use torch.minimum and torch.maximum")),
        Some(_) => Ok(node.float(name)),
    };
    let (min, max) = (limit("min")?, limit("max")?);
    let input = lowerer.float_operand(node, "self")?;
    lowerer.float_call(node, |out| Operator::FloatClamp(FloatClamp { input, min, max, out }))
}
