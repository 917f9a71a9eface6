//! Decides in which order each value's axes lie in memory, and inserts the copies that this takes.
//!
//! The user never manages layout. Values flow forward in whatever order they come:
//!
//! 1. image operators (convolution, pooling) read and write channels-last;
//! 2. operators that sum over the last axis read and write row-major;
//! 3. operators that only rename, join, add or drop axes (permutations, views, selections, means) let the order in memory
//!    follow wherever that is possible without moving anything ([`crate::order`]);
//! 4. everything else takes the order of its largest operand, and writes it.
//!
//! Where an operand lies otherwise than its reader needs, one copy is inserted, which all readers share. An output of the model
//! keeps the order that the exported program declares; the copy for it goes before the dequantize node, where an element
//! is one byte. Constants are not copied: they are stored in the order that is needed.

use super::{DEQUANTIZE, PassContext};
use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, Value, ValueId};
use crate::import::SourceLocation;
use crate::order::{self, row_major};
use cortado_contract::{DType, strided};
use std::collections::HashMap;

/// The target of the copies that this pass inserts.
pub(crate) const CLONE_DIM_ORDER: &str = "dim_order_ops._clone_dim_order.default";

const CHANNELS_LAST: [u8; 4] = [0, 2, 3, 1];

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    let declared: Vec<(ValueId, Vec<u8>)> =
        graph.outputs.iter().map(|id| (*id, graph.value(*id).dim_order.clone())).collect();
    let mut layouts = Layouts { graph, copies: HashMap::new(), placed: Vec::new() };
    for node in std::mem::take(&mut layouts.graph.nodes) {
        layouts.place(node);
    }
    for (position, (id, order)) in declared.into_iter().enumerate() {
        layouts.output(position, id, &order);
    }
    layouts.graph.nodes = std::mem::take(&mut layouts.placed);
    layouts.graph.remove_dead_nodes();
    Ok(())
}

/// What an operator needs of its operands, and how its result then lies.
enum Need {
    /// Channels-last images, in and out.
    Image,
    /// Row-major, in and out.
    RowMajor,
    /// These orders of the first operand and of the result.
    Placed {
        /// The operand's.
        operand: Vec<u8>,
        /// The result's.
        result: Vec<u8>,
    },
    /// One order for all operands of the result's extents, and for the result.
    Follow,
}

fn need(graph: &Graph, node: &Node) -> Need {
    let name = node.target.split('.').nth(1).unwrap_or_default();
    let rank = node.outputs.first().map_or(0, |id| graph.value(*id).shape.len());
    match name {
        "conv2d"
        | "convolution"
        | "conv_transpose2d"
        | "avg_pool2d"
        | "max_pool2d"
        | "max_pool2d_with_indices"
        | "adaptive_avg_pool2d"
        | "_adaptive_avg_pool2d" => match rank {
            4 => Need::Image,
            _ => Need::RowMajor,
        },
        "softmax" | "_softmax" if is_int8(graph, node) => Need::Follow,
        "linear" | "bmm" | "matmul" | "mm" | "addmm" | "softmax" | "_softmax" | "conv1d"
        | "layer_norm" | "log_softmax" | "_log_softmax" | "stack" => Need::RowMajor,
        _ => follow_axes(graph, node, name).unwrap_or(Need::Follow),
    }
}

fn is_int8(graph: &Graph, node: &Node) -> bool {
    node.outputs.iter().all(|id| graph.value(*id).dtype == DType::I8)
}

/// The needs of operators that only rename, join, add or drop axes; `None` for others.
fn follow_axes(graph: &Graph, node: &Node, name: &str) -> Option<Need> {
    let operand = graph.value(node.operands().next()?);
    let result = graph.value(*node.outputs.first()?);
    let (order, rank) = (&operand.dim_order, operand.shape.len());
    let follow = |result: Vec<u8>| Some(Need::Placed { operand: order.clone(), result });
    match name {
        "permute" | "transpose" | "t" | "movedim" | "moveaxis" | "swapaxes" | "swapdims"
        | "numpy_T" | "mT" => match permutation(graph, node) {
            Some(axes) => follow(order::permuted(order, &axes)),
            None => Some(Need::RowMajor),
        },
        "view" | "view_as" | "_unsafe_view" | "reshape" | "reshape_as" | "ravel" | "flatten"
        | "unflatten" | "squeeze" | "unsqueeze" | "squeeze_" | "unsqueeze_" => {
            match order::viewed(&operand.shape, order, &result.shape) {
                Some(seen) => follow(seen),
                None => Some(Need::RowMajor),
            }
        }
        "select" => match strided::axis_of(node.int("dim").unwrap_or(0), rank) {
            Some(axis) => follow(order::without(order, axis)),
            None => Some(Need::RowMajor),
        },
        "expand" | "expand_as" | "broadcast_to" | "repeat" | "tile" => {
            follow(order::with_leading(order, result.shape.len().checked_sub(rank)?))
        }
        "avg_pool1d" | "max_pool1d" | "adaptive_avg_pool1d" => match order.as_slice() {
            [0, 2, 1] => Some(Need::Follow),
            _ => Some(Need::RowMajor),
        },
        "mean" if is_int8(graph, node) => follow_mean(node, operand, result),
        "mean" if rank == 4 => Some(Need::Image),
        "mean" => Some(Need::RowMajor),
        _ => None,
    }
}

/// A mean is one window where its axes are neighbours in memory: as the operand comes, or else in one of the usual orders.
fn follow_mean(node: &Node, operand: &Value, result: &Value) -> Option<Need> {
    let rank = operand.shape.len();
    let written = match node.argument("dim") {
        Some(Argument::Ints(axes)) if !axes.is_empty() => axes.clone(),
        Some(Argument::Int(axis)) => vec![*axis],
        _ => (0..rank as i64).collect(),
    };
    let axes: Vec<usize> =
        written.iter().map(|axis| strided::axis_of(*axis, rank)).collect::<Option<_>>()?;
    let mut orders = vec![operand.dim_order.clone(), row_major(rank)];
    orders.extend((rank == 4).then(|| CHANNELS_LAST.to_vec()));
    let order = orders
        .into_iter()
        .find(|order| order::are_neighbours(&operand.shape, order, &axes))
        .unwrap_or_else(|| operand.dim_order.clone());
    let mut kept = order.clone();
    if result.shape.len() != rank {
        let mut dropped = axes;
        dropped.sort_unstable();
        dropped.dedup();
        for axis in dropped.into_iter().rev() {
            kept = order::without(&kept, axis);
        }
    }
    Some(Need::Placed { operand: order, result: kept })
}

/// For each axis of a permutation's result, the axis of its operand.
pub(crate) fn permutation(graph: &Graph, node: &Node) -> Option<Vec<usize>> {
    let rank = graph.operand_rank(node)?;
    let axis = |written: i64| {
        let axis = if written < 0 { written + rank as i64 } else { written };
        usize::try_from(axis).ok().filter(|axis| *axis < rank)
    };
    let exchanged = |a: usize, b: usize| {
        let mut axes: Vec<usize> = (0..rank).collect();
        axes.swap(a, b);
        axes
    };
    let axes = match node.target.split('.').nth(1)? {
        "permute" => match node.argument("dims")? {
            Argument::Ints(dims) => {
                dims.iter().map(|dim| axis(*dim)).collect::<Option<Vec<usize>>>()?
            }
            _ => return None,
        },
        "transpose" => exchanged(axis(node.int("dim0")?)?, axis(node.int("dim1")?)?),
        "swapaxes" => exchanged(axis(node.int("axis0")?)?, axis(node.int("axis1")?)?),
        "swapdims" => exchanged(axis(node.int("dim0")?)?, axis(node.int("dim1")?)?),
        "movedim" | "moveaxis" => {
            let listed = |name| match node.argument(name)? {
                Argument::Int(at) => Some(vec![axis(*at)?]),
                Argument::Ints(axes) => axes.iter().map(|at| axis(*at)).collect(),
                _ => None,
            };
            moved(rank, &listed("source")?, &listed("destination")?)?
        }
        "mT" => exchanged(rank.checked_sub(2)?, rank - 1),
        "numpy_T" => (0..rank).rev().collect(),
        "t" if rank == 2 => exchanged(0, 1),
        "t" => (0..rank).collect(),
        _ => return None,
    };
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    (sorted.into_iter().eq(0..rank)).then_some(axes)
}

/// The permutation that puts axis `source[i]` at `destination[i]` and the others between in their order.
fn moved(rank: usize, source: &[usize], destination: &[usize]) -> Option<Vec<usize>> {
    let mut axes = vec![None; rank];
    for (from, to) in source.iter().zip(destination) {
        *axes.get_mut(*to)? = Some(*from);
    }
    let mut others = (0..rank).filter(|axis| !source.contains(axis));
    axes.into_iter().map(|axis| axis.or_else(|| others.next())).collect()
}

struct Layouts<'g> {
    graph: &'g mut Graph,
    /// Copies that exist already, by what they copy and into which order.
    copies: HashMap<(ValueId, Vec<u8>), ValueId>,
    placed: Vec<Node>,
}

impl Layouts<'_> {
    /// Settles a node's operands and results, and puts it behind the copies that it needs.
    fn place(&mut self, mut node: Node) {
        match need(self.graph, &node) {
            Need::Image => self.fix(&mut node, |rank| (rank == 4).then(|| CHANNELS_LAST.to_vec())),
            Need::RowMajor => self.fix(&mut node, |rank| Some(row_major(rank))),
            Need::Placed { operand, result } => {
                let first = node.operands().next();
                if let Some(id) = first {
                    let ordered = self.in_order(id, &operand, &node.source);
                    node.replace_operand(id, ordered);
                }
                for output in &node.outputs {
                    self.graph.values[output.0].dim_order.clone_from(&result);
                }
            }
            Need::Follow => {
                let order = self.leading_order(&node);
                self.fix(
                    &mut node,
                    |rank| if rank == order.len() { Some(order.clone()) } else { None },
                );
            }
        }
        self.placed.push(node);
    }

    /// The order of the operand with the most elements; of several, channels-last wins, so that images stay images.
    fn leading_order(&self, node: &Node) -> Vec<u8> {
        let size = |id: &ValueId| {
            self.graph.value(*id).shape.iter().map(|extent| u64::from(*extent)).product::<u64>()
        };
        let operands: Vec<ValueId> =
            node.operands().filter(|id| self.graph.value(*id).data.is_none()).collect();
        let largest = operands.iter().map(size).max();
        let leading = operands.iter().filter(|id| Some(size(id)) == largest);
        let orders: Vec<&Vec<u8>> = leading.map(|id| &self.graph.value(*id).dim_order).collect();
        let image = orders.iter().find(|order| order.as_slice() == CHANNELS_LAST);
        image.or(orders.first()).map(|order| order.to_vec()).unwrap_or_default()
    }

    /// Gives every operand and every result the order that `wanted` says for its rank.
    fn fix(&mut self, node: &mut Node, wanted: impl Fn(usize) -> Option<Vec<u8>>) {
        let operands: Vec<ValueId> = node.operands().collect();
        for operand in operands {
            let rank = self.graph.value(operand).shape.len();
            if let Some(order) = wanted(rank) {
                let ordered = self.in_order(operand, &order, &node.source);
                if ordered != operand {
                    node.replace_operand(operand, ordered);
                }
            }
        }
        for output in &node.outputs {
            let value = &mut self.graph.values[output.0];
            value.dim_order =
                wanted(value.shape.len()).unwrap_or_else(|| row_major(value.shape.len()));
        }
    }

    /// The value itself if it lies in this order already, else a copy that does.
    fn in_order(&mut self, id: ValueId, order: &[u8], source: &SourceLocation) -> ValueId {
        let value = self.graph.value(id);
        if same_memory(value, order) {
            return id;
        }
        let key = (id, order.to_vec());
        if let Some(copy) = self.copies.get(&key) {
            return *copy;
        }
        let suffix: String = order.iter().map(u8::to_string).collect();
        let name = format!("{}_order_{suffix}", value.name);
        let is_constant = value.data.is_some();
        let copied = Value { name: name.clone(), dim_order: order.to_vec(), ..value.clone() };
        let copy = self.graph.add_value(copied);
        // A constant is stored in the order of its value, so it needs no node.
        if !is_constant {
            let dims = order.iter().map(|axis| i64::from(*axis)).collect();
            self.placed.push(Node {
                name,
                target: CLONE_DIM_ORDER.to_owned(),
                arguments: vec![
                    ("self".to_owned(), Argument::Value(id)),
                    ("dim_order".to_owned(), Argument::Ints(dims)),
                ],
                outputs: vec![copy],
                activation: None,
                source: source.clone(),
            });
        }
        self.copies.insert(key, copy);
        copy
    }

    /// Brings an output of the model into the order that was declared.
    fn output(&mut self, position: usize, id: ValueId, order: &[u8]) {
        if same_memory(self.graph.value(id), order) {
            return;
        }
        let dequantize =
            self.placed.iter().position(|node| node.target == DEQUANTIZE && node.outputs == [id]);
        let Some(index) = dequantize else {
            let source = self
                .placed
                .iter()
                .find(|node| node.outputs.contains(&id))
                .map(|node| node.source.clone());
            self.graph.outputs[position] = self.in_order(id, order, &source.unwrap_or_default());
            return;
        };
        // Whoever else reads the dequantized value keeps it; the copied one is the model's alone.
        let mut node = self.placed[index].clone();
        let Some(integers) = node.value("input") else { return };
        let ordered = self.in_order(integers, order, &node.source);
        let name = format!("{}_output{position}", self.graph.value(id).name);
        let value =
            Value { name: name.clone(), dim_order: order.to_vec(), ..self.graph.value(id).clone() };
        let output = self.graph.add_value(value);
        node.replace_operand(integers, ordered);
        (node.name, node.outputs) = (name, vec![output]);
        self.placed.push(node);
        self.graph.outputs[position] = output;
    }
}

impl Graph {
    /// The number of axes of a node's first operand.
    fn operand_rank(&self, node: &Node) -> Option<usize> {
        node.operands().next().map(|id| self.value(id).shape.len())
    }
}

/// Whether a value's bytes are the same in this order: axes of extent 1 may stand anywhere.
fn same_memory(value: &Value, order: &[u8]) -> bool {
    order::is_same(&value.shape, &value.dim_order, order)
}
