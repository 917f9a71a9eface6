//! Fully connected layers with one rescaling factor per output feature.

use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    super::quantized_linear::sweep::<M>(
        workspace,
        suite,
        "cortado::quantized_linear_per_channel",
        true,
    );
}
