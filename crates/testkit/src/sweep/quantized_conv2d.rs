//! Convolutions, dense and grouped; those over packed weights with them.

use super::convolution::{Edge, Kind, sweep, sweep_edges, sweep_packed};
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_conv2d::reference;
use cortado_kernels::Micro;
use cortado_kernels::generic::conv_s4::conv_s4;
use cortado_kernels::generic::quantized_conv2d::conv_s8;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let operator = "cortex_m::quantized_conv2d";
    sweep(workspace, suite, operator, Kind::Grouped, conv_s8::<M>, reference);
    let kernels = (conv_s8::<M> as _, reference as _);
    sweep_edges(workspace, suite, operator, Kind::Grouped, edges(), kernels);
    sweep_packed(workspace, suite, operator, Kind::Grouped, conv_s4::<M>, reference);
}

/// Windows of every number that loops take at a time; depths around eights and sixteens, around eight sixteens and twice that, and around
/// one, two and more of the pieces in which windows are widened; depths up to which they are gathered; channels around fours and beyond
/// the block whose constants are kept.
fn edges() -> impl Iterator<Item = Edge> {
    const DEPTHS: &[usize] = &[
        6, 7, 8, 9, 15, 16, 17, 31, 32, 127, 128, 129, 143, 144, 145, 150, 256, 257, 272, 287, 288,
        289, 290,
    ];
    let pointwise = DEPTHS.iter().flat_map(|depth| {
        [1, 2, 3, 4, 5, 7].map(|pixels| Edge((1, pixels), *depth, (1, 1), 4 + pixels % 5, 1, 0))
    });
    // Where a loop over nine sixteens is entered at each of them.
    let entered = (33..=177)
        .step_by(16)
        .flat_map(|depth| [depth - 1, depth].map(|depth| Edge((1, 3), depth, (1, 1), 8, 1, 0)));
    let others = [
        Edge((1, 2), 577, (1, 1), 4, 1, 0),
        Edge((1, 3), 580, (1, 1), 4, 1, 0),
        Edge((1, 5), 433, (1, 1), 6, 1, 0),
        Edge((2, 2), 37, (2, 2), 36, 1, 1),
        Edge((1, 2), 300, (1, 1), 18, 1, 0),
        Edge((4, 4), 64, (3, 3), 4, 1, 1),
        Edge((3, 5), 48, (3, 3), 5, 2, 1),
        Edge((4, 4), 110, (4, 4), 1, 1, 0),
        Edge((2, 2), 3, (1, 1), 64, 1, 0),
        Edge((2, 2), 3, (1, 1), 66, 1, 0),
        Edge((3, 3), 2, (2, 2), 70, 1, 1),
        Edge((20, 6), 1, (10, 4), 9, 2, 1),
    ];
    pointwise.chain(entered).chain(others)
}
