//! Fully connected layers with one rescaling factor per output feature: lowered with all others by
//! [`super::quantized_linear`], which decides between both operators.

use super::{Lowerer, Outcome};
use crate::graph::Node;

pub(super) fn lower(_: &mut Lowerer<'_>, _: &Node) -> Outcome {
    None
}
