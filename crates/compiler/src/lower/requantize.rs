//! Integers at one scale to integers at another: a table.

use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Node, ValueId};
use crate::lowered::LoweredTensor;
use crate::passes::REQUANTIZE;
use cortado_contract::DType;
use cortado_contract::ops::quantized_activation::ENTRIES;
use cortado_contract::ops::{Operator, QuantizedActivation};
use cortado_contract::quant::{Activation, ZeroPoint, dequantize, inverse_scale, quantize};
use std::sync::Arc;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    (node.target == REQUANTIZE).then(|| lower_requantize(lowerer, node))
}

fn lower_requantize(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = lowerer.ends(node)?;
    let (from, out) = (lowerer.tensor(input), lowerer.tensor(output));
    requantize(lowerer, node, (input, from), (output, out))
}

/// Adds the call that makes integers as `from` is quantized those that stand for the same numbers as `to` is quantized.
pub(super) fn requantize(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    (from, input): (ValueId, LoweredTensor),
    (to, out): (ValueId, LoweredTensor),
) -> Result<(), Unsupported> {
    let (scale, zero_point) = lowerer.int8_activation(node, from)?;
    let (out_scale, out_zero_point) = lowerer.int8_activation(node, to)?;
    let quantization = lowerer.quantization(node, to)?;
    let range = Activation { min: quantization.quant_min, max: quantization.quant_max };
    let entry = |value: i32| {
        let real = dequantize(value, scale as f32, ZeroPoint(zero_point));
        quantize(real, inverse_scale(out_scale), ZeroPoint(out_zero_point), range) as u8
    };
    let table: Arc<[u8]> = (-128..128).map(entry).collect();
    let name = format!("{}_table", node.name);
    let table = lowerer.constant(&name, DType::I8, vec![ENTRIES as u32], table);
    let lut = lowerer.program.tensor(table);
    let operator = QuantizedActivation { input, lut, out };
    lowerer.call(node, Operator::QuantizedActivation(operator));
    Ok(())
}
