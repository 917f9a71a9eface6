//! Fully connected layers, in the constant form that the target reads.

use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Argument, Node, Quantization, Scale, ValueId};
use crate::lowered::{Ints, LoweredTensor};
use crate::passes::constant_numbers;
use cortado_contract::ops::quantized_linear::{MAX_FEATURES, kernel_sums};
use cortado_contract::ops::{Operator, QuantizedLinear, QuantizedLinearPerChannel};
use cortado_contract::quant::{
    Activation, FilterOffset, InputOffset, OutputOffset, Requantize, ZeroPoint,
};
use cortado_contract::{ConstantForm, DType};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    let is_quantized =
        node.outputs.first().is_some_and(|id| lowerer.graph.value(*id).dtype == DType::I8);
    (node.target == "aten.linear.default" && is_quantized).then(|| lower_linear(lowerer, node))
}

fn lower_linear(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let layer = Layer::read(lowerer, node)?;
    let (bias, kernel_sum) = layer.constants(lowerer);
    let (input, weights) = (lowerer.tensor(layer.input), lowerer.tensor(layer.weights));
    let out = lowerer.tensor(layer.output);
    let Layer { input_offset, output_offset, activation: Activation { min, max }, .. } = layer;
    let operator = match layer.factors.as_slice() {
        [factor] => Operator::QuantizedLinear(QuantizedLinear {
            input,
            weights,
            bias,
            kernel_sum,
            input_offset,
            filter_offset: FilterOffset(0),
            output_offset,
            requantize_multipliers: Ints(vec![i64::from(factor.multiplier)]),
            requantize_shifts: Ints(vec![i64::from(factor.shift)]),
            activation_max: max,
            activation_min: min,
            out,
        }),
        factors => {
            let table = |read: fn(&Requantize) -> i32| factors.iter().map(read).collect::<Vec<_>>();
            let shape = vec![factors.len() as u32];
            let name = |suffix| format!("{}_{suffix}", node.name);
            let multipliers = table(|factor| factor.multiplier);
            let shifts = table(|factor| factor.shift);
            Operator::QuantizedLinearPerChannel(QuantizedLinearPerChannel {
                input,
                weights,
                bias,
                kernel_sum,
                input_offset,
                filter_offset: FilterOffset(0),
                output_offset,
                requantize_multipliers: lowerer.int32_row(
                    &name("multipliers"),
                    shape.clone(),
                    &multipliers,
                ),
                requantize_shifts: lowerer.int32_row(&name("shifts"), shape, &shifts),
                activation_max: max,
                activation_min: min,
                out,
            })
        }
    };
    lowerer.call(node, operator);
    Ok(())
}

/// A quantized linear layer as the graph has it.
struct Layer {
    name: String,
    input: ValueId,
    weights: ValueId,
    output: ValueId,
    /// The bias at the scale `input · weights`, with the name and shape of its constant.
    bias: Option<(String, Vec<i32>)>,
    weight_rows: Vec<i8>,
    in_features: usize,
    out_features: usize,
    input_offset: InputOffset,
    output_offset: OutputOffset,
    /// One factor, or one per output feature.
    factors: Vec<Requantize>,
    activation: Activation,
}

impl Layer {
    fn read(lowerer: &Lowerer<'_>, node: &Node) -> Result<Layer, Unsupported> {
        let graph = lowerer.graph;
        let (Some(input), Some(weights), [output]) =
            (node.value("input"), node.value("weight"), &node.outputs[..])
        else {
            return Err(Unsupported::new(
                node,
                "it has no input, no weight or more than one result",
            ));
        };
        let (input_scale, input_zero_point) = lowerer.int8_activation(node, input)?;
        let (output_scale, output_zero_point) = lowerer.int8_activation(node, *output)?;
        let weight = graph.value(weights);
        let (Some(data), [out_features, in_features]) = (&weight.data, &weight.shape[..]) else {
            return Err(Unsupported::new(node, "its weight is not a constant matrix")
                .with_remedy("use a matrix product of activations (torch.matmul) instead"));
        };
        if *in_features > MAX_FEATURES || *out_features > MAX_FEATURES {
            let why = format!(
                "{in_features} → {out_features} features; at most {MAX_FEATURES} are supported"
            );
            return Err(Unsupported::new(node, why).with_remedy("split the layer"));
        }
        let weight_quantization = lowerer.quantization(node, weights)?;
        let weight_scales = weight_scales(node, weight_quantization)?;
        let factor =
            |weight_scale: &f64| Requantize::from_real(input_scale * weight_scale / output_scale);
        let factors: Result<Vec<Requantize>, _> = weight_scales.iter().map(factor).collect();
        let factors = factors.map_err(|error| {
            Unsupported::new(
                node,
                format!("input, weight and output scales do not go together: {error}"),
            )
            .with_remedy("calibrate with representative data")
        })?;
        let output_quantization = lowerer.quantization(node, *output)?;
        Ok(Layer {
            name: node.name.clone(),
            input,
            weights,
            output: *output,
            bias: read_bias(lowerer, node, input_scale, &weight_scales, *out_features)?,
            weight_rows: data.iter().map(|byte| *byte as i8).collect(),
            in_features: *in_features as usize,
            out_features: *out_features as usize,
            input_offset: ZeroPoint(input_zero_point).input_offset(),
            output_offset: ZeroPoint(output_zero_point).output_offset(),
            factors,
            activation: super::quantized_activation(node, output_quantization),
        })
    }

    /// The bias and the kernel sum as the target reads them: at most one of both.
    fn constants(
        &self,
        lowerer: &mut Lowerer<'_>,
    ) -> (Option<LoweredTensor>, Option<LoweredTensor>) {
        let bias = self.bias.as_ref();
        match lowerer.target.isa().constant_form() {
            ConstantForm::Bias => {
                let shape = vec![self.out_features as u32];
                (bias.map(|(name, values)| lowerer.int32_row(name, shape, values)), None)
            }
            ConstantForm::KernelSum => {
                let mut sums = vec![0; self.out_features];
                let bias = bias.map(|(_, values)| values.as_slice());
                let (weights, offset) = (&self.weight_rows, self.input_offset);
                kernel_sums(self.in_features, weights, offset, FilterOffset(0), bias, &mut sums);
                let shape = vec![1, self.out_features as u32];
                (None, Some(lowerer.int32_row(&format!("{}_kernel_sum", self.name), shape, &sums)))
            }
        }
    }
}

/// The weights' scales: one, or one per output feature. Their zero points must be 0.
fn weight_scales(node: &Node, quantization: &Quantization) -> Result<Vec<f64>, Unsupported> {
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
        Scale::PerChannel { axis: 0, scales } => Ok(scales.clone()),
        Scale::PerChannel { axis, .. } => {
            let why =
                format!("its weight is quantized per index of axis {axis}, which is summed over");
            Err(Unsupported::new(node, why)
                .with_remedy("quantize weights per output channel (axis 0)"))
        }
    }
}

/// The bias at the scale `input_scale · weight_scale` of its channel.
fn read_bias(
    lowerer: &Lowerer<'_>,
    node: &Node,
    input_scale: f64,
    weight_scales: &[f64],
    out_features: u32,
) -> Result<Option<(String, Vec<i32>)>, Unsupported> {
    let id = match node.argument("bias") {
        None | Some(Argument::None) => return Ok(None),
        Some(Argument::Value(id)) => *id,
        Some(_) => return Err(Unsupported::new(node, "its bias is no tensor")),
    };
    let value = lowerer.graph.value(id);
    let numbers = constant_numbers(lowerer.graph, id)
        .filter(|numbers| numbers.len() == out_features as usize)
        .ok_or_else(|| {
            Unsupported::new(node, "its bias is not a constant with one number per output feature")
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
