//! The graph's invariants, checked between passes.

use crate::graph::{Graph, Scale, ValueId};
use std::collections::HashSet;
use std::fmt;

/// An invariant that does not hold, tied to a node or a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// The node's or value's name.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Checks a graph and returns everything that is wrong with it.
///
/// Holds after import and after every pass: ids are in range; each value is computed once and before it is read;
/// constants have as many bytes as elements need; memory orders are permutations; quantization has as many scales as channels
/// and a type that matches its value's.
pub fn verify(graph: &Graph) -> Vec<Defect> {
    let mut verifier = Verifier { graph, defects: Vec::new(), defined: HashSet::new() };
    verifier.values();
    verifier.nodes();
    verifier.boundary();
    verifier.defects
}

struct Verifier<'g> {
    graph: &'g Graph,
    defects: Vec<Defect>,
    defined: HashSet<ValueId>,
}

impl Verifier<'_> {
    fn report(&mut self, place: &str, what: impl Into<String>) {
        self.defects.push(Defect { place: place.to_owned(), what: what.into() });
    }

    fn values(&mut self) {
        for (index, value) in self.graph.values.iter().enumerate() {
            let mut order = value.dim_order.clone();
            order.sort_unstable();
            if order.iter().map(|axis| usize::from(*axis)).ne(0..value.shape.len()) {
                self.report(
                    &value.name,
                    format!("memory order {:?} is no permutation", value.dim_order),
                );
            }
            if let Some(data) = &value.data {
                self.defined.insert(ValueId(index));
                let elements: u64 = value.shape.iter().map(|extent| u64::from(*extent)).product();
                let needed = elements * u64::from(value.dtype.size_bytes());
                if data.len() as u64 != needed {
                    self.report(
                        &value.name,
                        format!("constant of {} bytes needs {needed}", data.len()),
                    );
                }
            }
            let Some(quantization) = &value.quantization else { continue };
            if quantization.dtype != value.dtype {
                let what = format!("is {} but quantized as {}", value.dtype, quantization.dtype);
                self.report(&value.name, what);
            }
            if let Scale::PerChannel { axis, scales } = &quantization.scale {
                let channels = value.shape.get(*axis).copied();
                if channels != Some(scales.len() as u32)
                    || quantization.zero_points.len() != scales.len()
                {
                    self.report(&value.name, "the number of scales is not the number of channels");
                }
            }
        }
        self.defined.extend(self.graph.inputs.iter().copied());
    }

    fn nodes(&mut self) {
        for node in &self.graph.nodes {
            for operand in node.operands() {
                if operand.0 >= self.graph.values.len() {
                    self.report(&node.name, format!("reads value {} of none", operand.0));
                } else if !self.defined.contains(&operand) {
                    let name = &self.graph.value(operand).name;
                    self.report(&node.name, format!("reads `{name}` before it is computed"));
                }
            }
            for output in &node.outputs {
                if output.0 >= self.graph.values.len() {
                    self.report(&node.name, format!("computes value {} of none", output.0));
                } else if !self.defined.insert(*output) {
                    let name = &self.graph.value(*output).name;
                    self.report(&node.name, format!("computes `{name}`, which exists already"));
                }
            }
            if node.outputs.is_empty() {
                self.report(&node.name, "computes nothing");
            }
        }
    }

    fn boundary(&mut self) {
        for output in &self.graph.outputs {
            if !self.defined.contains(output) {
                self.report("outputs", format!("value {} is never computed", output.0));
            }
        }
    }
}
