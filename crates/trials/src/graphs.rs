//! Random quantized models, and what they may compute.
//!
//! A model is a graph as PyTorch exports it: quantize and dequantize nodes around operators in float. [`bounds`] walks it in the
//! quantized domain: every tensor is an interval for each element, computed in double precision from the definitions of PyTorch's
//! operators, in logical order and without any of the compiler's passes, layouts or integer arithmetic. A quantize node that follows a
//! computation widens its interval by one step, which is what double rounding may differ by; one that follows a movement of
//! elements does not. So a compiled model that leaves the bounds is wrong, whatever the compiler made of the graph.

use crate::choices::Choices;
use cortado_compiler::finish::finish;
use cortado_compiler::graph::{Argument, Graph, Node, Value, ValueId};
use cortado_compiler::import::SourceLocation;
use cortado_compiler::lower::lower;
use cortado_compiler::passes::{self, PassContext};
use cortado_compiler::plan::PlanOptions;
use cortado_compiler::{CompileError, verify};
use cortado_contract::{DType, Target};
use cortado_host::local::{AlignedBytes, with_method};
use cortado_host::samples::Signature;
use cortado_runtime::LayoutPolicy;

const QUANTIZE: &str = "quantized_decomposed.quantize_per_tensor.default";
const DEQUANTIZE: &str = "quantized_decomposed.dequantize_per_tensor.default";
const DEQUANTIZE_PER_CHANNEL: &str = "quantized_decomposed.dequantize_per_channel.default";

/// A model with one sample of its inputs.
#[derive(Clone, Debug)]
pub struct Model {
    /// The graph before all passes.
    pub graph: Graph,
    /// The elements of each input in logical order.
    pub inputs: Vec<Vec<f32>>,
}

/// Compiles a model for a target.
///
/// # Errors
/// See [`CompileError`].
pub fn compile(model: &Model, target: Target) -> Result<Vec<u8>, CompileError> {
    let mut graph = model.graph.clone();
    passes::run_all(&PassContext { target }, &mut graph, |pass, graph| {
        let defects = verify::verify(graph);
        assert!(defects.is_empty(), "after {}: {defects:?}", pass.name);
    })?;
    let lowered = lower(&graph, target)?;
    let options = PlanOptions { seconds: 0.01, ..PlanOptions::default() };
    Ok(finish(&lowered, target, &options)?.pte)
}

/// The outputs of a compiled model in logical order.
///
/// # Panics
/// When the file does not load or execute.
pub fn outputs(file: &[u8], target: Target, inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let file = AlignedBytes::copy_of(file);
    let loaded = with_method(&file, target.isa(), LayoutPolicy::Refuse, |mut method| {
        for (position, values) in inputs.iter().enumerate() {
            let signature = Signature::from(method.input_info(position).expect("an input"));
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let bytes = signature.to_memory(&bytes);
            method.set_input_bytes(position, &bytes).expect("an input of its own size");
        }
        method.execute().expect("what is loaded can be executed");
        let output = |position| {
            let signature = Signature::from(method.output_info(position).expect("an output"));
            let bytes = method.output_bytes(position).expect("an output");
            let bytes = signature.to_logical(bytes);
            bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        (0..method.output_count()).map(output).collect()
    });
    loaded.expect("the compiled model loads")
}

/// Compiles a model, runs it and holds it against its bounds. False where the compiler does not support it.
///
/// # Panics
/// When an output leaves its bounds.
pub fn try_model(model: &Model, target: Target) -> bool {
    let file = match compile(model, target) {
        Ok(file) => file,
        Err(CompileError::Internal(what)) => panic!("internal: {what}"),
        Err(_) => return false,
    };
    if let Err(problem) = within(&outputs(&file, target, &model.inputs), &bounds(model)) {
        panic!("{target}: {problem}");
    }
    true
}

/// Holds outputs against bounds.
///
/// # Errors
/// The first element that leaves them.
pub fn within(found: &[Vec<f32>], expected: &[Bounds]) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("{} outputs for {}", found.len(), expected.len()));
    }
    for (output, (found, bounds)) in found.iter().zip(expected).enumerate() {
        if found.len() != bounds.len() {
            return Err(format!(
                "output {output} has {} elements for {}",
                found.len(),
                bounds.len()
            ));
        }
        for (index, (value, (least, greatest))) in found.iter().zip(bounds).enumerate() {
            let value = f64::from(*value);
            let slack = 1e-5 * (least.abs().max(greatest.abs()) + 1e-6);
            if !(least - slack..=greatest + slack).contains(&value) {
                return Err(format!(
                    "output {output}[{index}] is {value}, bounds {least}..{greatest}"
                ));
            }
        }
    }
    Ok(())
}

/// The least and the greatest value of every element.
pub type Bounds = Vec<(f64, f64)>;

/// The bounds of every output, element by element in logical order.
///
/// # Panics
/// When the graph holds something that [`model`] does not make.
pub fn bounds(model: &Model) -> Vec<Bounds> {
    let graph = &model.graph;
    let mut known: Vec<Option<Bounds>> = vec![None; graph.values.len()];
    for (id, values) in graph.inputs.iter().zip(&model.inputs) {
        known[id.0] = Some(values.iter().map(|value| both(f64::from(*value))).collect());
    }
    for (value, known) in graph.values.iter().zip(&mut known) {
        if let Some(data) = &value.data {
            *known = Some(constant(value.dtype, data).into_iter().map(both).collect());
        }
    }
    for node in &graph.nodes {
        let result = walk(graph, node, &known);
        known[node.outputs[0].0] = Some(result);
    }
    graph.outputs.iter().map(|id| known[id.0].clone().expect("it was computed")).collect()
}

fn both(value: f64) -> (f64, f64) {
    (value, value)
}

fn constant(dtype: DType, data: &[u8]) -> Vec<f64> {
    match dtype {
        DType::I8 => data.iter().map(|byte| f64::from(*byte as i8)).collect(),
        DType::I32 => {
            data.as_chunks().0.iter().map(|it| f64::from(i32::from_le_bytes(*it))).collect()
        }
        DType::I64 => data.as_chunks().0.iter().map(|it| i64::from_le_bytes(*it) as f64).collect(),
        _ => data.as_chunks().0.iter().map(|it| f64::from(f32::from_le_bytes(*it))).collect(),
    }
}

/// Whether an operator only moves or chooses elements, so that equal parameters on both sides make its integers exact.
fn only_moves(target: &str) -> bool {
    const MOVES: &[&str] = &[
        "aten.max_pool2d.default",
        "aten.view.default",
        "aten.permute.default",
        "aten.cat.default",
        "aten.slice.Tensor",
        "aten.relu.default",
    ];
    MOVES.contains(&target)
}

fn walk(graph: &Graph, node: &Node, known: &[Option<Bounds>]) -> Bounds {
    let of = |id: ValueId| known[id.0].as_ref().expect("operands come first");
    let operand = |name: &str| of(node.value(name).expect("an operand"));
    let shape = |id: ValueId| -> Vec<usize> {
        graph.value(id).shape.iter().map(|extent| *extent as usize).collect()
    };
    let ints = |name: &str| match node.argument(name) {
        Some(Argument::Ints(values)) => values.clone(),
        _ => Vec::new(),
    };
    let out = shape(node.outputs[0]);
    match node.target.as_str() {
        QUANTIZE => {
            let input = node.value("input").expect("an operand");
            let producer = graph.producer(input).map(|at| &graph.nodes[at]);
            let widening = match producer {
                // The caller's numbers, which stand for integers.
                None => 0.0,
                Some(producer) if only_moves(&producer.target) => {
                    let alike = same_parameters(graph, producer, node);
                    if alike { 0.0 } else { 1.0 }
                }
                Some(_) => 1.0,
            };
            let (scale, zero_point) = parameters(node);
            let quantize = |value: f64, widening: f64| {
                let integer = (value / scale).round_ties_even() + zero_point + widening;
                integer.clamp(-128.0, 127.0)
            };
            let widened = |(least, greatest): &(f64, f64)| {
                (quantize(*least, -widening), quantize(*greatest, widening))
            };
            of(input).iter().map(widened).collect()
        }
        DEQUANTIZE => {
            let (scale, zero_point) = parameters(node);
            let real = |value: f64| (value - zero_point) * scale;
            operand("input").iter().map(|(a, b)| (real(*a), real(*b))).collect()
        }
        DEQUANTIZE_PER_CHANNEL => {
            let (values, scales) = (operand("input"), operand("scales"));
            // The axis is the first one, and zero points are 0.
            let per_channel = values.len() / scales.len().max(1);
            let real = |(index, (a, b)): (usize, &(f64, f64))| {
                let scale = scales[index / per_channel].0;
                (a * scale, b * scale)
            };
            values.iter().enumerate().map(real).collect()
        }
        "aten.linear.default" => {
            let (input, weight) = (operand("input"), operand("weight"));
            let features = shape(node.value("input").expect("an operand"))[1];
            let bias = node.value("bias").map(of);
            (0..out[0] * out[1])
                .map(|index| {
                    let (row, feature) = (index / out[1], index % out[1]);
                    let start = bias.map_or((0.0, 0.0), |bias| bias[feature]);
                    (0..features).fold(start, |sum, at| {
                        let weight = weight[feature * features + at].0;
                        add(sum, times(input[row * features + at], weight))
                    })
                })
                .collect()
        }
        "aten.conv2d.default" => {
            let input_shape = shape(node.value("input").expect("an operand"));
            let kernel = shape(node.value("weight").expect("an operand"));
            let (input, weight) = (operand("input"), operand("weight"));
            let bias = node.value("bias").map(of);
            let (stride, padding) = (ints("stride"), ints("padding"));
            let groups = node.int("groups").unwrap_or(1) as usize;
            positions(&out)
                .map(|at| {
                    let group = at[1] / (kernel[0] / groups);
                    let mut sum = bias.map_or((0.0, 0.0), |bias| bias[at[1]]);
                    for c in 0..kernel[1] {
                        for tap in 0..kernel[2] * kernel[3] {
                            let (i, j) = (tap / kernel[3], tap % kernel[3]);
                            let row = at[2] as i64 * stride[0] + i as i64 - padding[0];
                            let column = at[3] as i64 * stride[1] + j as i64 - padding[1];
                            let inside = (0..input_shape[2] as i64).contains(&row)
                                && (0..input_shape[3] as i64).contains(&column);
                            if inside {
                                let from =
                                    [at[0], group * kernel[1] + c, row as usize, column as usize];
                                let weight = weight[position(&kernel, &[at[1], c, i, j])].0;
                                sum = add(sum, times(input[position(&input_shape, &from)], weight));
                            }
                        }
                    }
                    sum
                })
                .collect()
        }
        "aten.max_pool2d.default" | "aten.avg_pool2d.default" => {
            let input_shape = shape(node.value("self").expect("an operand"));
            let input = operand("self");
            let (kernel, stride) = (ints("kernel_size"), ints("stride"));
            let is_max = node.target.contains("max");
            positions(&out)
                .map(|at| {
                    let mut window = Vec::new();
                    for i in 0..kernel[0] as usize {
                        for j in 0..kernel[1] as usize {
                            let row = at[2] * stride[0] as usize + i;
                            let column = at[3] * stride[1] as usize + j;
                            window
                                .push(input[position(&input_shape, &[at[0], at[1], row, column])]);
                        }
                    }
                    if is_max {
                        window
                            .into_iter()
                            .fold((f64::MIN, f64::MIN), |a, b| (a.0.max(b.0), a.1.max(b.1)))
                    } else {
                        let count = window.len() as f64;
                        let sum = window.into_iter().fold((0.0, 0.0), add);
                        (sum.0 / count, sum.1 / count)
                    }
                })
                .collect()
        }
        "aten.relu.default" => {
            operand("self").iter().map(|(a, b)| (a.max(0.0), b.max(0.0))).collect()
        }
        "aten.sigmoid.default" => {
            let sigmoid = |value: f64| 1.0 / (1.0 + (-value).exp());
            operand("self").iter().map(|(a, b)| (sigmoid(*a), sigmoid(*b))).collect()
        }
        "aten.add.Tensor" => {
            operand("self").iter().zip(operand("other")).map(|(a, b)| add(*a, *b)).collect()
        }
        "aten.sub.Tensor" => operand("self")
            .iter()
            .zip(operand("other"))
            .map(|(a, b)| (a.0 - b.1, a.1 - b.0))
            .collect(),
        "aten.mul.Tensor" => operand("self")
            .iter()
            .zip(operand("other"))
            .map(|(a, b)| {
                let products = [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1];
                products.into_iter().fold((f64::MAX, f64::MIN), |(least, greatest), it| {
                    (least.min(it), greatest.max(it))
                })
            })
            .collect(),
        "aten.view.default" => operand("self").clone(),
        "aten.permute.default" => {
            let input_shape = shape(node.value("self").expect("an operand"));
            let (input, dims) = (operand("self"), ints("dims"));
            positions(&out)
                .map(|at| {
                    let mut from = vec![0; at.len()];
                    for (axis, dim) in dims.iter().enumerate() {
                        from[*dim as usize] = at[axis];
                    }
                    input[position(&input_shape, &from)]
                })
                .collect()
        }
        "aten.slice.Tensor" => {
            let input_shape = shape(node.value("self").expect("an operand"));
            let (input, dim) = (operand("self"), node.int("dim").expect("an axis") as usize);
            let (start, step) = (node.int("start").unwrap_or(0), node.int("step").unwrap_or(1));
            positions(&out)
                .map(|mut at| {
                    at[dim] = start as usize + at[dim] * step as usize;
                    input[position(&input_shape, &at)]
                })
                .collect()
        }
        "aten.cat.default" => {
            let Some(Argument::Values(parts)) = node.argument("tensors") else {
                panic!("a join without operands")
            };
            let dim = node.int("dim").expect("an axis") as usize;
            positions(&out)
                .map(|mut at| {
                    for part in parts.iter().flatten() {
                        let part_shape = shape(*part);
                        if at[dim] < part_shape[dim] {
                            return of(*part)[position(&part_shape, &at)];
                        }
                        at[dim] -= part_shape[dim];
                    }
                    panic!("a join larger than its parts")
                })
                .collect()
        }
        other => panic!("no bounds are known for {other}"),
    }
}

fn add(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 + b.0, a.1 + b.1)
}

fn times(a: (f64, f64), factor: f64) -> (f64, f64) {
    if factor < 0.0 { (a.1 * factor, a.0 * factor) } else { (a.0 * factor, a.1 * factor) }
}

/// Every position of a tensor in logical order.
fn positions(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let count: usize = shape.iter().product();
    (0..count).map(move |mut rest| {
        let mut at = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            at[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        at
    })
}

fn position(shape: &[usize], at: &[usize]) -> usize {
    shape.iter().zip(at).fold(0, |position, (extent, index)| position * extent + index)
}

fn parameters(node: &Node) -> (f64, f64) {
    let scale = node.float("scale").expect("a scale");
    (scale, node.int("zero_point").expect("a zero point") as f64)
}

/// Whether everything that an operator reads was dequantized as its result is quantized.
fn same_parameters(graph: &Graph, operator: &Node, quantize: &Node) -> bool {
    operator.operands().all(|id| {
        graph.producer(id).is_some_and(|at| {
            let node = &graph.nodes[at];
            node.target == DEQUANTIZE && parameters(node) == parameters(quantize)
        })
    })
}

/// A model of one or two inputs and up to six operators, all of them quantized.
pub fn model(choices: &mut Choices<'_>) -> Model {
    let channels_last = choices.once_in(2);
    let graph = Graph::default();
    let mut maker =
        Maker { choices, graph, inputs: Vec::new(), tensors: Vec::new(), channels_last };
    for _ in 0..maker.choices.between(1, 2) {
        maker.input();
    }
    for _ in 0..maker.choices.between(1, 6) {
        if maker.choices.is_used_up() {
            break;
        }
        maker.operator();
    }
    maker.finish()
}

/// A quantized tensor.
#[derive(Clone)]
struct Tensor {
    integers: ValueId,
    shape: Vec<u32>,
    scale: f64,
    zero_point: i32,
}

struct Maker<'c, 'b> {
    choices: &'c mut Choices<'b>,
    graph: Graph,
    inputs: Vec<Vec<f32>>,
    tensors: Vec<Tensor>,
    channels_last: bool,
}

impl Maker<'_, '_> {
    fn value(&mut self, dtype: DType, shape: &[u32], data: Option<Vec<u8>>) -> ValueId {
        let is_image = shape.len() == 4 && self.channels_last && data.is_none();
        let dim_order = if is_image { vec![0, 2, 3, 1] } else { (0..shape.len() as u8).collect() };
        let name = format!("value{}", self.graph.values.len());
        let data = data.map(Into::into);
        let shape = shape.to_vec();
        self.graph.add_value(Value { name, dtype, shape, dim_order, quantization: None, data })
    }

    fn node(
        &mut self,
        target: &str,
        arguments: Vec<(&str, Argument)>,
        dtype: DType,
        shape: &[u32],
    ) -> ValueId {
        let output = self.value(dtype, shape, None);
        let named = |(name, argument): (&str, Argument)| (name.to_owned(), argument);
        self.graph.nodes.push(Node {
            name: format!("node{}", self.graph.nodes.len()),
            target: target.to_owned(),
            arguments: arguments.into_iter().map(named).collect(),
            outputs: vec![output],
            activation: None,
            source: SourceLocation::default(),
        });
        output
    }

    fn scale(&mut self) -> f64 {
        // As observers choose them: numbers of binary32.
        let mantissa = self.choices.between(1 << 10, (1 << 11) - 1) as f32;
        f64::from(mantissa / (1 << self.choices.between(11, 18)) as f32)
    }

    fn input(&mut self) {
        let shape = if self.choices.once_in(2) {
            vec![self.choices.between(1, 2) as u32, self.choices.between(1, 40) as u32]
        } else {
            vec![
                1,
                self.choices.between(1, 9) as u32,
                self.choices.between(1, 8) as u32,
                self.choices.between(1, 8) as u32,
            ]
        };
        let (scale, zero_point) = (self.scale(), self.choices.between(-128, 127));
        let count: u32 = shape.iter().product();
        let integers = self.choices.bytes(count as usize);
        let real = |byte: u8| (f64::from(i32::from(byte as i8) - zero_point) * scale) as f32;
        self.inputs.push(integers.into_iter().map(real).collect());
        let id = self.value(DType::F32, &shape, None);
        self.graph.inputs.push(id);
        self.quantized(id, shape, scale, zero_point);
    }

    /// Quantizes a result, which is there for further operators then.
    fn quantized(&mut self, id: ValueId, shape: Vec<u32>, scale: f64, zero_point: i32) {
        let mut arguments = vec![("input", Argument::Value(id))];
        arguments.extend(parameters_of(scale, zero_point));
        let integers = self.node(QUANTIZE, arguments, DType::I8, &shape);
        self.tensors.push(Tensor { integers, shape, scale, zero_point });
    }

    fn dequantized(&mut self, tensor: &Tensor) -> ValueId {
        let mut arguments = vec![("input", Argument::Value(tensor.integers))];
        arguments.extend(parameters_of(tensor.scale, tensor.zero_point));
        self.node(DEQUANTIZE, arguments, DType::F32, &tensor.shape)
    }

    /// Weights with a scale for each output, and a bias on the scale of the products.
    fn weights(&mut self, shape: &[u32], input_scale: f64) -> (ValueId, Option<ValueId>, f64) {
        let count: u32 = shape.iter().product();
        let data: Vec<u8> = self.choices.bytes(count as usize);
        // Weights are symmetric.
        let data = data.into_iter().map(|byte| (byte as i8).max(-127) as u8).collect();
        let outputs = shape[0];
        let scales: Vec<f32> = (0..outputs).map(|_| self.scale() as f32).collect();
        let greatest = scales.iter().copied().fold(0.0f32, f32::max);
        let integers = self.value(DType::I8, shape, Some(data));
        let weight = self.per_channel(integers, DType::I8, &scales, shape);
        let bias = (!self.choices.once_in(4)).then(|| {
            let biases = (0..outputs).map(|_| self.choices.between(-20_000, 20_000));
            let data: Vec<u8> =
                biases.collect::<Vec<i32>>().into_iter().flat_map(i32::to_le_bytes).collect();
            let integers = self.value(DType::I32, &[outputs], Some(data));
            let products: Vec<f32> =
                scales.iter().map(|scale| (f64::from(*scale) * input_scale) as f32).collect();
            self.per_channel(integers, DType::I32, &products, &[outputs])
        });
        (weight, bias, f64::from(greatest))
    }

    fn per_channel(
        &mut self,
        integers: ValueId,
        dtype: DType,
        scales: &[f32],
        shape: &[u32],
    ) -> ValueId {
        let count = scales.len() as u32;
        let bytes = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        let scales = self.value(DType::F32, &[count], Some(bytes));
        let zeros = self.value(DType::I64, &[count], Some(vec![0; 8 * count as usize]));
        let (least, greatest) = if dtype == DType::I8 {
            (-127, 127)
        } else {
            (i64::from(i32::MIN), i64::from(i32::MAX - 1))
        };
        let arguments = vec![
            ("input", Argument::Value(integers)),
            ("scales", Argument::Value(scales)),
            ("zero_points", Argument::Value(zeros)),
            ("axis", Argument::Int(0)),
            ("quant_min", Argument::Int(least)),
            ("quant_max", Argument::Int(greatest)),
            ("dtype", Argument::DType(dtype)),
        ];
        self.node(DEQUANTIZE_PER_CHANNEL, arguments, DType::F32, shape)
    }

    fn operator(&mut self) {
        let tensor = self.choices.pick(&self.tensors);
        let is_image = tensor.shape.len() == 4;
        let real = self.dequantized(&tensor);
        let operand = |id| Argument::Value(id);
        let pair = |a: u32, b: u32| Argument::Ints(vec![i64::from(a), i64::from(b)]);
        let zero_point = self.choices.between(-128, 127);
        let kept = (tensor.scale, tensor.zero_point);
        let (id, shape, (scale, zero_point)) = match (is_image, self.choices.between(0, 8)) {
            (false, 0..=2) => {
                let features = self.choices.between(1, 33) as u32;
                let (weight, bias, greatest) =
                    self.weights(&[features, tensor.shape[1]], tensor.scale);
                let mut arguments = vec![("input", operand(real)), ("weight", operand(weight))];
                arguments.extend(bias.map(|bias| ("bias", operand(bias))));
                let shape = vec![tensor.shape[0], features];
                let id = self.node("aten.linear.default", arguments, DType::F32, &shape);
                let scale = tensor.scale * greatest * f64::from(self.choices.between(20, 1500));
                let (id, shape) = self.perhaps_relu(id, shape);
                (id, shape, (f64::from(scale as f32), zero_point))
            }
            (true, 0..=2) => {
                let [n, channels, height, width] = tensor.shape[..] else { return };
                let kernel = [1, 2].map(|_| self.choices.between(1, 3) as u32);
                let padding =
                    kernel.map(|kernel| self.choices.between(0, kernel as i32 - 1) as u32);
                let stride = [1, 2].map(|_| self.choices.between(1, 2) as u32);
                let room = [height + 2 * padding[0], width + 2 * padding[1]];
                if room[0] < kernel[0] || room[1] < kernel[1] {
                    return;
                }
                let is_depthwise = self.choices.once_in(3);
                let outputs =
                    if is_depthwise { channels } else { self.choices.between(1, 9) as u32 };
                let (groups, depth) = if is_depthwise { (channels, 1) } else { (1, channels) };
                let (weight, bias, greatest) =
                    self.weights(&[outputs, depth, kernel[0], kernel[1]], tensor.scale);
                let mut arguments = vec![("input", operand(real)), ("weight", operand(weight))];
                arguments.extend(bias.map(|bias| ("bias", operand(bias))));
                arguments.extend([
                    ("stride", pair(stride[0], stride[1])),
                    ("padding", pair(padding[0], padding[1])),
                    ("dilation", pair(1, 1)),
                    ("groups", Argument::Int(i64::from(groups))),
                ]);
                let extent = |axis: usize| (room[axis] - kernel[axis]) / stride[axis] + 1;
                let shape = vec![n, outputs, extent(0), extent(1)];
                let id = self.node("aten.conv2d.default", arguments, DType::F32, &shape);
                let scale = tensor.scale * greatest * f64::from(self.choices.between(20, 1500));
                let (id, shape) = self.perhaps_relu(id, shape);
                (id, shape, (f64::from(scale as f32), zero_point))
            }
            (true, 3 | 4) => {
                let [n, channels, height, width] = tensor.shape[..] else { return };
                let kernel = [height, width]
                    .map(|extent| self.choices.between(1, extent.min(3) as i32) as u32);
                let shape = vec![n, channels, height / kernel[0], width / kernel[1]];
                let target =
                    self.choices.pick(&["aten.max_pool2d.default", "aten.avg_pool2d.default"]);
                let arguments = vec![
                    ("self", operand(real)),
                    ("kernel_size", pair(kernel[0], kernel[1])),
                    ("stride", pair(kernel[0], kernel[1])),
                ];
                let id = self.node(target, arguments, DType::F32, &shape);
                (id, shape, kept)
            }
            (_, 5) => {
                let id = self.node(
                    "aten.sigmoid.default",
                    vec![("self", operand(real))],
                    DType::F32,
                    &tensor.shape,
                );
                (id, tensor.shape.clone(), (1.0 / 256.0, -128))
            }
            (_, 6) => {
                let alike: Vec<Tensor> = self
                    .tensors
                    .iter()
                    .filter(|other| other.shape == tensor.shape)
                    .cloned()
                    .collect();
                let other = self.choices.pick(&alike);
                let second = self.dequantized(&other);
                let target =
                    self.choices.pick(&["aten.add.Tensor", "aten.sub.Tensor", "aten.mul.Tensor"]);
                let arguments = vec![("self", operand(real)), ("other", operand(second))];
                let id = self.node(target, arguments, DType::F32, &tensor.shape);
                let scale = if target == "aten.mul.Tensor" {
                    tensor.scale * other.scale * f64::from(self.choices.between(10, 200))
                } else {
                    tensor.scale.max(other.scale) * f64::from(self.choices.between(4, 16)) / 8.0
                };
                let (id, shape) = self.perhaps_relu(id, tensor.shape.clone());
                (id, shape, (f64::from(scale as f32), zero_point))
            }
            (true, 7) => {
                let count: u32 = tensor.shape[1..].iter().product();
                let shape = vec![tensor.shape[0], count];
                let size = Argument::Ints(shape.iter().map(|extent| i64::from(*extent)).collect());
                let id = self.node(
                    "aten.view.default",
                    vec![("self", operand(real)), ("size", size)],
                    DType::F32,
                    &shape,
                );
                (id, shape, kept)
            }
            (_, 8) => {
                let dim = self.choices.between(1, tensor.shape.len() as i32 - 1) as usize;
                let extent = tensor.shape[dim] as i32;
                let start = self.choices.between(0, extent - 1);
                let end = self.choices.between(start + 1, extent);
                let mut shape = tensor.shape.clone();
                shape[dim] = (end - start) as u32;
                let arguments = vec![
                    ("self", operand(real)),
                    ("dim", Argument::Int(dim as i64)),
                    ("start", Argument::Int(i64::from(start))),
                    ("end", Argument::Int(i64::from(end))),
                ];
                let id = self.node("aten.slice.Tensor", arguments, DType::F32, &shape);
                (id, shape, kept)
            }
            _ => {
                // A tensor with itself.
                let again = self.dequantized(&tensor);
                let dim = self.choices.between(1, tensor.shape.len() as i32 - 1) as usize;
                let mut shape = tensor.shape.clone();
                shape[dim] *= 2;
                let parts = Argument::Values(vec![Some(real), Some(again)]);
                let arguments = vec![("tensors", parts), ("dim", Argument::Int(dim as i64))];
                let id = self.node("aten.cat.default", arguments, DType::F32, &shape);
                (id, shape, kept)
            }
        };
        self.quantized(id, shape, scale, zero_point);
    }

    fn perhaps_relu(&mut self, id: ValueId, shape: Vec<u32>) -> (ValueId, Vec<u32>) {
        if !self.choices.once_in(3) {
            return (id, shape);
        }
        let id =
            self.node("aten.relu.default", vec![("self", Argument::Value(id))], DType::F32, &shape);
        (id, shape)
    }

    /// Every tensor that nobody reads is an output, and every third one besides.
    fn finish(mut self) -> Model {
        for tensor in self.tensors.clone() {
            let is_read = !self.graph.users(tensor.integers).is_empty();
            if !is_read || self.choices.once_in(3) {
                let real = self.dequantized(&tensor);
                self.graph.outputs.push(real);
            }
        }
        Model { graph: self.graph, inputs: self.inputs }
    }
}

fn parameters_of(scale: f64, zero_point: i32) -> [(&'static str, Argument); 5] {
    [
        ("scale", Argument::Float(scale)),
        ("zero_point", Argument::Int(i64::from(zero_point))),
        ("quant_min", Argument::Int(-128)),
        ("quant_max", Argument::Int(127)),
        ("dtype", Argument::DType(DType::I8)),
    ]
}
