//! Convolutions over 16-bit activations, dense and grouped.

use super::convolution::{Edge, Kind, sweep_int16};
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_conv2d::reference_s16;
use cortado_kernels::Micro;
use cortado_kernels::generic::conv_s16::conv_s16;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let operator = "cortado::quantized_conv2d_int16";
    let kernels = (conv_s16::<M> as _, reference_s16 as _);
    sweep_int16(workspace, suite, operator, Kind::Grouped, EDGES, kernels);
}

/// Windows around the length up to which they are gathered, on small cores and on others, and beyond the number of products that fit 32
/// bits; windows that lie in the input as they are; and channels around those that are rescaled together.
const EDGES: &[Edge] = &[
    Edge((2, 2), 80, (2, 2), 3, 1, 0),
    Edge((2, 2), 81, (2, 2), 3, 1, 0),
    Edge((2, 2), 130, (2, 2), 2, 1, 0),
    Edge((2, 2), 216, (2, 2), 2, 1, 0),
    Edge((2, 2), 217, (2, 2), 2, 1, 0),
    Edge((2, 2), 220, (2, 2), 1, 1, 1),
    Edge((1, 7), 3, (1, 3), 17, 2, 0),
    Edge((1, 7), 3, (1, 3), 8, 1, 1),
    Edge((2, 3), 9, (1, 1), 9, 1, 0),
    Edge((2, 3), 9, (1, 1), 16, 1, 1),
];
