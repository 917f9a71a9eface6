//! Products of matrices of activations, which the pass `transpose_matmul` has brought into the operator's form.

use super::convolution::call;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Node, Quantization};
use crate::passes::BMM_TRANSPOSED;
use cortado_contract::ops::quantized_batch_matmul::{BatchMatmulShape, scratch_bytes};
use cortado_contract::ops::{Operator, QuantizedBatchMatmul};
use cortado_contract::quant::{Activation, Requantize, ZeroPoint};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    (node.target == BMM_TRANSPOSED).then(|| lower_product(lowerer, node))
}

fn lower_product(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (Some(lhs), Some(rhs), [output]) =
        (node.value("lhs"), node.value("rhs_transposed"), &node.outputs[..])
    else {
        return Err(Unsupported::new(node, "it has other than two operands and one result"));
    };
    let (lhs_scale, lhs_zero_point) = lowerer.int8_activation(node, lhs)?;
    let (rhs_scale, rhs_zero_point) = lowerer.int8_activation(node, rhs)?;
    let (output_scale, output_zero_point) = lowerer.int8_activation(node, *output)?;
    let Quantization { quant_min, quant_max, .. } = lowerer.quantization(node, *output)?;
    if (*quant_min, *quant_max) != (Activation::INT8.min, Activation::INT8.max) {
        let why = format!(
            "its result is limited to {quant_min}..={quant_max}, which the operator cannot do"
        );
        return Err(Unsupported::new(node, why)
            .with_remedy("quantize activations with quant_min=-128 and quant_max=127"));
    }
    let factor = Requantize::from_real(lhs_scale * rhs_scale / output_scale).map_err(|error| {
        let why = format!("the scales of its operands and its result do not go together: {error}");
        Unsupported::new(node, why).with_remedy("calibrate with representative data")
    })?;
    let (lhs, rhs_transposed) = (lowerer.tensor(lhs), lowerer.tensor(rhs));
    let extent = |shape: &[u32], axis: usize| shape.get(axis).copied().unwrap_or(0) as usize;
    let shape = BatchMatmulShape {
        lhs_batches: extent(&lhs.shape, 0),
        rhs_batches: extent(&rhs_transposed.shape, 0),
        rows: extent(&lhs.shape, 1),
        cols: extent(&rhs_transposed.shape, 1),
        depth: extent(&lhs.shape, 2),
    };
    let bytes = scratch_bytes(&shape, lowerer.target.isa());
    let operator = QuantizedBatchMatmul {
        lhs,
        lhs_zero_point: ZeroPoint(lhs_zero_point).input_offset(),
        rhs_transposed,
        rhs_zero_point: ZeroPoint(rhs_zero_point).filter_offset(),
        output_zero_point: ZeroPoint(output_zero_point).output_offset(),
        output_multiplier: factor.multiplier,
        output_shift: factor.shift,
        scratch: lowerer.scratch(node, bytes),
        out: lowerer.tensor(*output),
    };
    call(lowerer, node, Operator::QuantizedBatchMatmul(operator))
}
