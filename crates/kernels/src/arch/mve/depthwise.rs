//! Sixteen channels of a window at a time.
//!
//! ```text
//! for each rectangle of windows, and each sixteen channels:
//!     copy the weights of all taps, sum them up, collect the constants                 (1)
//!     for each window:
//!         four vectors of sums = whole
//!         for each tap: widen its products twice, add them                             (2)
//!         rescale as vectors, narrow with saturation, store sixteen results
//! ```
//!
//! 1. What belongs together lies together then, in the order in which widening leaves the lanes: every fourth channel.
//! 2. Products of bytes fit 16 bits, but already two of them may not, when weights are -128.
//!
//! The last sixteen channels overlap those before; fewer than sixteen are predicated.

use crate::tile::{Depthwise, Steps};
use core::mem::MaybeUninit;

/// The most taps that the copies have room for.
const TAPS_MAX: usize = 64;
const CHANNELS: usize = 16;

/// Copies and constants of sixteen channels. Vectors hold every fourth channel: from 0, 2, 1 and 3 on.
#[repr(C, align(16))]
struct Block {
    whole: [[i32; 4]; 4],
    multipliers: [[i32; 4]; 4],
    shifts: [[i32; 4]; 4],
    weights: [[i8; CHANNELS]; TAPS_MAX],
    /// Where taps are in the input, from a window's first one.
    input_taps: [usize; TAPS_MAX],
    /// Where taps are in the weights.
    weight_taps: [usize; TAPS_MAX],
}

/// What the loop over windows takes.
#[repr(C)]
struct Region {
    input: *const i8,
    out: *mut i8,
    columns: usize,
    rows: usize,
    input_column: usize,
    out_column: usize,
    /// From the end of a row to the start of the next.
    input_row: usize,
    out_row: usize,
    block: *const Block,
    taps: usize,
    output_offset: i32,
    channels: usize,
}

/// Bias, multipliers and shifts of less than sixteen channels, filled up.
type Padded = [[i32; CHANNELS]; 3];

/// [`Depthwise::model`] for all channels.
pub(super) fn compute(tile: &Depthwise<'_>, out: &mut [i8]) -> Option<()> {
    let taps = tile.taps.rows * tile.taps.columns;
    if taps > TAPS_MAX {
        return tile.model(0, out);
    }
    if !tile.fits(out) {
        return None;
    }
    // Left as it is on the stack: what is read of it is written before.
    let mut memory = MaybeUninit::<Block>::uninit();
    let block = memory.as_mut_ptr();
    let places =
        (0..tile.taps.rows).flat_map(|row| (0..tile.taps.columns).map(move |column| (row, column)));
    for (tap, (row, column)) in places.enumerate() {
        let place = |steps: Steps| row * steps.rows + column * steps.columns;
        // SAFETY: there are at most `TAPS_MAX` taps, and the block has so many places.
        unsafe {
            let (input, weight) = (&raw mut (*block).input_taps, &raw mut (*block).weight_taps);
            input.cast::<usize>().add(tap).write(place(tile.input_taps));
            weight.cast::<usize>().add(tap).write(place(tile.weight_taps));
        }
    }
    let count = tile.channels.min(CHANNELS);
    let mut padded: Padded = [[0; CHANNELS]; 3];
    let tables = constants(tile, &mut padded);
    let mut first = 0;
    while first < tile.channels {
        first = first.min(tile.channels - count);
        if is_prepared(tile, &tables, first, count, taps, block) {
            run(tile, block, first, count, taps, out);
        } else {
            let end = first + count;
            Depthwise { channels: end, ..*tile }.model(first, out)?;
        }
        first += CHANNELS;
    }
    Some(())
}

/// Pointers to each channel's bias, multiplier and shift, sixteen and more; those of the bias stay at zeros where there is none.
struct Tables {
    pointers: [*const i32; 3],
    has_bias: bool,
}

fn constants(tile: &Depthwise<'_>, padded: &mut Padded) -> Tables {
    let [bias, multipliers, shifts] = padded;
    if tile.channels >= CHANNELS {
        let bias = tile.bias.map_or(bias.as_ptr(), <[i32]>::as_ptr);
        let pointers = [bias, tile.multipliers.as_ptr(), tile.shifts.as_ptr()];
        return Tables { pointers, has_bias: tile.bias.is_some() };
    }
    for channel in 0..tile.channels.min(CHANNELS) {
        let factor = tile.factor_of(channel);
        bias[channel] = tile.bias_of(channel);
        (multipliers[channel], shifts[channel]) = (factor.multiplier, factor.shift);
    }
    Tables { pointers: [bias.as_ptr(), multipliers.as_ptr(), shifts.as_ptr()], has_bias: true }
}

/// Fills the block with the weights and constants of `count` channels from `first` on. Whether their factors shift to the right, as
/// the loop demands, or are 0.
fn is_prepared(
    tile: &Depthwise<'_>,
    tables: &Tables,
    first: usize,
    count: usize,
    taps: usize,
    block: *mut Block,
) -> bool {
    let [bias, multipliers, shifts] = tables.pointers;
    let bias = if tables.has_bias { bias.wrapping_add(first) } else { bias };
    let unfit: usize;
    // SAFETY: `Depthwise::fits` holds that each tap's weights of `count` channels from `first` on lie in the slice; predication leaves
    // the lanes from `count` on alone. The tables have sixteen elements from `first` on, see `constants`. At most `TAPS_MAX` taps are
    // read from and written to the block.
    unsafe {
        core::arch::asm!(
            "vctp.8 {count}",
            "vmov.i32 q2, #0",
            "vmov.i32 q3, #0",
            "dls lr, {taps}",
            "1:",
            "ldr {at}, [{places}], #4",
            "add {at}, {weights}",
            "vpst",
            "vldrbt.8 q0, [{at}]",
            "vmovlb.s8 q1, q0",
            "vstrb.8 q0, [{copies}], #16",
            "vadd.i16 q2, q2, q1",
            "vmovlt.s8 q1, q0",
            "vadd.i16 q3, q3, q1",
            "le lr, 1b",
            // Even channels are in q2, odd ones in q3; each is split again.
            "vld40.32 {{q4, q5, q6, q7}}, [{bias}]",
            "vld41.32 {{q4, q5, q6, q7}}, [{bias}]",
            "vld42.32 {{q4, q5, q6, q7}}, [{bias}]",
            "vld43.32 {{q4, q5, q6, q7}}, [{bias}]",
            "vmovlb.s16 q0, q2",
            "vmovlt.s16 q1, q2",
            "vmla.s32 q4, q0, {offset}",
            "vmla.s32 q6, q1, {offset}",
            "vmovlb.s16 q0, q3",
            "vmovlt.s16 q1, q3",
            "vmla.s32 q5, q0, {offset}",
            "vmla.s32 q7, q1, {offset}",
            "vstrw.32 q4, [{block}]",
            "vstrw.32 q6, [{block}, #16]",
            "vstrw.32 q5, [{block}, #32]",
            "vstrw.32 q7, [{block}, #48]",
            "vld40.32 {{q4, q5, q6, q7}}, [{multipliers}]",
            "vld41.32 {{q4, q5, q6, q7}}, [{multipliers}]",
            "vld42.32 {{q4, q5, q6, q7}}, [{multipliers}]",
            "vld43.32 {{q4, q5, q6, q7}}, [{multipliers}]",
            "vstrw.32 q4, [{block}, #64]",
            "vstrw.32 q6, [{block}, #80]",
            "vstrw.32 q5, [{block}, #96]",
            "vstrw.32 q7, [{block}, #112]",
            "vld40.32 {{q0, q1, q2, q3}}, [{shifts}]",
            "vld41.32 {{q0, q1, q2, q3}}, [{shifts}]",
            "vld42.32 {{q0, q1, q2, q3}}, [{shifts}]",
            "vld43.32 {{q0, q1, q2, q3}}, [{shifts}]",
            "vstrw.32 q0, [{block}, #128]",
            "vstrw.32 q2, [{block}, #144]",
            "vstrw.32 q1, [{block}, #160]",
            "vstrw.32 q3, [{block}, #176]",
            // Lanes that shift to the left or not at all, unless they multiply by 0.
            "vpt.s32 ge, q0, zr",
            "vcmpt.i32 ne, q4, zr",
            "vmrs {unfit}, p0",
            "vpt.s32 ge, q1, zr",
            "vcmpt.i32 ne, q5, zr",
            "vmrs {at}, p0",
            "orr {unfit}, {at}",
            "vpt.s32 ge, q2, zr",
            "vcmpt.i32 ne, q6, zr",
            "vmrs {at}, p0",
            "orr {unfit}, {at}",
            "vpt.s32 ge, q3, zr",
            "vcmpt.i32 ne, q7, zr",
            "vmrs {at}, p0",
            "orr {unfit}, {at}",
            count = in(reg) count,
            taps = in(reg) taps,
            places = inout(reg) &raw const (*block).weight_taps => _,
            weights = in(reg) tile.weights.as_ptr().wrapping_add(first),
            copies = inout(reg) &raw mut (*block).weights => _,
            block = in(reg) block,
            offset = in(reg) tile.input_offset,
            bias = in(reg) bias,
            multipliers = in(reg) multipliers.wrapping_add(first),
            shifts = in(reg) shifts.wrapping_add(first),
            at = out(reg) _,
            unfit = out(reg) unfit,
            out("lr") _,
            out("q0") _, out("q1") _, out("q2") _, out("q3") _,
            out("q4") _, out("q5") _, out("q6") _, out("q7") _,
            options(nostack),
        );
    }
    unfit == 0
}

/// Computes a prepared block of `count` channels from `first` on.
fn run(
    tile: &Depthwise<'_>,
    block: *const Block,
    first: usize,
    count: usize,
    taps: usize,
    out: &mut [i8],
) {
    let Depthwise { windows, input_steps, out_steps, .. } = *tile;
    let region = Region {
        input: tile.input.as_ptr().wrapping_add(first),
        out: out.as_mut_ptr().wrapping_add(first),
        columns: windows.columns,
        rows: windows.rows,
        input_column: input_steps.columns,
        out_column: out_steps.columns,
        input_row: input_steps.rows.wrapping_sub(windows.columns * input_steps.columns),
        out_row: out_steps.rows.wrapping_sub(windows.columns * out_steps.columns),
        block,
        taps,
        output_offset: tile.output_offset,
        channels: count,
    };
    let run = if count == CHANNELS { run_whole } else { run_part };
    // SAFETY: `Depthwise::fits` holds that all taps of all windows and all outputs lie in their slices, for each of the channels; the
    // loop for a part touches only the first `count` lanes.
    unsafe { run(&raw const region) }
}

macro_rules! run {
    ($(#[$doc:meta])* $name:ident, $two:literal, $one:literal, $then:literal) => {
        $(#[$doc])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name(region: *const Region) {
            core::arch::naked_asm!(
        ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "ldr r1, [r0, #44]",
                "vctp.8 r1",
                // Input, output, columns, rows, steps.
                "ldm r0, {{r1-r8}}",
                "ldr r9, [r0, #32]",
                "ldr r10, [r0, #36]",
                "push {{r3}}",
                "2:",
                "vldrw.32 q4, [r9]",
                "add r11, r9, #192",
                "vldrw.32 q5, [r9, #16]",
                "add r12, r9, #1216",
                "vldrw.32 q6, [r9, #32]",
                "dls lr, r10",
                "vldrw.32 q7, [r9, #48]",
                "3:",
                "ldr r3, [r12], #4",
                "add r3, r1",
                $two,
                concat!("vldrb", $then, ".8 q0, [r3]"),
                concat!("vldrb", $then, ".8 q1, [r11], #16"),
                "vmullb.s8 q2, q0, q1",
                "vmullt.s8 q0, q0, q1",
                "vmovlb.s16 q3, q2",
                "vadd.i32 q4, q4, q3",
                "vmovlt.s16 q2, q2",
                "vadd.i32 q5, q5, q2",
                "vmovlb.s16 q3, q0",
                "vadd.i32 q6, q6, q3",
                "vmovlt.s16 q0, q0",
                "vadd.i32 q7, q7, q0",
                "le lr, 3b",
                "ldr r3, [r0, #40]",
                "vldrw.32 q0, [r9, #64]",
                "vldrw.32 q1, [r9, #80]",
                "vqrdmulh.s32 q4, q4, q0",
                "vldrw.32 q2, [r9, #96]",
                "vqrdmulh.s32 q5, q5, q1",
                "vldrw.32 q3, [r9, #112]",
                "vqrdmulh.s32 q6, q6, q2",
                "vldrw.32 q0, [r9, #128]",
                "vqrdmulh.s32 q7, q7, q3",
                "vshr.s32 q1, q4, #31",
                "vqadd.s32 q4, q4, q1",
                "vrshl.s32 q4, q4, q0",
                "vldrw.32 q0, [r9, #144]",
                "vshr.s32 q1, q5, #31",
                "vqadd.s32 q5, q5, q1",
                "vrshl.s32 q5, q5, q0",
                "vldrw.32 q0, [r9, #160]",
                "vshr.s32 q1, q6, #31",
                "vqadd.s32 q6, q6, q1",
                "vrshl.s32 q6, q6, q0",
                "vldrw.32 q0, [r9, #176]",
                "vshr.s32 q1, q7, #31",
                "vqadd.s32 q7, q7, q1",
                "vrshl.s32 q7, q7, q0",
                "vqmovnb.s32 q4, q4",
                "vqmovnb.s32 q6, q6",
                "vqmovnt.s32 q4, q5",
                "vqmovnt.s32 q6, q7",
                "vqadd.s16 q4, q4, r3",
                "vqadd.s16 q6, q6, r3",
                "vqmovnb.s16 q4, q4",
                "vqmovnt.s16 q4, q6",
                "add r1, r5",
                "ldr r3, [sp]",
                $one,
                concat!("vstrb", $then, ".8 q4, [r2]"),
                "add r2, r6",
                "subs r3, #1",
                "str r3, [sp]",
                "bne 2b",
                "add r1, r7",
                "add r2, r8",
                "ldr r3, [r0, #8]",
                "str r3, [sp]",
                "subs r4, #1",
                "bne 2b",
                "pop {{r3}}",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
            );
        }
    };
}

run! {
    /// Sixteen channels.
    run_whole, "", "", ""
}
run! {
    /// The first channels of sixteen.
    run_part, "vpstt", "vpst", "t"
}
