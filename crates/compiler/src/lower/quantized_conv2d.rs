//! Convolutions, dense and grouped.

use super::convolution::{Convolution, Kind, call, ints, kind};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::DType;
use cortado_contract::ops::quantized_conv2d::scratch_bytes;
use cortado_contract::ops::{Operator, QuantizedConv2d};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    (kind(lowerer, node, DType::I8) == Some(Kind::Grouped)).then(|| lower_grouped(lowerer, node))
}

fn lower_grouped(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let layer = Convolution::read(lowerer, node, Kind::Grouped)?;
    let bytes = scratch_bytes(&layer.shape(lowerer, Kind::Grouped), lowerer.target.isa());
    let (requantize_multipliers, requantize_shifts) = layer.factors(lowerer);
    let operator = QuantizedConv2d {
        input: lowerer.tensor(layer.input),
        weight: layer.weight(lowerer),
        bias: layer.bias(lowerer),
        stride: ints(layer.stride),
        padding: ints(layer.padding),
        dilation: ints(layer.dilation),
        input_offset: layer.input_offset,
        output_offset: layer.output_offset,
        requantize_multipliers,
        requantize_shifts,
        activation_min: layer.activation.min,
        activation_max: layer.activation.max,
        scratch: lowerer.scratch(node, bytes),
        out: lowerer.tensor(layer.output),
    };
    call(lowerer, node, Operator::QuantizedConv2d(operator))
}
