//! Maximum pooling over images and sequences.

use super::movement::ints;
use super::quantized_avg_pool2d::{Geometry, images, pooled_ends, require_windows};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::lowered::Ints;
use cortado_contract::DType;
use cortado_contract::ops::{Operator, QuantizedMaxPool2d, Rules};
use cortado_contract::quant::Activation;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    let is_int8 =
        node.outputs.first().is_some_and(|id| lowerer.graph.value(*id).dtype == DType::I8);
    match node.target.as_str() {
        "aten.max_pool2d.default" if is_int8 => Some(lower_pool(lowerer, node, 2)),
        "aten.max_pool1d.default" if is_int8 => Some(lower_pool(lowerer, node, 1)),
        _ => None,
    }
}

fn lower_pool(lowerer: &mut Lowerer<'_>, node: &Node, axes: usize) -> Result<(), Unsupported> {
    let (input, output) = pooled_ends(lowerer, node)?;
    lowerer.require_same_meaning(node, input, output)?;
    let Geometry { kernel, stride, padding, ceil_mode } = Geometry::read(node, axes)?;
    let dilation = match ints(node, "dilation").as_deref() {
        Some([both]) if axes == 2 => [*both, *both],
        Some([height, width]) if axes == 2 => [*height, *width],
        Some([width]) => [1, *width],
        _ => [1, 1],
    };
    let (image, out) = images(lowerer, node, input, output, axes)?;
    let (_, zero_point) = lowerer.int8_activation(node, input)?;
    let quantization = lowerer.quantization(node, output)?;
    let Activation { min, max } = super::quantized_activation(node, quantization);
    let operator = QuantizedMaxPool2d {
        input: image,
        kernel_size: Ints(kernel.to_vec()),
        stride: Ints(stride.to_vec()),
        padding: Ints(padding.to_vec()),
        dilation: Ints(dilation.to_vec()),
        ceil_mode,
        input_zero_point: i64::from(zero_point),
        output_zero_point: i64::from(zero_point),
        activation_min: min,
        activation_max: max,
        out,
    };
    require_windows(node, operator.check().is_ok())?;
    lowerer.call(node, Operator::QuantizedMaxPool2d(operator));
    Ok(())
}
