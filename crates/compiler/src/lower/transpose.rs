//! Permutations of axes.
//!
//! Where the pass `assign_layouts` lets the result lie as the operand does, a permutation only renames axes and is a view. What is
//! left are results whose order in memory is prescribed.

use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::lowered::{Ints, LoweredTensor};
use crate::order;
use crate::passes::permutation;
use cortado_contract::DType;
use cortado_contract::ops::{Operator, PermuteCopy, Transpose};

/// Operators that permute axes.
const PERMUTATIONS: &[&str] = &[
    "aten.permute.default",
    "aten.transpose.int",
    "aten.swapaxes.default",
    "aten.swapdims.default",
    "aten.movedim.int",
    "aten.movedim.intlist",
    "aten.moveaxis.int",
    "aten.moveaxis.intlist",
    "aten.t.default",
    "aten.numpy_T.default",
    "aten.mT.default",
];

/// The most axes that ExecuTorch's transpose takes.
const MAX_AXES: usize = 4;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    PERMUTATIONS.contains(&node.target.as_str()).then(|| lower_permutation(lowerer, node))
}

fn lower_permutation(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = lowerer.moved_ends(node)?;
    let axes = permutation(lowerer.graph, node)
        .ok_or_else(|| Unsupported::new(node, "its axes are no permutation"))?;
    let from = lowerer.tensor(input);
    let to = lowerer.graph.value(output);
    if order::is_same(&to.shape, &order::permuted(&from.dim_order, &axes), &to.dim_order) {
        lowerer.view(output, input);
        return Ok(());
    }
    let out = lowerer.tensor(output);
    permute(lowerer, node, from, axes, out);
    Ok(())
}

/// Adds the call that makes axis `a` of `out` axis `axes[a]` of `from`.
pub(super) fn permute(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    from: LoweredTensor,
    axes: Vec<usize>,
    out: LoweredTensor,
) {
    // What moves in memory: position by position, both sides row-major.
    let positions: Vec<usize> = out
        .dim_order
        .iter()
        .filter_map(|axis| {
            let axis = axes[usize::from(*axis)];
            from.dim_order.iter().position(|at| usize::from(*at) == axis)
        })
        .collect();
    let input = lowerer.in_memory(&from, &from.dim_order.clone());
    let out = lowerer.in_memory(&out, &out.dim_order.clone());
    let (input, axes, out) = if positions.len() > MAX_AXES {
        join_neighbours(lowerer, &input, &positions, &out)
    } else {
        (input, positions, out)
    };
    let dims = Ints(axes.iter().map(|axis| *axis as i64).collect());
    let operator = if input.dtype == DType::I8 && axes.len() <= MAX_AXES {
        Operator::Transpose(Transpose { input, perm: dims, out })
    } else {
        Operator::PermuteCopy(PermuteCopy { input, dims, out })
    };
    lowerer.call(node, operator);
}

/// The same permutation of row-major tensors with as few axes as possible: axes that stay neighbours become one, and those of
/// extent 1 vanish.
fn join_neighbours(
    lowerer: &mut Lowerer<'_>,
    input: &LoweredTensor,
    axes: &[usize],
    out: &LoweredTensor,
) -> (LoweredTensor, Vec<usize>, LoweredTensor) {
    let counted: Vec<usize> = axes.iter().copied().filter(|axis| input.shape[*axis] != 1).collect();
    // Groups of input axes in the order of the result.
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for axis in counted {
        let follows = |group: &Vec<usize>| {
            let last = group[group.len() - 1];
            last < axis && (last + 1..axis).all(|between| input.shape[between] == 1)
        };
        match groups.last_mut().filter(|group| follows(group)) {
            Some(group) => group.push(axis),
            None => groups.push(vec![axis]),
        }
    }
    let extent = |group: &Vec<usize>| group.iter().map(|axis| input.shape[*axis]).product::<u32>();
    let out_shape: Vec<u32> = groups.iter().map(extent).collect();
    let mut sorted: Vec<usize> = (0..groups.len()).collect();
    sorted.sort_by_key(|group| groups[*group][0]);
    let in_shape: Vec<u32> = sorted.iter().map(|group| out_shape[*group]).collect();
    let joined = (0..groups.len())
        .filter_map(|group| sorted.iter().position(|other| *other == group))
        .collect();
    (lowerer.row_major(input, in_shape), joined, lowerer.row_major(out, out_shape))
}
