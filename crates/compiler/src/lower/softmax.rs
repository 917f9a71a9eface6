//! Softmax.

use super::movement::{axis, lies_in, position_of};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::DType;
use cortado_contract::ops::softmax::{MAX_LENGTH, RESULT_SHIFT_MAX};
use cortado_contract::ops::{Operator, RescaledSoftmax, Softmax};
use cortado_contract::quant::{Requantize, ZeroPoint};

/// The scale and zero point that the results of ExecuTorch's operator have.
const SCALE: f64 = 1.0 / 256.0;
const ZERO_POINT: i32 = -128;

/// Logits are scaled to this many integer bits: `exp(−2^5)` is less than any result can show.
const INTEGER_BITS: i32 = 5;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    let is_softmax = matches!(node.target.as_str(), "aten.softmax.int" | "aten._softmax.default");
    let is_int8 =
        node.outputs.first().is_some_and(|id| lowerer.graph.value(*id).dtype == DType::I8);
    (is_softmax && is_int8).then(|| lower_softmax(lowerer, node))
}

fn lower_softmax(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = lowerer.ends(node)?;
    let (scale, zero_point) = lowerer.int8_activation(node, input)?;
    let (out_scale, out_zero_point) = lowerer.int8_activation(node, output)?;
    if node.flag("half_to_float") {
        return Err(Unsupported::new(node, "it widens its input"));
    }
    let dim = axis(lowerer.graph, node, "dim", -1, input)?;
    let length = lowerer.graph.value(input).shape.get(dim).copied().unwrap_or(1);
    if length > MAX_LENGTH {
        let why = format!("{length} numbers share one sum; at most {MAX_LENGTH} are supported");
        return Err(Unsupported::new(node, why));
    }
    let Some((factor, diff_min)) = scale_of_logits(scale) else {
        return Err(Unsupported::new(node, format!("its input's scale {scale:e} is too small"))
            .with_remedy("calibrate with representative data"));
    };
    let (mut from, mut out) = (lowerer.tensor(input), lowerer.tensor(output));
    let mut written = node.int("dim").unwrap_or(-1);
    if !lies_in(&out, &from.dim_order) {
        return Err(Unsupported::new(node, "its input and its result lie in memory differently"));
    }
    if !from.dim_order.is_sorted() {
        let order = from.dim_order.clone();
        written = position_of(&order, dim);
        from = lowerer.in_memory(&from, &order);
        out = lowerer.in_memory(&out, &order);
    }
    let operator = if (out_scale - SCALE).abs() <= 1e-12 && out_zero_point == ZERO_POINT {
        Operator::Softmax(Softmax {
            input: from,
            dim: written,
            input_zero_point: i64::from(zero_point),
            output_zero_point: i64::from(ZERO_POINT),
            input_multiplier: factor.multiplier,
            input_shift: factor.shift,
            diff_min,
            out,
        })
    } else {
        let result = Requantize::from_real(SCALE / out_scale).ok();
        let result = result.filter(|result| result.shift <= RESULT_SHIFT_MAX).ok_or_else(|| {
            Unsupported::new(node, format!("its result's scale {out_scale:e} is too small"))
                .with_remedy("calibrate with representative data")
        })?;
        Operator::RescaledSoftmax(RescaledSoftmax {
            input: from,
            dim: written,
            input_multiplier: factor.multiplier,
            input_shift: factor.shift,
            diff_min,
            output_offset: ZeroPoint(out_zero_point).output_offset(),
            output_multiplier: result.multiplier,
            output_shift: result.shift,
            out,
        })
    };
    lowerer.call(node, operator);
    Ok(())
}

/// The scale in Q5.26, and the least difference between logits whose exponential still counts.
///
/// `None` for a scale below `2^-27`, for which all logits would count alike.
fn scale_of_logits(scale: f64) -> Option<(Requantize, i32)> {
    let real = (scale * 2f64.powi(31 - INTEGER_BITS)).min(f64::from(i32::MAX));
    // Halved, so that the greatest factor has a shift that is within bounds.
    let halved = Requantize::from_real(real / 2.0).ok()?;
    let factor = Requantize { shift: halved.shift + 1, ..halved };
    let greatest = ((1 << INTEGER_BITS) - 1) as f64;
    let limit = (greatest * 2f64.powi(31 - INTEGER_BITS) / 2f64.powi(factor.shift)).floor();
    (factor.shift >= 0 && limit <= f64::from(i32::MAX)).then_some((factor, -(limit as i32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_are_scaled_as_upstream_scales_them() {
        // op_softmax of ExecuTorch 1.5.1.
        let (factor, diff_min) = scale_of_logits(0.046_606_477_349_996_57).unwrap();
        assert_eq!((factor.multiplier, factor.shift, diff_min), (1_601_386_368, 22, -496));
        let (factor, diff_min) = scale_of_logits(1000.0).unwrap();
        assert_eq!((factor.multiplier, factor.shift, diff_min), (i32::MAX, 31, 0));
        assert!(scale_of_logits(1e-12).is_none());
    }
}
