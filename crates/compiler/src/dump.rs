//! Readable dumps of the stages between import and file, as text (`Display`) and as data (`Serialize`).

use crate::Compiled;
use crate::graph::{Argument, Graph, Quantization, Scale};
use crate::lowered::{BufferId, BufferKind, Ints, Lowered, LoweredDomain, LoweredTensor, Tensors};
use cortado_contract::value::ArgumentWriter;
use serde::Serialize;
use std::fmt::{self, Write};

/// A listing: a heading and lines of it.
#[derive(Clone, Debug, Serialize)]
pub struct Dump {
    /// The stage.
    pub stage: &'static str,
    /// What the program takes.
    pub inputs: Vec<String>,
    /// Constants with type and shape.
    pub constants: Vec<String>,
    /// One line per node, call or buffer.
    pub lines: Vec<Line>,
    /// What the program returns.
    pub outputs: Vec<String>,
}

/// A node, a call or a buffer.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// What it is: an operator, or where a buffer lives.
    pub what: String,
    /// Its arguments by name.
    pub arguments: Vec<(String, String)>,
    /// What it results in, with type and shape.
    pub results: Vec<String>,
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stage {}", self.stage)?;
        for (heading, items) in [("input", &self.inputs), ("constant", &self.constants)] {
            for item in items {
                writeln!(f, "{heading} {item}")?;
            }
        }
        for Line { name, what, arguments, results } in &self.lines {
            let arguments: Vec<String> =
                arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
            write!(f, "{name} = {what}({})", arguments.join(", "))?;
            if !results.is_empty() {
                write!(f, " -> {}", results.join(", "))?;
            }
            writeln!(f)?;
        }
        for item in &self.outputs {
            writeln!(f, "output {item}")?;
        }
        Ok(())
    }
}

/// The graph after all passes.
pub fn graph(graph: &Graph) -> Dump {
    let name = |id: &crate::graph::ValueId| graph.value(*id).name.clone();
    let typed = |id: &crate::graph::ValueId| {
        let value = graph.value(*id);
        let quantization = value
            .quantization
            .as_ref()
            .map(|it| format!(" {}", quantization(it)))
            .unwrap_or_default();
        format!("{}: {}{:?}{quantization}", value.name, value.dtype, value.shape)
    };
    let used: std::collections::HashSet<_> =
        graph.nodes.iter().flat_map(|node| node.operands()).collect();
    let constants = (0..graph.values.len()).map(crate::graph::ValueId);
    let constants = constants.filter(|id| graph.value(*id).data.is_some() && used.contains(id));
    let lines = graph.nodes.iter().map(|node| {
        let mut arguments: Vec<_> = node
            .arguments
            .iter()
            .map(|(name, value)| (name.clone(), argument(graph, value)))
            .collect();
        if let Some(range) = node.activation {
            arguments.push(("activation".to_owned(), format!("[{}, {}]", range.min, range.max)));
        }
        Line {
            name: node.name.clone(),
            what: node.target.clone(),
            arguments,
            results: node.outputs.iter().map(typed).collect(),
        }
    });
    Dump {
        stage: "graph",
        inputs: graph.inputs.iter().map(typed).collect(),
        constants: constants.map(|id| typed(&id)).collect(),
        lines: lines.collect(),
        outputs: graph.outputs.iter().map(name).collect(),
    }
}

fn argument(graph: &Graph, argument: &Argument) -> String {
    match argument {
        Argument::None => "None".to_owned(),
        Argument::Value(id) => graph.value(*id).name.clone(),
        Argument::Values(ids) => {
            let names: Vec<&str> = ids
                .iter()
                .map(|id| id.map_or("None", |id| graph.value(id).name.as_str()))
                .collect();
            format!("[{}]", names.join(", "))
        }
        Argument::Int(value) => value.to_string(),
        Argument::Ints(values) => format!("{values:?}"),
        Argument::Float(value) => format!("{value:?}"),
        Argument::Floats(values) => format!("{values:?}"),
        Argument::Bool(value) => value.to_string(),
        Argument::Bools(values) => format!("{values:?}"),
        Argument::Text(text) => format!("{text:?}"),
        Argument::DType(dtype) => dtype.name().to_owned(),
        Argument::Other => "…".to_owned(),
    }
}

fn quantization(quantization: &Quantization) -> String {
    match (&quantization.scale, quantization.zero_points.as_slice()) {
        (Scale::PerTensor(scale), [zero_point]) => {
            format!("scale {scale:?} zero_point {zero_point}")
        }
        (Scale::PerTensor(scale), zero_points) => {
            format!("scale {scale:?} zero_points {zero_points:?}")
        }
        (Scale::PerChannel { axis, scales }, _) => {
            format!("{} scales along axis {axis}", scales.len())
        }
    }
}

/// The target's operators.
pub fn lowered(program: &Lowered) -> Dump {
    let typed = |id: &BufferId| {
        let buffer = program.buffer(*id);
        format!("{}: {}{:?}", buffer.name, buffer.dtype, buffer.shape)
    };
    let constants = (0..program.buffers.len()).map(BufferId);
    let constants =
        constants.filter(|id| matches!(program.buffer(*id).kind, BufferKind::Constant(_)));
    let lines = program.calls.iter().map(|call| {
        let mut arguments = Arguments { program, list: Vec::new(), out: None };
        call.operator.encode(&mut arguments);
        Line {
            name: call.name.clone(),
            what: call.operator.kind().name().to_owned(),
            arguments: arguments.list,
            results: arguments.out.iter().map(typed).collect(),
        }
    });
    Dump {
        stage: "lowered",
        inputs: program.inputs.iter().map(typed).collect(),
        constants: constants.map(|id| typed(&id)).collect(),
        lines: lines.collect(),
        outputs: program.outputs.iter().map(|id| program.buffer(*id).name.clone()).collect(),
    }
}

struct Arguments<'p> {
    program: &'p Lowered,
    list: Vec<(String, String)>,
    out: Option<BufferId>,
}

impl Arguments<'_> {
    fn push(&mut self, name: &str, value: String) {
        self.list.push((name.to_owned(), value));
    }
}

impl ArgumentWriter<LoweredDomain> for Arguments<'_> {
    fn tensor(&mut self, name: &'static str, value: &LoweredTensor) {
        if name == "out" {
            self.out = Some(value.id);
        } else {
            self.push(name, self.program.buffer(value.id).name.clone());
        }
    }
    fn optional_tensor(&mut self, name: &'static str, value: Option<&LoweredTensor>) {
        let text =
            value.map_or("None".to_owned(), |tensor| self.program.buffer(tensor.id).name.clone());
        self.push(name, text);
    }
    fn int(&mut self, name: &'static str, value: i64) {
        self.push(name, value.to_string());
    }
    fn float(&mut self, name: &'static str, value: f64) {
        self.push(name, format!("{value:?}"));
    }
    fn text(&mut self, name: &'static str, value: &'static str) {
        self.push(name, format!("{value:?}"));
    }

    fn optional_int(&mut self, name: &'static str, value: Option<i64>) {
        self.push(name, value.map_or("None".to_owned(), |value| value.to_string()));
    }
    fn tensor_list(&mut self, name: &'static str, value: &Tensors) {
        let names: Vec<&str> =
            value.0.iter().map(|tensor| self.program.buffer(tensor.id).name.as_str()).collect();
        self.push(name, format!("[{}]", names.join(", ")));
    }
    fn bool(&mut self, name: &'static str, value: bool) {
        self.push(name, value.to_string());
    }
    fn int_list(&mut self, name: &'static str, value: &Ints) {
        self.push(name, format!("{:?}", value.0));
    }
}

/// The memory plan: one line per buffer, in the order of their banks and offsets.
pub fn plan(compiled: &Compiled) -> Dump {
    let Compiled { scheduled: program, plan, .. } = compiled;
    let mut placements = plan.placements.clone();
    placements.sort_by_key(|it| (it.bank, it.offset_bytes, it.first));
    let lines = placements.iter().map(|placement| {
        let number = |name: &str, value: u64| (name.to_owned(), value.to_string());
        Line {
            name: program.buffer(placement.buffer).name.clone(),
            what: "buffer".to_owned(),
            arguments: [
                number("bank", placement.bank as u64),
                number("offset_bytes", placement.offset_bytes),
                number("size_bytes", placement.size_bytes),
                number("first_call", placement.first as u64),
                number("last_call", placement.last as u64),
            ]
            .into_iter()
            .chain(
                placement.over.map(|over| ("over".to_owned(), program.buffer(over).name.clone())),
            )
            .collect(),
            results: Vec::new(),
        }
    });
    let mut summary = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        summary,
        "arena of {} bytes, lower bound {}",
        plan.arena_bytes, plan.lower_bound_bytes
    );
    Dump {
        stage: "plan",
        inputs: Vec::new(),
        constants: Vec::new(),
        lines: lines.collect(),
        outputs: vec![summary],
    }
}
