//! Transposed convolutions.

use super::convolution::{Convolution, Kind, call, ints, kind};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::DType;
use cortado_contract::ops::quantized_transpose_conv2d::scratch_bytes;
use cortado_contract::ops::{Operator, QuantizedTransposeConv2d};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    (kind(lowerer, node, DType::I8) == Some(Kind::Transposed))
        .then(|| lower_transposed(lowerer, node))
}

fn lower_transposed(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let layer = Convolution::read(lowerer, node, Kind::Transposed)?;
    let shape = layer.shape(lowerer, Kind::Transposed);
    let [bytes, output_bytes] = scratch_bytes(&shape, lowerer.target.isa());
    let (requantize_multipliers, requantize_shifts) = layer.factors(lowerer);
    let operator = QuantizedTransposeConv2d {
        input: lowerer.tensor(layer.input),
        weight: layer.weight(lowerer),
        bias: layer.bias(lowerer),
        stride: ints(layer.stride),
        padding: ints(layer.padding),
        output_padding: ints(layer.output_padding),
        dilation: ints(layer.dilation),
        input_offset: layer.input_offset,
        output_offset: layer.output_offset,
        requantize_multipliers,
        requantize_shifts,
        activation_min: layer.activation.min,
        activation_max: layer.activation.max,
        scratch: lowerer.scratch(node, bytes),
        output_scratch: lowerer.scratch(node, output_bytes),
        out: lowerer.tensor(layer.output),
    };
    call(lowerer, node, Operator::QuantizedTransposeConv2d(operator))
}
