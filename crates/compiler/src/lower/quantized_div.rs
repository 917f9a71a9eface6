//! Quotients, element by element.

use super::elementwise::{Binary, is_quantized};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Argument, Node};
use cortado_contract::DType;
use cortado_contract::ops::{Operator, QuantizedDiv};
use cortado_contract::quant::{OutputOffset, ZeroPoint};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_quantized(lowerer, node, &["div", "divide", "true_divide"]).then(|| lower_div(lowerer, node))
}

fn lower_div(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    if !matches!(node.argument("rounding_mode"), None | Some(Argument::None)) {
        return Err(Unsupported::new(node, "it rounds its quotients, and the kernel does not")
            .with_remedy("divide without `rounding_mode`"));
    }
    let is_int16 = node.outputs.iter().all(|id| lowerer.graph.value(*id).dtype == DType::I16);
    let dtype = if is_int16 { DType::I16 } else { DType::I8 };
    let binary = Binary::of(lowerer, node, dtype)?;
    let Binary { lhs, rhs, out, .. } = &binary;
    let output_scale = lhs.scale / (rhs.scale * out.scale);
    if !(output_scale as f32).is_finite() {
        let why =
            format!("its scales make the factor {output_scale:e}, which float32 does not hold");
        return Err(Unsupported::new(node, why).with_remedy("calibrate with representative data"));
    }
    let operator = |result| {
        Operator::QuantizedDiv(QuantizedDiv {
            lhs: lhs.tensor.clone(),
            lhs_zero_point: ZeroPoint(lhs.zero_point),
            rhs: rhs.tensor.clone(),
            rhs_zero_point: ZeroPoint(rhs.zero_point),
            output_zero_point: OutputOffset(out.zero_point),
            output_scale,
            out: result,
        })
    };
    match (is_int16, node.activation) {
        (false, _) => binary.call_clamped(lowerer, node, operator),
        // The kernel fills all of `int16`; a range that is narrower by its least number only is taken for all of it, as
        // ExecuTorch does.
        (true, None) => lowerer.call(node, operator(out.tensor.clone())),
        (true, Some(_)) => {
            return Err(Unsupported::new(node, "its int16 result is clamped by an activation")
                .with_remedy("quantize its inputs and its result as int8"));
        }
    }
    Ok(())
}
