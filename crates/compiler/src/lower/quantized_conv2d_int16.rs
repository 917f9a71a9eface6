//! Convolutions over `int16`, dense and grouped.

use super::convolution::{Convolution, Kind, call, ints, kind};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::DType;
use cortado_contract::ops::{Operator, QuantizedConv2dInt16};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    match kind(lowerer, node, DType::I16)? {
        Kind::Grouped => Some(lower_grouped(lowerer, node)),
        Kind::Depthwise => None,
        Kind::Transposed => {
            let why = "its result is quantized as int16, and transposed convolutions have int8 kernels only";
            let remedy = "quantize its input and its result as int8";
            Some(Err(Unsupported::new(node, why).with_remedy(remedy)))
        }
    }
}

fn lower_grouped(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let layer = Convolution::read(lowerer, node, Kind::Grouped)?;
    let (requantize_multipliers, requantize_shifts) = layer.factors(lowerer);
    let operator = QuantizedConv2dInt16 {
        input: lowerer.tensor(layer.input),
        weight: layer.weight(lowerer),
        bias: layer.bias(lowerer),
        stride: ints(layer.stride),
        padding: ints(layer.padding),
        dilation: ints(layer.dilation),
        requantize_multipliers,
        requantize_shifts,
        activation_min: layer.activation.min,
        activation_max: layer.activation.max,
        out: lowerer.tensor(layer.output),
    };
    call(lowerer, node, Operator::QuantizedConv2dInt16(operator))
}
