//! Fully connected layers, in the constant form that the target reads.

use super::weights::{Weights, int8_constant, read_bias};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Node, ValueId};
use crate::lowered::{Ints, LoweredTensor};
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
    let Weights { name, shape, values, .. } = &layer.weights;
    let weights = int8_constant(lowerer, name, shape.clone(), vec![0, 1], values);
    let input = lowerer.tensor(layer.input);
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
    weights: Weights,
    output: ValueId,
    /// The bias at the scale `input · weights`, with the name and shape of its constant.
    bias: Option<(String, Vec<i32>)>,
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
        let weights = Weights::read(lowerer, node, weights, 0, false)?;
        let [out_features, in_features] = weights.shape[..] else {
            return Err(Unsupported::new(node, "its weight is not a matrix"));
        };
        if in_features > MAX_FEATURES || out_features > MAX_FEATURES {
            let why = format!(
                "{in_features} → {out_features} features; at most {MAX_FEATURES} are supported"
            );
            return Err(Unsupported::new(node, why).with_remedy("split the layer"));
        }
        let factors = weights.factors(node, input_scale, output_scale)?;
        let bias = read_bias(lowerer, node, input_scale, &weights.scales, out_features)?;
        let output_quantization = lowerer.quantization(node, *output)?;
        Ok(Layer {
            name: node.name.clone(),
            input,
            weights,
            output: *output,
            bias,
            in_features: in_features as usize,
            out_features: out_features as usize,
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
                let (weights, offset) = (&self.weights.values, self.input_offset);
                kernel_sums(self.in_features, weights, offset, FilterOffset(0), bias, &mut sums);
                let shape = vec![1, self.out_features as u32];
                (None, Some(lowerer.int32_row(&format!("{}_kernel_sum", self.name), shape, &sums)))
            }
        }
    }
}
