//! The lowered programs agree with upstream's, argument for argument.
//!
//! `lowered-*.json` holds the graph after ExecuTorch's `CortexMPassManager`. Constants are compared by type, extents and the
//! SHA-256 of their bytes, other tensors by which operator computed them.

mod common;

use cortado_compiler::lowered::{
    BufferId, BufferKind, Ints, Lowered, LoweredDomain, LoweredTensor, Tensors,
};
use cortado_contract::DType;
use cortado_contract::value::ArgumentWriter;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Upstream's nodes that have no counterpart here: scratch buffers are tensors, views are free.
const NOT_CALLS: &[&str] =
    &["executorch.exir.memory.alloc", "aten::view_copy.default", "executorch.exir.memory.view"];

/// Models whose operators differ from upstream's, and why ours are better. Their outputs are held against upstream's all the same.
const BETTER: &[(&str, &str)] = &[
    ("digits_cnn", "the copy before the flattened linear layer is folded into its weights"),
    ("op_flatten", "the copy before the flattened linear layer is folded into its weights"),
    ("ds_cnn", "upstream pads a copy of the image by nothing before it pools"),
    (
        "op_add_broadcast_rows",
        "both operands are broadcast in int8; upstream leaves the addition in float",
    ),
    (
        "op_cat",
        "the axis is that of the memory, which upstream's runtime needs to be right; it has the logical one",
    ),
    ("op_conv2d_contiguous", "the convolution runs in int8; upstream leaves it in float"),
    (
        "op_conv_hardswish",
        "hardswish is one table, exact; upstream's minimum and product are off by up to two steps",
    ),
    ("op_hardswish", "hardswish is one table; upstream's operator has no kernel"),
    (
        "op_permute",
        "the permutation only renames axes; upstream's runtime moves the elements, wrongly",
    ),
    ("op_relu6", "a clamp that has no producer is a table; upstream leaves it in float"),
    ("op_softmax", "the change of scale behind softmax is a table; upstream goes through float"),
    (
        "op_encoder_layer",
        "attention runs in int8 as far as values are quantized; upstream leaves it in float",
    ),
    ("op_transformer_block", "upstream cannot lower it"),
    ("op_lstm", "upstream leaves it in 151 float operators"),
];

#[test]
fn operators_and_arguments_agree_with_upstream() {
    let mut differences = Vec::new();
    for model in common::models() {
        for (name, cpu) in common::TARGETS {
            let Ok(text) =
                std::fs::read_to_string(common::path(&model, &format!("lowered-{name}.json")))
            else {
                continue;
            };
            let theirs: Value = serde_json::from_str(&text).expect("the fixture is JSON");
            let ours = common::compiled(&model, cpu).lowered;
            if BETTER.iter().any(|(better, _)| *better == model) {
                assert!(
                    !compare(&ours, &theirs).is_empty(),
                    "{model} does not differ: take it off the list"
                );
                continue;
            }
            for difference in compare(&ours, &theirs) {
                differences.push(format!("{model} {name}: {difference}"));
            }
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

fn compare(ours: &Lowered, theirs: &Value) -> Vec<String> {
    let nodes: Vec<&Value> = theirs["nodes"]
        .as_array()
        .expect("a graph has nodes")
        .iter()
        .filter(|node| !NOT_CALLS.contains(&node["target"].as_str().unwrap_or_default()))
        .collect();
    if nodes.len() != ours.calls.len() {
        let names: Vec<&str> = ours.calls.iter().map(|call| call.operator.kind().name()).collect();
        return vec![format!(
            "{} operators instead of {}: {names:?}",
            ours.calls.len(),
            nodes.len()
        )];
    }
    let mut described = Their::default();
    described.constants(&theirs["constants"]);
    described.nodes(&theirs["nodes"], &theirs["inputs"]);
    let producers = producers(ours);
    let mut differences = Vec::new();
    for (index, (call, node)) in ours.calls.iter().zip(nodes).enumerate() {
        let kind = call.operator.kind();
        let target = node["target"].as_str().unwrap_or_default();
        if target.trim_end_matches(".default") != kind.name() {
            differences.push(format!("call {index} is {} instead of {target}", kind.name()));
            continue;
        }
        let mut arguments = Describe { program: ours, producers: &producers, list: Vec::new() };
        call.operator.encode(&mut arguments);
        // The last one is the result, which upstream's graph does not list.
        arguments.list.pop();
        let expected: Vec<String> = node["args"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|argument| described.describe(argument))
            .collect();
        for (position, (found, expected)) in arguments.list.iter().zip(&expected).enumerate() {
            if found != expected {
                let name = kind.argument_names()[position];
                differences
                    .push(format!("call {index} {target} `{name}`: {found} instead of {expected}"));
            }
        }
        if arguments.list.len() != expected.len() {
            differences.push(format!(
                "call {index}: {} arguments, not {}",
                arguments.list.len(),
                expected.len()
            ));
        }
    }
    differences
}

/// For each activation, who computes it.
fn producers(program: &Lowered) -> HashMap<BufferId, String> {
    let mut producers: HashMap<BufferId, String> = program
        .inputs
        .iter()
        .enumerate()
        .map(|(index, id)| (*id, format!("input {index}")))
        .collect();
    for (index, call) in program.calls.iter().enumerate() {
        let mut arguments = OutputOf(None);
        call.operator.encode(&mut arguments);
        producers.insert(
            program.storage(arguments.0.expect("an operator has a result")),
            format!("call {index}"),
        );
    }
    producers
}

/// Collects an operator's arguments as text.
struct Describe<'p> {
    program: &'p Lowered,
    producers: &'p HashMap<BufferId, String>,
    list: Vec<String>,
}

impl Describe<'_> {
    fn tensor(&self, tensor: &LoweredTensor) -> String {
        let storage = self.program.storage(tensor.id);
        match &self.program.buffer(storage).kind {
            BufferKind::Constant(data) => {
                constant(tensor.dtype, &tensor.shape, &hex(&Sha256::digest(data)))
            }
            _ => match self.producers.get(&storage) {
                Some(producer) => producer.clone(),
                None => format!("scratch of {} bytes", self.program.buffer(storage).size_bytes()),
            },
        }
    }
}

impl ArgumentWriter<LoweredDomain> for Describe<'_> {
    fn tensor(&mut self, _: &'static str, value: &LoweredTensor) {
        self.list.push(Describe::tensor(self, value));
    }
    fn optional_tensor(&mut self, _: &'static str, value: Option<&LoweredTensor>) {
        self.list.push(value.map_or("null".to_owned(), |tensor| Describe::tensor(self, tensor)));
    }
    fn int(&mut self, name: &'static str, value: i64) {
        let dtype = DType::from_scalar_type(value).filter(|_| name == "dtype");
        self.list.push(dtype.map_or(value.to_string(), |dtype| format!("\"torch.{dtype}\"")));
    }
    fn optional_int(&mut self, _: &'static str, value: Option<i64>) {
        self.list.push(value.map_or("null".to_owned(), |value| value.to_string()));
    }
    fn float(&mut self, _: &'static str, value: f64) {
        self.list.push(format!("{value:e}"));
    }
    fn text(&mut self, _: &'static str, value: &'static str) {
        self.list.push(format!("{value:?}"));
    }
    fn bool(&mut self, _: &'static str, value: bool) {
        self.list.push(value.to_string());
    }
    fn int_list(&mut self, _: &'static str, value: &Ints) {
        self.list.push(format!("{:?}", value.0));
    }
    fn tensor_list(&mut self, _: &'static str, value: &Tensors) {
        let items: Vec<String> =
            value.0.iter().map(|tensor| Describe::tensor(self, tensor)).collect();
        self.list.push(format!("[{}]", items.join(", ")));
    }
}

/// Finds an operator's result.
struct OutputOf(Option<BufferId>);

impl ArgumentWriter<LoweredDomain> for OutputOf {
    fn tensor(&mut self, _: &'static str, value: &LoweredTensor) {
        self.0 = Some(value.id);
    }
    fn optional_tensor(&mut self, _: &'static str, _: Option<&LoweredTensor>) {}
    fn int(&mut self, _: &'static str, _: i64) {}
    fn optional_int(&mut self, _: &'static str, _: Option<i64>) {}
    fn float(&mut self, _: &'static str, _: f64) {}
    fn text(&mut self, _: &'static str, _: &'static str) {}
    fn bool(&mut self, _: &'static str, _: bool) {}
    fn int_list(&mut self, _: &'static str, _: &Ints) {}
    fn tensor_list(&mut self, _: &'static str, _: &Tensors) {}
}

/// Upstream's tensors by name, in the words that ours are described in.
#[derive(Default)]
struct Their(HashMap<String, String>);

impl Their {
    fn constants(&mut self, constants: &Value) {
        for it in constants.as_array().into_iter().flatten() {
            let dtype = DType::ALL
                .into_iter()
                .find(|dtype| dtype.name() == it["dtype"])
                .expect("a known type");
            let shape: Vec<u32> = it["shape"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|extent| extent.as_u64().unwrap() as u32)
                .collect();
            let text = constant(dtype, &shape, it["sha256"].as_str().unwrap_or_default());
            self.0.insert(it["name"].as_str().unwrap_or_default().to_owned(), text);
        }
    }

    fn nodes(&mut self, nodes: &Value, inputs: &Value) {
        for (index, input) in inputs.as_array().into_iter().flatten().enumerate() {
            self.0.insert(
                input["name"].as_str().unwrap_or_default().to_owned(),
                format!("input {index}"),
            );
        }
        let mut calls = 0;
        for node in nodes.as_array().into_iter().flatten() {
            let name = node["name"].as_str().unwrap_or_default().to_owned();
            let text = match node["target"].as_str().unwrap_or_default() {
                "executorch.exir.memory.alloc" => {
                    let extents = node["output"]["shape"].as_array().into_iter().flatten();
                    let bytes: u64 = extents.map(|extent| extent.as_u64().unwrap_or(0)).product();
                    format!("scratch of {bytes} bytes")
                }
                target if NOT_CALLS.contains(&target) => self.describe(&node["args"][0]),
                _ => {
                    calls += 1;
                    format!("call {}", calls - 1)
                }
            };
            self.0.insert(name, text);
        }
    }

    fn describe(&self, argument: &Value) -> String {
        match argument {
            Value::Object(reference) => {
                let name = reference["ref"].as_str().unwrap_or_default();
                self.0.get(name).cloned().unwrap_or_else(|| format!("unknown `{name}`"))
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| self.describe(item)).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Number(number) if number.is_f64() => {
                format!("{:e}", number.as_f64().unwrap_or(f64::NAN))
            }
            other => other.to_string(),
        }
    }
}

fn constant(dtype: DType, shape: &[u32], sha256: &str) -> String {
    format!("constant {dtype}{shape:?} {sha256}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
