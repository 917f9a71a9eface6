//! The Gaussian error linear unit, in float.

use super::float::unary;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::math;

/// Numbers and what the function makes of them, computed in binary64 and rounded.
const CASES: &[(f32, f32)] = &[
    (0.0, 0.0),
    (1.0, 0.841_344_8),
    (-1.0, -0.158_655_26),
    (0.5, 0.345_731_23),
    (-0.3, -0.114_626_58),
    (3.7, 3.699_601_2),
    (-4.2, -5.605_219e-5),
    (11.5, 11.5),
    (-20.0, -0.0),
    (1.0e-5, 5.00004e-6),
    (-2.0e-6, -9.999_984e-7),
    (90.0, 90.0),
    (-110.0, -0.0),
    (f32::INFINITY, f32::INFINITY),
    (f32::NEG_INFINITY, 0.0),
    (f32::NAN, f32::NAN),
];

/// Numbers and what the form with a hyperbolic tangent makes of them, computed in binary64 and rounded.
const TANH_CASES: &[(f32, f32)] = &[
    (0.0, 0.0),
    (1.0, 0.841_192),
    (-1.0, -0.158_808_01),
    (0.5, 0.345_714),
    (-0.3, -0.114_629_08),
    (3.7, 3.699_728_3),
    (-4.2, -2.609_709_2e-5),
    (11.5, 11.5),
    (-20.0, -0.0),
    (1.0e-5, 5.00004e-6),
    (-2.0e-6, -9.999_984e-7),
    (90.0, 90.0),
    (-110.0, -0.0),
    (f32::INFINITY, f32::INFINITY),
    (f32::NEG_INFINITY, 0.0),
    (f32::NAN, f32::NAN),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    unary(workspace, suite, "aten::gelu", CASES, math::gelu);
    unary(workspace, suite, "aten::gelu", TANH_CASES, math::gelu_tanh);
}
