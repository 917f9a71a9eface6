//! Quantize and dequantize nodes, as `torch.ops.quantized_decomposed` computes them in binary32.

use super::{Call, Kernel, Results};
use crate::ranges::round;
use crate::tensor::Tensor;
use cortado_compiler::graph::Node;
use cortado_compiler::passes::{DEQUANTIZE, DEQUANTIZE_PER_CHANNEL, QUANTIZE};
use cortado_contract::quant::{Activation, ZeroPoint, inverse_scale, quantize};

pub(super) fn kernel(node: &Node) -> Option<Kernel> {
    Some(match node.target.as_str() {
        QUANTIZE => run_quantize,
        DEQUANTIZE => run_dequantize,
        DEQUANTIZE_PER_CHANNEL => dequantize_per_channel,
        _ => return None,
    })
}

fn parameters(call: &Call<'_>) -> Result<(f64, i32), String> {
    let scale = call.node.float("scale").ok_or("its scale is not known")?;
    let zero_point = call.node.int("zero_point").and_then(|it| i32::try_from(it).ok());
    Ok((scale, zero_point.ok_or("its zero point is not known")?))
}

fn run_quantize(call: &Call<'_>) -> Results {
    let (scale, zero_point) = parameters(call)?;
    let limit = |name: &str| {
        let limit = call.node.int(name).ok_or("its limits are not known")?;
        Ok::<i32, String>(limit.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
    };
    let range = Activation { min: limit("quant_min")?, max: limit("quant_max")? };
    let inverse = inverse_scale(scale);
    let (min, max) = (range.min.wrapping_sub(zero_point), range.max.wrapping_sub(zero_point));
    let mut out = call.input(&["input"])?.clone();
    // Where integers are few, limits can be applied before rounding, and rounding be an addition.
    if [min, max, zero_point].iter().all(|limit| limit.unsigned_abs() < 1 << 20) {
        let (min, max, offset) = (min as f32, max as f32, zero_point as f32);
        for it in out.data_mut() {
            let scaled = *it * inverse;
            let integer = round(scaled.clamp(min, max)) + offset;
            *it = if scaled.is_nan() { range.clamp(0) as f32 } else { integer };
        }
        return Ok(vec![out]);
    }
    for it in out.data_mut() {
        *it = quantize(*it, inverse, ZeroPoint(zero_point), range) as f32;
    }
    Ok(vec![out])
}

fn run_dequantize(call: &Call<'_>) -> Results {
    let (scale, zero_point) = parameters(call)?;
    let (scale, zero_point) = (scale as f32, zero_point as f32);
    let mut out = call.input(&["input"])?.clone();
    out.data_mut().iter_mut().for_each(|it| *it = (*it - zero_point) * scale);
    Ok(vec![out])
}

fn dequantize_per_channel(call: &Call<'_>) -> Results {
    let mut out = call.input(&["input"])?.clone();
    let scales = call.input(&["scales"])?;
    let zero_points = call.optional("zero_points")?;
    let axis = call.axis("axis", 0, out.shape().len())?;
    let inner: usize = out.shape()[axis + 1..].iter().product();
    let channels = out.shape()[axis];
    if scales.data().len() != channels {
        return Err(format!("it has {} scales for {channels} channels", scales.data().len()));
    }
    for (index, run) in out.data_mut().chunks_exact_mut(inner.max(1)).enumerate() {
        let channel = index % channels;
        let scale = scales.data()[channel];
        let zero_point = zero_points.and_then(|it: &Tensor| it.data().get(channel)).copied();
        let zero_point = zero_point.unwrap_or(0.0);
        run.iter_mut().for_each(|it| *it = (*it - zero_point) * scale);
    }
    Ok(vec![out])
}
