//! What lowerings of binary operators share: operands on their scales, in the result's order in memory, and a result
//! that is clamped where the operator itself does not clamp.

use super::{Lowerer, quantized_activation};
use crate::error::Unsupported;
use crate::functions::base_name;
use crate::graph::{Argument, Node, Quantization, ValueId};
use crate::lowered::{BufferKind, Ints, LoweredDomain, LoweredTensor};
use crate::passes::{Table, constant_numbers};
use cortado_contract::DType;
use cortado_contract::broadcast::Broadcast;
use cortado_contract::ops::quantized_activation::ENTRIES;
use cortado_contract::ops::{CloneDimOrder, Operator, QuantizedActivation};
use cortado_contract::quant::{Activation, ZeroPoint, dequantize, inverse_scale, quantize};
use cortado_contract::value::{Rule, TensorMeta};

/// Whether a node is one of these operators on integers; those on floats are another lowering's business.
pub(super) fn is_quantized(lowerer: &Lowerer<'_>, node: &Node, names: &[&str]) -> bool {
    let is_named = base_name(node).is_some_and(|(name, _)| names.contains(&name));
    is_named && node.outputs.iter().all(|id| !lowerer.graph.value(*id).dtype.is_float())
}

/// An operand as an argument, and what its integers stand for.
pub(super) struct Operand {
    pub(super) tensor: LoweredTensor,
    pub(super) scale: f64,
    pub(super) zero_point: i32,
}

/// The operands and the result of a binary operator.
pub(super) struct Binary {
    pub(super) lhs: Operand,
    pub(super) rhs: Operand,
    pub(super) out: Operand,
    /// The limits of the result that a fused activation and its quantization leave.
    pub(super) limits: Activation,
}

impl Binary {
    /// Reads a node's `self`, `other` and result, all of them of type `dtype`. Constants that nobody quantized are quantized here,
    /// over their own range.
    pub(super) fn of(
        lowerer: &mut Lowerer<'_>,
        node: &Node,
        dtype: DType,
    ) -> Result<Binary, Unsupported> {
        let [lhs, rhs, output] = ends(node)?;
        let out = operand(lowerer, node, output, dtype)?;
        let lhs = operand(lowerer, node, lhs, dtype)?;
        let rhs = operand(lowerer, node, rhs, dtype)?;
        let (lhs, rhs) = fitted(lowerer, node, lhs, rhs, &out.tensor)?;
        let limits = quantized_activation(node, lowerer.quantization(node, output)?);
        Ok(Binary { lhs, rhs, out, limits })
    }

    /// Reads a node's `self`, `other` and result, with the operands brought to the result's scale.
    pub(super) fn on_one_scale(
        lowerer: &mut Lowerer<'_>,
        node: &Node,
    ) -> Result<Binary, Unsupported> {
        let [lhs_id, rhs_id, output] = ends(node)?;
        let out = operand(lowerer, node, output, DType::I8)?;
        let quantization = lowerer.quantization(node, output)?.clone();
        let lhs = rescaled(lowerer, node, lhs_id, &quantization)?;
        let rhs = rescaled(lowerer, node, rhs_id, &quantization)?;
        let (lhs, rhs) = fitted(lowerer, node, lhs, rhs, &out.tensor)?;
        let mut limits = quantized_activation(node, &quantization);
        // Operands within the result's limits cannot exceed them.
        let is_within = |id: ValueId| {
            let operand = lowerer.graph.value(id).quantization.as_ref();
            operand.is_some_and(|operand| {
                operand.per_tensor() == quantization.per_tensor()
                    && operand.quant_min >= quantization.quant_min
                    && operand.quant_max <= quantization.quant_max
            })
        };
        if node.activation.is_none() && is_within(lhs_id) && is_within(rhs_id) {
            limits = Activation::INT8;
        }
        Ok(Binary { lhs, rhs, out, limits })
    }

    /// Adds the call of an operator that fills all of `int8`, and where the limits are narrower, that of a table which clamps; the
    /// operator is made for its result.
    pub(super) fn call_clamped(
        &self,
        lowerer: &mut Lowerer<'_>,
        node: &Node,
        operator: impl FnOnce(LoweredTensor) -> Operator<LoweredDomain>,
    ) {
        if self.limits == Activation::INT8 {
            return lowerer.call(node, operator(self.out.tensor.clone()));
        }
        let LoweredTensor { dtype, shape, dim_order, .. } = self.out.tensor.clone();
        let between =
            lowerer.temporary(format!("{}_unclamped", node.name), dtype, shape, dim_order);
        lowerer.call(node, operator(between.clone()));
        let clamped = |integer: i32| self.limits.clamp(integer) as i8;
        let table: Table = std::array::from_fn(|entry| clamped(entry as i32 - 128));
        let out = self.out.tensor.clone();
        look_up(lowerer, node, &format!("{}_clamp", node.name), &table, between, out);
    }
}

/// Adds the call of a table.
pub(super) fn look_up(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    name: &str,
    table: &Table,
    input: LoweredTensor,
    out: LoweredTensor,
) {
    let bytes = table.iter().map(|entry| *entry as u8).collect();
    let table = lowerer.constant(name, DType::I8, vec![ENTRIES as u32], bytes);
    let lut = lowerer.program.tensor(table);
    lowerer.call(node, Operator::QuantizedActivation(QuantizedActivation { input, lut, out }));
}

fn ends(node: &Node) -> Result<[ValueId; 3], Unsupported> {
    match (node.value("self"), node.value("other"), node.outputs.as_slice()) {
        (Some(lhs), Some(rhs), [output]) => Ok([lhs, rhs, *output]),
        _ if matches!(node.argument("other"), Some(Argument::Float(_) | Argument::Int(_))) => {
            Err(Unsupported::new(node, "with a number it is computed by a table, which takes int8")
                .with_remedy("quantize its input and its result per tensor as int8"))
        }
        _ => Err(Unsupported::new(node, "it does not have two tensors and one result")),
    }
}

/// A quantized tensor, or a constant that is quantized now.
fn operand(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    id: ValueId,
    dtype: DType,
) -> Result<Operand, Unsupported> {
    let value = lowerer.graph.value(id);
    if value.data.is_some() && value.dtype != dtype {
        return quantized_constant(lowerer, node, id, dtype);
    }
    let (scale, zero_point) = activation(lowerer, node, id, dtype)?;
    Ok(Operand { tensor: lowerer.tensor(id), scale, zero_point })
}

/// Scale and zero point of an activation of this type.
fn activation(
    lowerer: &Lowerer<'_>,
    node: &Node,
    id: ValueId,
    dtype: DType,
) -> Result<(f64, i32), Unsupported> {
    if dtype == DType::I8 {
        return lowerer.int8_activation(node, id);
    }
    let quantization = lowerer.quantization(node, id)?;
    let parameters = quantization
        .per_tensor()
        .filter(|(scale, _)| quantization.dtype == dtype && *scale > 0.0 && scale.is_finite());
    parameters.ok_or_else(|| {
        let name = &lowerer.graph.value(id).name;
        let why = format!("`{name}` is not {dtype} with one positive scale and one zero point");
        Unsupported::new(node, why).with_remedy("quantize its inputs and its result alike")
    })
}

/// An operand on the scale of the result: as it is, by a table, or as a constant of its own.
fn rescaled(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    id: ValueId,
    to: &Quantization,
) -> Result<Operand, Unsupported> {
    let Some((scale, zero_point)) = to.per_tensor() else {
        return Err(Unsupported::new(node, "its result has more than one scale"));
    };
    let (inverse, zero) = (inverse_scale(scale), ZeroPoint(zero_point));
    let integer = |real: f32| quantize(real, inverse, zero, Activation::INT8) as i8;
    let value = lowerer.graph.value(id);
    let from = value.quantization.as_ref().and_then(Quantization::per_tensor);
    let tensor = if value.dtype == DType::I8 && from == Some((scale, zero_point)) {
        lowerer.tensor(id)
    } else if value.data.is_some() {
        let bytes = real_numbers(lowerer, node, id)?;
        let bytes = bytes.iter().map(|real| integer(*real as f32) as u8).collect();
        add_constant(lowerer, id, DType::I8, bytes)
    } else {
        let (from, zero_point) = lowerer.int8_activation(node, id)?;
        let table: Table = std::array::from_fn(|entry| {
            integer(dequantize(entry as i32 - 128, from as f32, ZeroPoint(zero_point)))
        });
        let input = lowerer.tensor(id);
        let name = format!("{}_on_scale_of_{}", lowerer.graph.value(id).name, node.name);
        let LoweredTensor { dtype, shape, dim_order, .. } = input.clone();
        let out = lowerer.temporary(name.clone(), dtype, shape, dim_order);
        look_up(lowerer, node, &format!("{name}_lut"), &table, input, out.clone());
        out
    };
    Ok(Operand { tensor, scale, zero_point })
}

/// A constant as integers over its own range, with zero among the numbers that have an integer.
fn quantized_constant(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    id: ValueId,
    dtype: DType,
) -> Result<Operand, Unsupported> {
    let numbers = real_numbers(lowerer, node, id)?;
    let Some((least, greatest)) = dtype.quantized_range() else {
        return Err(Unsupported::new(node, "its result has a type that nothing is quantized as"));
    };
    let min = numbers.iter().fold(0.0, |min: f64, number| min.min(*number));
    let max = numbers.iter().fold(0.0, |max: f64, number| max.max(*number));
    if !(max - min).is_finite() {
        return Err(Unsupported::new(node, "it has a constant with infinite numbers"));
    }
    let steps = f64::from(greatest) - f64::from(least);
    let scale = if max > min { (max - min) / steps } else { 1.0 };
    let zero_point = (f64::from(least) - min / scale).round_ties_even() as i32;
    let integer = |number: &f64| {
        let integer = (number / scale).round_ties_even() as i32;
        integer.saturating_add(zero_point).clamp(least, greatest)
    };
    let bytes = numbers.iter().map(integer).flat_map(|integer| match dtype {
        DType::I16 => (integer as i16).to_le_bytes().to_vec(),
        _ => vec![integer as u8],
    });
    let bytes = bytes.collect();
    Ok(Operand { tensor: add_constant(lowerer, id, dtype, bytes), scale, zero_point })
}

/// What a constant's elements stand for, in logical order.
fn real_numbers(lowerer: &Lowerer<'_>, node: &Node, id: ValueId) -> Result<Vec<f64>, Unsupported> {
    let value = lowerer.graph.value(id);
    let numbers = constant_numbers(lowerer.graph, id)
        .ok_or_else(|| Unsupported::new(node, format!("`{}` is not a constant", value.name)))?;
    let Some(quantization) = &value.quantization else { return Ok(numbers) };
    let (scale, zero_point) = quantization.per_tensor().ok_or_else(|| {
        let why = format!("the constant `{}` has one scale per channel", value.name);
        Unsupported::new(node, why).with_remedy("quantize it per tensor")
    })?;
    Ok(numbers.iter().map(|number| (number - f64::from(zero_point)) * scale).collect())
}

/// A constant in place of another one, in the same order in memory.
fn add_constant(
    lowerer: &mut Lowerer<'_>,
    of: ValueId,
    dtype: DType,
    bytes: Vec<u8>,
) -> LoweredTensor {
    let value = lowerer.graph.value(of);
    let name = format!("{}_{dtype}", value.name);
    let (shape, dim_order) = (value.shape.clone(), value.dim_order.clone());
    let buffer = lowerer.ordered_constant(&name, dtype, shape, dim_order, bytes.into());
    lowerer.program.tensor(buffer)
}

/// Both operands with their axes in memory in the order of the result's.
fn fitted(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    lhs: Operand,
    rhs: Operand,
    out: &LoweredTensor,
) -> Result<(Operand, Operand), Unsupported> {
    let lhs = in_order_of(lowerer, node, lhs, out);
    let rhs = in_order_of(lowerer, node, rhs, out);
    match Broadcast::new((&lhs.tensor, 0), (&rhs.tensor, 1), (out, 2)) {
        Ok(_) => Ok((lhs, rhs)),
        Err(violation) => {
            let why = match violation.rule {
                Rule::Layout => "its operands have their axes in different orders in memory".into(),
                Rule::TooLarge => "its result is larger than the kernels can count".into(),
                _ => format!(
                    "{:?} and {:?} cannot be broadcast to {:?}",
                    lhs.tensor.shape, rhs.tensor.shape, out.shape
                ),
            };
            Err(Unsupported::new(node, why))
        }
    }
}

/// An operand of fewer axes than the result, with those that it lacks in front, and in the result's order in memory: a constant
/// is stored so, anything else copied. Operands of as many axes have been brought into that order before.
fn in_order_of(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    operand: Operand,
    out: &LoweredTensor,
) -> Operand {
    let missing = match out.rank().checked_sub(operand.tensor.rank()) {
        None | Some(0) => return operand,
        Some(missing) => missing,
    };
    let order = out.dim_order.iter().map(|axis| usize::from(*axis));
    let fits = operand.tensor.is_ordered_as(order.filter_map(|axis| axis.checked_sub(missing)));
    if fits {
        return operand;
    }
    let LoweredTensor { dtype, shape, dim_order, .. } = &operand.tensor;
    let mut padded_shape = vec![1; missing];
    padded_shape.extend(shape);
    let mut padded_order: Vec<u8> = (0..missing as u8).collect();
    padded_order.extend(dim_order.iter().map(|axis| axis + missing as u8));
    let name = format!("{}_order_of_{}", lowerer.program.buffer(operand.tensor.id).name, node.name);
    if let BufferKind::Constant(data) = &lowerer.program.buffer(operand.tensor.id).kind
        && operand.tensor.is_row_major()
    {
        let (data, order) = (data.clone(), out.dim_order.clone());
        let buffer = lowerer.ordered_constant(&name, *dtype, padded_shape, order, data);
        return Operand { tensor: lowerer.program.tensor(buffer), ..operand };
    }
    let copy = lowerer.temporary(name, *dtype, padded_shape, out.dim_order.clone());
    let input = lowerer.seen_as(&operand.tensor, copy.shape.clone(), padded_order);
    let dim_order = out.dim_order.iter().map(|axis| i64::from(*axis)).collect();
    let operator = CloneDimOrder {
        input,
        non_blocking: false,
        dim_order: Some(Ints(dim_order)),
        out: copy.clone(),
    };
    lowerer.call(node, Operator::CloneDimOrder(operator));
    Operand { tensor: copy, ..operand }
}

#[cfg(test)]
mod tests {
    use crate::error::CompileError;
    use crate::graph::{Argument, RealRange, ValueId};
    use crate::lower::lower;
    use crate::lowered::{BufferKind, Lowered, LoweredDomain};
    use crate::testing::GraphBuilder;
    use cortado_contract::ops::{Operator, OperatorKind};
    use cortado_contract::{Cpu, DType, Target};

    fn lowered(mut builder: GraphBuilder, output: ValueId) -> Result<Lowered, CompileError> {
        builder.0.outputs = vec![output];
        lower(&builder.0, Target::new(Cpu::M4))
    }

    fn refusal(builder: GraphBuilder, output: ValueId) -> String {
        lowered(builder, output).expect_err("it must be refused").to_string()
    }

    fn kinds(program: &Lowered) -> Vec<OperatorKind> {
        program.calls.iter().map(|call| call.operator.kind()).collect()
    }

    fn constant(program: &Lowered, tensor: &crate::lowered::LoweredTensor) -> Vec<i8> {
        match &program.buffer(tensor.id).kind {
            BufferKind::Constant(bytes) => bytes.iter().map(|byte| *byte as i8).collect(),
            _ => panic!("{} is no constant", program.buffer(tensor.id).name),
        }
    }

    /// `x ∘ y` over tensors on their own scales.
    fn binary(target: &str, others: &[(&str, Argument)]) -> (GraphBuilder, ValueId) {
        let mut builder = GraphBuilder::default();
        let lhs = builder.int8_input("x", &[1, 4], 0.25, 10);
        let rhs = builder.int8_input("y", &[1, 4], 0.125, -3);
        let output = builder.int8("z", &[1, 4], 0.5, 11);
        builder.node(target, &[lhs, rhs], others, output);
        (builder, output)
    }

    fn add(program: &Lowered) -> &cortado_contract::ops::QuantizedAdd<LoweredDomain> {
        match &program.calls[0].operator {
            Operator::QuantizedAdd(add) => add,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn differences_are_sums_with_a_negative_factor() {
        let half = (1 << 30, 0);
        let quarter = (1 << 30, -1);
        for (target, alpha, lhs, rhs) in [
            ("aten.add.Tensor", None, half, quarter),
            ("aten.sub.Tensor", None, half, (-(1 << 30), -1)),
            ("aten.rsub.Tensor", None, (-(1 << 30), 0), quarter),
            ("aten.sub_.Tensor", Some(2), half, (-(1 << 30), 0)),
            ("aten.add.Tensor", Some(-2), half, (-(1 << 30), 0)),
            ("aten.add.Tensor", Some(0), half, (0, 0)),
        ] {
            let alpha = alpha.map(|alpha| ("alpha", Argument::Int(alpha)));
            let (builder, output) = binary(target, alpha.as_slice());
            let program = lowered(builder, output).unwrap();
            let add = add(&program);
            assert_eq!((add.lhs_multiplier, add.lhs_shift), lhs, "{target} {alpha:?}");
            assert_eq!((add.rhs_multiplier, add.rhs_shift), rhs, "{target} {alpha:?}");
            assert_eq!((add.output_multiplier, add.output_shift), (1 << 30, -19));
            assert_eq!((add.lhs_zero_point.0, add.rhs_zero_point.0), (10, -3));
            assert_eq!(add.output_zero_point.0, 11);
        }
    }

    #[test]
    fn a_sum_that_would_overflow_is_refused() {
        let (mut builder, output) = binary("aten.add.Tensor", &[]);
        let tiny = crate::testing::quantization(1e-9, 0);
        builder.0.values[output.0].quantization = Some(tiny);
        assert!(refusal(builder, output).contains("too small for its operands' scales"));
    }

    #[test]
    fn fused_activations_clamp() {
        let range = RealRange { min: 0.0, max: 6.0 };
        let (mut builder, output) = binary("aten.add.Tensor", &[]);
        builder.0.nodes[0].activation = Some(range);
        let program = lowered(builder, output).unwrap();
        assert_eq!((add(&program).activation_min, add(&program).activation_max), (11, 23));
        for target in ["aten.mul.Tensor", "aten.div.Tensor", "aten.minimum.default"] {
            let (mut builder, output) = binary(target, &[]);
            builder.0.nodes[0].activation = Some(range);
            let program = lowered(builder, output).unwrap();
            let Some(Operator::QuantizedActivation(clamp)) =
                program.calls.last().map(|call| &call.operator)
            else {
                panic!("{target}: {:?}", kinds(&program));
            };
            let table = constant(&program, &clamp.lut);
            assert_eq!([0, 128 + 15, 255].map(|entry| table[entry]), [11, 15, 23]);
        }
    }

    #[test]
    fn the_smaller_of_two_is_taken_on_one_scale() {
        let (builder, output) = binary("aten.minimum.default", &[]);
        let program = lowered(builder, output).unwrap();
        use OperatorKind::{Minimum, QuantizedActivation};
        assert_eq!(kinds(&program), [QuantizedActivation, QuantizedActivation, Minimum]);
        let mut builder = GraphBuilder::default();
        let lhs = builder.int8_input("x", &[2, 2], 0.5, 1);
        let bound = builder.constant("bound", &[2], &[1.25, 100.0]);
        let output = builder.int8("z", &[2, 2], 0.5, 1);
        builder.node("aten.maximum.default", &[lhs, bound], &[], output);
        let program = lowered(builder, output).unwrap();
        assert_eq!(kinds(&program), [OperatorKind::Maximum]);
        let Operator::Maximum(maximum) = &program.calls[0].operator else { unreachable!() };
        assert_eq!(constant(&program, &maximum.rhs), [3, 127]);
    }

    #[test]
    fn real_constants_are_quantized_over_their_range() {
        let mut builder = GraphBuilder::default();
        let lhs = builder.int8_input("x", &[2, 3], 0.5, 1);
        let rhs = builder.constant("c", &[3], &[0.25, -1.0, 0.992_187_5]);
        let output = builder.int8("z", &[2, 3], 0.5, 1);
        builder.node("aten.mul.Tensor", &[lhs, rhs], &[], output);
        let program = lowered(builder, output).unwrap();
        let Operator::QuantizedMul(mul) = &program.calls[0].operator else { unreachable!() };
        // 255 steps of 2^-7.
        assert_eq!(mul.rhs_zero_point.0, 0);
        assert_eq!(constant(&program, &mul.rhs), [32, -128, 127]);
        assert_eq!((mul.output_multiplier, mul.output_shift), (1 << 30, -6));
    }

    #[test]
    fn operands_of_fewer_axes_are_brought_into_order() {
        let mut builder = GraphBuilder::default();
        let image = builder.int8_input("x", &[1, 2, 1, 3], 0.5, 0);
        let constant_image = builder.int8_constant("c", &[2, 1, 3], (0.5, 0), &[1, 2, 3, 4, 5, 6]);
        let other = builder.int8_input("y", &[2, 1, 3], 0.5, 0);
        let sum = builder.int8("s", &[1, 2, 1, 3], 0.5, 0);
        let output = builder.int8("z", &[1, 2, 1, 3], 0.5, 0);
        builder.node("aten.add.Tensor", &[image, constant_image], &[], sum);
        builder.node("aten.add.Tensor", &[other, sum], &[], output);
        for id in [image, sum, output] {
            builder.0.values[id.0].dim_order = vec![0, 2, 3, 1];
        }
        let program = lowered(builder, output).unwrap();
        assert_eq!(constant(&program, &add(&program).rhs), [1, 4, 2, 5, 3, 6]);
        use OperatorKind::{CloneDimOrder, QuantizedAdd};
        assert_eq!(kinds(&program), [QuantizedAdd, CloneDimOrder, QuantizedAdd]);
    }

    #[test]
    fn what_cannot_be_computed_is_refused_with_a_reason() {
        let (mut builder, output) = binary("aten.add.Tensor", &[]);
        builder.0.values[1].shape = vec![3];
        assert!(refusal(builder, output).contains("[1, 4] and [3] cannot be broadcast to [1, 4]"));
        let mode = [("rounding_mode", Argument::Text("floor".to_owned()))];
        let (builder, output) = binary("aten.div.Tensor_mode", &mode);
        assert!(refusal(builder, output).contains("rounds its quotients"));
        let (mut builder, output) = binary("aten.mul.Tensor", &[]);
        for value in &mut builder.0.values {
            value.dtype = DType::I16;
            value.quantization.as_mut().unwrap().dtype = DType::I16;
        }
        assert!(refusal(builder, output).contains("quantized as int16"));
    }

    #[test]
    fn quotients_may_be_int16() {
        let (mut builder, output) = binary("aten.div.Tensor", &[]);
        for value in &mut builder.0.values {
            value.dtype = DType::I16;
            let quantization = value.quantization.as_mut().unwrap();
            quantization.dtype = DType::I16;
            (quantization.quant_min, quantization.quant_max) = (-32767, 32767);
        }
        let program = lowered(builder, output).unwrap();
        let Operator::QuantizedDiv(div) = &program.calls[0].operator else { unreachable!() };
        assert_eq!(div.output_scale, 4.0);
    }
}
