//! The logistic function, in float.

use super::float::unary;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::math;

/// Numbers and what the function makes of them, computed in binary64 and rounded.
const CASES: &[(f32, f32)] = &[
    (0.0, 0.5),
    (1.0, 0.731_058_6),
    (-1.0, 0.268_941_43),
    (0.5, 0.622_459_35),
    (-0.3, 0.425_557_5),
    (3.7, 0.975_873),
    (-4.2, 0.014_774_035),
    (11.5, 0.999_989_87),
    (-20.0, 2.061_153_7e-9),
    (1.0e-5, 0.500_002_5),
    (-2.0e-6, 0.499_999_5),
    (90.0, 1.0),
    (-110.0, 0.0),
    (f32::INFINITY, 1.0),
    (f32::NEG_INFINITY, 0.0),
    (f32::NAN, f32::NAN),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    unary(workspace, suite, "aten::sigmoid", CASES, math::sigmoid);
}
