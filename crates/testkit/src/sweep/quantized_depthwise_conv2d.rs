//! Depthwise convolutions; those over packed weights and over 16-bit activations with them.

use super::convolution::{Kind, sweep, sweep_packed, sweep_wide};
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_depthwise_conv2d::{reference, reference_s16};
use cortado_kernels::Micro;
use cortado_kernels::generic::depthwise_s4::depthwise_conv_s4;
use cortado_kernels::generic::depthwise_s16::depthwise_conv_s16;
use cortado_kernels::generic::quantized_depthwise_conv2d::depthwise_conv_s8;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let operator = "cortex_m::quantized_depthwise_conv2d";
    sweep(workspace, suite, operator, Kind::Depthwise, depthwise_conv_s8::<M>, reference);
    sweep_packed(workspace, suite, operator, Kind::Depthwise, depthwise_conv_s4, reference);
    sweep_wide(workspace, suite, operator, Kind::Depthwise, depthwise_conv_s16, reference_s16);
}
