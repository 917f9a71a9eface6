//! Transposed convolutions.

use super::convolution::{Edge, Kind, sweep, sweep_edges};
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_transpose_conv2d::reference;
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_transpose_conv2d::transpose_conv_s8;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let operator = "cortex_m::quantized_transpose_conv2d";
    sweep(workspace, suite, operator, Kind::Transposed, transpose_conv_s8::<M>, reference);
    let kernels = (transpose_conv_s8::<M> as _, reference as _);
    sweep_edges(workspace, suite, operator, Kind::Transposed, edges(), kernels);
}

/// Around the weights and windows that fit the buffers for them, with one and several taps in each phase.
fn edges() -> impl Iterator<Item = Edge> {
    let edges = [
        Edge((2, 3), 64, (2, 2), 5, 1, 0),
        Edge((2, 3), 65, (2, 2), 5, 1, 0),
        Edge((2, 2), 32, (3, 3), 12, 2, 0),
        Edge((1, 15), 32, (3, 3), 9, 2, 1),
        Edge((3, 4), 8, (4, 4), 16, 2, 1),
        Edge((2, 2), 3, (3, 3), 66, 2, 1),
        Edge((3, 3), 3, (5, 5), 9, 2, 2),
        Edge((2, 2), 4, (2, 2), 4, 3, 0),
        Edge((3, 3), 6, (3, 3), 3, 2, 1),
    ];
    edges.into_iter()
}
