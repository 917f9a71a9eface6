//! Sums and products of two tensors, element by element.
//!
//! An element is one of 256 values, so in long runs each value's share of a sum is computed once and looked up from then on. What is left
//! is one rescaling per element, without the general one's cases.

use super::{Micro, Run};
use crate::arch::hidden;
use cortado_contract::ops::quantized_add::{AddParams, Addend, LEFT_SHIFT};
use cortado_contract::ops::quantized_mul::MulParams;
use cortado_contract::quant::{Activation, InputOffset, OutputOffset, Requantize};

/// Runs from this length on make up for the tables.
const TABLES_FROM: usize = 1024;

/// Whether a sum needs no more than what compilers write: elements that are scaled down, one of them at least by more than a multiplier,
/// and so is their sum.
pub const fn is_plain(params: &AddParams) -> bool {
    let [lhs, rhs, out] = [params.lhs.factor.shift, params.rhs.factor.shift, params.factor.shift];
    params.left_shift == LEFT_SHIFT && are_plain(lhs, rhs, out)
}

/// [`is_plain`] by the shifts of both operands and of the result.
pub(crate) const fn are_plain(lhs: i32, rhs: i32, out: i32) -> bool {
    lhs <= 0 && rhs <= 0 && (lhs < 0 || rhs < 0) && out < 0
}

/// [`AddParams::apply`] for all elements: if `ANY` is not set, of two operands that advance, and with [plain](is_plain) parameters.
pub(super) fn add<M: Micro, const ANY: bool>(
    params: &AddParams,
    operands: Run<'_, i8>,
    out: &mut [i8],
) {
    let right = |factor: Requantize| factor.shift <= 0;
    let has_loop = !ANY
        || params.left_shift == LEFT_SHIFT
            && right(params.lhs.factor)
            && right(params.rhs.factor)
            && params.factor.shift < 0;
    if !has_loop {
        for_each(operands, out, |lhs, rhs| params.apply(lhs, rhs));
        return;
    }
    match operands {
        Run::Both(lhs, rhs) if out.len() >= TABLES_FROM => look_up(params, lhs, rhs, out),
        Run::Both(lhs, rhs) if !ANY => add_short(params, lhs, rhs, out),
        Run::Lhs(..) | Run::Rhs(..) if !ANY => {}
        _ => {
            let lhs = |value| scale(params.lhs, value);
            let rhs = |value| scale(params.rhs, value);
            operands.apply_scaled(out, lhs, rhs, |lhs, rhs| finish(params, lhs, rhs));
        }
    }
    if params.activation != Activation::INT8 {
        M::clamp(out, params.activation);
    }
}

/// A short run of operands that advance.
#[inline(never)]
fn add_short(params: &AddParams, lhs: &[i8], rhs: &[i8], out: &mut [i8]) {
    let mut at = 0;
    while let (Some(lhs), Some(rhs), Some(out)) = (lhs.get(at), rhs.get(at), out.get_mut(at)) {
        *out = finish(params, scale(params.lhs, *lhs), scale(params.rhs, *rhs));
        at = hidden(at + 1);
    }
}

/// `out = apply(lhs, rhs)` in one loop, for what is rare.
#[inline(never)]
pub(crate) fn for_each(operands: Run<'_, i8>, out: &mut [i8], apply: impl Fn(i8, i8) -> i8) {
    let at = |values: &[i8], index: usize| values.get(index).copied();
    for (index, out) in out.iter_mut().enumerate() {
        let operands = match operands {
            Run::Both(lhs, rhs) => at(lhs, index).zip(at(rhs, index)),
            Run::Lhs(lhs, rhs) => at(lhs, index).map(|lhs| (lhs, rhs)),
            Run::Rhs(lhs, rhs) => at(rhs, index).map(|rhs| (lhs, rhs)),
        };
        let Some((lhs, rhs)) = operands else { return };
        *out = apply(lhs, rhs);
    }
}

/// Fills a table of what each value is scaled to. Not inlined: two tables would be two loops.
#[inline(never)]
fn tabulate(addend: Addend, table: &mut [i32; 256]) {
    let mut value = 0;
    while let Some(entry) = table.get_mut(value) {
        *entry = scale(addend, value as i8);
        value = hidden(value + 1);
    }
}

#[inline(never)]
fn look_up(params: &AddParams, lhs: &[i8], rhs: &[i8], out: &mut [i8]) {
    let (mut lhs_table, mut rhs_table) = ([0; 256], [0; 256]);
    tabulate(params.lhs, &mut lhs_table);
    tabulate(params.rhs, &mut rhs_table);
    let count = out.len().min(lhs.len()).min(rhs.len());
    let (lhs, rhs, out) = (&lhs[..count], &rhs[..count], &mut out[..count]);
    let mut at = 0;
    while at < count {
        let lhs = lhs_table[usize::from(lhs[at] as u8)];
        let rhs = rhs_table[usize::from(rhs[at] as u8)];
        out[at] = finish(params, lhs, rhs);
        at = hidden(at + 1);
    }
}

/// [`Addend::scale`] for a shift that is not to the left.
#[inline(always)]
fn scale(addend: Addend, value: i8) -> i32 {
    // At most 2^8 · 2^21.
    let doubled = (i32::from(value) + addend.offset.0) << (LEFT_SHIFT + 1);
    let scaled = high_rounded(doubled, addend.factor.multiplier);
    match addend.factor.shift {
        0 => scaled,
        shift => (decremented(scaled) >> (!shift as u32 & 31)).wrapping_add(1) >> 1,
    }
}

/// [`AddParams::finish`] for a shift to the right, without the activation; each operand is below `2^28`.
#[inline(always)]
fn finish(params: &AddParams, lhs: i32, rhs: i32) -> i8 {
    rescale(lhs + rhs, params.factor, params.output_offset)
}

/// A result below `2^29`, rescaled by a factor with a shift to the right.
#[inline(always)]
fn rescale(value: i32, factor: Requantize, output_offset: OutputOffset) -> i8 {
    let scaled = high_rounded(value << 1, factor.multiplier);
    let shifted = decremented(scaled) >> (!factor.shift as u32 & 31);
    let rounded = shifted.wrapping_add(1 + 2 * output_offset.0) >> 1;
    Activation::INT8.clamp(rounded) as i8
}

/// [`MulParams::apply`] for all elements.
pub(super) fn multiply<M: Micro>(params: &MulParams, operands: Run<'_, i8>, out: &mut [i8]) {
    let is_small = |offset: InputOffset| (-256..=256).contains(&offset.0);
    if params.factor.shift >= 0 || !is_small(params.lhs_offset) || !is_small(params.rhs_offset) {
        for_each(operands, out, |lhs, rhs| params.apply(lhs, rhs));
        return;
    }
    let MulParams { factor, output_offset, .. } = *params;
    let lhs = |value: i8| i32::from(value) + params.lhs_offset.0;
    let rhs = |value: i8| i32::from(value) + params.rhs_offset.0;
    operands.apply_scaled(out, lhs, rhs, |lhs, rhs| rescale(lhs * rhs, factor, output_offset));
    if params.activation != Activation::INT8 {
        M::clamp(out, params.activation);
    }
}

/// One less if it is negative: a shift that rounds ties up then rounds them away from zero.
#[inline(always)]
const fn decremented(value: i32) -> i32 {
    value.wrapping_add(value >> 31)
}

/// `round(a·b / 2^32)`, ties up.
#[inline(always)]
fn high_rounded(a: i32, b: i32) -> i32 {
    #[cfg(not(cortado_thumb = "1"))]
    {
        ((i64::from(a) * i64::from(b) + (1 << 31)) >> 32) as i32
    }
    #[cfg(cortado_thumb = "1")]
    halves_high_rounded(a, b)
}

/// The same from products of halves, for cores whose products have 32 bits; `a` is below `2^30`.
#[cfg_attr(
    not(cortado_thumb = "1"),
    allow(dead_code, reason = "for the smallest cores, and for tests")
)]
#[inline(always)]
fn halves_high_rounded(a: i32, b: i32) -> i32 {
    let (a_high, a_low) = (a >> 16, a & 0xffff);
    let (b_high, b_low) = (b >> 16, b & 0xffff);
    let low = ((a_low as u32).wrapping_mul(b_low as u32) >> 16) as i32;
    // |a_high| < 2^14, so neither product reaches 2^31, and neither sum.
    let middle = a_high * b_low + low;
    let rest = a_low * b_high + (middle & 0xffff);
    // The lowest 16 bits of the exact product are dropped; they cannot carry past the half that is added.
    a_high * b_high + (middle >> 16) + (rest >> 16) + (rest >> 15 & 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Scalar;

    #[test]
    fn halves_make_the_whole() {
        let mut state = 1u32;
        for _ in 0..500_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (a, b) = ((state.rotate_left(9) as i32) >> 2, state.rotate_left(21) as i32);
            let exact = (i64::from(a) * i64::from(b) + (1 << 31)) >> 32;
            assert_eq!(i64::from(halves_high_rounded(a, b)), exact, "{a} times {b}");
        }
        for a in [-(1 << 29), 0, 1, -1, (1 << 29) - 1] {
            for b in [i32::MIN, i32::MIN + 1, -1, 0, 1, 0xffff, 0x8000, i32::MAX] {
                let exact = (i64::from(a) * i64::from(b) + (1 << 31)) >> 32;
                assert_eq!(i64::from(halves_high_rounded(a, b)), exact, "{a} times {b}");
            }
        }
    }

    #[test]
    fn products_are_rescaled_alike() {
        let mut state = 11u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.rotate_left(15) as i32
        };
        for round in 0..2000 {
            let wide = if round % 7 == 0 { 16 } else { 23 };
            let params = MulParams {
                lhs_offset: InputOffset(next() >> wide),
                rhs_offset: InputOffset(next() >> wide),
                output_offset: OutputOffset(next() >> 24),
                factor: Requantize { multiplier: next(), shift: (next() & 31) - 29 },
                activation: Activation { min: -100, max: 120 },
            };
            let lhs: [i8; 37] = core::array::from_fn(|_| next() as i8);
            let rhs: [i8; 37] = core::array::from_fn(|_| next() as i8);
            let mut out = [0i8; 37];
            multiply::<Scalar>(&params, Run::Both(&lhs, &rhs), &mut out);
            for ((out, lhs), rhs) in out.iter().zip(lhs).zip(rhs) {
                assert_eq!(*out, params.apply(lhs, rhs), "{params:?} {lhs} {rhs}");
            }
        }
    }

    #[test]
    fn long_runs_give_what_elements_do() {
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.rotate_left(15) as i32
        };
        let (mut lhs, mut rhs) = ([0i8; 1100], [0i8; 1100]);
        for round in 0..300 {
            lhs.iter_mut().chain(&mut rhs).for_each(|value| *value = next() as i8);
            let mut addend = || {
                let shift = -(next() & 31) * i32::from(round % 3 > 0);
                let sign = if next() & 1 == 0 { 1 } else { -1 };
                let multiplier = sign * ((next() & i32::MAX) | 1 << 30);
                Addend {
                    offset: InputOffset(next() >> 24),
                    factor: Requantize { multiplier, shift },
                }
            };
            let (first, second) = (addend(), addend());
            let params = AddParams {
                lhs: first,
                rhs: second,
                left_shift: LEFT_SHIFT,
                output_offset: OutputOffset(next() >> 24),
                factor: Requantize { multiplier: next() | 1, shift: -1 - (next() & 30) },
                activation: Activation { min: -100, max: 120 },
            };
            for length in [1100, 3] {
                let mut out = [0i8; 1100];
                let (lhs, rhs) = (&lhs[..length], &rhs[..length]);
                let mut narrowed = out;
                add::<Scalar, true>(&params, Run::Both(lhs, rhs), &mut out[..length]);
                add::<Scalar, false>(&params, Run::Both(lhs, rhs), &mut narrowed[..length]);
                for ((out, lhs), rhs) in out.iter().zip(lhs).zip(rhs) {
                    assert_eq!(*out, params.apply(*lhs, *rhs), "{params:?} {lhs} {rhs}");
                }
                assert_eq!(out, narrowed, "{params:?}");
            }
        }
    }
}
