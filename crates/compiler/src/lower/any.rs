//! Disjunctions: in files of other compilers only.

use super::{Lowerer, Outcome};
use crate::graph::Node;

/// No node becomes this operator: the passes have better ones for whatever it would be needed for.
pub(super) fn lower(_: &mut Lowerer<'_>, _: &Node) -> Outcome {
    None
}
