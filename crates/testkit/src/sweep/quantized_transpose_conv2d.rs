//! Transposed convolutions.

use super::convolution::{Kind, sweep};
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_transpose_conv2d::reference;
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_transpose_conv2d::transpose_conv_s8;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let operator = "cortex_m::quantized_transpose_conv2d";
    sweep(workspace, suite, operator, Kind::Transposed, transpose_conv_s8::<M>, reference);
}
