//! Elements repeated: broadcasting to a shape, repeating along axes, and enlarging images by whole factors.
//!
//! All of them are expansions of the same memory under other extents: an axis that is repeated as a whole is its copies, then itself;
//! one whose elements are repeated is itself, then the copies.

use super::movement::{axis, ints};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Node, ValueId};
use crate::lowered::{Ints, LoweredTensor};
use crate::order;
use cortado_contract::ops::{ExpandCopy, Operator};
use cortado_contract::strided::MAX_AXES;

/// Reads from a node how each axis of its result is repeated.
type Repeats = fn(&Lowerer<'_>, &Node, ValueId, ValueId) -> Result<Vec<Repeat>, Unsupported>;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    let lower: Repeats = match node.target.as_str() {
        "aten.expand.default" | "aten.expand_as.default" | "aten.broadcast_to.default" => {
            return Some(lower_expand(lowerer, node));
        }
        "aten.repeat.default" | "aten.tile.default" => repeat,
        "aten.repeat_interleave.self_int" => repeat_interleave,
        "aten.upsample_nearest2d.vec"
        | "aten.upsample_nearest2d.default"
        | "aten.upsample_nearest1d.vec"
        | "aten.upsample_nearest1d.default" => upsample_nearest,
        _ => return None,
    };
    Some(lower_repeat(lowerer, node, lower))
}

fn lower_expand(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = lowerer.moved_ends(node)?;
    let (from, to) = (lowerer.graph.value(input), lowerer.graph.value(output));
    let (rank, order) = (from.shape.len(), to.dim_order.clone());
    let kept = without_new_axes(&order, rank);
    let is_kept = order::is_same(&from.shape, &from.dim_order, &kept);
    if is_kept && from.shape.iter().product::<u32>() == to.shape.iter().product::<u32>() {
        lowerer.view(output, input);
        return Ok(());
    }
    let (mut from, mut out) = (lowerer.tensor(input), lowerer.tensor(output));
    if is_kept && !(order.is_sorted() && from.dim_order.is_sorted()) {
        // Axes in the order of memory; those that the input lacks have the extent 1 there.
        let new = order.len() - rank;
        let extent = |at: &u8| usize::from(*at).checked_sub(new).map_or(1, |at| from.shape[at]);
        let shape = order.iter().map(extent).collect();
        from = lowerer.row_major(&from, shape);
        out = lowerer.in_memory(&out, &order);
    }
    expand(lowerer, node, from, out)
}

fn expand(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    input: LoweredTensor,
    out: LoweredTensor,
) -> Result<(), Unsupported> {
    if out.shape.len() > MAX_AXES {
        let why = format!("it takes more than {MAX_AXES} axes");
        return Err(Unsupported::new(node, why).with_remedy("repeat along one axis at a time"));
    }
    let size = Ints(out.shape.iter().map(|extent| i64::from(*extent)).collect());
    let operator = ExpandCopy { input, size, implicit: false, out };
    lowerer.call(node, Operator::ExpandCopy(operator));
    Ok(())
}

/// The order of the axes that the input has, of `rank` of them; the others are in front.
fn without_new_axes(order: &[u8], rank: usize) -> Vec<u8> {
    let new = order.len() - rank.min(order.len());
    order.iter().filter_map(|at| at.checked_sub(new as u8)).collect()
}

/// How often an axis is repeated as a whole, its extent, and how often each of its elements is repeated.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    whole: u32,
    extent: u32,
    each: u32,
}

fn lower_repeat(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    repeats: Repeats,
) -> Result<(), Unsupported> {
    let (input, output) = lowerer.moved_ends(node)?;
    let repeats = repeats(lowerer, node, input, output)?;
    let (from, to) = (lowerer.graph.value(input), lowerer.graph.value(output));
    let order = to.dim_order.clone();
    let kept = without_new_axes(&order, from.shape.len());
    if !order::is_same(&from.shape, &from.dim_order, &kept) {
        return Err(Unsupported::new(node, "its input and its result lie in memory differently"));
    }
    // Extents before and after, by position in memory; neighbours that are both kept or both repeated become one.
    let mut extents: Vec<(u32, u32)> = Vec::new();
    let parts = order.iter().flat_map(|at| {
        let Repeat { whole, extent, each } = repeats[usize::from(*at)];
        [(1, whole), (extent, extent), (1, each)]
    });
    for (before, after) in parts.filter(|(_, after)| *after != 1) {
        match extents.last_mut().filter(|last| (last.0 == 1) == (before == 1)) {
            Some(last) => *last = (last.0 * before, last.1 * after),
            None => extents.push((before, after)),
        }
    }
    if extents.iter().all(|(before, after)| before == after) {
        lowerer.view(output, input);
        return Ok(());
    }
    let (before, after): (Vec<u32>, Vec<u32>) = extents.into_iter().unzip();
    let (from, out) = (lowerer.tensor(input), lowerer.tensor(output));
    let from = lowerer.row_major(&from, before);
    let out = lowerer.row_major(&out, after);
    expand(lowerer, node, from, out)
}

/// `repeat` and `tile`: axes that the input lacks are put in front.
fn repeat(
    lowerer: &Lowerer<'_>,
    node: &Node,
    input: ValueId,
    output: ValueId,
) -> Result<Vec<Repeat>, Unsupported> {
    let shape = &lowerer.graph.value(input).shape;
    let rank = lowerer.graph.value(output).shape.len();
    let counts = ints(node, "repeats").or_else(|| ints(node, "dims")).unwrap_or_default();
    let item = |list: &[i64], axis: usize| -> u32 {
        let item = (axis + list.len()).checked_sub(rank).and_then(|index| list.get(index));
        item.and_then(|count| u32::try_from(*count).ok()).unwrap_or(1)
    };
    let extents: Vec<i64> = shape.iter().map(|extent| i64::from(*extent)).collect();
    let along = |axis| Repeat { whole: item(&counts, axis), extent: item(&extents, axis), each: 1 };
    Ok((0..rank).map(along).collect())
}

/// `repeat_interleave` by one number along one axis.
fn repeat_interleave(
    lowerer: &Lowerer<'_>,
    node: &Node,
    input: ValueId,
    _: ValueId,
) -> Result<Vec<Repeat>, Unsupported> {
    let (Some(dim), Some(count)) =
        (node.int("dim"), node.int("repeats").and_then(|count| u32::try_from(count).ok()))
    else {
        return Err(Unsupported::new(node, "it has no axis or no number of repeats")
            .with_remedy("name the axis (dim=…) and repeat by a number"));
    };
    let dim = axis(lowerer.graph, node, "dim", dim, input)?;
    let shape = lowerer.graph.value(input).shape.iter().enumerate();
    let along = |(axis, extent): (usize, &u32)| Repeat {
        whole: 1,
        extent: *extent,
        each: if axis == dim { count } else { 1 },
    };
    Ok(shape.map(along).collect())
}

/// Nearest neighbours, where the result's extents are multiples of the input's.
fn upsample_nearest(
    lowerer: &Lowerer<'_>,
    node: &Node,
    input: ValueId,
    output: ValueId,
) -> Result<Vec<Repeat>, Unsupported> {
    let (from, to) = (&lowerer.graph.value(input).shape, &lowerer.graph.value(output).shape);
    let extents = from.iter().zip(to);
    if extents.clone().any(|(from, to)| *from == 0 || to % from != 0) {
        return Err(Unsupported::new(node, format!("it resizes {from:?} to {to:?}"))
            .with_remedy("enlarge by whole factors"));
    }
    Ok(extents.map(|(from, to)| Repeat { whole: 1, extent: *from, each: to / from }).collect())
}
