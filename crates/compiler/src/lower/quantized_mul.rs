//! Products, element by element.

use super::elementwise::{Binary, is_quantized};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::DType;
use cortado_contract::ops::{Operator, QuantizedMul};
use cortado_contract::quant::{OutputOffset, Requantize, ZeroPoint};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_quantized(lowerer, node, &["mul", "multiply"]).then(|| lower_mul(lowerer, node))
}

fn lower_mul(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let binary = Binary::of(lowerer, node, DType::I8)?;
    let Binary { lhs, rhs, out, .. } = &binary;
    let factor = Requantize::from_real(lhs.scale * rhs.scale / out.scale).map_err(|error| {
        Unsupported::new(
            node,
            format!("its product cannot be brought to its result's scale: {error}"),
        )
        .with_remedy("calibrate with representative data; a scale is far too large or small")
    })?;
    binary.call_clamped(lowerer, node, |result| {
        Operator::QuantizedMul(QuantizedMul {
            lhs: lhs.tensor.clone(),
            lhs_zero_point: ZeroPoint(lhs.zero_point),
            rhs: rhs.tensor.clone(),
            rhs_zero_point: ZeroPoint(rhs.zero_point),
            output_zero_point: OutputOffset(out.zero_point),
            output_multiplier: factor.multiplier,
            output_shift: factor.shift,
            out: result,
        })
    });
    Ok(())
}
