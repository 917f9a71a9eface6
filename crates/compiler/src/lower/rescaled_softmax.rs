//! Softmax with any scale is lowered in [`super::softmax`].

use super::{Lowerer, Outcome};
use crate::graph::Node;

pub(super) fn lower(_: &mut Lowerer<'_>, _: &Node) -> Outcome {
    None
}
