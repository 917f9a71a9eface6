//! Depthwise convolutions; those over packed weights with them.

use super::convolution::{Edge, Kind, sweep, sweep_edges, sweep_packed};
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_depthwise_conv2d::reference;
use cortado_kernels::Micro;
use cortado_kernels::generic::depthwise_s4::depthwise_conv_s4;
use cortado_kernels::generic::quantized_depthwise_conv2d::depthwise_conv_s8;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let operator = "cortex_m::quantized_depthwise_conv2d";
    sweep(workspace, suite, operator, Kind::Depthwise, depthwise_conv_s8::<M>, reference);
    let kernels = (depthwise_conv_s8::<M> as _, reference as _);
    sweep_edges(workspace, suite, operator, Kind::Depthwise, edges(), kernels);
    sweep_packed(workspace, suite, operator, Kind::Depthwise, depthwise_conv_s4, reference);
}

/// Channels around fours and sixteens, with frames on all sides, as small and too large for a copy in its frame; more taps than the loops' copies hold; and a single input channel that
/// feeds few, many and too many output channels for one buffer of turned weights.
fn edges() -> impl Iterator<Item = Edge> {
    const CHANNELS: &[usize] = &[3, 4, 5, 7, 8, 15, 16, 17, 19, 31, 32, 33, 47];
    let framed = CHANNELS.iter().flat_map(|channels| {
        let edge = |stride| Edge((5, 4), *channels, (3, 3), *channels, stride, 1);
        [edge(1), edge(2)]
    });
    const FEW: &[usize] = &[3, 4, 5, 8, 13];
    let large = FEW.iter().flat_map(|channels| {
        let edge = |rows, stride| Edge((rows, 14), *channels, (3, 3), *channels, stride, 1);
        [edge(6, 1), edge(7, 1), edge(10, 2)]
    });
    // Windows that fill lanes together, with and without others left over, and channels that share an input.
    let fused = [1, 2, 4, 8].into_iter().flat_map(|channels| {
        [1, 2, 3, 7, 15, 16, 17, 33]
            .map(|columns| Edge((2, columns), channels, (1, 1), channels, 1, 0))
    });
    let fused =
        fused.chain([2, 4, 8].map(|channels| Edge((3, 19), channels, (3, 3), channels, 1, 1)));
    let spread = [(2, 6), (3, 48), (5, 10), (8, 24), (17, 34), (16, 80)];
    let spread = spread.map(|(inputs, outputs)| Edge((4, 3), inputs, (3, 2), outputs, 1, 1));
    let others = [
        // No pixels but those of the frame.
        Edge((5, 0), 5, (3, 2), 5, 1, 1),
        Edge((6, 7), 8, (5, 7), 8, 1, 2),
        Edge((10, 9), 16, (9, 8), 16, 1, 0),
        Edge((10, 9), 4, (9, 8), 4, 1, 1),
        Edge((3, 4), 1, (3, 3), 3, 1, 1),
        Edge((3, 4), 1, (3, 3), 4, 1, 1),
        Edge((3, 4), 1, (3, 3), 66, 1, 1),
        Edge((12, 6), 1, (10, 4), 30, 2, 1),
        Edge((18, 18), 1, (17, 16), 4, 1, 0),
    ];
    framed.chain(large).chain(fused).chain(spread).chain(others)
}
