//! Convolutions over one or two axes that were left in float.

use super::float::is_float;
use super::movement::ints;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Argument, Node};
use crate::lowered::{Ints, LoweredTensor};
use cortado_contract::ops::{FloatConvolution, Operator};
use cortado_contract::value::TensorMeta;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_float(lowerer, node, &["conv1d", "conv2d", "convolution"])
        .then(|| lower_convolution(lowerer, node))
}

fn lower_convolution(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    if node.flag("transposed") {
        return Err(Unsupported::new(
            node,
            "it is a transposed convolution that was left in float",
        )
        .with_remedy("quantize it (its inputs and its result), or move it out of the model"));
    }
    let input = lowerer.float_operand(node, "input")?;
    let weight = lowerer.float_operand(node, "weight")?;
    let bias = lowerer.optional_float_operand(node, "bias")?;
    if input.rank() != weight.rank() || !matches!(weight.rank(), 3 | 4) {
        return Err(Unsupported::new(node, "it is not over one or two axes of a batch")
            .with_remedy("give the input a leading axis for the batch"));
    }
    let axes = weight.rank() - 2;
    let list = |name: &str, default: i64| {
        let given = ints(node, name).filter(|list| !list.is_empty());
        match given.unwrap_or_else(|| vec![default]).as_slice() {
            [number] => vec![*number; axes],
            numbers => numbers.to_vec(),
        }
    };
    let (stride, dilation) = (list("stride", 1), list("dilation", 1));
    let padding = match node.argument("padding") {
        Some(Argument::Text(mode)) => padding_of(node, mode, &weight, &dilation)?,
        _ => list("padding", 0),
    };
    let groups = node.int("groups").unwrap_or(1);
    lowerer.float_call(node, |out| {
        Operator::FloatConvolution(FloatConvolution {
            input,
            weight,
            bias,
            stride: Ints(stride),
            padding: Ints(padding),
            dilation: Ints(dilation),
            transposed: false,
            output_padding: Ints(vec![0; axes]),
            groups,
            out,
        })
    })
}

/// The padding behind a mode: none, or what keeps the extents.
fn padding_of(
    node: &Node,
    mode: &str,
    weight: &LoweredTensor,
    dilation: &[i64],
) -> Result<Vec<i64>, Unsupported> {
    if mode == "valid" {
        return Ok(vec![0; dilation.len()]);
    }
    let spans = weight.shape.iter().skip(2).zip(dilation);
    let total: Vec<i64> =
        spans.map(|(extent, dilation)| dilation * (i64::from(*extent) - 1)).collect();
    if total.iter().any(|total| total % 2 != 0) {
        return Err(Unsupported::new(node, "it pads more behind the input than before it")
            .with_remedy("pad with torch.nn.functional.pad first"));
    }
    Ok(total.iter().map(|total| total / 2).collect())
}
