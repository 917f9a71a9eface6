//! What the depthwise loops of DSP and scalar cores share: four channels at a time, with the weights of all taps beside each other.

use super::quads;
use crate::micro::Micro;
use crate::tile::{Depthwise, Steps};
use cortado_contract::quant::Requantize;

/// The most taps that the copies have room for.
pub(super) const TAPS_MAX: usize = 32;

/// What a loop over a rectangle of windows needs; it counts `rows` down.
#[repr(C)]
pub(super) struct Channels<W> {
    /// What the four sums start with.
    pub(super) whole: [i32; 4],
    /// Twice each channel's multiplier, wrapped; with Thumb-1 the multiplier itself.
    pub(super) multipliers: [u32; 4],
    /// One less than each channel's shift to the right.
    pub(super) shifts: [u32; 4],
    /// Twice the output's zero point, and one to round.
    pub(super) offset: i32,
    pub(super) input: *const i8,
    pub(super) out: *mut i8,
    pub(super) taps: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) input_column: usize,
    pub(super) out_column: usize,
    /// From the end of a row to the start of the next.
    pub(super) input_row: usize,
    pub(super) out_row: usize,
    pub(super) columns_left: usize,
    pub(super) places: [usize; TAPS_MAX],
    pub(super) weights: [W; TAPS_MAX],
}

/// Computes all channels of a rectangle of windows.
///
/// `spread` brings the weights of four channels into the form in which the loop reads them, and `sum` adds up those of all taps; the
/// model computes channels that do not come in fours, whose factors are long, or whose windows have too many taps.
///
/// # Safety
/// `run` reads four elements of the input at each tap of each window, and writes as many for each window.
pub(super) unsafe fn compute<M: Micro, W: Copy + Default>(
    tile: &Depthwise<'_>,
    out: &mut [i8],
    spread: impl Fn(&[i8; 4]) -> W,
    sum: impl Fn(&[W]) -> [i32; 4],
    run: unsafe extern "C" fn(&mut Channels<W>),
) -> Option<()> {
    let taps = tile.taps.rows * tile.taps.columns;
    if taps > TAPS_MAX || tile.channels < 4 {
        return tile.model(0, out);
    }
    if !tile.fits(out) {
        return None;
    }
    let Depthwise { windows, input_steps, out_steps, .. } = *tile;
    let mut state = Channels {
        whole: [0; 4],
        multipliers: [0; 4],
        shifts: [0; 4],
        offset: 2 * tile.output_offset + 1,
        input: core::ptr::null(),
        out: core::ptr::null_mut(),
        taps,
        rows: windows.rows,
        columns: windows.columns,
        input_column: input_steps.columns,
        out_column: out_steps.columns,
        input_row: input_steps.rows.wrapping_sub(windows.columns * input_steps.columns),
        out_row: out_steps.rows.wrapping_sub(windows.columns * out_steps.columns),
        columns_left: 0,
        places: [0; TAPS_MAX],
        weights: [W::default(); TAPS_MAX],
    };
    let mut sources = [0; TAPS_MAX];
    let places =
        (0..tile.taps.rows).flat_map(|row| (0..tile.taps.columns).map(move |column| (row, column)));
    for ((row, column), (place, source)) in places.zip(state.places.iter_mut().zip(&mut sources)) {
        let at = |steps: Steps| row * steps.rows + column * steps.columns;
        (*place, *source) = (at(tile.input_taps), at(tile.weight_taps));
    }
    let mut first = 0;
    while first < tile.channels {
        first = first.min(tile.channels - 4);
        // SAFETY: `fits` holds that there are constants of all channels, four of which are from `first` on, and so many weights
        // at each tap.
        let (bias, multipliers, shifts) = unsafe {
            (
                tile.bias.map_or([0; 4], |bias| four(bias, first)),
                four(tile.multipliers, first),
                four(tile.shifts, first),
            )
        };
        let is_short = |(multiplier, shift): (&i32, &i32)| {
            M::is_short(Requantize { multiplier: *multiplier, shift: *shift })
        };
        if !tile.are_short && !multipliers.iter().zip(&shifts).all(is_short) {
            Depthwise { channels: first + 4, ..*tile }.model(first, out)?;
            first += 4;
            continue;
        }
        for (copy, source) in state.weights.iter_mut().zip(&sources).take(taps) {
            // SAFETY: as above.
            *copy = spread(&unsafe { four(tile.weights, first + source) });
        }
        let sums = sum(state.weights.get(..taps)?);
        for ((whole, bias), sum) in state.whole.iter_mut().zip(bias).zip(sums) {
            *whole = bias.wrapping_add(tile.input_offset.wrapping_mul(sum));
        }
        (state.multipliers, state.shifts) = quads::prepared(&multipliers, &shifts);
        state.rows = windows.rows;
        state.input = tile.input.as_ptr().wrapping_add(first);
        state.out = out.as_mut_ptr().wrapping_add(first);
        // SAFETY: `fits` holds that four channels from `first` on lie in the input at each tap of each window, and in the output for
        // each window; steps and places are those of the tile.
        unsafe { run(&mut state) };
        first += 4;
    }
    Some(())
}

/// Four elements from `first` on.
///
/// # Safety
/// There are so many.
#[inline(always)]
unsafe fn four<T: Copy>(values: &[T], first: usize) -> [T; 4] {
    debug_assert!(first + 4 <= values.len());
    // SAFETY: the caller's promise; an array has its elements' alignment.
    unsafe { values.as_ptr().add(first).cast::<[T; 4]>().read() }
}
