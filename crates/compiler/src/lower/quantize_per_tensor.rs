//! Quantizing at the border of the program.

use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Node, Quantization, ValueId};
use crate::passes::QUANTIZE;
use cortado_contract::DType;
use cortado_contract::ops::{Operator, QuantizePerTensor};
use cortado_contract::quant::{ZeroPoint, inverse_scale};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    (node.target == QUANTIZE).then(|| lower_quantize(lowerer, node))
}

fn lower_quantize(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let Border { input, output, scale, quantization } =
        Border::of(lowerer, node, |node| node.outputs.first().copied())?;
    if lowerer.graph.value(input).dtype != DType::F32 {
        return Err(Unsupported::new(node, "it quantizes something other than float32"));
    }
    let operator = QuantizePerTensor {
        input: lowerer.tensor(input),
        scale,
        zero_point: ZeroPoint(quantization.zero_points[0]),
        quant_min: quantization.quant_min,
        quant_max: quantization.quant_max,
        dtype: quantization.dtype,
        out: lowerer.tensor(output),
    };
    lowerer.call(node, Operator::QuantizePerTensor(operator));
    Ok(())
}

/// A quantize or dequantize node with its parameters, which are those of its integer side.
pub(super) struct Border {
    pub(super) input: ValueId,
    pub(super) output: ValueId,
    pub(super) scale: f64,
    pub(super) quantization: Quantization,
}

impl Border {
    /// Reads the node; `integers` says which of its values is the integer one.
    pub(super) fn of(
        lowerer: &Lowerer<'_>,
        node: &Node,
        integers: impl FnOnce(&Node) -> Option<ValueId>,
    ) -> Result<Border, Unsupported> {
        let (Some(input), Some(output), Some(integers)) =
            (node.value("input"), node.outputs.first().copied(), integers(node))
        else {
            return Err(Unsupported::new(node, "it has no input or no result"));
        };
        let quantization = lowerer.quantization(node, integers)?.clone();
        let Some((scale, _)) = quantization.per_tensor() else {
            return Err(Unsupported::new(
                node,
                "activations can only have one scale and zero point",
            )
            .with_remedy("quantize activations per tensor"));
        };
        let inverse = inverse_scale(scale);
        if !(scale > 0.0 && scale.is_finite() && inverse > 0.0 && inverse.is_finite()) {
            let why =
                format!("its scale {scale:e} is not a positive number that float32 can invert");
            return Err(
                Unsupported::new(node, why).with_remedy("calibrate with representative data")
            );
        }
        if quantization.dtype.quantized_range().is_none() {
            let why = format!(
                "it converts to or from {}; int8, uint8 and int16 are known",
                quantization.dtype
            );
            return Err(Unsupported::new(node, why));
        }
        Ok(Border { input, output, scale, quantization })
    }
}
