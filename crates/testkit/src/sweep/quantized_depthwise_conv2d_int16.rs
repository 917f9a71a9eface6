//! Depthwise convolutions over 16-bit activations.

use super::convolution::{Kind, sweep_int16};
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_depthwise_conv2d::reference_s16;
use cortado_kernels::Micro;
use cortado_kernels::generic::depthwise_s16::depthwise_conv_s16;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let operator = "cortado::quantized_depthwise_conv2d_int16";
    sweep_int16(workspace, suite, operator, Kind::Depthwise, depthwise_conv_s16, reference_s16);
}
