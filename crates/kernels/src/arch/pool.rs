//! Averages of windows of DSP and scalar cores: four channels at a time, whose sums are the halves of two words.

use super::hidden;
use crate::micro::{Micro, POSITIONS_MAX, Window, Windows, average, average_long};
use cortado_contract::quant::Activation;

/// What an instruction set does with four channels at a time.
pub(super) trait Quad {
    /// Adds the bytes 0 and 2 of a word to the halves of the first sum, 1 and 3 to those of the second.
    fn add(sums: [u32; 2], word: u32) -> [u32; 2];

    /// What the halves of such a sum mean after so many words, at most [`POSITIONS_MAX`].
    fn halves(sum: u32, count: i32) -> [i32; 2];
}

/// [`Micro::average_windows`].
#[inline(always)]
pub(super) fn average_windows<M: Micro + Quad, const MAY_BE_LARGE: bool>(
    windows: &Windows<'_>,
    activation: Activation,
    out: &mut [i8],
) -> Option<()> {
    let Windows { rows, columns, .. } = *windows;
    if MAY_BE_LARGE && rows.checked_mul(columns)? > POSITIONS_MAX {
        return windows.for_each(out, |window, out| average::<M>(window, windows, activation, out));
    }
    if out.len() < windows.count.checked_mul(4)? {
        return average_long(windows, activation, out);
    }
    average_quads::<M>(windows, out)?;
    if activation != Activation::INT8 {
        M::clamp(out, activation);
    }
    Some(())
}

/// The rounded mean of each channel over the positions of each window, which are at most [`POSITIONS_MAX`]. The last four channels
/// overlap those before where they do not come in fours; there are four and more.
#[inline(never)]
fn average_quads<M: Quad>(windows: &Windows<'_>, mut out: &mut [i8]) -> Option<()> {
    let Windows { first, rows, columns, step, .. } = *windows;
    let Window { elements, row_step, column_step } = first;
    let channels = out.len().checked_div(windows.count)?;
    let steps = [(windows.count, step), (rows, row_step), (columns, column_step)];
    let mut end = channels;
    for (count, step) in steps {
        end = end.checked_add(count.checked_sub(1)?.checked_mul(step)?)?;
    }
    elements.get(..end)?;
    // So that it is never -1, for which a division may overflow.
    let count = i32::from(rows.wrapping_mul(columns) as u16);
    let half = count / 2;
    let mut window = elements.as_ptr();
    while let Some((pixel, rest)) = out.split_at_mut_checked(channels) {
        let mut channel = 0;
        loop {
            let quad = pixel.get_mut(channel..)?.first_chunk_mut::<4>()?;
            let mut sums = [0; 2];
            let mut row = channel;
            for _ in 0..rows {
                let mut place = row;
                let end = row.wrapping_add(columns.wrapping_mul(column_step));
                while place != end {
                    // SAFETY: so many channels lie at the last position of the last window, and so they do at those before it.
                    let bytes = unsafe { window.wrapping_add(place).cast::<[u8; 4]>().read() };
                    sums = M::add(sums, u32::from_le_bytes(bytes));
                    place = hidden(place.wrapping_add(column_step));
                }
                row = row.wrapping_add(row_step);
            }
            let [[a, c], [b, d]] = sums.map(|sum| M::halves(sum, count));
            for (out, sum) in quad.iter_mut().zip([a, b, c, d]) {
                let rounded = if sum > 0 { sum + half } else { sum - half };
                // Among the numbers that it is the mean of.
                *out = rounded.checked_div(count)? as i8;
            }
            if channel + 4 == channels {
                break;
            }
            channel = (channel + 4).min(channels - 4);
        }
        window = window.wrapping_add(step);
        out = rest;
    }
    Some(())
}
