//! Means over axes, and average pooling of whole images, left in float.

use super::float::is_float;
use super::movement::ints;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::lowered::Ints;
use cortado_contract::ops::{FloatMean, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    if is_float(lowerer, node, &["mean"]) {
        let dim = ints(node, "dim");
        let keepdim = node.flag("keepdim");
        return Some(lower_mean(lowerer, node, dim, keepdim));
    }
    let is_pooled = is_float(lowerer, node, &["adaptive_avg_pool2d", "_adaptive_avg_pool2d"])
        && ints(node, "output_size").is_some_and(|size| size.iter().all(|extent| *extent == 1));
    is_pooled.then(|| lower_mean(lowerer, node, Some(vec![-2, -1]), true))
}

fn lower_mean(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    dim: Option<Vec<i64>>,
    keepdim: bool,
) -> Result<(), Unsupported> {
    let input = lowerer.float_operand(node, "self")?;
    lowerer.float_call(node, |out| {
        Operator::FloatMean(FloatMean { input, dim: dim.map(Ints), keepdim, dtype: None, out })
    })
}
