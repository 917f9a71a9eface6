//! Sums and differences.
//!
//! Both operands are brought to twice the greater of their scales, so that neither factor exceeds one half and a sum cannot
//! overflow: `2·max(s1, s2)`, with `s2` multiplied by `alpha`. A difference is a sum with a negative factor.

use super::elementwise::{Binary, is_quantized};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::functions::base_name;
use crate::graph::Node;
use cortado_contract::DType;
use cortado_contract::ops::quantized_add::LEFT_SHIFT;
use cortado_contract::ops::{Operator, QuantizedAdd};
use cortado_contract::quant::{OutputOffset, Requantize, ZeroPoint};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    is_quantized(lowerer, node, &["add", "sub", "subtract", "rsub"])
        .then(|| lower_add(lowerer, node))
}

fn lower_add(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let Binary { lhs, rhs, out, limits } = Binary::of(lowerer, node, DType::I8)?;
    let (lhs_coefficient, rhs_coefficient) = coefficients(node)?;
    let lhs_scale = lhs.scale * lhs_coefficient.abs();
    let rhs_scale = rhs.scale * rhs_coefficient.abs();
    let common = 2.0 * lhs_scale.max(rhs_scale);
    let factor = |real: f64| {
        Requantize::from_real(real).map_err(|error| {
            Unsupported::new(node, format!("its scales cannot be brought together: {error}"))
                .with_remedy(
                    "calibrate with representative data; a scale is far too large or small",
                )
        })
    };
    let signed = |factor: Requantize, coefficient: f64| {
        if coefficient < 0.0 { -factor.multiplier } else { factor.multiplier }
    };
    let lhs_factor = factor(lhs_scale / common)?;
    let rhs_factor = factor(rhs_scale / common)?;
    let output = factor(common / (out.scale * f64::from(1 << LEFT_SHIFT)))?;
    // A scaled sum is below 2^29. The left shift of a positive exponent must keep it within 32 bits.
    if output.shift > 0 {
        let span = |zero_point: i32| [f64::from(-128 - zero_point), f64::from(127 - zero_point)];
        let sums = span(lhs.zero_point).into_iter().flat_map(|x| {
            let x = x * lhs_scale.copysign(lhs_coefficient);
            span(rhs.zero_point).map(|y| x + y * rhs_scale.copysign(rhs_coefficient))
        });
        let greatest = sums.fold(0.0, |greatest: f64, sum| greatest.max(sum.abs()));
        let scaled = greatest / common * f64::from(1 << LEFT_SHIFT);
        if scaled * 2f64.powi(output.shift) >= 2f64.powi(31) {
            let why = format!(
                "its result's scale {:e} is too small for its operands' scales {:e} and {:e}",
                out.scale, lhs.scale, rhs.scale
            );
            return Err(Unsupported::new(node, why)
                .with_remedy("calibrate with data for which the operands do not nearly cancel"));
        }
    }
    let operator = QuantizedAdd {
        lhs: lhs.tensor,
        lhs_zero_point: ZeroPoint(lhs.zero_point),
        lhs_multiplier: signed(lhs_factor, lhs_coefficient),
        lhs_shift: lhs_factor.shift,
        rhs: rhs.tensor,
        rhs_zero_point: ZeroPoint(rhs.zero_point),
        rhs_multiplier: signed(rhs_factor, rhs_coefficient),
        rhs_shift: rhs_factor.shift,
        output_zero_point: OutputOffset(out.zero_point),
        output_multiplier: output.multiplier,
        output_shift: output.shift,
        activation_min: limits.min,
        activation_max: limits.max,
        out: out.tensor,
    };
    lowerer.call(node, Operator::QuantizedAdd(operator));
    Ok(())
}

/// What the operands are multiplied by before they are added.
fn coefficients(node: &Node) -> Result<(f64, f64), Unsupported> {
    let alpha = match node.argument("alpha") {
        None => 1.0,
        Some(_) => node
            .float("alpha")
            .filter(|alpha| alpha.is_finite())
            .ok_or_else(|| Unsupported::new(node, "its `alpha` is not a finite number"))?,
    };
    Ok(match base_name(node) {
        Some(("sub" | "subtract", _)) => (1.0, -alpha),
        Some(("rsub", _)) => (-alpha, 1.0),
        _ => (1.0, alpha),
    })
}
