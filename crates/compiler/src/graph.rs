//! The graph that passes work on: nodes over values, named as PyTorch names them.
//!
//! A node keeps its ATen target (`aten.linear.default`) and named arguments, so a pass or a lowering that knows an operator
//! reads it as PyTorch's documentation states it, and nothing else needs to know it. Quantization is a
//! property of values once the pass `fold_qparams` has run.

use crate::import::SourceLocation;
use cortado_contract::DType;
use std::sync::Arc;

/// The position of a value in [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// A model: values, and nodes in an order in which they can be executed.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// All values; those that no node uses any more stay, so that ids remain valid.
    pub values: Vec<Value>,
    /// The nodes in execution order.
    pub nodes: Vec<Node>,
    /// The model's inputs.
    pub inputs: Vec<ValueId>,
    /// The model's outputs.
    pub outputs: Vec<ValueId>,
}

/// A tensor of the model.
#[derive(Clone, Debug)]
pub struct Value {
    /// The name in the exported program.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The extents in logical order (NCHW for images).
    pub shape: Vec<u32>,
    /// The axes in memory order, outermost first.
    pub dim_order: Vec<u8>,
    /// What its integers stand for.
    pub quantization: Option<Quantization>,
    /// The elements of a constant: logical order, little-endian.
    pub data: Option<Arc<[u8]>>,
}

/// What the integers of a quantized value stand for: `real = (integer − zero_point) · scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantization {
    /// One scale, or one per channel.
    pub scale: Scale,
    /// One zero point, or one per channel.
    pub zero_points: Vec<i32>,
    /// The least integer.
    pub quant_min: i32,
    /// The greatest integer.
    pub quant_max: i32,
    /// The integer type.
    pub dtype: DType,
}

/// The step between neighbouring integers.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    /// The same for the whole tensor.
    PerTensor(f64),
    /// One for each index of an axis.
    PerChannel {
        /// The axis.
        axis: usize,
        /// The scales.
        scales: Vec<f64>,
    },
}

impl Quantization {
    /// Scale and zero point when there is only one of each.
    pub fn per_tensor(&self) -> Option<(f64, i32)> {
        match (&self.scale, self.zero_points.as_slice()) {
            (Scale::PerTensor(scale), [zero_point]) => Some((*scale, *zero_point)),
            _ => None,
        }
    }
}

/// An operation of the model.
#[derive(Clone, Debug)]
pub struct Node {
    /// The name in the exported program.
    pub name: String,
    /// The operator as ATen names it, such as `aten.linear.default`.
    pub target: String,
    /// The arguments that were given, by name; defaulted ones may be absent.
    pub arguments: Vec<(String, Argument)>,
    /// The results.
    pub outputs: Vec<ValueId>,
    /// The range of real numbers that a fused activation clamps the result to.
    pub activation: Option<RealRange>,
    /// Where the user wrote it.
    pub source: SourceLocation,
}

/// A range of real numbers, inclusive; infinite where there is no bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RealRange {
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
}

impl RealRange {
    /// All real numbers.
    pub const ALL: RealRange = RealRange { min: f64::NEG_INFINITY, max: f64::INFINITY };

    /// What is left when both ranges clamp one after the other, this one first.
    pub fn then(self, next: RealRange) -> RealRange {
        RealRange {
            min: self.min.clamp(next.min, next.max),
            max: self.max.clamp(next.min, next.max),
        }
    }
}

/// An argument of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// Python's `None`.
    None,
    /// A tensor.
    Value(ValueId),
    /// A list of tensors; `None` where an optional one is absent.
    Values(Vec<Option<ValueId>>),
    /// An integer.
    Int(i64),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A number.
    Float(f64),
    /// A list of numbers.
    Floats(Vec<f64>),
    /// A truth value.
    Bool(bool),
    /// A list of truth values.
    Bools(Vec<bool>),
    /// A word, such as a padding mode.
    Text(String),
    /// An element type.
    DType(DType),
    /// Something that no lowering asks for: a device, a layout, a memory format.
    Other,
}

impl Node {
    /// The argument of this name, `None` when it was not given.
    pub fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|(given, _)| given == name).map(|(_, argument)| argument)
    }

    /// A tensor argument.
    pub fn value(&self, name: &str) -> Option<ValueId> {
        match self.argument(name)? {
            Argument::Value(id) => Some(*id),
            _ => None,
        }
    }

    /// A number, whether it was given as a float or as an integer.
    pub fn float(&self, name: &str) -> Option<f64> {
        match self.argument(name)? {
            Argument::Float(value) => Some(*value),
            Argument::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// An integer.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.argument(name)? {
            Argument::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Whether an argument is given as `True`.
    pub fn flag(&self, name: &str) -> bool {
        self.argument(name) == Some(&Argument::Bool(true))
    }

    /// Every tensor that the node reads.
    pub fn operands(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.arguments.iter().flat_map(|(_, argument)| match argument {
            Argument::Value(id) => vec![*id],
            Argument::Values(ids) => ids.iter().flatten().copied().collect(),
            _ => Vec::new(),
        })
    }

    /// Replaces every reading of one value by another.
    pub fn replace_operand(&mut self, from: ValueId, to: ValueId) {
        for (_, argument) in &mut self.arguments {
            match argument {
                Argument::Value(id) if *id == from => *id = to,
                Argument::Values(ids) => {
                    ids.iter_mut().flatten().filter(|id| **id == from).for_each(|id| *id = to);
                }
                _ => {}
            }
        }
    }
}

impl Graph {
    /// The value behind an id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Adds a value.
    pub fn add_value(&mut self, value: Value) -> ValueId {
        self.values.push(value);
        ValueId(self.values.len() - 1)
    }

    /// The position of the node that computes a value; `None` for inputs and constants.
    pub fn producer(&self, id: ValueId) -> Option<usize> {
        self.nodes.iter().position(|node| node.outputs.contains(&id))
    }

    /// The positions of the nodes that read a value.
    pub fn users(&self, id: ValueId) -> Vec<usize> {
        let reads = |node: &Node| node.operands().any(|operand| operand == id);
        self.nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| reads(node))
            .map(|(index, _)| index)
            .collect()
    }

    /// Replaces every use of a value, as an operand and as an output of the model.
    pub fn replace_uses(&mut self, from: ValueId, to: ValueId) {
        self.nodes.iter_mut().for_each(|node| node.replace_operand(from, to));
        self.outputs.iter_mut().filter(|id| **id == from).for_each(|id| *id = to);
    }

    /// Removes nodes whose results nobody reads.
    pub fn remove_dead_nodes(&mut self) {
        let mut live = vec![false; self.values.len()];
        self.outputs.iter().for_each(|id| live[id.0] = true);
        let mut kept = Vec::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes).into_iter().rev() {
            if node.outputs.iter().any(|id| live[id.0]) {
                node.operands().for_each(|id| live[id.0] = true);
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
    }
}
