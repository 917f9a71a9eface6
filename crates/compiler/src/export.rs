//! Writing exported programs: the `.pt2` files that `torch.export.load` reads.
//!
//! [`exported`] makes a program of a graph, [`write()`] a file of a program. Constants become persistent buffers, inputs positional arguments;
//! a model with one output returns a tensor, one with several a tuple. The bytes depend on the program alone.
//!
//! Source: `torch/_export/serde/schema.py`, version 8, and `torch/export/pt2_archive/_package.py`.

use crate::graph::{self, Graph, ValueId};
use crate::import::{
    Argument, ExportedProgram, Input, InputKind, MemoryFormat, Node, ScalarType, SchemaVersion,
    SourceLocation, TensorData, ValueMeta,
};
use cortado_contract::DType;
use cortado_npz::zip::{ZipError, write_stored};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The folder that all entries of a file are in.
const FOLDER: &str = "model";
/// The code of the only layout that there is.
const STRIDED: i64 = 7;

/// A program that computes what a graph does; `origin` is the one that the graph came from.
///
/// Arguments that only say where and how a tensor lies in memory are left to their defaults.
///
/// # Panics
/// When a node has a fused activation, or a value is quantized: both are what nodes say in an exported program.
pub fn exported(graph: &Graph, origin: &ExportedProgram) -> ExportedProgram {
    let mut names = Names { taken: HashSet::new(), of: HashMap::new() };
    let mut program = ExportedProgram {
        torch_version: origin.torch_version.clone(),
        schema_version: SchemaVersion { ..origin.schema_version },
        inputs: Vec::new(),
        nodes: Vec::new(),
        outputs: Vec::new(),
        values: BTreeMap::new(),
        constants: BTreeMap::new(),
    };
    // Inputs keep their names, whatever else would like to have them.
    for id in &graph.inputs {
        names.give(*id, &graph.value(*id).name);
    }
    let mut read: HashSet<ValueId> = graph.nodes.iter().flat_map(graph::Node::operands).collect();
    read.extend(&graph.outputs);
    for (index, value) in graph.values.iter().enumerate() {
        let id = ValueId(index);
        let (Some(data), true) = (&value.data, read.contains(&id)) else { continue };
        let path = match value.name.strip_prefix("p_").or_else(|| value.name.strip_prefix("b_")) {
            Some(path) => path,
            None => &value.name,
        };
        let name = names.give(id, &format!("b_{path}"));
        let fqn = name.strip_prefix("b_").unwrap_or(&name).to_owned();
        let meta = meta(value);
        program.constants.insert(
            name.clone(),
            TensorData {
                dtype: value.dtype,
                shape: value.shape.clone(),
                strides: meta.strides.clone(),
                bytes: data.clone(),
            },
        );
        program.values.insert(name.clone(), meta);
        program.inputs.push(Input { name, kind: InputKind::Buffer { fqn } });
    }
    for id in &graph.inputs {
        let name = names.of(*id);
        program.values.insert(name.clone(), meta(graph.value(*id)));
        program.inputs.push(Input { name, kind: InputKind::User });
    }
    for node in &graph.nodes {
        assert!(node.activation.is_none(), "{}: a fused activation", node.name);
        let mut outputs = Vec::new();
        for id in &node.outputs {
            assert!(graph.value(*id).quantization.is_none(), "{}: quantized", node.name);
            let name = names.give(*id, &graph.value(*id).name);
            program.values.insert(name.clone(), meta(graph.value(*id)));
            outputs.push(name);
        }
        let convert = |(name, argument): &(String, graph::Argument)| {
            Some((name.clone(), argument_of(argument, &names)?))
        };
        let arguments = node.arguments.iter().filter_map(convert).collect();
        program.nodes.push(Node {
            name: match &outputs[..] {
                [only] => only.clone(),
                // A node with several results has a name besides theirs.
                _ => names.free(&node.name),
            },
            target: node.target.clone(),
            arguments,
            outputs,
            source: node.source.clone(),
        });
    }
    program.outputs = graph.outputs.iter().map(|id| names.of(*id)).collect();
    program
}

/// Names for values, none of them twice, all of them words of Python.
struct Names {
    taken: HashSet<String>,
    of: HashMap<ValueId, String>,
}

impl Names {
    fn give(&mut self, id: ValueId, wanted: &str) -> String {
        let name = self.free(wanted);
        self.of.insert(id, name.clone());
        name
    }

    fn free(&mut self, wanted: &str) -> String {
        let word = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
        let mut name: String = wanted.chars().map(word).collect();
        if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            name.insert(0, '_');
        }
        let mut free = name.clone();
        let mut count = 1;
        while !self.taken.insert(free.clone()) {
            free = format!("{name}_{count}");
            count += 1;
        }
        free
    }

    fn of(&self, id: ValueId) -> String {
        self.of.get(&id).cloned().unwrap_or_default()
    }
}

/// Type and layout: dense, with the axes in the order of the value.
///
/// Axes of equal stride count in logical order, so an axis of extent 1, which may have any stride, gets that of the axis inside of
/// it where it comes before that one.
fn meta(value: &graph::Value) -> ValueMeta {
    let mut strides = vec![1u64; value.shape.len()];
    let mut stride = 1;
    let mut inner: Option<usize> = None;
    for axis in value.dim_order.iter().rev().map(|axis| usize::from(*axis)) {
        strides[axis] = match inner {
            Some(inner) if value.shape[axis] == 1 && axis < inner => strides[inner],
            _ => stride,
        };
        stride *= u64::from(value.shape[axis].max(1));
        inner = Some(axis);
    }
    ValueMeta { dtype: value.dtype, shape: value.shape.clone(), strides, storage_offset: 0 }
}

fn argument_of(argument: &graph::Argument, names: &Names) -> Option<Argument> {
    Some(match argument {
        graph::Argument::None => Argument::None,
        graph::Argument::Value(id) => Argument::Tensor(names.of(*id)),
        graph::Argument::Values(ids) => {
            Argument::Tensors(ids.iter().map(|id| id.map(|id| names.of(id))).collect())
        }
        graph::Argument::Int(value) => Argument::Int(*value),
        graph::Argument::Ints(values) => Argument::Ints(values.clone()),
        graph::Argument::Float(value) => Argument::Float(*value),
        graph::Argument::Floats(values) => Argument::Floats(values.clone()),
        graph::Argument::Bool(value) => Argument::Bool(*value),
        graph::Argument::Bools(values) => Argument::Bools(values.clone()),
        graph::Argument::Text(text) => Argument::Text(text.clone()),
        graph::Argument::DType(dtype) => Argument::ScalarType(ScalarType::of(*dtype)),
        graph::Argument::Other => return None,
    })
}

/// The bytes of a `.pt2` file.
///
/// # Errors
/// [`ZipError::Structure`] for more than 4 GiB.
pub fn write(program: &ExportedProgram) -> Result<Vec<u8>, ZipError> {
    let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add =
        |name: String, content: Vec<u8>| entries.push((format!("{FOLDER}/{name}"), content));
    let mut config = serde_json::Map::new();
    for input in &program.inputs {
        let (Some(fqn), Some(data)) = (input.kind.fqn(), program.constants.get(&input.name)) else {
            continue;
        };
        let path = format!("weight_{}", config.len());
        let meta = ValueMeta {
            dtype: data.dtype,
            shape: data.shape.clone(),
            strides: data.strides.clone(),
            storage_offset: 0,
        };
        config.insert(
            fqn.to_owned(),
            json!({
                "path_name": path,
                "is_param": false,
                "use_pickle": false,
                "tensor_meta": tensor_meta(&meta),
            }),
        );
        add(format!("data/weights/{path}"), stored(data));
    }
    let json = |value: &Json| value.to_string().into_bytes();
    add("data/weights/model_weights_config.json".to_owned(), json(&json!({ "config": config })));
    let none = json!({ "config": {} });
    add("data/constants/model_constants_config.json".to_owned(), json(&none));
    add("models/model.json".to_owned(), json(&model(program)));
    // Inputs to try the program with are asked for and may be none.
    add("data/sample_inputs/model.pt".to_owned(), Vec::new());
    for (name, content) in [
        ("archive_format", "pt2"),
        ("archive_version", "0"),
        (".data/version", "6\n"),
        ("byteorder", "little"),
        (".data/serialization_id", "0000000000000000000000000000000000000000"),
    ] {
        add(name.to_owned(), content.as_bytes().to_vec());
    }
    write_stored(entries.iter().map(|(name, content)| (name.as_str(), content.as_slice())))
}

/// A constant's elements as they lie in memory.
fn stored(data: &TensorData) -> Vec<u8> {
    let order = data.dim_order();
    if order.is_sorted() {
        return data.bytes.to_vec();
    }
    let size = data.dtype.size_bytes() as usize;
    let positions = crate::order::logical_positions(&data.shape, &order);
    positions.into_iter().flat_map(|at| &data.bytes[at * size..][..size]).copied().collect()
}

fn model(program: &ExportedProgram) -> Json {
    let tensor = |name: &String| json!({ "as_tensor": { "name": name } });
    let user: Vec<&String> = program.user_inputs().map(|input| &input.name).collect();
    let input_spec = |input: &Input| match &input.kind {
        InputKind::User => json!({ "user_input": { "arg": tensor(&input.name) } }),
        kind => json!({ "buffer": {
            "arg": { "name": input.name },
            "buffer_name": kind.fqn(),
            "persistent": true,
        }}),
    };
    let output_spec = |name: &String| json!({ "user_output": { "arg": tensor(name) } });
    let leaf = json!({ "type": null, "context": null, "children_spec": [] });
    let tuple = |children: Vec<Json>| json!({ "type": "builtins.tuple", "context": "null", "children_spec": children });
    let keywords = json!({ "type": "builtins.dict", "context": "[]", "children_spec": [] });
    let in_spec = tuple(vec![tuple(vec![leaf.clone(); user.len()]), keywords]);
    let out_spec = match program.outputs.len() {
        1 => leaf,
        count => tuple(vec![leaf; count]),
    };
    // The format of these texts has a version of its own.
    let spec = |spec: &Json| json!([1, spec]).to_string();
    let values: serde_json::Map<String, Json> =
        program.values.iter().map(|(name, meta)| (name.clone(), tensor_meta(meta))).collect();
    let SchemaVersion { major, minor } = program.schema_version;
    json!({
        "graph_module": {
            "graph": {
                "inputs": program.inputs.iter().map(|input| tensor(&input.name)).collect::<Vec<_>>(),
                "outputs": program.outputs.iter().map(tensor).collect::<Vec<_>>(),
                "nodes": program.nodes.iter().map(node).collect::<Vec<_>>(),
                "tensor_values": values,
                "sym_int_values": {},
                "sym_bool_values": {},
                "is_single_tensor_return": false,
                "custom_obj_values": {},
                "sym_float_values": {},
            },
            "signature": {
                "input_specs": program.inputs.iter().map(input_spec).collect::<Vec<_>>(),
                "output_specs": program.outputs.iter().map(output_spec).collect::<Vec<_>>(),
            },
            "module_call_graph": [{
                "fqn": "",
                "signature": {
                    "inputs": [],
                    "outputs": [],
                    "in_spec": spec(&in_spec),
                    "out_spec": spec(&out_spec),
                    "forward_arg_names": user,
                },
            }],
            "metadata": {},
            "treespec_namedtuple_fields": {},
        },
        "opset_version": { "aten": 10 },
        "range_constraints": {},
        "schema_version": { "major": major, "minor": minor },
        "verifiers": ["TRAINING"],
        "torch_version": program.torch_version,
        "guards_code": [],
    })
}

fn tensor_meta(meta: &ValueMeta) -> Json {
    let int = |value: u64| json!({ "as_int": value });
    json!({
        "dtype": ScalarType::of(meta.dtype).code(),
        "sizes": meta.shape.iter().map(|extent| int(u64::from(*extent))).collect::<Vec<_>>(),
        "requires_grad": false,
        "device": { "type": "cpu", "index": null },
        "strides": meta.strides.iter().map(|stride| int(*stride)).collect::<Vec<_>>(),
        "storage_offset": int(meta.storage_offset),
        "layout": STRIDED,
    })
}

fn node(node: &Node) -> Json {
    const POSITIONAL: i64 = 1;
    const KEYWORD: i64 = 2;
    // Arguments of a known operator are positional as long as none is left out; torch finds the place of others itself.
    let order = positional(&node.target);
    let mut in_order = true;
    let argument = |(position, (name, argument)): (usize, &(String, Argument))| {
        let kind = order.map(|order| {
            in_order &= order.get(position) == Some(&name.as_str());
            if in_order { POSITIONAL } else { KEYWORD }
        });
        json!({ "name": name, "arg": argument_json(argument), "kind": kind })
    };
    let mut metadata = serde_json::Map::new();
    if let Some(trace) = trace(&node.source) {
        metadata.insert("stack_trace".to_owned(), json!(trace));
    }
    if let Some(module) = &node.source.module {
        let stack = format!("L__self__{0},{0},{1}", module.path, module.class);
        metadata.insert("nn_module_stack".to_owned(), json!(stack));
    }
    let tensor = |name: &String| json!({ "as_tensor": { "name": name } });
    let outputs: Vec<Json> = match returns_list(&node.target) {
        true => {
            let names = node.outputs.iter().map(|name| json!({ "name": name }));
            vec![json!({ "as_tensors": names.collect::<Vec<_>>() })]
        }
        false => node.outputs.iter().map(tensor).collect(),
    };
    json!({
        "target": format!("torch.ops.{}", node.target),
        "inputs": node.arguments.iter().enumerate().map(argument).collect::<Vec<_>>(),
        "outputs": outputs,
        "metadata": metadata,
        "is_hop_single_tensor_return": null,
        "name": node.name,
    })
}

/// Where the user wrote a node, as Python's `traceback` module writes it.
fn trace(source: &SourceLocation) -> Option<String> {
    let frame = |frame: &crate::import::Frame| {
        let code = frame.code.as_ref().map(|code| format!("    {code}\n")).unwrap_or_default();
        format!("  File \"{}\", line {}, in {}\n{code}", frame.file, frame.line, frame.function)
    };
    (!source.frames.is_empty()).then(|| source.frames.iter().map(frame).collect())
}

fn argument_json(argument: &Argument) -> Json {
    let tensor = |name: &String| json!({ "name": name });
    match argument {
        Argument::None => json!({ "as_none": true }),
        Argument::Tensor(name) => json!({ "as_tensor": tensor(name) }),
        Argument::Tensors(names) => {
            match names.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() {
                Some(names) => {
                    json!({ "as_tensors": names.into_iter().map(tensor).collect::<Vec<_>>() })
                }
                None => {
                    let optional = |name: &Option<String>| match name {
                        Some(name) => json!({ "as_tensor": tensor(name) }),
                        None => json!({ "as_none": true }),
                    };
                    json!({ "as_optional_tensors": names.iter().map(optional).collect::<Vec<_>>() })
                }
            }
        }
        Argument::Int(value) => json!({ "as_int": value }),
        Argument::Ints(values) => json!({ "as_ints": values }),
        Argument::IntLists(values) => json!({ "as_int_lists": values }),
        Argument::Float(value) => json!({ "as_float": float(*value) }),
        Argument::Floats(values) => {
            json!({ "as_floats": values.iter().map(|value| float(*value)).collect::<Vec<_>>() })
        }
        Argument::Bool(value) => json!({ "as_bool": value }),
        Argument::Bools(values) => json!({ "as_bools": values }),
        Argument::Text(text) => json!({ "as_string": text }),
        Argument::Texts(texts) => json!({ "as_strings": texts }),
        Argument::ScalarType(scalar_type) => json!({ "as_scalar_type": scalar_type.code() }),
        Argument::MemoryFormat(format) => json!({ "as_memory_format": match format {
            MemoryFormat::Contiguous => 1,
            MemoryFormat::ChannelsLast => 2,
            MemoryFormat::ChannelsLast3d => 3,
            MemoryFormat::Preserve => 4,
        }}),
        Argument::StridedLayout => json!({ "as_layout": STRIDED }),
        Argument::Device(device) => {
            let (kind, index) = match device.split_once(':') {
                Some((kind, index)) => (kind, index.parse::<i64>().ok()),
                None => (device.as_str(), None),
            };
            json!({ "as_device": { "type": kind, "index": index } })
        }
    }
}

/// A number as JSON, which has none that are infinite or not a number.
fn float(value: f64) -> Json {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}

/// The positional arguments of operators, in the order of their schemas; `None` for those that are not listed.
fn positional(target: &str) -> Option<&'static [&'static str]> {
    let list: &[&str] = match target {
        "quantized_decomposed.quantize_per_tensor.default"
        | "quantized_decomposed.dequantize_per_tensor.default" => {
            &["input", "scale", "zero_point", "quant_min", "quant_max", "dtype"]
        }
        "quantized_decomposed.dequantize_per_channel.default" => {
            &["input", "scales", "zero_points", "axis", "quant_min", "quant_max", "dtype"]
        }
        "aten.conv1d.default"
        | "aten.conv2d.default"
        | "aten.conv1d.padding"
        | "aten.conv2d.padding" => {
            &["input", "weight", "bias", "stride", "padding", "dilation", "groups"]
        }
        "aten.conv_transpose1d.default" | "aten.conv_transpose2d.input" => &[
            "input",
            "weight",
            "bias",
            "stride",
            "padding",
            "output_padding",
            "groups",
            "dilation",
        ],
        "aten.linear.default" => &["input", "weight", "bias"],
        "aten.layer_norm.default" => {
            &["input", "normalized_shape", "weight", "bias", "eps", "cudnn_enable"]
        }
        "aten.max_pool1d.default" | "aten.max_pool2d.default" => {
            &["self", "kernel_size", "stride", "padding", "dilation", "ceil_mode"]
        }
        "aten.avg_pool1d.default" => {
            &["self", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"]
        }
        "aten.avg_pool2d.default" => &[
            "self",
            "kernel_size",
            "stride",
            "padding",
            "ceil_mode",
            "count_include_pad",
            "divisor_override",
        ],
        "aten.adaptive_avg_pool1d.default" | "aten.adaptive_avg_pool2d.default" => {
            &["self", "output_size"]
        }
        "aten.cat.default" | "aten.stack.default" => &["tensors", "dim"],
        "aten.bmm.default" | "aten.mm.default" => &["self", "mat2"],
        "aten.matmul.default"
        | "aten.add.Tensor"
        | "aten.sub.Tensor"
        | "aten.mul.Tensor"
        | "aten.div.Tensor"
        | "aten.minimum.default"
        | "aten.maximum.default" => &["self", "other"],
        "aten.mean.dim" => &["self", "dim", "keepdim"],
        "aten.softmax.int" => &["self", "dim", "dtype"],
        "aten.view.default" => &["self", "size"],
        "aten.reshape.default" => &["self", "shape"],
        "aten.flatten.using_ints" => &["self", "start_dim", "end_dim"],
        "aten.unflatten.int" => &["self", "dim", "sizes"],
        "aten.permute.default" => &["self", "dims"],
        "aten.transpose.int" => &["self", "dim0", "dim1"],
        "aten.squeeze.dim" | "aten.unsqueeze.default" => &["self", "dim"],
        "aten.select.int" => &["self", "dim", "index"],
        "aten.slice.Tensor" => &["self", "dim", "start", "end", "step"],
        "aten.expand.default" => &["self", "size"],
        "aten.pad.default" => &["self", "pad", "mode", "value"],
        "aten.constant_pad_nd.default" => &["self", "pad", "value"],
        "aten.hardtanh.default" | "aten.hardtanh_.default" => &["self", "min_val", "max_val"],
        "aten.clamp.default" => &["self", "min", "max"],
        "aten.leaky_relu.default" => &["self", "negative_slope"],
        _ => return is_unary(target).then_some(&["self"]),
    };
    Some(list)
}

/// Whether an operator returns a list of tensors.
fn returns_list(target: &str) -> bool {
    let name = target.split('.').nth(1).unwrap_or_default();
    matches!(
        name,
        "split"
            | "split_with_sizes"
            | "chunk"
            | "unsafe_chunk"
            | "unsafe_split"
            | "tensor_split"
            | "unbind"
    )
}

/// Whether an operator has one tensor and nothing else.
fn is_unary(target: &str) -> bool {
    let name = target.strip_prefix("aten.").and_then(|target| target.strip_suffix(".default"));
    let name = name.map(|name| name.strip_suffix('_').unwrap_or(name));
    name.is_some_and(|name| {
        ["relu", "relu6", "sigmoid", "tanh", "silu", "hardswish", "hardsigmoid", "exp", "sqrt"]
            .contains(&name)
    })
}

impl ScalarType {
    /// The type under which exported programs know one of Cortado's.
    pub fn of(dtype: DType) -> ScalarType {
        ScalarType::from_code(match dtype {
            DType::U8 => 1,
            DType::I8 => 2,
            DType::I16 => 3,
            DType::I32 => 4,
            DType::I64 => 5,
            DType::F32 => 7,
            DType::F64 => 8,
            DType::Bool => 12,
        })
    }
}
