//! `softmax_s8`.

use super::{Case, check};
use crate::suite::What;
use crate::workspace::Workspace;
use cortado_contract::ops::softmax::{SoftmaxResult, SoftmaxRows, SoftmaxScale};
use cortado_kernels::Micro;
use cortado_kernels::generic::softmax::softmax;

pub(super) fn s8<M: Micro>(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
) -> Option<Result<(), What>> {
    let rows =
        SoftmaxRows { outer: case.count("num_rows")?, length: case.count("row_size")?, inner: 1 };
    let scale = SoftmaxScale {
        multiplier: case.number("mult")?,
        shift: case.number("shift")?,
        diff_min: case.number("diff_min")?,
    };
    let input = case.tensor::<i8>("inputs.input")?;
    let expected = case.tensor::<i8>("expected.output")?;
    let out = workspace.start().guarded::<i8>(expected.len(), 0x5a);
    let outcome = softmax::<M>(rows, &scale, SoftmaxResult::Standard, input, out.values);
    Some(check(outcome, &out, expected))
}
