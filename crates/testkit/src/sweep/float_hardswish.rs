//! A piecewise approximation of `x · sigmoid(x)`, in float.

use super::float::unary;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_hardswish::hardswish;

/// Numbers and what the function makes of them, computed in binary64 and rounded.
const CASES: &[(f32, f32)] = &[
    (0.0, 0.0),
    (1.0, 0.666_666_7),
    (-1.0, -0.333_333_34),
    (0.5, 0.291_666_66),
    (-0.3, -0.135),
    (3.0, 3.0),
    (3.7, 3.7),
    (-3.0, 0.0),
    (-4.2, 0.0),
    (11.5, 11.5),
    (f32::INFINITY, f32::INFINITY),
    (f32::NAN, f32::NAN),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    unary(workspace, suite, "aten::hardswish", CASES, hardswish);
}
