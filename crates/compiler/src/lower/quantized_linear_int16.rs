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

#[cfg(test)]
mod tests {
    use crate::graph::{Argument, Quantization, ValueId};
    use crate::lower::lower;
    use crate::lowered::{BufferKind, Lowered};
    use crate::testing::{GraphBuilder, quantization};
    use cortado_contract::ops::Operator;
    use cortado_contract::{Cpu, DType, Target};

    /// A layer of two inputs and two outputs over tensors on these scales, with weights on a scale of a half.
    struct Case {
        builder: GraphBuilder,
        input: ValueId,
        output: ValueId,
    }

    fn int16(scale: f64) -> Quantization {
        let (quant_min, quant_max) = (-32768, 32767);
        Quantization { quant_min, quant_max, dtype: DType::I16, ..quantization(scale, 0) }
    }

    fn case(input_scale: f64, output_scale: f64, weights: [i8; 4], bias: [f32; 2]) -> Case {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", &[1, 2], 1.0, 0);
        let weight = builder.int8_constant("w", &[2, 2], (0.5, 0), &weights);
        let bias = builder.constant("b", &[2], &bias);
        let output = builder.int8("y", &[1, 2], 1.0, 0);
        for (id, scale) in [(input, input_scale), (output, output_scale)] {
            let value = &mut builder.0.values[id.0];
            (value.dtype, value.quantization) = (DType::I16, Some(int16(scale)));
        }
        let arguments = [("input", input), ("weight", weight), ("bias", bias)];
        let arguments = arguments.map(|(name, id)| (name, Argument::Value(id)));
        builder.node("aten.linear.default", &[], &arguments, output);
        builder.0.outputs.push(output);
        Case { builder, input, output }
    }

    impl Case {
        fn lowered(&self) -> Result<Lowered, String> {
            lower(&self.builder.0, Target::new(Cpu::M4)).map_err(|error| error.to_string())
        }

        fn refusal(&self) -> String {
            self.lowered().unwrap_err()
        }
    }

    #[test]
    fn a_layer_has_a_factor_per_feature_and_a_bias_of_64_bits() {
        let program = case(0.25, 65536.0, [1, -2, 3, -128], [1.0, -4.0e9]).lowered().unwrap();
        let Operator::QuantizedLinearInt16(layer) = &program.calls[0].operator else {
            panic!("{:?}", program.calls)
        };
        let bias = layer.bias.as_ref().unwrap();
        assert_eq!(bias.dtype, DType::I64);
        let BufferKind::Constant(bytes) = &program.buffer(bias.id).kind else { unreachable!() };
        let numbers = bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
        // On a scale of an eighth.
        assert_eq!(numbers.collect::<Vec<_>>(), [8, -32_000_000_000]);
        assert_eq!(layer.requantize_multipliers.shape, [2]);
        assert_eq!((layer.activation_min, layer.activation_max), (-32768, 32767));
    }

    #[test]
    fn what_the_kernels_do_not_compute_is_refused() {
        let good = || case(0.25, 2.0, [1, -2, 3, -128], [1.0, 2.0]);
        assert!(good().lowered().is_ok());
        let mut shifted = good();
        let value = &mut shifted.builder.0.values[shifted.input.0];
        value.quantization.as_mut().unwrap().zero_points = vec![3];
        assert!(shifted.refusal().contains("zero point 3; the int16 kernels take 0"));
        let mut mixed = good();
        let value = &mut mixed.builder.0.values[mixed.input.0];
        (value.dtype, value.quantization) = (DType::I8, Some(quantization(0.25, 0)));
        assert!(mixed.refusal().contains("as int16, but `x_0` as int8"), "{}", mixed.refusal());
        let mut mixed = good();
        let value = &mut mixed.builder.0.values[mixed.output.0];
        (value.dtype, value.quantization) = (DType::I8, Some(quantization(2.0, 0)));
        assert!(mixed.refusal().contains("quantized as int16; the kernels take int8"));
        let steep = case(1e6, 2.0, [1, 0, 0, 0], [0.0, 0.0]).refusal();
        assert!(steep.contains("multiply sums by less than 16384"), "{steep}");
        // 32768 · 1 · 8192 is within 2^30, a greater weight beyond it.
        let factor = |weight| case(8192.0, 0.5, [0, 0, weight, 0], [0.0, 0.0]).lowered();
        assert!(factor(3).is_ok());
        assert!(factor(4).unwrap_err().contains("sums of channel 1"), "{:?}", factor(4));
        let far = case(1e-9, 1.0, [1, 1, 1, 1], [0.0, 1e8]).refusal();
        assert!(far.contains("does not fit 52 bits"), "{far}");
    }
}
