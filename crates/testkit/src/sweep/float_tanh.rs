//! The hyperbolic tangent, in float.

use super::float::unary;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::math;

/// Numbers and what the function makes of them, computed in binary64 and rounded.
const CASES: &[(f32, f32)] = &[
    (0.0, 0.0),
    (1.0, 0.761_594_2),
    (-1.0, -0.761_594_2),
    (0.5, 0.462_117_17),
    (-0.3, -0.291_312_63),
    (3.7, 0.998_778_2),
    (-4.2, -0.999_550_34),
    (11.5, 1.0),
    (-20.0, -1.0),
    (1.0e-5, 1.0e-5),
    (-2.0e-6, -2.0e-6),
    (90.0, 1.0),
    (-110.0, -1.0),
    (f32::INFINITY, 1.0),
    (f32::NEG_INFINITY, -1.0),
    (f32::NAN, f32::NAN),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    unary(workspace, suite, "aten::tanh", CASES, math::tanh);
}
