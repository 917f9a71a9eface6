//! Depthwise convolutions.

use super::convolution::{Convolution, Kind, call, ints, kind};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::DType;
use cortado_contract::ops::quantized_depthwise_conv2d::scratch_bytes;
use cortado_contract::ops::{Operator, QuantizedDepthwiseConv2d};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    (kind(lowerer, node, DType::I8) == Some(Kind::Depthwise))
        .then(|| lower_depthwise(lowerer, node))
}

fn lower_depthwise(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let layer = Convolution::read(lowerer, node, Kind::Depthwise)?;
    let shape = layer.shape(lowerer, Kind::Depthwise);
    let bytes = scratch_bytes(&shape, lowerer.target.isa());
    let (requantize_multipliers, requantize_shifts) = layer.factors(lowerer);
    let depth_multiplier = shape.out_channels.checked_div(shape.in_channels).unwrap_or(0);
    let operator = QuantizedDepthwiseConv2d {
        input: lowerer.tensor(layer.input),
        weight: layer.weight(lowerer),
        bias: layer.bias(lowerer),
        stride: ints(layer.stride),
        padding: ints(layer.padding),
        dilation: ints(layer.dilation),
        depth_multiplier: i32::try_from(depth_multiplier).unwrap_or(0),
        input_offset: layer.input_offset,
        output_offset: layer.output_offset,
        requantize_multipliers,
        requantize_shifts,
        activation_min: layer.activation.min,
        activation_max: layer.activation.max,
        scratch: lowerer.scratch(node, bytes),
        out: lowerer.tensor(layer.output),
    };
    call(lowerer, node, Operator::QuantizedDepthwiseConv2d(operator))
}
