//! Quotients, in float.

use super::float::binary;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    binary(workspace, suite, "aten::div", |lhs, rhs| lhs / rhs);
}
