//! The exponential function, in float.

use super::float::unary;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::math;

/// Numbers and what the function makes of them, computed in binary64 and rounded.
const CASES: &[(f32, f32)] = &[
    (0.0, 1.0),
    (1.0, 2.718_281_7),
    (-1.0, 0.367_879_45),
    (0.5, 1.648_721_2),
    (-0.3, 0.740_818_2),
    (3.7, 40.447_308),
    (-4.2, 0.014_995_58),
    (11.5, 98_715.77),
    (-20.0, 2.061_153_7e-9),
    (1.0e-5, 1.00001),
    (-2.0e-6, 0.999_998),
    (90.0, f32::INFINITY),
    (-110.0, 0.0),
    (f32::INFINITY, f32::INFINITY),
    (f32::NEG_INFINITY, 0.0),
    (f32::NAN, f32::NAN),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    unary(workspace, suite, "aten::exp", CASES, math::exp);
}
