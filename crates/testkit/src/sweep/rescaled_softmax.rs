//! Softmax whose result has a scale of its own.

use super::softmax::sweep;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_contract::ops::softmax::SoftmaxResult;
use cortado_contract::quant::{OutputOffset, Requantize};
use cortado_kernels::Micro;

/// Multiplier, shift and zero point, as they follow from scales of 1/100, 1/256, 1/2000, far beyond either end, and a scale so
/// large that every number is the zero point.
const RESULTS: &[(i32, i32, i32)] = &[
    (1_677_721_600, -1, -128),
    (1 << 30, 1, -100),
    (2_097_152_000, 3, 0),
    (i32::MAX, -31, 5),
    (1 << 30, 20, 127),
    (0, -5, -122),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    for &(multiplier, shift, offset) in RESULTS {
        let factor = Requantize { multiplier, shift };
        let result = SoftmaxResult::Rescaled { factor, offset: OutputOffset(offset) };
        sweep::<M>(workspace, suite, "cortado::rescaled_softmax", result);
    }
}
