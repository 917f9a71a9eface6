//! Maximum pooling, over the windows of average pooling.

use super::quantized_avg_pool2d::sweep;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_max_pool2d::reference;
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_max_pool2d::max_pool;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep(workspace, suite, "cortex_m::quantized_max_pool2d", max_pool::<M>, reference);
}
