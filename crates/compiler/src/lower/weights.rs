//! What layers with constant weights have in common: the weights themselves, rescaling factors, and biases.

use super::Lowerer;
use crate::error::Unsupported;
use crate::graph::{Argument, Node, Quantization, Scale, ValueId};
use crate::lowered::LoweredTensor;
use crate::passes::constant_numbers;
use cortado_contract::DType;
use cortado_contract::quant::{Requantize, SHIFT_MAX_S64};

/// Constant `int8` weights, quantized symmetrically.
pub(super) struct Weights {
    /// The name of the constant.
    pub(super) name: String,
    /// The extents.
    pub(super) shape: Vec<u32>,
    /// The elements in logical order.
    pub(super) values: Vec<i8>,
    /// One scale, or one per output channel.
    pub(super) scales: Vec<f64>,
}

impl Weights {
    /// Reads a node's weights, whose output channels are the indices of `channel_axis`.
    ///
    /// Weights that were left in float between quantized activations are quantized here, as PT2E does it by default: one scale per
    /// output channel if `per_channel`, else one for all.
    pub(super) fn read(
        lowerer: &Lowerer<'_>,
        node: &Node,
        id: ValueId,
        channel_axis: usize,
        per_channel: bool,
    ) -> Result<Weights, Unsupported> {
        let value = lowerer.graph.value(id);
        let (name, shape) = (value.name.clone(), value.shape.clone());
        let Some(data) = &value.data else {
            return Err(Unsupported::new(node, "its weight is not a constant")
                .with_remedy("use a matrix product of activations (torch.matmul) instead"));
        };
        if value.dtype == DType::F32 && value.quantization.is_none() {
            let numbers = constant_numbers(lowerer.graph, id).unwrap_or_default();
            let (values, scales) = quantize(&numbers, &shape, per_channel.then_some(channel_axis));
            return Ok(Weights { name, shape, values, scales });
        }
        let scales = scales(node, lowerer.quantization(node, id)?, channel_axis)?;
        let values = data.iter().map(|byte| *byte as i8).collect();
        Ok(Weights { name, shape, values, scales })
    }

    /// The factors that bring accumulators to the output's scale: one, or one per output channel.
    pub(super) fn factors(
        &self,
        node: &Node,
        input_scale: f64,
        output_scale: f64,
    ) -> Result<Vec<Requantize>, Unsupported> {
        let factor = |scale: &f64| Requantize::from_real(input_scale * scale / output_scale);
        let factors: Result<_, _> = self.scales.iter().map(factor).collect();
        factors.map_err(|error| {
            let why = format!("input, weight and output scales do not go together: {error}");
            Unsupported::new(node, why).with_remedy("calibrate with representative data")
        })
    }

    /// For each index of axis 0, the output channels of all but transposed convolutions, the sum of its weights' magnitudes.
    pub(super) fn magnitudes(&self) -> Vec<u64> {
        let channels = self.shape.first().map_or(0, |extent| *extent as usize);
        let depth = self.values.len().checked_div(channels).unwrap_or(0);
        let magnitude = |row: &[i8]| row.iter().map(|it| u64::from(it.unsigned_abs())).sum();
        match depth {
            0 => vec![0; channels],
            _ => self.values.chunks(depth).map(magnitude).collect(),
        }
    }

    /// The weights with their axes in another order: axis `a` of the result is axis `order[a]`.
    pub(super) fn permuted(&self, order: [usize; 4]) -> (Vec<u32>, Vec<i8>) {
        let extent = |axis: usize| self.shape.get(axis).copied().unwrap_or(0) as usize;
        let stride = |axis: usize| (axis + 1..self.shape.len()).map(extent).product::<usize>();
        let mut positions = vec![0usize];
        for axis in order {
            let steps =
                |start: usize| (0..extent(axis)).map(move |step| start + step * stride(axis));
            positions = positions.into_iter().flat_map(steps).collect();
        }
        let shape = order.map(|axis| extent(axis) as u32).to_vec();
        (shape, positions.into_iter().map(|position| self.values[position]).collect())
    }
}

/// A constant with `int8` elements in logical order, stored with its axes in the order `dim_order`, as an argument.
pub(super) fn int8_constant(
    lowerer: &mut Lowerer<'_>,
    name: &str,
    shape: Vec<u32>,
    dim_order: Vec<u8>,
    values: &[i8],
) -> LoweredTensor {
    let bytes = values.iter().map(|value| *value as u8).collect();
    let id = lowerer.ordered_constant(name, DType::I8, shape, dim_order, bytes);
    lowerer.program.tensor(id)
}

/// The weights' scales: one, or one per output channel. Their zero points must be 0.
fn scales(
    node: &Node,
    quantization: &Quantization,
    channel_axis: usize,
) -> Result<Vec<f64>, Unsupported> {
    if quantization.dtype != DType::I8 {
        let why =
            format!("its weight is quantized as {}; the kernels take int8", quantization.dtype);
        return Err(Unsupported::new(node, why).with_remedy("quantize weights as int8"));
    }
    if let Some(zero_point) = quantization.zero_points.iter().find(|zero_point| **zero_point != 0) {
        let why = format!(
            "its weight has the zero point {zero_point}; the kernels take symmetric weights only"
        );
        return Err(Unsupported::new(node, why).with_remedy(
            "quantize weights symmetrically (torch.per_tensor_symmetric or per_channel_symmetric)",
        ));
    }
    match &quantization.scale {
        Scale::PerTensor(scale) => Ok(vec![*scale]),
        Scale::PerChannel { axis, scales } if *axis == channel_axis => Ok(scales.clone()),
        Scale::PerChannel { axis, .. } => {
            let why = format!(
                "its weight is quantized per index of axis {axis}, which is not that of the output channels \
                 ({channel_axis})"
            );
            Err(Unsupported::new(node, why).with_remedy("quantize weights per output channel"))
        }
    }
}

/// Quantizes weights symmetrically, per index of an axis if one is given.
///
/// Scales are `max |w| / 127.5`, in binary32 and at least its epsilon, and integers are rounded to even; as
/// `torch.ao.quantization`'s min-max observers have it for `int8` in -128..=127.
fn quantize(numbers: &[f64], shape: &[u32], axis: Option<usize>) -> (Vec<i8>, Vec<f64>) {
    let channels = axis.map_or(1, |axis| shape[axis] as usize);
    let inner: usize =
        axis.map_or(1, |axis| shape[axis + 1..].iter().map(|extent| *extent as usize).product());
    let channel = |index: usize| axis.map_or(0, |_| index / inner % channels);
    let mut greatest = vec![0f32; channels];
    for (index, number) in numbers.iter().enumerate() {
        let greatest = &mut greatest[channel(index)];
        *greatest = greatest.max((*number as f32).abs());
    }
    let scales: Vec<f32> =
        greatest.iter().map(|greatest| (greatest / 127.5).max(f32::EPSILON)).collect();
    let integer = |(index, number): (usize, &f64)| {
        // Casting saturates.
        (*number as f32 * (1.0 / scales[channel(index)])).round_ties_even() as i8
    };
    let values = numbers.iter().enumerate().map(integer).collect();
    (values, scales.into_iter().map(f64::from).collect())
}

/// The bias at the scale `input_scale · weight_scale` of its channel, with the name of its constant; `None` for a layer without.
///
/// `weight_scales` holds one scale, or one per channel.
pub(super) fn read_bias(
    lowerer: &Lowerer<'_>,
    node: &Node,
    input_scale: f64,
    weight_scales: &[f64],
    channels: u32,
) -> Result<Option<(String, Vec<i32>)>, Unsupported> {
    let bias = bias_numbers(lowerer, node, input_scale, weight_scales, channels)?;
    let Some((name, numbers)) = bias else { return Ok(None) };
    let integers: Option<Vec<i32>> = numbers.into_iter().map(to_int32).collect();
    let integers = integers.ok_or_else(|| bias_does_not_fit(node, 32))?;
    Ok(Some((name, integers)))
}

/// [`read_bias`] of a layer over `int16`, whose bias has 64 bits.
pub(super) fn read_int64_bias(
    lowerer: &Lowerer<'_>,
    node: &Node,
    input_scale: f64,
    weight_scales: &[f64],
    channels: u32,
) -> Result<Option<(String, Vec<i64>)>, Unsupported> {
    let bias = bias_numbers(lowerer, node, input_scale, weight_scales, channels)?;
    let Some((name, numbers)) = bias else { return Ok(None) };
    // Beyond 2^52 binary64 does not hold every integer.
    let to_int64 = |number: f64| (number.abs() < 2f64.powi(52)).then_some(number as i64);
    let integers: Option<Vec<i64>> = numbers.into_iter().map(to_int64).collect();
    let integers = integers.ok_or_else(|| bias_does_not_fit(node, 52))?;
    Ok(Some((name, integers)))
}

fn bias_does_not_fit(node: &Node, bits: u32) -> Unsupported {
    let why =
        format!("its bias does not fit {bits} bits at the scale of its input times its weight");
    Unsupported::new(node, why).with_remedy(
        "calibrate with representative data; an input or weight range is far too small",
    )
}

/// Fails unless a layer over `int16` can be computed whatever its inputs are: [`requantize_s64`] takes shifts up to
/// [`SHIFT_MAX_S64`], and cuts off what does not fit 32 bits.
///
/// `sums` has for each output channel the sum of its weights' magnitudes.
///
/// [`requantize_s64`]: cortado_contract::quant::requantize_s64
pub(super) fn check_int16_sums(
    node: &Node,
    factors: &[Requantize],
    sums: &[u64],
    bias: Option<&[i64]>,
) -> Result<(), Unsupported> {
    for (channel, (factor, sum)) in factors.iter().zip(sums).enumerate() {
        if factor.shift > SHIFT_MAX_S64 {
            let why = format!(
                "the scales of its input and of the weights of channel {channel} are {:.0} times that of its result; the int16 kernels \
                 multiply sums by less than {}",
                real(*factor),
                1 << SHIFT_MAX_S64
            );
            return Err(
                Unsupported::new(node, why).with_remedy("calibrate with representative data")
            );
        }
        let bias = bias.and_then(|bias| bias.get(channel)).map_or(0, |bias| bias.unsigned_abs());
        let greatest = (sum.saturating_mul(1 << 15).saturating_add(bias)) as f64;
        // The product with a multiplier of 15 bits must fit 64 bits as well, and factors that count as 0 must make nothing of the sums.
        let is_lost = factor.multiplier == 0 && greatest >= 2f64.powi(31);
        if is_lost || greatest >= 2f64.powi(47) || greatest * real(*factor) >= 2f64.powi(30) {
            let why = format!(
                "the sums of channel {channel} can leave the range of its result so far that the int16 kernels cut them off"
            );
            return Err(Unsupported::new(node, why)
                .with_remedy("calibrate with representative data, or quantize the layer as int8"));
        }
    }
    Ok(())
}

/// The factor as a number.
fn real(factor: Requantize) -> f64 {
    f64::from(factor.multiplier) * 2f64.powi(factor.shift - 31)
}

/// The bias at the scale `input_scale · weight_scale` of its channel, rounded, with the name of its constant; `None` for a layer
/// without.
fn bias_numbers(
    lowerer: &Lowerer<'_>,
    node: &Node,
    input_scale: f64,
    weight_scales: &[f64],
    channels: u32,
) -> Result<Option<(String, Vec<f64>)>, Unsupported> {
    let id = match node.argument("bias") {
        None | Some(Argument::None) => return Ok(None),
        Some(Argument::Value(id)) => *id,
        Some(_) => return Err(Unsupported::new(node, "its bias is no tensor")),
    };
    let value = lowerer.graph.value(id);
    let numbers = constant_numbers(lowerer.graph, id)
        .filter(|numbers| numbers.len() == channels as usize)
        .ok_or_else(|| {
            Unsupported::new(node, "its bias is not a constant with one number per output channel")
        })?;
    let scale_of = |scales: &[f64], channel: usize| {
        if scales.len() == 1 { scales[0] } else { scales[channel] }
    };
    let rescaled = numbers.iter().enumerate().map(|(channel, number)| {
        let wanted = input_scale * scale_of(weight_scales, channel);
        match &value.quantization {
            None => number / wanted,
            Some(Quantization { scale: Scale::PerTensor(scale), zero_points, .. }) => {
                at_scale(number - f64::from(zero_points[0]), *scale, wanted)
            }
            Some(Quantization { scale: Scale::PerChannel { scales, .. }, zero_points, .. }) => {
                at_scale(number - f64::from(zero_points[channel]), scales[channel], wanted)
            }
        }
    });
    Ok(Some((value.name.clone(), rescaled.map(f64::round_ties_even).collect())))
}

/// An integer at one scale as a number at another. Scales that are equal up to rounding to float32 count as equal, so
/// that a bias keeps the integers that its quantizer chose.
fn at_scale(integer: f64, scale: f64, wanted: f64) -> f64 {
    if (scale - wanted).abs() <= 1e-5 * wanted { integer } else { integer * scale / wanted }
}

fn to_int32(number: f64) -> Option<i32> {
    (number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX)).then_some(number as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_weights_are_quantized_per_channel() {
        let numbers = [0.5, -1.275, 0.0, 2.55, -0.012, 0.0];
        let (values, scales) = quantize(&numbers, &[2, 3], Some(0));
        assert_eq!(values, [50, -128, 0, 127, -1, 0]);
        assert!((scales[0] - 0.01).abs() < 1e-8 && (scales[1] - 0.02).abs() < 1e-8, "{scales:?}");
        let (values, scales) = quantize(&numbers, &[2, 3], None);
        assert_eq!((values[3], values[1], scales.len()), (127, -64, 1));
        let (values, scales) = quantize(&[0.0; 4], &[2, 2], Some(1));
        assert_eq!((values, scales[0]), (vec![0; 4], f64::from(f32::EPSILON)));
    }

    #[test]
    fn weights_are_permuted() {
        let weights = Weights {
            name: "w".to_owned(),
            shape: vec![1, 2, 1, 3],
            values: vec![1, 2, 3, 4, 5, 6],
            scales: vec![1.0],
        };
        let (shape, values) = weights.permuted([0, 2, 3, 1]);
        assert_eq!((shape, values), (vec![1, 1, 3, 2], vec![1, 4, 2, 5, 3, 6]));
    }
}
