//! The quantized graph: the float graph with quantize and dequantize nodes as PT2E writes them.
//!
//! An int8 operator stands between dequantize nodes, one for each tensor that it reads, and a quantize node. Weights and biases are
//! integer constants behind dequantize nodes. The same graph is simulated and written, so what is measured is what the file says.

use crate::ranges::{Observer, Parameters};
use crate::scheme::{Role, Scheme};
use crate::tensor::Tensor;
use crate::weights::{self, Layout, Weights};
use cortado_compiler::functions::base_name;
use cortado_compiler::graph::{Argument, Graph, Node, Value, ValueId};
use cortado_compiler::passes::{DEQUANTIZE, DEQUANTIZE_PER_CHANNEL, QUANTIZE};
use cortado_contract::DType;
use cortado_contract::quant::{Activation, ZeroPoint, inverse_scale, quantize};
use std::collections::HashMap;
use std::sync::Arc;

/// The numbers that the scheme asks for.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// For each group, those of its int8 tensors.
    pub(crate) groups: Vec<Parameters>,
    /// For each group, the scale of its int16 tensors, whose zero point is 0.
    pub(crate) int16_scales: Vec<f64>,
    /// For each layer, by node.
    pub(crate) layers: HashMap<usize, Layer>,
}

impl Plan {
    /// What the integers of a group's tensors of a type stand for.
    fn parameters(&self, group: usize, dtype: DType) -> Parameters {
        match dtype {
            DType::I16 => Parameters { scale: self.int16_scales[group], zero_point: 0 },
            _ => self.groups[group],
        }
    }
}

/// The factor between the scales of int8 and int16 where int16 is made of int8: differences of two int8 fit, and none of them is
/// rounded.
const INT16_STEPS: f64 = 128.0;

/// A tensor of integers, and what they stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Integers {
    pub(crate) id: ValueId,
    pub(crate) dtype: DType,
    pub(crate) parameters: Parameters,
}

/// The weights of a layer in float, and how they are quantized.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) weight: Arc<Vec<f32>>,
    pub(crate) layout: Layout,
    /// For each output channel; absent where the layer has none.
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) out_channels: usize,
    pub(crate) per_tensor: bool,
    pub(crate) searched: bool,
}

impl Layer {
    pub(crate) fn of(graph: &Graph, node: &Node, per_tensor_linear: bool) -> Option<Layer> {
        let weight = Tensor::of_constant(graph.value(node.value("weight")?))?;
        let bias = match node.value("bias") {
            Some(id) => Some(Tensor::of_constant(graph.value(id))?.data().to_vec()),
            None => None,
        };
        let is_transposed = node.target.contains("conv_transpose");
        let axis = usize::from(is_transposed);
        let layout = Layout::new(weight.shape(), axis);
        let groups = match is_transposed {
            true => usize::try_from(node.int("groups").unwrap_or(1)).ok()?,
            false => 1,
        };
        Some(Layer {
            weight: Arc::new(weight.data().to_vec()),
            out_channels: layout.channels * groups,
            layout,
            bias,
            per_tensor: per_tensor_linear && node.target == "aten.linear.default",
            searched: true,
        })
    }

    /// The weights as integers between tensors on these scales.
    pub(crate) fn quantized(&self, input_scale: f64, output_scale: f64) -> Weights {
        let bias = self.bias.as_deref().unwrap_or_default();
        let Layer { weight, layout, per_tensor, searched, .. } = self;
        weights::quantize(weight, bias, *layout, *per_tensor, *searched, input_scale, output_scale)
    }
}

/// A quantized graph and how it goes with the float graph.
pub(crate) struct Built {
    pub(crate) graph: Graph,
    /// For each float node, how many nodes of the quantized graph stand up to its quantized result.
    pub(crate) ends: Vec<usize>,
    /// For each float node that is a layer: the node in the quantized graph, and its bias's constant and scales.
    pub(crate) layers: HashMap<usize, BuiltLayer>,
    /// For each float value that is quantized, its integers as they are made.
    pub(crate) integers: Vec<Option<Integers>>,
}

/// A layer of the quantized graph.
pub(crate) struct BuiltLayer {
    pub(crate) node: usize,
}

struct Builder<'a> {
    float: &'a Graph,
    scheme: &'a Scheme,
    plan: &'a Plan,
    graph: Graph,
    integers: Vec<Option<Integers>>,
    /// Values that are also there as integers of another type.
    converted: HashMap<ValueId, Integers>,
    count: usize,
}

/// Writes the quantized graph.
pub(crate) fn build(float: &Graph, scheme: &Scheme, plan: &Plan) -> Built {
    let graph = Graph {
        values: float.values.clone(),
        nodes: Vec::new(),
        inputs: float.inputs.clone(),
        outputs: float.outputs.clone(),
    };
    let integers = vec![None; float.values.len()];
    let converted = HashMap::new();
    let mut builder = Builder { float, scheme, plan, graph, integers, converted, count: 0 };
    for input in &float.inputs {
        builder.quantize(*input);
    }
    let mut ends = Vec::new();
    let mut layers = HashMap::new();
    for (index, node) in float.nodes.iter().enumerate() {
        builder.node(index, node, &mut layers);
        ends.push(builder.graph.nodes.len());
    }
    let outputs = float.outputs.clone();
    for (position, id) in outputs.into_iter().enumerate() {
        if let (true, Some(integers)) = (builder.is_integer(id), builder.integers[id.0]) {
            builder.graph.outputs[position] = builder.dequantized(id, integers.dtype);
        }
    }
    Built { graph: builder.graph, ends, layers, integers: builder.integers }
}

impl Builder<'_> {
    /// Whether readers of a value must read integers: an int8 operator made it, and nothing else of it is left.
    fn is_integer(&self, id: ValueId) -> bool {
        let made = self.scheme.producer[id.0].is_some_and(|node| self.scheme.is_int8(node));
        made && self.integers[id.0].is_some()
    }

    fn node(&mut self, index: usize, node: &Node, layers: &mut HashMap<usize, BuiltLayer>) {
        let is_int8 = self.scheme.is_int8(index);
        let mut written = node.clone();
        if let (Role::Layer, Some(layer)) =
            (&self.scheme.roles[index], self.plan.layers.get(&index))
        {
            self.layer(index, node, &mut written, layer);
        }
        let group = node.outputs.first().and_then(|id| self.scheme.group_of[id.0]);
        for (_, argument) in &mut written.arguments {
            match argument {
                Argument::Value(id) => *id = self.operand(index, node, *id, is_int8, group),
                Argument::Values(ids) => {
                    for id in ids.iter_mut().flatten() {
                        *id = self.operand(index, node, *id, is_int8, group);
                    }
                }
                _ => {}
            }
        }
        if self.scheme.roles[index] == Role::Layer {
            layers.insert(index, BuiltLayer { node: self.graph.nodes.len() });
        }
        self.graph.nodes.push(written);
        for output in &node.outputs {
            self.quantize(*output);
        }
    }

    /// What a node reads in the place of a value of the float graph.
    fn operand(
        &mut self,
        index: usize,
        node: &Node,
        id: ValueId,
        is_int8: bool,
        group: Option<usize>,
    ) -> ValueId {
        // Weights and biases are written already.
        if id.0 >= self.float.values.len() {
            return id;
        }
        let value = self.float.value(id);
        if value.data.is_some() {
            return match is_int8 && self.scheme.roles[index] != Role::Layer {
                true => self.constant(index, node, id, group),
                false => id,
            };
        }
        match self.integers[id.0] {
            Some(_) if is_int8 => self.dequantized(id, self.scheme.type_of(index)),
            Some(integers) if self.is_integer(id) => self.dequantized(id, integers.dtype),
            _ => id,
        }
    }

    /// A constant operand in int8: on the group's scale where tensors are joined, else on one of its own; single numbers stay.
    fn constant(
        &mut self,
        index: usize,
        node: &Node,
        id: ValueId,
        group: Option<usize>,
    ) -> ValueId {
        let value = self.float.value(id).clone();
        let Some(tensor) = Tensor::of_constant(&value) else { return id };
        let name = base_name(node).map_or("", |(name, _)| name);
        let shares =
            self.scheme.roles[index] == Role::Shared || matches!(name, "minimum" | "maximum");
        if tensor.data().len() == 1 && self.scheme.roles[index] == Role::Elementwise {
            return id;
        }
        let dtype = self.scheme.type_of(index);
        let parameters = match group.filter(|_| shares) {
            Some(group) => self.plan.parameters(group, dtype),
            None => {
                let mut observer = Observer::new();
                observer.observe(tensor.data(), 1);
                observer.propose(crate::ranges::Ranges::Mse)
            }
        };
        let integer = |number: &f32| {
            let (inverse, zero_point) = (inverse_scale(parameters.scale), parameters.zero_point);
            quantize(*number, inverse, ZeroPoint(zero_point), range_of(dtype))
        };
        let size = dtype.size_bytes() as usize;
        let bytes = |number: &f32| integer(number).to_le_bytes().into_iter().take(size);
        let data: Vec<u8> = tensor.data().iter().flat_map(bytes).collect();
        let id = self.value(&format!("{}_{dtype}", value.name), dtype, &value);
        self.graph.values[id.0].data = Some(data.into());
        let name = format!("dequantize_per_tensor_{}", self.count);
        self.count += 1;
        let real = self.value(&name, DType::F32, &value);
        self.push(DEQUANTIZE, id, real, Integers { id, dtype, parameters }, Some(node));
        real
    }

    /// Writes the constants of a layer and lets it read them.
    fn layer(&mut self, index: usize, node: &Node, written: &mut Node, layer: &Layer) {
        let dtype = self.scheme.type_of(index);
        let input = node.value("input").and_then(|id| self.read_parameters(id, dtype));
        let output = self.result_of(node).and_then(|id| self.scheme.group_of[id.0]);
        let output = output.map(|group| self.plan.parameters(group, dtype));
        let (Some(input), Some(weight)) = (input, node.value("weight")) else { return };
        let output_scale = output.map_or(1.0, |output| output.scale);
        let Weights { scales, integers } = layer.quantized(input.scale, output_scale);
        let like = self.float.value(weight).clone();
        let bytes: Arc<[u8]> = integers.iter().map(|integer| *integer as u8).collect();
        let stem = node.name.clone();
        let integers = self.value(&format!("{stem}_weight"), DType::I8, &like);
        self.graph.values[integers.0].data = Some(bytes);
        let limits = (-128i64, 127i64);
        let weight = self.dequantize_constant(
            &stem,
            integers,
            &scales,
            layer.layout.axis,
            limits,
            DType::I8,
            node,
        );
        let bias_scales: Vec<f64> =
            scales.iter().map(|scale| f64::from(input.scale as f32 * *scale as f32)).collect();
        let bias = layer.bias.as_ref().map(|bias| {
            let numbers = weights::quantize_bias(bias, &bias_scales);
            let scales: Vec<f64> = match layer.per_tensor {
                true => bias_scales.clone(),
                false => (0..bias.len()).map(|at| bias_scales[at % bias_scales.len()]).collect(),
            };
            let shape = Value {
                name: String::new(),
                dtype: DType::I32,
                shape: vec![bias.len() as u32],
                dim_order: vec![0],
                quantization: None,
                data: None,
            };
            let integers = self.value(&format!("{stem}_bias"), DType::I32, &shape);
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            self.graph.values[integers.0].data = Some(bytes.into());
            let limits = (i64::from(i32::MIN), i64::from(i32::MAX) - 1);
            self.dequantize_constant(&stem, integers, &scales, 0, limits, DType::I32, node)
        });
        let mut has_bias = false;
        for (name, argument) in &mut written.arguments {
            match (name.as_str(), bias) {
                ("weight", _) => *argument = Argument::Value(weight),
                ("bias", Some(bias)) => {
                    *argument = Argument::Value(bias);
                    has_bias = true;
                }
                _ => {}
            }
        }
        if let (false, Some(bias)) = (has_bias, bias) {
            let at = written.arguments.iter().position(|(name, _)| name == "weight");
            let at = at.map_or(written.arguments.len(), |at| at + 1);
            written.arguments.insert(at, ("bias".to_owned(), Argument::Value(bias)));
        }
    }

    /// The quantized value that a node's result becomes, behind a fused activation if there is one.
    fn result_of(&self, node: &Node) -> Option<ValueId> {
        result_of(self.float, self.scheme, *node.outputs.first()?)
    }

    /// Quantizes a value if it belongs to a group: as its maker has it, or one made in float as all of its readers want it.
    fn quantize(&mut self, id: ValueId) {
        let Some(group) = self.scheme.group_of[id.0] else { return };
        let types = match self.scheme.made_as(id) {
            Some(dtype) => vec![dtype],
            None => self.scheme.read_as(self.float, id),
        };
        for dtype in types {
            let integers = self.quantized(id, id, dtype, self.plan.parameters(group, dtype));
            match self.integers[id.0] {
                None => self.integers[id.0] = Some(integers),
                Some(_) => drop(self.converted.insert(id, integers)),
            }
        }
    }

    /// What integers of a type stand for that are read of a value.
    fn read_parameters(&self, id: ValueId, dtype: DType) -> Option<Parameters> {
        let group = self.scheme.group_of[id.0]?;
        Some(match (dtype, self.scheme.made_as(id)) {
            (DType::I16, Some(DType::I8)) => {
                let scale = self.plan.groups[group].scale / INT16_STEPS;
                Parameters { scale, zero_point: 0 }
            }
            _ => self.plan.parameters(group, dtype),
        })
    }

    /// A value's integers of a type, which are made of those of the other type where they are not there yet.
    fn integers_as(&mut self, id: ValueId, dtype: DType) -> Option<Integers> {
        let made = self.integers[id.0]?;
        let known = [Some(made), self.converted.get(&id).copied()];
        let own = known.into_iter().flatten().find(|integers| integers.dtype == dtype);
        if own.is_some() {
            return own;
        }
        let parameters = self.read_parameters(id, dtype)?;
        let real = self.real_of(id, made);
        let integers = self.quantized(id, real, dtype, parameters);
        self.converted.insert(id, integers);
        Some(integers)
    }

    /// A quantize node on `real`, which is the value `id` or what became of it.
    fn quantized(
        &mut self,
        id: ValueId,
        real: ValueId,
        dtype: DType,
        parameters: Parameters,
    ) -> Integers {
        let like = self.float.value(id).clone();
        let origin = self.scheme.producer[id.0].map(|node| self.float.nodes[node].clone());
        let output = self.value(&format!("quantize_per_tensor_{}", self.count), dtype, &like);
        self.count += 1;
        let integers = Integers { id: output, dtype, parameters };
        self.push(QUANTIZE, real, output, integers, origin.as_ref());
        integers
    }

    /// A dequantize node for a reader of a quantized value.
    fn dequantized(&mut self, id: ValueId, dtype: DType) -> ValueId {
        match self.integers_as(id, dtype) {
            Some(integers) => self.real_of(id, integers),
            None => id,
        }
    }

    /// A dequantize node on integers of the value `id`.
    fn real_of(&mut self, id: ValueId, integers: Integers) -> ValueId {
        let like = self.float.value(id).clone();
        let name = format!("dequantize_per_tensor_{}", self.count);
        self.count += 1;
        let real = self.value(&name, DType::F32, &like);
        let origin = self.scheme.producer[id.0].map(|node| self.float.nodes[node].clone());
        self.push(DEQUANTIZE, integers.id, real, integers, origin.as_ref());
        real
    }

    /// A node between real numbers and integers.
    fn push(
        &mut self,
        target: &str,
        input: ValueId,
        output: ValueId,
        integers: Integers,
        origin: Option<&Node>,
    ) {
        let Integers { dtype, parameters, .. } = integers;
        let Activation { min, max } = range_of(dtype);
        let arguments = [
            ("input", Argument::Value(input)),
            ("scale", Argument::Float(parameters.scale)),
            ("zero_point", Argument::Int(i64::from(parameters.zero_point))),
            ("quant_min", Argument::Int(i64::from(min))),
            ("quant_max", Argument::Int(i64::from(max))),
            ("dtype", Argument::DType(dtype)),
        ];
        self.node_of(target, arguments.into(), output, origin);
    }

    #[allow(clippy::too_many_arguments, reason = "a node has as many parts")]
    fn dequantize_constant(
        &mut self,
        stem: &str,
        integers: ValueId,
        scales: &[f64],
        axis: usize,
        (quant_min, quant_max): (i64, i64),
        dtype: DType,
        origin: &Node,
    ) -> ValueId {
        let like = self.graph.value(integers).clone();
        let name = format!("dequantize_{}", like.name);
        let output = self.value(&name, DType::F32, &like);
        let limits = [
            ("quant_min", Argument::Int(quant_min)),
            ("quant_max", Argument::Int(quant_max)),
            ("dtype", Argument::DType(dtype)),
        ];
        let is_channel = scales.len() > 1 || like.shape[axis] == 1;
        let (target, mut arguments) = if is_channel {
            let what = if dtype == DType::I32 { "bias" } else { "weight" };
            let row = |builder: &mut Self, name: String, dtype: DType, bytes: Vec<u8>| {
                let shape = Value {
                    name: String::new(),
                    dtype,
                    shape: vec![scales.len() as u32],
                    dim_order: vec![0],
                    quantization: None,
                    data: None,
                };
                let id = builder.value(&name, dtype, &shape);
                builder.graph.values[id.0].data = Some(bytes.into());
                id
            };
            let bytes = scales.iter().flat_map(|scale| (*scale as f32).to_le_bytes()).collect();
            let scales_id = row(self, format!("{stem}_{what}_scale"), DType::F32, bytes);
            let zeros = vec![0; scales.len() * 8];
            let zeros = row(self, format!("{stem}_{what}_zero_point"), DType::I64, zeros);
            let arguments = vec![
                ("input", Argument::Value(integers)),
                ("scales", Argument::Value(scales_id)),
                ("zero_points", Argument::Value(zeros)),
                ("axis", Argument::Int(axis as i64)),
            ];
            (DEQUANTIZE_PER_CHANNEL, arguments)
        } else {
            let arguments = vec![
                ("input", Argument::Value(integers)),
                ("scale", Argument::Float(scales[0])),
                ("zero_point", Argument::Int(0)),
            ];
            (DEQUANTIZE, arguments)
        };
        arguments.extend(limits);
        self.node_of(target, arguments, output, Some(origin));
        output
    }

    fn node_of(
        &mut self,
        target: &str,
        arguments: Vec<(&str, Argument)>,
        output: ValueId,
        origin: Option<&Node>,
    ) {
        self.graph.nodes.push(Node {
            name: self.graph.value(output).name.clone(),
            target: target.to_owned(),
            arguments: arguments.into_iter().map(|(name, it)| (name.to_owned(), it)).collect(),
            outputs: vec![output],
            activation: None,
            source: origin.map(|node| node.source.clone()).unwrap_or_default(),
        });
    }

    /// A new value of the extents of another one.
    fn value(&mut self, name: &str, dtype: DType, like: &Value) -> ValueId {
        self.graph.add_value(Value {
            name: name.to_owned(),
            dtype,
            data: None,
            quantization: None,
            ..like.clone()
        })
    }
}

/// All integers of a type.
fn range_of(dtype: DType) -> Activation {
    let (min, max) = dtype.quantized_range().unwrap_or((-128, 127));
    Activation { min, max }
}

/// The quantized value that a result becomes, behind a fused activation if there is one.
fn result_of(float: &Graph, scheme: &Scheme, id: ValueId) -> Option<ValueId> {
    let mut id = id;
    while scheme.group_of[id.0].is_none() {
        let fused = float.nodes.iter().enumerate().find(|(index, node)| {
            scheme.roles[*index] == Role::Fused && node.operands().any(|operand| operand == id)
        });
        id = *fused?.1.outputs.first()?;
    }
    Some(id)
}
