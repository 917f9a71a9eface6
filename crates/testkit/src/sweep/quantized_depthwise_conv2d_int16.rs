//! Depthwise convolutions over 16-bit activations.

use super::convolution::{Edge, Kind, sweep_int16};
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_depthwise_conv2d::reference_s16;
use cortado_kernels::Micro;
use cortado_kernels::generic::depthwise_s16::depthwise_conv_s16;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let operator = "cortado::quantized_depthwise_conv2d_int16";
    let kernels = (depthwise_conv_s16 as _, reference_s16 as _);
    sweep_int16(workspace, suite, operator, Kind::Depthwise, EDGES, kernels);
}

/// Taps around the number of products that fit 32 bits, and channels around those that are computed and rescaled together.
const EDGES: &[Edge] = &[
    Edge((7, 73), 2, (7, 73), 2, 1, 0),
    Edge((16, 32), 2, (16, 32), 2, 1, 0),
    Edge((2, 300), 1, (2, 300), 4, 1, 0),
    Edge((2, 300), 1, (2, 300), 2, 1, 1),
    Edge((3, 4), 15, (3, 3), 15, 1, 1),
    Edge((3, 4), 16, (3, 3), 16, 1, 1),
    Edge((3, 4), 19, (3, 3), 19, 1, 1),
    Edge((3, 4), 35, (3, 3), 35, 1, 1),
    Edge((3, 4), 1, (3, 3), 35, 1, 1),
];
