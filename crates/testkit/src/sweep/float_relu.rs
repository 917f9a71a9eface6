//! The rectifier, in float.

use super::float::unary;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_relu::rectify;

/// Numbers and what the function makes of them, computed in binary64 and rounded.
const CASES: &[(f32, f32)] = &[
    (0.0, 0.0),
    (1.0, 1.0),
    (-1.0, 0.0),
    (0.5, 0.5),
    (-0.3, 0.0),
    (3.7, 3.7),
    (-4.2, 0.0),
    (11.5, 11.5),
    (-20.0, 0.0),
    (1.0e-5, 1.0e-5),
    (-2.0e-6, 0.0),
    (90.0, 90.0),
    (-110.0, 0.0),
    (f32::INFINITY, f32::INFINITY),
    (f32::NEG_INFINITY, 0.0),
    (f32::NAN, f32::NAN),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    unary(workspace, suite, "aten::relu", CASES, rectify);
}
