//! Fully connected layers over `int16`. Without zero points they have one constant term, whatever the target reads.

use super::weights::{Weights, check_int16_sums, int8_constant, read_int64_bias};
use super::{Lowerer, Outcome, quantized_activation};
use crate::error::Unsupported;
use crate::graph::Node;
use cortado_contract::DType;
use cortado_contract::ops::{Operator, QuantizedLinearInt16};
use cortado_contract::quant::{Activation, Requantize};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    let is_int16 =
        node.outputs.first().is_some_and(|id| lowerer.graph.value(*id).dtype == DType::I16);
    (node.target == "aten.linear.default" && is_int16).then(|| lower_linear(lowerer, node))
}

fn lower_linear(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (Some(input), Some(weights), [output]) =
        (node.value("input"), node.value("weight"), &node.outputs[..])
    else {
        return Err(Unsupported::new(node, "it has no input, no weight or more than one result"));
    };
    let input_scale = lowerer.int16_activation(node, input)?;
    let output_scale = lowerer.int16_activation(node, *output)?;
    let weights = Weights::read(lowerer, node, weights, 0, true)?;
    let [out_features, _] = weights.shape[..] else {
        return Err(Unsupported::new(node, "its weight is not a matrix"));
    };
    let factors = weights.factors(node, input_scale, output_scale)?;
    // One factor counts for all features.
    let factors: Vec<Requantize> =
        factors.iter().cycle().take(out_features as usize).copied().collect();
    let bias = read_int64_bias(lowerer, node, input_scale, &weights.scales, out_features)?;
    let numbers = bias.as_ref().map(|(_, bias)| bias.as_slice());
    check_int16_sums(node, &factors, &weights.magnitudes(), numbers)?;
    let Activation { min, max } = quantized_activation(node, lowerer.quantization(node, *output)?);
    let row = vec![out_features];
    let table = |read: fn(&Requantize) -> i32| factors.iter().map(read).collect::<Vec<_>>();
    let (multipliers, shifts) = (table(|factor| factor.multiplier), table(|factor| factor.shift));
    let name = |suffix| format!("{}_{suffix}", node.name);
    let operator = QuantizedLinearInt16 {
        input: lowerer.tensor(input),
        weights: int8_constant(
            lowerer,
            &weights.name,
            weights.shape.clone(),
            vec![0, 1],
            &weights.values,
        ),
        bias: bias.map(|(name, values)| lowerer.int64_row(&name, row.clone(), &values)),
        requantize_multipliers: lowerer.int32_row(&name("multipliers"), row.clone(), &multipliers),
        requantize_shifts: lowerer.int32_row(&name("shifts"), row, &shifts),
        activation_min: min,
        activation_max: max,
        out: lowerer.tensor(*output),
    };
    lowerer.call(node, Operator::QuantizedLinearInt16(operator));
    Ok(())
}
