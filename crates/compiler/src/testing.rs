//! Small graphs for unit tests.

use crate::graph::{Argument, Graph, Node, Quantization, Scale, Value, ValueId};
use crate::import::SourceLocation;
use crate::passes::{DEQUANTIZE, QUANTIZE};
use cortado_contract::DType;

/// A graph under construction.
#[derive(Default)]
pub(crate) struct GraphBuilder(pub(crate) Graph);

impl GraphBuilder {
    /// A float tensor without a producer.
    pub(crate) fn float(&mut self, name: &str, shape: &[u32]) -> ValueId {
        self.value(name, DType::F32, shape)
    }

    /// An `int8` tensor without a producer.
    pub(crate) fn int8(
        &mut self,
        name: &str,
        shape: &[u32],
        scale: f64,
        zero_point: i32,
    ) -> ValueId {
        let id = self.value(name, DType::I8, shape);
        self.0.values[id.0].quantization = Some(quantization(scale, zero_point));
        id
    }

    /// The same as an input of the model.
    pub(crate) fn int8_input(
        &mut self,
        name: &str,
        shape: &[u32],
        scale: f64,
        zero_point: i32,
    ) -> ValueId {
        let id = self.int8(name, shape, scale, zero_point);
        self.0.inputs.push(id);
        id
    }

    /// A constant of real numbers.
    pub(crate) fn constant(&mut self, name: &str, shape: &[u32], numbers: &[f32]) -> ValueId {
        let id = self.value(name, DType::F32, shape);
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.0.values[id.0].data = Some(bytes);
        id
    }

    /// A quantized constant.
    pub(crate) fn int8_constant(
        &mut self,
        name: &str,
        shape: &[u32],
        (scale, zero_point): (f64, i32),
        integers: &[i8],
    ) -> ValueId {
        let id = self.int8(name, shape, scale, zero_point);
        self.0.values[id.0].data = Some(integers.iter().map(|integer| *integer as u8).collect());
        id
    }

    /// A node that computes `output` from `operands`, which are named `self` and `other`, and from numbers and the like.
    pub(crate) fn node(
        &mut self,
        target: &str,
        operands: &[ValueId],
        others: &[(&str, Argument)],
        output: ValueId,
    ) -> ValueId {
        let operands = operands.iter().zip(["self", "other"]);
        let operands = operands.map(|(id, name)| (name.to_owned(), Argument::Value(*id)));
        let others = others.iter().map(|(name, argument)| ((*name).to_owned(), argument.clone()));
        self.0.nodes.push(Node {
            name: format!("{}_{}", target.split('.').nth(1).unwrap_or(target), self.0.nodes.len()),
            target: target.to_owned(),
            arguments: operands.chain(others).collect(),
            outputs: vec![output],
            activation: None,
            source: SourceLocation::default(),
        });
        output
    }

    /// A dequantize node and its result.
    pub(crate) fn dequantize(&mut self, input: ValueId) -> ValueId {
        let shape = self.0.value(input).shape.clone();
        let output = self.float("dequantized", &shape);
        self.node(DEQUANTIZE, &[], &[("input", Argument::Value(input))], output)
    }

    /// A quantize node and its result.
    pub(crate) fn quantize(&mut self, input: ValueId, scale: f64, zero_point: i32) -> ValueId {
        let shape = self.0.value(input).shape.clone();
        let output = self.int8("quantized", &shape, scale, zero_point);
        self.node(QUANTIZE, &[], &[("input", Argument::Value(input))], output)
    }

    fn value(&mut self, name: &str, dtype: DType, shape: &[u32]) -> ValueId {
        let name = format!("{name}_{}", self.0.values.len());
        let dim_order = (0..shape.len() as u8).collect();
        let shape = shape.to_vec();
        self.0.add_value(Value { name, dtype, shape, dim_order, quantization: None, data: None })
    }
}

/// Per tensor, with all of `int8`.
pub(crate) fn quantization(scale: f64, zero_point: i32) -> Quantization {
    Quantization {
        scale: Scale::PerTensor(scale),
        zero_points: vec![zero_point],
        quant_min: -128,
        quant_max: 127,
        dtype: DType::I8,
    }
}
