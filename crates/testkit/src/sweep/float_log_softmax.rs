//! The logarithms of a softmax, in float.

use super::float_softmax::{Row, Softmax, sweep};
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_log_softmax::log_softmax;
use cortado_kernels::generic::math::{exp_f64, log_f64};

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let operator = "aten::_log_softmax";
    sweep(workspace, suite, &Softmax { operator, kernel: log_softmax, expect, ulps: 1 });
}

fn expect(row: Row<'_>, greatest: f32, expected: &mut [f32]) {
    let distance = |number: &f32| f64::from(*number) - f64::from(greatest);
    let logarithm = log_f64(row.iter().map(|number| exp_f64(distance(number))).sum());
    for (place, number) in expected.iter_mut().step_by(row.step).zip(row.iter()) {
        *place = (distance(number) - logarithm) as f32;
    }
}
