//! What the depthwise loops of DSP and scalar cores share: four channels at a time, with the weights of all taps beside each other.

use super::quads;
use crate::micro::Micro;
use crate::tile::{Depthwise, Framed, Steps};
use core::mem::MaybeUninit;
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
    pub(super) places: [MaybeUninit<usize>; TAPS_MAX],
    pub(super) weights: [MaybeUninit<W>; TAPS_MAX],
}

/// Computes all channels of an image in its frame, of which four channels at a time are copied.
///
/// # Safety
/// As [`compute`].
pub(super) unsafe fn compute_framed<M: Micro, W: Copy, const ANY: bool>(
    framed: &Framed<'_>,
    out: &mut [i8],
    spread: impl Fn(&[i8; 4]) -> W,
    sum: impl Fn(&[W]) -> [i32; 4],
    run: unsafe extern "C" fn(&mut Channels<W>),
) -> Option<()> {
    let tile = &framed.tile;
    if tile.taps.rows * tile.taps.columns > TAPS_MAX || !tile.are_short {
        return if ANY { framed.model(out) } else { None };
    }
    if !framed.fits(out) {
        return None;
    }
    let mut frame = framed.empty();
    let copy = |first: usize| {
        let mut source = tile.input.as_ptr().wrapping_add(first);
        let mut out = frame.as_mut_ptr().wrapping_add(framed.first);
        for _ in 0..framed.image.rows {
            for _ in 0..framed.image.columns {
                // SAFETY: `fits` holds that the input has all channels of so many pixels, and that these lie in the frame.
                unsafe { out.write(source.cast::<[i8; 4]>().read()) };
                source = source.wrapping_add(tile.channels);
                out = out.wrapping_add(1);
            }
            out = out.wrapping_add(framed.width).wrapping_sub(framed.image.columns);
        }
        Some(frame.as_ptr().cast())
    };
    // SAFETY: the caller's promise; `fits` holds that all windows lie in the frame.
    unsafe { compute_quads::<M, W, false>(tile, out, copy, spread, sum, run) }
}

/// Computes all channels of a rectangle of windows.
///
/// `spread` brings the weights of four channels into the form in which the loop reads them, and `sum` adds up those of all taps; the
/// model computes channels that do not come in fours, whose factors are long, or whose windows have too many taps, of `ANY` tile.
///
/// # Safety
/// `run` reads four elements of the input at each tap of each window, and writes as many for each window.
pub(super) unsafe fn compute<M: Micro, W: Copy, const ANY: bool>(
    tile: &Depthwise<'_>,
    out: &mut [i8],
    spread: impl Fn(&[i8; 4]) -> W,
    sum: impl Fn(&[W]) -> [i32; 4],
    run: unsafe extern "C" fn(&mut Channels<W>),
) -> Option<()> {
    if tile.taps.rows * tile.taps.columns > TAPS_MAX || tile.channels < 4 {
        return if ANY { tile.model(0, out) } else { None };
    }
    if !ANY && !tile.are_short || !tile.fits(out) {
        return None;
    }
    let input = |first: usize| Some(tile.input.as_ptr().wrapping_add(first));
    // SAFETY: the caller's promise; `fits` holds that all windows lie in the input.
    unsafe { compute_quads::<M, W, ANY>(tile, out, input, spread, sum, run) }
}

/// Computes four channels after the other; `input` gives the first window's first tap of those from a channel on.
///
/// # Safety
/// As [`compute`], for at least four channels and at most [`TAPS_MAX`] taps; constants, weights and outputs are those of the tile, and at
/// `input` there are four elements at each tap of each window.
#[inline(always)]
unsafe fn compute_quads<M: Micro, W: Copy, const ANY: bool>(
    tile: &Depthwise<'_>,
    out: &mut [i8],
    mut input: impl FnMut(usize) -> Option<*const i8>,
    spread: impl Fn(&[i8; 4]) -> W,
    sum: impl Fn(&[W]) -> [i32; 4],
    run: unsafe extern "C" fn(&mut Channels<W>),
) -> Option<()> {
    let Depthwise { windows, input_steps, out_steps, taps: Steps { rows, columns }, .. } = *tile;
    let taps = rows * columns;
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
        places: [const { MaybeUninit::uninit() }; TAPS_MAX],
        weights: [const { MaybeUninit::uninit() }; TAPS_MAX],
    };
    let mut places = state.places.iter_mut();
    for row in 0..rows {
        let mut place = row * tile.input_taps.rows;
        for places in places.by_ref().take(columns) {
            places.write(place);
            place += tile.input_taps.columns;
        }
    }
    let mut first = 0;
    while first < tile.channels {
        first = first.min(tile.channels - 4);
        // SAFETY: there are constants of all channels, four of which are from `first` on.
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
        if ANY && !tile.are_short && !multipliers.iter().zip(&shifts).all(is_short) {
            Depthwise { channels: first + 4, ..*tile }.model(first, out)?;
            first += 4;
            continue;
        }
        let mut weights = state.weights.iter_mut();
        for row in 0..rows {
            let mut source = first + row * tile.weight_taps.rows;
            for weights in weights.by_ref().take(columns) {
                // SAFETY: there are weights of all channels at each tap.
                weights.write(spread(&unsafe { four(tile.weights, source) }));
                source += tile.weight_taps.columns;
            }
        }
        // SAFETY: as many were written.
        let weights =
            unsafe { core::slice::from_raw_parts(state.weights.as_ptr().cast::<W>(), taps) };
        for ((whole, bias), sum) in state.whole.iter_mut().zip(bias).zip(sum(weights)) {
            *whole = bias.wrapping_add(tile.input_offset.wrapping_mul(sum));
        }
        (state.multipliers, state.shifts) = quads::prepared(&multipliers, &shifts);
        state.rows = windows.rows;
        state.input = input(first)?;
        state.out = out.as_mut_ptr().wrapping_add(first);
        // SAFETY: four channels lie at `input` at each tap of each window, and in the output for each window; steps and places are those
        // of the tile. The caller's promise.
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
