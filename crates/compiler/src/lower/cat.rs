//! Tensors one behind the other along an axis, and along a new one.

use super::movement::{axis_of, lies_in, position_of};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Argument, Node, ValueId};
use crate::lowered::{LoweredTensor, Tensors};
use cortado_contract::ops::cat::MAX_TENSORS;
use cortado_contract::ops::{Cat, Operator};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    match node.target.as_str() {
        "aten.cat.default" | "aten.concat.default" | "aten.concatenate.default" => {
            Some(lower_cat(lowerer, node, false))
        }
        "aten.stack.default" => Some(lower_cat(lowerer, node, true)),
        _ => None,
    }
}

/// `is_new` says that the axis is one that the tensors lack.
fn lower_cat(lowerer: &mut Lowerer<'_>, node: &Node, is_new: bool) -> Result<(), Unsupported> {
    let (Some(Argument::Values(tensors)), [output]) =
        (node.argument("tensors"), node.outputs.as_slice())
    else {
        return Err(Unsupported::new(node, "it has no tensors or more than one result"));
    };
    let rank = lowerer.graph.value(*output).shape.len();
    let dim = axis_of(node, node.int("dim").unwrap_or(0), rank)?;
    // PyTorch leaves out tensors of shape [0], whatever the others' rank.
    let is_left_out = |id: &ValueId| !is_new && lowerer.graph.value(*id).shape == [0] && rank != 1;
    let ids: Vec<ValueId> =
        tensors.iter().flatten().copied().filter(|id| !is_left_out(id)).collect();
    let order = lowerer.graph.value(*output).dim_order.clone();
    let mut parts = Vec::with_capacity(ids.len());
    for id in &ids {
        lowerer.require_same_meaning(node, *id, *output)?;
        let mut part = lowerer.tensor(*id);
        if is_new {
            part = with_new_axis(lowerer, node, &part, dim)?;
        }
        if !lies_in(&part, &order) {
            let why = "its tensors lie in memory in different orders";
            return Err(Unsupported::new(node, why).with_remedy("call .contiguous() on each"));
        }
        parts.push(lowerer.in_memory(&part, &order));
    }
    if let ([only], false) = (ids.as_slice(), is_new) {
        lowerer.view(*output, *only);
        return Ok(());
    }
    // A row-major result keeps the axis as it was written.
    let position = position_of(&order, dim);
    let written = if order.is_sorted() { node.int("dim").unwrap_or(0) } else { position };
    let out = lowerer.tensor(*output);
    let out = lowerer.in_memory(&out, &order);
    join(lowerer, node, parts, position as usize, written, out);
    Ok(())
}

/// Joins row-major tensors along an axis, in several calls when there are more of them than one takes.
fn join(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    mut parts: Vec<LoweredTensor>,
    axis: usize,
    written: i64,
    out: LoweredTensor,
) {
    let mut round = 0;
    while parts.len() > MAX_TENSORS {
        round += 1;
        let groups: Vec<Vec<LoweredTensor>> =
            parts.chunks(MAX_TENSORS).map(<[LoweredTensor]>::to_vec).collect();
        parts = Vec::with_capacity(groups.len());
        for (index, mut group) in groups.into_iter().enumerate() {
            if group.len() == 1 {
                parts.append(&mut group);
                continue;
            }
            let mut shape = group[0].shape.clone();
            shape[axis] = group.iter().map(|part| part.shape[axis]).sum();
            let name = format!("{}_part{round}_{index}", node.name);
            let joined = lowerer.temporary(name, out.dtype, shape, out.dim_order.clone());
            let operator = Cat { tensors: Tensors(group), dim: written, out: joined.clone() };
            lowerer.call(node, Operator::Cat(operator));
            parts.push(joined);
        }
    }
    lowerer.call(node, Operator::Cat(Cat { tensors: Tensors(parts), dim: written, out }));
}

/// A row-major tensor with one more axis of extent 1.
fn with_new_axis(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    tensor: &LoweredTensor,
    dim: usize,
) -> Result<LoweredTensor, Unsupported> {
    let rows: Vec<u8> = (0..tensor.shape.len() as u8).collect();
    if !lies_in(tensor, &rows) {
        return Err(Unsupported::new(node, "its tensors are not row-major in memory"));
    }
    let mut shape = tensor.shape.clone();
    shape.insert(dim, 1);
    Ok(lowerer.row_major(tensor, shape))
}
