//! Square roots, in float.

use super::float::unary;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::math;

/// Numbers and what the function makes of them, computed in binary64 and rounded.
const CASES: &[(f32, f32)] = &[
    (0.0, 0.0),
    (1.0, 1.0),
    (-1.0, f32::NAN),
    (0.5, 0.707_106_77),
    (-0.3, f32::NAN),
    (3.7, 1.923_538_4),
    (-4.2, f32::NAN),
    (11.5, 3.391_165),
    (-20.0, f32::NAN),
    (1.0e-5, 0.003_162_277_6),
    (-2.0e-6, f32::NAN),
    (90.0, 9.486_833),
    (-110.0, f32::NAN),
    (f32::INFINITY, f32::INFINITY),
    (f32::NEG_INFINITY, f32::NAN),
    (f32::NAN, f32::NAN),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    unary(workspace, suite, "aten::sqrt", CASES, math::sqrt);
}
