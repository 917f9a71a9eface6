//! Softmax of a row, one logit after the other.

use cortado_contract::ops::softmax::{Normalizer, SoftmaxResult, SoftmaxScale, summand};

/// Softmax of `length` elements that lie `step` apart, in integers; [`cortado_contract::ops::softmax::reference`] has the bits.
///
/// Exponentials are computed twice, because a row of them does not fit anywhere. In rows of equal neighbours they are not: the last
/// one is kept. `None` when a slice is too short.
pub fn exponentials(
    scale: &SoftmaxScale,
    result: SoftmaxResult,
    (length, step): (usize, usize),
    input: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let Some(last) = length.checked_sub(1) else { return Some(()) };
    let input = input.get(..=last.checked_mul(step)?)?;
    let out = out.get_mut(..=last * step)?;
    let row = input.iter().step_by(step.max(1)).map(|value| i32::from(*value));
    let greatest = row.clone().max()?;
    let mut exponential = Latest::new(scale, greatest);
    let summands = row.clone().map(|value| summand(exponential.of(value)));
    let normalizer = Normalizer::new(summands.fold(0u32, u32::wrapping_add), result);
    for (out, value) in out.iter_mut().step_by(step.max(1)).zip(row) {
        *out = normalizer.result(exponential.of(value));
    }
    Some(())
}

/// Exponentials of one row, the latest of which is kept.
struct Latest<'s> {
    scale: &'s SoftmaxScale,
    greatest: i32,
    value: i32,
    exponential: i32,
}

impl<'s> Latest<'s> {
    fn new(scale: &'s SoftmaxScale, greatest: i32) -> Self {
        Latest { scale, greatest, value: greatest, exponential: scale.exponential(0) }
    }

    #[inline(always)]
    fn of(&mut self, value: i32) -> i32 {
        if value != self.value {
            self.value = value;
            self.exponential = self.scale.exponential(value - self.greatest);
        }
        self.exponential
    }
}
