//! Averages and maxima of a window.

use super::{Micro, Window, Windows};
use crate::memory::copy;
use cortado_contract::quant::Activation;

/// The number of channels that are summed at once.
const BLOCK: usize = 16;

/// The rounded mean of each channel over all positions of a window of these extents, ties away from zero, within a range.
///
/// Half of the count is added with the sum's sign before the division, which truncates. `None` when a position lies outside of the
/// window's elements, or there is none.
#[inline(always)]
pub fn average<M: Micro>(
    window: Window<'_>,
    windows: &Windows<'_>,
    activation: Activation,
    out: &mut [i8],
) -> Option<()> {
    let Windows { rows, columns, .. } = *windows;
    let count = i32::try_from(rows * columns).ok().filter(|count| *count > 0)?;
    let half = count / 2;
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let mut sums = [0i32; BLOCK];
        let sums = sums.get_mut(..out.len())?;
        let window = Window { elements: window.elements.get(block * BLOCK..)?, ..window };
        accumulate(window, rows, columns, sums)?;
        for (out, sum) in out.iter_mut().zip(sums) {
            let rounded = if *sum > 0 { *sum + half } else { *sum - half };
            // Among the numbers that it is the mean of.
            *out = rounded.checked_div(count)? as i8;
        }
    }
    if activation != Activation::INT8 {
        M::clamp(out, activation);
    }
    Some(())
}

/// Adds to each of `sums` its channel at every position of a window.
///
/// `None` when a position lies outside of the window's elements.
#[inline(always)]
fn accumulate(window: Window<'_>, rows: usize, columns: usize, sums: &mut [i32]) -> Option<()> {
    for row in 0..rows {
        let mut start = row * window.row_step;
        for _ in 0..columns {
            let values = window.elements.get(start..)?.get(..sums.len())?;
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = sum.wrapping_add(i32::from(*value));
            }
            start += window.column_step;
        }
    }
    Some(())
}

/// The same for all windows, channel by channel: for windows that are rare.
#[inline(never)]
pub fn average_long(windows: &Windows<'_>, activation: Activation, out: &mut [i8]) -> Option<()> {
    let Windows { first, rows, columns, .. } = *windows;
    let count = i32::try_from(rows * columns).ok().filter(|count| *count > 0)?;
    // From the end of a row to the start of the next.
    let row_gap = first.row_step.wrapping_sub(columns.wrapping_mul(first.column_step));
    windows.for_each(out, |window, out| {
        for (channel, out) in out.iter_mut().enumerate() {
            let mut sum = 0i32;
            let (mut place, mut column) = (channel, 0);
            for _ in 0..count {
                sum += i32::from(*window.elements.get(place)?);
                (place, column) = (place.wrapping_add(first.column_step), column + 1);
                if column == columns {
                    (place, column) = (place.wrapping_add(row_gap), 0);
                }
            }
            let half = count / 2;
            let rounded = if sum > 0 { sum + half } else { sum - half };
            *out = activation.clamp(rounded.checked_div(count)?) as i8;
        }
        Some(())
    })
}

/// The greatest value of each channel at any position of a window of these extents, -128 without one, within a range.
///
/// All channels of a position at once: the result is the accumulator. `None` when a position lies outside of the window's elements.
#[inline(always)]
pub fn raise<M: Micro>(
    window: Window<'_>,
    windows: &Windows<'_>,
    activation: Activation,
    out: &mut [i8],
) -> Option<()> {
    let Windows { rows, columns, .. } = *windows;
    if rows == 0 || columns == 0 {
        out.fill(i8::MIN);
    }
    for row in 0..rows {
        let mut start = row * window.row_step;
        for column in 0..columns {
            let pixel = window.elements.get(start..)?.get(..out.len())?;
            match (row, column) {
                (0, 0) => copy(pixel, out)?,
                _ => M::raise(pixel, out),
            }
            start += window.column_step;
        }
    }
    if activation != Activation::INT8 {
        for out in out {
            *out = activation.clamp(i32::from(*out)) as i8;
        }
    }
    Some(())
}
