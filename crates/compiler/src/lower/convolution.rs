//! What the lowerings of convolutions have in common: reading a node of any of ATen's convolutions.

use super::weights::{Weights, check_int16_sums, int8_constant, read_bias, read_int64_bias};
use super::{Lowerer, quantized_activation};
use crate::error::Unsupported;
use crate::graph::{Argument, Node, ValueId};
use crate::lowered::{Ints, LoweredDomain, LoweredTensor};
use cortado_contract::DType;
use cortado_contract::ops::quantized_conv2d::{ConvShape, Plane};
use cortado_contract::ops::{Operator, Rules};
use cortado_contract::quant::{Activation, InputOffset, OutputOffset, Requantize, ZeroPoint};
use cortado_contract::value::TensorMeta;

/// Which operator a convolution becomes, or which of them over `int16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// [`cortado_contract::ops::QuantizedConv2d`].
    Grouped,
    /// [`cortado_contract::ops::QuantizedDepthwiseConv2d`]: one image, and each group has one input channel.
    Depthwise,
    /// [`cortado_contract::ops::QuantizedTransposeConv2d`].
    Transposed,
}

/// The operator that a node becomes; `None` unless it is a convolution whose result is quantized as `activations`.
pub(super) fn kind(lowerer: &Lowerer<'_>, node: &Node, activations: DType) -> Option<Kind> {
    let is_transposed = match node.target.as_str() {
        "aten.conv2d.default" | "aten.conv2d.padding" => false,
        "aten.conv_transpose2d.input" => true,
        "aten.convolution.default" => node.flag("transposed"),
        _ => return None,
    };
    let output = lowerer.graph.value(*node.outputs.first()?);
    if output.dtype != activations {
        return None;
    }
    if is_transposed {
        return Some(Kind::Transposed);
    }
    let weight = node.value("weight").map(|id| lowerer.graph.value(id).shape.as_slice());
    let reads_one_channel = matches!(weight, Some([_, 1, _, _]));
    // ExecuTorch's depthwise kernel takes one image only; it has none over int16.
    let takes_batch = activations == DType::I16 || output.shape.first() == Some(&1);
    Some(if reads_one_channel && takes_batch { Kind::Depthwise } else { Kind::Grouped })
}

/// A convolution as the graph has it, with its weights in the operator's order.
pub(super) struct Convolution {
    pub(super) name: String,
    pub(super) input: ValueId,
    pub(super) output: ValueId,
    /// OHWI, or 1HWO for a depthwise convolution.
    weight_shape: Vec<u32>,
    weights: Vec<i8>,
    /// The bias at the scale `input · weights`, with the name of its constant.
    bias: Option<(String, Vec<i64>)>,
    /// The type of input and result, with which goes that of the bias.
    activations: DType,
    /// One factor per output channel.
    factors: Vec<Requantize>,
    pub(super) stride: [i64; 2],
    pub(super) padding: [i64; 2],
    pub(super) output_padding: [i64; 2],
    pub(super) dilation: [i64; 2],
    groups: i64,
    pub(super) input_offset: InputOffset,
    pub(super) output_offset: OutputOffset,
    pub(super) activation: Activation,
}

impl Convolution {
    /// Reads a node.
    pub(super) fn read(
        lowerer: &Lowerer<'_>,
        node: &Node,
        kind: Kind,
    ) -> Result<Convolution, Unsupported> {
        let (Some(input), Some(weight), [output]) =
            (node.value("input"), node.value("weight"), &node.outputs[..])
        else {
            return Err(Unsupported::new(
                node,
                "it has no input, no weight or more than one result",
            ));
        };
        check_images(lowerer, node, &[input, *output])?;
        let activations = lowerer.graph.value(*output).dtype;
        let is_int16 = activations == DType::I16;
        let activation = |id: ValueId| match is_int16 {
            true => Ok((lowerer.int16_activation(node, id)?, 0)),
            false => lowerer.int8_activation(node, id),
        };
        let (input_scale, input_zero_point) = activation(input)?;
        let (output_scale, output_zero_point) = activation(*output)?;
        let groups = node.int("groups").unwrap_or(1).max(1);
        let channel_axis = usize::from(kind == Kind::Transposed);
        let weights = Weights::read(lowerer, node, weight, channel_axis, true)?;
        let in_channels = lowerer.graph.value(input).shape[1];
        let channels = lowerer.graph.value(*output).shape[1];
        check_channels(node, &weights, kind, groups, [in_channels, channels])?;
        let factors = weights.factors(node, input_scale, output_scale)?;
        // A grouped transposed convolution has the same scales for each group.
        let factors: Vec<Requantize> =
            factors.iter().cycle().take(channels as usize).copied().collect();
        let scales: Vec<f64> =
            weights.scales.iter().cycle().take(channels as usize).copied().collect();
        let (weight_shape, values) = match kind {
            Kind::Grouped => weights.permuted([0, 2, 3, 1]),
            Kind::Depthwise => weights.permuted([1, 2, 3, 0]),
            Kind::Transposed => dense_transposed(&weights, groups as usize),
        };
        let bias = match is_int16 {
            true => read_int64_bias(lowerer, node, input_scale, &scales, channels)?,
            false => read_bias(lowerer, node, input_scale, &scales, channels)?
                .map(|(name, bias)| (name, bias.into_iter().map(i64::from).collect())),
        };
        if is_int16 {
            let bias = bias.as_ref().map(|(_, bias)| bias.as_slice());
            check_int16_sums(node, &factors, &weights.magnitudes(), bias)?;
        }
        let dilation = pair(node, "dilation", 1)?;
        Ok(Convolution {
            name: node.name.clone(),
            input,
            output: *output,
            bias,
            activations,
            padding: padding(node, &weights.shape, dilation)?,
            weight_shape,
            weights: values,
            factors,
            stride: pair(node, "stride", 1)?,
            output_padding: pair(node, "output_padding", 0)?,
            dilation,
            groups,
            input_offset: ZeroPoint(input_zero_point).input_offset(),
            output_offset: ZeroPoint(output_zero_point).output_offset(),
            activation: quantized_activation(node, lowerer.quantization(node, *output)?),
        })
    }

    /// The geometry, with this many input channels per output channel.
    pub(super) fn shape(&self, lowerer: &Lowerer<'_>, kind: Kind) -> ConvShape {
        let (input, output) = (lowerer.graph.value(self.input), lowerer.graph.value(self.output));
        let extent = |shape: &[u32], axis: usize| shape.get(axis).copied().unwrap_or(0) as usize;
        let extents = |shape: &[u32], axis: usize| Plane {
            height: extent(shape, axis),
            width: extent(shape, axis + 1),
        };
        let plane = |[height, width]: [i64; 2]| Plane {
            height: height.unsigned_abs() as usize,
            width: width.unsigned_abs() as usize,
        };
        let group_channels = match kind {
            Kind::Depthwise => 1,
            Kind::Grouped | Kind::Transposed => extent(&self.weight_shape, 3),
        };
        ConvShape {
            batches: extent(&input.shape, 0),
            input: extents(&input.shape, 2),
            in_channels: extent(&input.shape, 1),
            output: extents(&output.shape, 2),
            out_channels: extent(&output.shape, 1),
            kernel: extents(&self.weight_shape, 1),
            group_channels,
            stride: plane(self.stride),
            padding: plane(self.padding),
            dilation: plane(self.dilation),
        }
    }

    /// The weights as an argument.
    pub(super) fn weight(&self, lowerer: &mut Lowerer<'_>) -> LoweredTensor {
        let name = format!("{}_weight_nhwc", self.name);
        int8_constant(lowerer, &name, self.weight_shape.clone(), vec![0, 1, 2, 3], &self.weights)
    }

    /// The bias as an argument. A grouped convolution without bias gets one of zeros: CMSIS-NN's kernels read past a null pointer
    /// there.
    pub(super) fn bias(&self, lowerer: &mut Lowerer<'_>) -> Option<LoweredTensor> {
        let shape = vec![self.factors.len() as u32];
        match &self.bias {
            Some((name, values)) if self.activations == DType::I16 => {
                Some(lowerer.int64_row(name, shape, values))
            }
            Some((name, values)) => {
                // They were read as 32 bits.
                let values: Vec<i32> = values.iter().map(|value| *value as i32).collect();
                Some(lowerer.int32_row(name, shape, &values))
            }
            None if self.groups > 1 && self.activations == DType::I8 => {
                let name = format!("{}_zero_bias", self.name);
                Some(lowerer.int32_row(&name, shape, &vec![0; self.factors.len()]))
            }
            None => None,
        }
    }

    /// The rescaling factors' multipliers and shifts as arguments.
    pub(super) fn factors(&self, lowerer: &mut Lowerer<'_>) -> (LoweredTensor, LoweredTensor) {
        let shape = vec![self.factors.len() as u32];
        let table =
            |read: fn(&Requantize) -> i32| self.factors.iter().map(read).collect::<Vec<_>>();
        let multipliers = table(|factor| factor.multiplier);
        let shifts = table(|factor| factor.shift);
        let name = |suffix| format!("{}_quantized_{suffix}", self.name);
        let multipliers = lowerer.int32_row(&name("multiplier"), shape.clone(), &multipliers);
        (multipliers, lowerer.int32_row(&name("shift"), shape, &shifts))
    }
}

/// Adds the call that a convolution becomes, unless the operator's own rules refuse it.
pub(super) fn call(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    operator: Operator<LoweredDomain>,
) -> Result<(), Unsupported> {
    if let Err(violation) = operator.check() {
        let argument = operator.kind().argument_name(violation.argument);
        let why = format!("its `{argument}` {}", violation.rule.explain());
        return Err(Unsupported::new(node, why));
    }
    lowerer.call(node, operator);
    Ok(())
}

/// A list of two numbers.
pub(super) fn ints(pair: [i64; 2]) -> Ints {
    Ints(pair.to_vec())
}

/// Fails unless all values are images with their channels last in memory.
fn check_images(lowerer: &Lowerer<'_>, node: &Node, values: &[ValueId]) -> Result<(), Unsupported> {
    for value in values.iter().map(|id| lowerer.graph.value(*id)) {
        if value.shape.len() != 4 {
            let why = format!("`{}` has {} axes; images have 4", value.name, value.shape.len());
            return Err(Unsupported::new(node, why));
        }
        let tensor = LoweredTensor {
            id: crate::lowered::BufferId(0),
            dtype: value.dtype,
            shape: value.shape.clone(),
            dim_order: value.dim_order.clone(),
        };
        if !tensor.is_channels_last() {
            let why = format!("`{}` does not have its channels last in memory", value.name);
            return Err(Unsupported::new(node, why));
        }
    }
    Ok(())
}

/// Fails unless the weights have four axes and go together with the groups, the input's channels and the output's.
fn check_channels(
    node: &Node,
    weights: &Weights,
    kind: Kind,
    groups: i64,
    [in_channels, out_channels]: [u32; 2],
) -> Result<(), Unsupported> {
    let in_groups = |extent: u32| i64::from(extent).saturating_mul(groups);
    let fits = match (weights.shape[..].as_ref(), kind) {
        ([inputs, outputs, _, _], Kind::Transposed) => {
            *inputs == in_channels && in_groups(*outputs) == i64::from(out_channels)
        }
        ([outputs, inputs, _, _], _) => {
            in_groups(*inputs) == i64::from(in_channels) && *outputs == out_channels
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let why = format!(
        "a weight of {:?} in {groups} groups does not fit an input of {in_channels} channels and a result of {out_channels}",
        weights.shape
    );
    Err(Unsupported::new(node, why))
}

/// The weights of a transposed convolution, `[in_channels, out_channels / groups, H, W]`, as OHWI.
///
/// The operator has no groups, so the weights between different groups become zeros.
fn dense_transposed(weights: &Weights, groups: usize) -> (Vec<u32>, Vec<i8>) {
    let (shape, values) = weights.permuted([1, 2, 3, 0]);
    if groups == 1 {
        return (shape, values);
    }
    let [group_outputs, height, width, in_channels] = shape[..] else { return (shape, values) };
    let in_channels = in_channels as usize;
    let group_inputs = in_channels / groups;
    let mut dense = Vec::with_capacity(values.len() * groups);
    for group in 0..groups {
        let own = group * group_inputs..(group + 1) * group_inputs;
        for tap in values.chunks(in_channels.max(1)) {
            let keep =
                |(channel, weight): (usize, &i8)| if own.contains(&channel) { *weight } else { 0 };
            dense.extend(tap.iter().enumerate().map(keep));
        }
    }
    (vec![group_outputs * groups as u32, height, width, in_channels as u32], dense)
}

/// A number for height and width, given as two numbers, as one for both, or not at all.
fn pair(node: &Node, name: &str, default: i64) -> Result<[i64; 2], Unsupported> {
    match node.argument(name) {
        None | Some(Argument::None) => Ok([default; 2]),
        Some(Argument::Int(both)) => Ok([*both; 2]),
        Some(Argument::Ints(numbers)) => match numbers[..] {
            [] => Ok([default; 2]),
            [both] => Ok([both; 2]),
            [height, width] => Ok([height, width]),
            _ => Err(Unsupported::new(node, format!("its {name} has more than two numbers"))),
        },
        Some(_) => Err(Unsupported::new(node, format!("its {name} is no number"))),
    }
}

/// What is added above and left of the input, or cut off there for a transposed convolution.
///
/// `same` keeps the input's extents; where that takes an odd number of positions, one more is added below and right.
fn padding(node: &Node, weight_shape: &[u32], dilation: [i64; 2]) -> Result<[i64; 2], Unsupported> {
    match node.argument("padding") {
        Some(Argument::Text(mode)) if mode == "valid" => Ok([0; 2]),
        Some(Argument::Text(mode)) if mode == "same" => {
            let reach = |axis: usize| {
                let taps = weight_shape.get(axis + 2).map_or(1, |extent| i64::from(*extent));
                dilation[axis] * (taps - 1) / 2
            };
            Ok([reach(0), reach(1)])
        }
        Some(Argument::Text(mode)) => {
            Err(Unsupported::new(node, format!("its padding mode `{mode}` is unknown"))
                .with_remedy("use `same`, `valid` or numbers"))
        }
        _ => pair(node, "padding", 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_transposed_convolution_become_zeros() {
        // Two groups of one input and one output channel each, and a window of one tap.
        let weights = Weights {
            name: "w".to_owned(),
            shape: vec![2, 1, 1, 1],
            values: vec![5, 7],
            scales: vec![1.0],
        };
        assert_eq!(dense_transposed(&weights, 2), (vec![2, 1, 1, 2], vec![5, 0, 0, 7]));
        let (shape, values) = dense_transposed(&Weights { shape: vec![2, 1, 1, 1], ..weights }, 1);
        assert_eq!((shape, values), (vec![1, 1, 1, 2], vec![5, 7]));
    }
}
