//! Dequantizing at the border of the program.

use super::quantize_per_tensor::Border;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::passes::DEQUANTIZE;
use cortado_contract::DType;
use cortado_contract::ops::{DequantizePerTensor, Operator};
use cortado_contract::quant::ZeroPoint;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    (node.target == DEQUANTIZE).then(|| lower_dequantize(lowerer, node))
}

fn lower_dequantize(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let Border { input, output, scale, quantization } =
        Border::of(lowerer, node, |node| node.value("input"))?;
    if lowerer.graph.value(output).dtype != DType::F32 {
        return Err(Unsupported::new(node, "it dequantizes to something other than float32"));
    }
    let operator = DequantizePerTensor {
        input: lowerer.tensor(input),
        scale,
        zero_point: ZeroPoint(quantization.zero_points[0]),
        quant_min: quantization.quant_min,
        quant_max: quantization.quant_max,
        dtype: quantization.dtype,
        out: lowerer.tensor(output),
    };
    lowerer.call(node, Operator::DequantizePerTensor(operator));
    Ok(())
}
