//! Which operators compute in int8 or int16, and which tensors share a scale.
//!
//! * A layer with constant weights, a product, a sum, an average or a softmax reads int8 and gives int8.
//! * A clamping activation behind an operator that can clamp is part of it: nothing is quantized in between.
//! * Functions of one element, however many in a row, are one table as long as they depend on one int8 tensor: only what goes in and
//!   what comes out is quantized.
//! * What only moves elements, takes maxima or joins tensors keeps the integers: all tensors around it are one group, on one scale.
//! * Layers that were chosen for it read and give int16. A group of tensors that nobody else reads or makes is int16 altogether. In others
//!   every tensor has the type that its maker gives it, and whoever reads another type has it converted.
//! * Everything else stays in float, with a reason.

use cortado_compiler::functions::{Elementwise, base_name};
use cortado_compiler::graph::{Argument, Graph, Node, ValueId};
use cortado_compiler::passes::{clamp_range, is_clamping_producer};
use cortado_contract::DType;
use std::collections::HashSet;

/// What a node is to the quantizer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Role {
    /// A convolution or a linear layer with constant weights.
    Layer,
    /// A product of matrices.
    Product,
    /// Softmax, whose results have a scale of their own.
    Softmax,
    /// An average over positions, which may change the scale.
    Average,
    /// A function of single elements.
    Elementwise,
    /// A clamping activation that is part of the operator before it.
    Fused,
    /// It keeps the integers as they are.
    Shared,
    /// It stays in float.
    Float(String),
}

/// Operators that keep the integers as they are.
const SHARED: &[&str] = &[
    "_unsafe_view",
    "broadcast_to",
    "cat",
    "channel_shuffle",
    "concat",
    "concatenate",
    "constant_pad_nd",
    "expand",
    "expand_as",
    "flatten",
    "mT",
    "max_pool1d",
    "max_pool2d",
    "moveaxis",
    "movedim",
    "narrow",
    "pad",
    "permute",
    "pixel_shuffle",
    "pixel_unshuffle",
    "ravel",
    "repeat",
    "repeat_interleave",
    "reshape",
    "reshape_as",
    "select",
    "slice",
    "squeeze",
    "stack",
    "swapaxes",
    "swapdims",
    "t",
    "tile",
    "transpose",
    "unflatten",
    "unsqueeze",
    "upsample_nearest1d",
    "upsample_nearest2d",
    "view",
    "view_as",
];

/// The reason for sums to stay in float.
const BESIDE_FLOAT: &str = "it is a sum around a normalization, which computes in float: rounding it to int8 and back would cost more than adding";

/// The reason for what is masked to stay in float.
const MASKED: &str = "it is masked with infinities, which have no integer";

/// Operators that keep the integers as they are, but are there for int8 only.
const SHARED_IN_INT8: &[&str] =
    &["max_pool1d", "max_pool2d", "upsample_nearest1d", "upsample_nearest2d"];

/// Layers that have kernels for int16.
const INT16_LAYERS: &[&str] = &[
    "aten.linear.default",
    "aten.conv1d.default",
    "aten.conv1d.padding",
    "aten.conv2d.default",
    "aten.conv2d.padding",
];

/// Whether there is an int16 kernel for a node, if it is a layer with constant weights.
pub(crate) fn has_int16_kernel(node: &Node) -> bool {
    INT16_LAYERS.contains(&node.target.as_str())
}

/// Tensors on one scale.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// Those whose numbers decide about the scale: what no operator of the group made of another member.
    pub(crate) roots: Vec<ValueId>,
    /// Numbers that must be among those that have an integer, such as what is padded with.
    pub(crate) numbers: Vec<f32>,
    /// The result of a softmax or a sigmoid, whose range is known.
    pub(crate) unit: Option<Unit>,
    /// Beyond these bounds every reader sees the same number.
    pub(crate) seen: Option<(f32, f32)>,
    /// All of its tensors are int16.
    pub(crate) is_int16: bool,
}

/// Results between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unit {
    Softmax,
    Sigmoid,
}

/// The decisions about a graph.
#[derive(Clone, Debug)]
pub(crate) struct Scheme {
    /// One for each node.
    pub(crate) roles: Vec<Role>,
    /// For each value that is quantized, its group.
    pub(crate) group_of: Vec<Option<usize>>,
    pub(crate) groups: Vec<Group>,
    /// For each value, the node that computes it.
    pub(crate) producer: Vec<Option<usize>>,
    /// For each node that computes in integers, whether these are int16.
    pub(crate) is_int16: Vec<bool>,
}

impl Scheme {
    /// Decides about a graph; `keep` gives the reason for a node that must stay in float, `widen` says which layers are to be int16.
    pub(crate) fn new(
        graph: &Graph,
        keep: impl Fn(&Node) -> Option<String>,
        widen: impl Fn(&Node) -> bool,
    ) -> Scheme {
        let mut producer = vec![None; graph.values.len()];
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            node.outputs.iter().for_each(|id| producer[id.0] = Some(index));
            node.operands().for_each(|id| users[id.0].push(index));
        }
        let roles = graph.nodes.iter().map(|node| match keep(node) {
            Some(reason) => Role::Float(reason),
            None => role(graph, node),
        });
        let mut work = Work { graph, roles: roles.collect(), producer, users };
        work.keep_masked_softmax();
        work.keep_sums_beside_float();
        work.fuse_activations();
        let hidden = work.hidden();
        let mut scheme = work.group(&hidden);
        scheme.widen(graph, widen);
        scheme
    }

    /// Decides about int16, for the layers that were chosen.
    fn widen(&mut self, graph: &Graph, chosen: impl Fn(&Node) -> bool) {
        for (index, node) in graph.nodes.iter().enumerate() {
            let before = node.operands().find_map(|id| self.producer[id.0]);
            match (&self.roles[index], before) {
                (Role::Layer, _) => self.is_int16[index] = has_int16_kernel(node) && chosen(node),
                // A layer and its activation are one, whichever of both was named.
                (Role::Fused, Some(before)) if self.roles[before] == Role::Layer => {
                    self.is_int16[before] |= has_int16_kernel(&graph.nodes[before]) && chosen(node);
                    self.is_int16[index] = self.is_int16[before];
                }
                _ => {}
            }
        }
        let has_int16_move = |index: usize| {
            let name = base_name(&graph.nodes[index]).map_or("", |(name, _)| name);
            self.roles[index] == Role::Shared && !SHARED_IN_INT8.contains(&name)
        };
        let mut touched = vec![(false, true); self.groups.len()];
        for (index, node) in graph.nodes.iter().enumerate().filter(|(it, _)| self.is_int8(*it)) {
            for id in node.operands().chain(node.outputs.iter().copied()) {
                if let Some(group) = self.group_of[id.0] {
                    let (any, all) = &mut touched[group];
                    *any |= self.is_int16[index];
                    *all &= self.is_int16[index] || has_int16_move(index);
                }
            }
        }
        for (group, (any, all)) in self.groups.iter_mut().zip(touched) {
            group.is_int16 = any && all;
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            let group = node.outputs.first().and_then(|id| self.group_of[id.0]);
            self.is_int16[index] |=
                self.is_int8(index) && group.is_some_and(|group| self.groups[group].is_int16);
        }
    }

    /// The type of the integers that a node computes with.
    pub(crate) fn type_of(&self, node: usize) -> DType {
        if self.is_int16[node] { DType::I16 } else { DType::I8 }
    }

    /// The type of a quantized value as it is made; `None` for one that is made in float.
    pub(crate) fn made_as(&self, id: ValueId) -> Option<DType> {
        let node = self.producer[id.0].filter(|node| self.is_int8(*node))?;
        Some(self.type_of(node))
    }

    /// The types as which integer operators read a value.
    pub(crate) fn read_as(&self, graph: &Graph, id: ValueId) -> Vec<DType> {
        let readers = graph.nodes.iter().enumerate().filter(|(index, node)| {
            self.is_int8(*index) && node.operands().any(|operand| operand == id)
        });
        let mut types: Vec<DType> = readers.map(|(index, _)| self.type_of(index)).collect();
        types.sort_by_key(|dtype| dtype.size_bytes());
        types.dedup();
        types
    }

    /// Whether an average is among a group's tensors.
    pub(crate) fn has_average(&self, group: &Group) -> bool {
        let is_average =
            |id: &ValueId| self.producer[id.0].is_some_and(|it| self.roles[it] == Role::Average);
        group.roots.iter().any(is_average)
    }

    /// Whether a node computes in integers: in int8, or in int16 where [`Scheme::is_int16`] says so.
    pub(crate) fn is_int8(&self, node: usize) -> bool {
        !matches!(self.roles[node], Role::Float(_))
    }
}

/// A tensor of numbers that is not constant.
fn is_activation(graph: &Graph, id: ValueId) -> bool {
    graph.value(id).data.is_none() && graph.value(id).dtype == DType::F32
}

fn is_constant(graph: &Graph, id: ValueId) -> bool {
    graph.value(id).data.is_some() && graph.value(id).dtype == DType::F32
}

fn role(graph: &Graph, node: &Node) -> Role {
    let float = |reason: &str| Role::Float(reason.to_owned());
    let (Some((name, _)), [output]) = (base_name(node), &node.outputs[..]) else {
        return float("it has other than one result");
    };
    let is_f32 = |id: ValueId| graph.value(id).dtype == DType::F32;
    if !is_f32(*output) || !node.operands().all(is_f32) {
        return float("it computes with other than float32");
    }
    let activations = node.operands().filter(|id| is_activation(graph, *id)).count();
    if activations == 0 {
        return float("it depends on constants only");
    }
    let constant = |name: &str| node.value(name).is_some_and(|id| is_constant(graph, id));
    match node.target.as_str() {
        "aten.linear.default"
        | "aten.conv1d.default"
        | "aten.conv1d.padding"
        | "aten.conv2d.default"
        | "aten.conv2d.padding"
        | "aten.conv_transpose1d.default"
        | "aten.conv_transpose2d.input" => {
            let has_bias = node.value("bias").is_some();
            return match constant("weight") && (!has_bias || constant("bias")) {
                true => Role::Layer,
                false => float("its weight or its bias is not constant"),
            };
        }
        "aten.matmul.default" | "aten.bmm.default" | "aten.mm.default" => {
            let is_matrix = |id: ValueId| graph.value(id).shape.len() >= 2;
            return match node.operands().all(is_matrix) {
                true => Role::Product,
                false => float("it multiplies a vector"),
            };
        }
        "aten.softmax.int" | "aten._softmax.default" => return Role::Softmax,
        "aten.avg_pool1d.default"
        | "aten.avg_pool2d.default"
        | "aten.adaptive_avg_pool1d.default"
        | "aten.adaptive_avg_pool2d.default"
        | "aten._adaptive_avg_pool2d.default"
        | "aten.mean.dim"
        | "aten.mean.default" => return Role::Average,
        _ => {}
    }
    if SHARED.contains(&name) {
        if let Some(Argument::Text(mode)) = node.argument("mode")
            && mode != "constant"
        {
            return float("it pads with other than a constant, which has no int8 kernel");
        }
        if node.float("value").is_some_and(|value| !value.is_finite()) {
            return float("it pads with a number that is not finite");
        }
        return Role::Shared;
    }
    if clamp_range(node).is_some() || Elementwise::of(node).is_some() {
        if node.operands().any(|id| is_infinite(graph, id)) {
            return float(MASKED);
        }
        return match Elementwise::of(node).map(|function| function.operands.len()) {
            Some(2) if activations == 1 && table_constant(graph, node).is_none() => {
                match matches!(name, "add" | "sub" | "rsub" | "mul" | "div" | "minimum" | "maximum")
                {
                    true => Role::Elementwise,
                    false => float("there is no int8 kernel for it with a constant per channel"),
                }
            }
            Some(2) if activations == 2 => {
                let has_kernel = matches!(
                    name,
                    "add"
                        | "sub"
                        | "subtract"
                        | "rsub"
                        | "mul"
                        | "multiply"
                        | "div"
                        | "divide"
                        | "true_divide"
                        | "minimum"
                        | "maximum"
                );
                let is_square = node.operands().collect::<HashSet<_>>().len() == 1;
                let is_rounded = matches!(node.argument("rounding_mode"), Some(Argument::Text(_)));
                match is_square || has_kernel && !is_rounded {
                    true => Role::Elementwise,
                    false => float("there is no int8 kernel for it with two tensors"),
                }
            }
            _ => Role::Elementwise,
        };
    }
    float("there is no int8 kernel for it")
}

/// Whether a constant, such as a mask, holds numbers that are not finite.
fn is_infinite(graph: &Graph, id: ValueId) -> bool {
    let constant = crate::tensor::Tensor::of_constant(graph.value(id));
    constant.is_some_and(|it| it.data().iter().any(|number| !number.is_finite()))
}

/// The only number of a function's constant operand.
fn table_constant(graph: &Graph, node: &Node) -> Option<ValueId> {
    node.operands().find(|id| {
        let value = graph.value(*id);
        value.data.is_some() && value.shape.iter().product::<u32>() == 1
    })
}

struct Work<'g> {
    graph: &'g Graph,
    roles: Vec<Role>,
    producer: Vec<Option<usize>>,
    users: Vec<Vec<usize>>,
}

impl Work<'_> {
    fn producer_of(&self, id: ValueId) -> Option<usize> {
        self.producer[id.0]
    }

    fn is_output(&self, id: ValueId) -> bool {
        self.graph.outputs.contains(&id)
    }

    /// Leaves softmax in float where what it reads has been masked.
    fn keep_masked_softmax(&mut self) {
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let is_masked = |id: ValueId| {
                let producer = self.producer_of(id);
                producer.is_some_and(|it| self.roles[it] == Role::Float(MASKED.to_owned()))
            };
            if self.roles[index] == Role::Softmax && node.operands().any(is_masked) {
                self.roles[index] = Role::Float(MASKED.to_owned());
            }
        }
    }

    /// Leaves sums in float where a layer that computes in float reads them, or made one of their operands for them alone.
    ///
    /// Such are the residual sums around layer normalization. In int8 each would be rounded three times to be read in float again.
    fn keep_sums_beside_float(&mut self) {
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let is_sum = base_name(node).is_some_and(|(name, _)| matches!(name, "add" | "sub"));
            let activations: Vec<ValueId> =
                node.operands().filter(|id| is_activation(self.graph, *id)).collect();
            if !is_sum || activations.len() != 2 || self.roles[index] != Role::Elementwise {
                continue;
            }
            let is_norm = |user: &usize| {
                matches!(self.roles[*user], Role::Float(_))
                    && self.graph.nodes[*user].target.ends_with("layer_norm.default")
            };
            let is_read = node.outputs.iter().any(|id| self.users[id.0].iter().any(is_norm));
            let is_sum_in_float = |id: &ValueId| {
                self.producer_of(*id).is_some_and(|producer| {
                    self.roles[producer] == Role::Float(BESIDE_FLOAT.to_owned())
                })
            };
            let is_made = activations.iter().any(is_sum_in_float);
            if is_read || is_made {
                self.roles[index] = Role::Float(BESIDE_FLOAT.to_owned());
            }
        }
    }

    /// Makes clamping activations part of the operator before them.
    fn fuse_activations(&mut self) {
        for index in 0..self.graph.nodes.len() {
            let node = &self.graph.nodes[index];
            let Some(input) = node.value("self").or_else(|| node.value("input")) else { continue };
            let Some(before) = self.producer_of(input) else { continue };
            let can_clamp = match self.roles[before] {
                Role::Layer => true,
                // An operator of one tensor and numbers is a table, and so is it with the activation.
                Role::Elementwise => {
                    self.graph.nodes[before]
                        .operands()
                        .filter(|id| self.graph.value(*id).shape.iter().product::<u32>() != 1)
                        .collect::<HashSet<_>>()
                        .len()
                        == 2
                }
                _ => false,
            };
            if self.roles[index] == Role::Elementwise
                && clamp_range(node).is_some()
                && can_clamp
                && is_clamping_producer(&self.graph.nodes[before])
                && self.users[input.0] == [index]
                && !self.is_output(input)
            {
                self.roles[index] = Role::Fused;
            }
        }
    }

    /// The values that nobody quantizes although int8 operators make and read them: in front of a fused activation, and within a table.
    fn hidden(&self) -> HashSet<ValueId> {
        let nodes = &self.graph.nodes;
        // Begin with all that could be, and take out what cannot, until nothing changes.
        let mut within: HashSet<ValueId> = HashSet::new();
        for (index, node) in nodes.iter().enumerate() {
            if self.roles[index] == Role::Elementwise {
                within.extend(node.outputs.iter().filter(|id| !self.is_output(**id)));
            }
        }
        loop {
            let sources = self.sources(&within);
            let is_within = |id: &ValueId| {
                let users = &self.users[id.0];
                let producer = self.producer_of(*id);
                let own = producer.and_then(|index| sources[index]);
                own.is_some()
                    && users
                        .iter()
                        .all(|user| self.roles[*user] == Role::Elementwise && sources[*user] == own)
            };
            let before = within.len();
            let kept: HashSet<ValueId> = within.iter().copied().filter(is_within).collect();
            within = kept;
            if within.len() == before {
                break;
            }
        }
        for (index, node) in nodes.iter().enumerate() {
            if self.roles[index] == Role::Fused {
                within.extend(node.operands().filter(|id| is_activation(self.graph, *id)));
            }
        }
        within
    }

    /// For each function of single elements, the only int8 tensor that it depends on, seen through the values `within` tables.
    fn sources(&self, within: &HashSet<ValueId>) -> Vec<Option<ValueId>> {
        let mut sources: Vec<Option<ValueId>> = vec![None; self.graph.nodes.len()];
        for (index, node) in self.graph.nodes.iter().enumerate() {
            if self.roles[index] != Role::Elementwise {
                continue;
            }
            let own: Option<Vec<ValueId>> = node
                .operands()
                .filter(|id| is_activation(self.graph, *id))
                .map(|id| match within.contains(&id) {
                    true => self.producer_of(id).and_then(|producer| sources[producer]),
                    false => Some(id),
                })
                .collect();
            let has_rows = node.operands().any(|id| {
                let value = self.graph.value(id);
                value.data.is_some() && value.shape.iter().product::<u32>() != 1
            });
            sources[index] = own.and_then(|own| {
                let first = *own.first()?;
                let same_extents =
                    self.graph.value(first).shape == self.graph.value(node.outputs[0]).shape;
                let alone = own.iter().all(|id| *id == first) && !has_rows && same_extents;
                // The sum or the product of a tensor with itself has a kernel; a table reads one tensor as well.
                alone.then_some(first)
            });
        }
        sources
    }

    fn group(self, hidden: &HashSet<ValueId>) -> Scheme {
        let graph = self.graph;
        let mut quantized: Vec<bool> = vec![false; graph.values.len()];
        let mut union = Union((0..graph.values.len()).collect());
        let mut is_derived = vec![false; graph.values.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            if matches!(self.roles[index], Role::Float(_)) {
                continue;
            }
            let operands: Vec<ValueId> = node
                .operands()
                .filter(|id| is_activation(graph, *id) && !hidden.contains(id))
                .collect();
            let output = node.outputs[0];
            operands.iter().for_each(|id| quantized[id.0] = true);
            if hidden.contains(&output) {
                continue;
            }
            quantized[output.0] = true;
            let name = base_name(node).map_or("", |(name, _)| name);
            let takes_one =
                matches!(name, "minimum" | "maximum") && self.roles[index] == Role::Elementwise;
            if self.roles[index] == Role::Shared || takes_one && operands.len() == 2 {
                operands.iter().for_each(|id| union.join(id.0, output.0));
                is_derived[output.0] = true;
            }
        }
        let mut group_of = vec![None; graph.values.len()];
        let mut groups: Vec<Group> = Vec::new();
        let mut index_of = std::collections::HashMap::new();
        for id in (0..graph.values.len()).filter(|id| quantized[*id]) {
            let index = *index_of.entry(union.root(id)).or_insert_with(|| {
                groups.push(Group::default());
                groups.len() - 1
            });
            group_of[id] = Some(index);
            if !is_derived[id] {
                groups[index].roots.push(ValueId(id));
            }
        }
        let is_int16 = vec![false; graph.nodes.len()];
        let mut scheme =
            Scheme { roles: self.roles, group_of, groups, producer: self.producer, is_int16 };
        scheme.note_numbers(graph);
        scheme.note_units(graph);
        scheme.note_seen(graph, &self.users);
        scheme
    }
}

impl Scheme {
    /// Constants that are joined with activations, and numbers that are padded with.
    fn note_numbers(&mut self, graph: &Graph) {
        for (index, node) in graph.nodes.iter().enumerate() {
            let Some(group) = node.outputs.first().and_then(|id| self.group_of[id.0]) else {
                continue;
            };
            let name = base_name(node).map_or("", |(name, _)| name);
            let takes_one =
                matches!(name, "minimum" | "maximum") && self.roles[index] == Role::Elementwise;
            if self.roles[index] != Role::Shared && !takes_one {
                continue;
            }
            let numbers = &mut self.groups[group].numbers;
            if matches!(name, "pad" | "constant_pad_nd") {
                numbers.push(node.float("value").unwrap_or(0.0) as f32);
            }
            for id in node.operands() {
                if let Some(constant) = crate::tensor::Tensor::of_constant(graph.value(id)) {
                    numbers.extend_from_slice(constant.data());
                }
            }
        }
    }

    fn note_units(&mut self, graph: &Graph) {
        for group in &mut self.groups {
            let unit = |id: &ValueId| {
                let producer = self.producer[id.0]?;
                match (&self.roles[producer], base_name(&graph.nodes[producer])) {
                    (Role::Softmax, _) => Some(Unit::Softmax),
                    (Role::Elementwise, Some(("sigmoid", _))) => Some(Unit::Sigmoid),
                    _ => None,
                }
            };
            let mut units = group.roots.iter().map(unit);
            let first = units.next().flatten();
            let within = group.numbers.iter().all(|number| (0.0..1.0).contains(number));
            group.unit = first.filter(|first| within && units.all(|unit| unit == Some(*first)));
        }
    }

    /// Where every reader of a tensor clamps it, or is constant or nearly so beyond a bound.
    fn note_seen(&mut self, graph: &Graph, users: &[Vec<usize>]) {
        let mut seen: Vec<Option<(f32, f32)>> =
            vec![Some((f32::INFINITY, f32::NEG_INFINITY)); self.groups.len()];
        for (index, group) in self.group_of.iter().enumerate() {
            let Some(group) = *group else { continue };
            let is_output = graph.outputs.contains(&ValueId(index));
            for user in &users[index] {
                let bounds = match self.roles[*user] {
                    Role::Elementwise => bounds(&graph.nodes[*user]),
                    // Another member of the group, whose readers count.
                    Role::Shared => continue,
                    _ => None,
                };
                let all = seen[group].take();
                seen[group] =
                    all.zip(bounds).map(|(all, own)| (all.0.min(own.0), all.1.max(own.1)));
            }
            if is_output {
                seen[group] = None;
            }
        }
        for (group, seen) in self.groups.iter_mut().zip(seen) {
            group.seen = seen.filter(|(min, max)| min < max && group.numbers.is_empty());
        }
    }
}

/// Bounds beyond which a function of one element has the value that it has at the bound.
fn bounds(node: &Node) -> Option<(f32, f32)> {
    if let Some(range) = clamp_range(node) {
        return Some((range.min as f32, range.max as f32));
    }
    match base_name(node)?.0 {
        "hardswish" => Some((-3.0, f32::INFINITY)),
        "hardsigmoid" => Some((-3.0, 3.0)),
        _ => None,
    }
}

/// Disjoint sets.
struct Union(Vec<usize>);

impl Union {
    fn root(&mut self, at: usize) -> usize {
        let parent = self.0[at];
        if parent == at {
            return at;
        }
        let root = self.root(parent);
        self.0[at] = root;
        root
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }
}
