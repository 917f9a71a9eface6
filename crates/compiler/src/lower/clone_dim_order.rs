//! Copies that bring a tensor's axes into another order in memory; the pass `assign_layouts` inserts them.
//!
//! Such a copy is a permutation of the memory as it lies, for which ExecuTorch has faster operators. The operator of this name
//! itself only occurs in files that other compilers made.

use super::transpose::permute;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::passes::CLONE_DIM_ORDER;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    (node.target == CLONE_DIM_ORDER).then(|| lower_copy(lowerer, node))
}

fn lower_copy(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (Some(input), [output]) = (node.value("self"), node.outputs.as_slice()) else {
        return Err(Unsupported::new(node, "it has no input or more than one result"));
    };
    let (from, out) = (lowerer.tensor(input), lowerer.tensor(*output));
    let axes = (0..out.shape.len()).collect();
    permute(lowerer, node, from, axes, out);
    Ok(())
}
