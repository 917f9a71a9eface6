//! Permutations that `cortex_m::transpose` does not take are lowered in [`super::transpose`].

use super::{Lowerer, Outcome};
use crate::graph::Node;

pub(super) fn lower(_: &mut Lowerer<'_>, _: &Node) -> Outcome {
    None
}
