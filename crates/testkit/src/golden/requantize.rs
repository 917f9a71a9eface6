//! `requantize` and `requantize_s64`.

use super::Case;
use crate::suite::{What, compare};
use crate::workspace::Workspace;
use cortado_contract::quant::{requantize, requantize_s64};

pub(super) fn s32(case: &Case<'_>, _: &mut Workspace<'_>) -> Option<Result<(), What>> {
    let values = case.tensor::<i32>("inputs.val")?;
    let multipliers = case.tensor::<i32>("inputs.multiplier")?;
    let shifts = case.tensor::<i32>("inputs.shift")?;
    let expected = case.tensor::<i32>("expected.output")?;
    for (index, expected) in expected.iter().enumerate() {
        let found = requantize(*values.get(index)?, *multipliers.get(index)?, *shifts.get(index)?);
        if let Some(what) = compare(&[found], &[*expected]) {
            return Some(Err(what));
        }
    }
    Some(Ok(()))
}

pub(super) fn s64(case: &Case<'_>, _: &mut Workspace<'_>) -> Option<Result<(), What>> {
    let values = case.tensor::<i64>("inputs.val")?;
    let multipliers = case.tensor::<i32>("inputs.reduced_multiplier")?;
    let shifts = case.tensor::<i32>("inputs.shift")?;
    let expected = case.tensor::<i32>("expected.output")?;
    for (index, expected) in expected.iter().enumerate() {
        let found =
            requantize_s64(*values.get(index)?, *multipliers.get(index)?, *shifts.get(index)?);
        if let Some(what) = compare(&[found], &[*expected]) {
            return Some(Err(what));
        }
    }
    Some(Ok(()))
}
