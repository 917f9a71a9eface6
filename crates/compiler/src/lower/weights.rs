//! What layers with constant weights have in common: the weights themselves, rescaling factors, and biases.

use super::Lowerer;
use crate::error::Unsupported;
use crate::graph::{Argument, Node, Quantization, Scale, ValueId};
use crate::lowered::LoweredTensor;
use crate::passes::constant_numbers;
use cortado_contract::DType;
use cortado_contract::quant::Requantize;

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
    let integers: Option<Vec<i32>> = rescaled.map(to_int32).collect();
    let integers = integers.ok_or_else(|| {
        Unsupported::new(
            node,
            "its bias does not fit 32 bits at the scale of its input times its weight",
        )
        .with_remedy(
            "calibrate with representative data; an input or weight range is far too small",
        )
    })?;
    Ok(Some((value.name.clone(), integers)))
}

/// An integer at one scale as a number at another. Scales that are equal up to rounding to float32 count as equal, so
/// that a bias keeps the integers that its quantizer chose.
fn at_scale(integer: f64, scale: f64, wanted: f64) -> f64 {
    if (scale - wanted).abs() <= 1e-5 * wanted { integer } else { integer * scale / wanted }
}

fn to_int32(number: f64) -> Option<i32> {
    let rounded = number.round_ties_even();
    (rounded >= f64::from(i32::MIN) && rounded <= f64::from(i32::MAX)).then_some(rounded as i32)
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
