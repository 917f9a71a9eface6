//! Layer normalization, left in float.

use super::float::is_float;
use super::movement::ints;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::lowered::Ints;
use cortado_contract::ops::{FloatLayerNorm, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["layer_norm", "native_layer_norm"])
        .then(|| lower_layer_norm(lowerer, node))
}

fn lower_layer_norm(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let graph = lowerer.graph;
    let others = node.outputs.get(1..).unwrap_or(&[]);
    let is_read =
        others.iter().any(|id| !graph.users(*id).is_empty() || graph.outputs.contains(id));
    if is_read {
        return Err(Unsupported::new(node, "its mean or its variance is read")
            .with_remedy("compute them with torch.mean and torch.var"));
    }
    let normalized_shape = ints(node, "normalized_shape")
        .ok_or_else(|| Unsupported::new(node, "its normalized shape is not known"))?;
    let input = lowerer.float_operand(node, "input")?;
    let weight = lowerer.optional_float_operand(node, "weight")?;
    let bias = lowerer.optional_float_operand(node, "bias")?;
    let eps = node.float("eps").unwrap_or(1e-5);
    lowerer.float_call(node, |out| {
        let normalized_shape = Ints(normalized_shape);
        Operator::FloatLayerNorm(FloatLayerNorm { input, normalized_shape, weight, bias, eps, out })
    })
}
