//! Sixteen channels of a window at a time.
//!
//! ```text
//! for each rectangle of windows, and each sixteen channels:
//!     copy the weights of all taps, sum them up, collect the constants                 (1)
//!     for each window:
//!         four vectors of sums = whole
//!         for each two taps: add their products, widen what they add up to, add it      (2)
//!         rescale as vectors, narrow with saturation, store sixteen results
//! ```
//!
//! 1. What belongs together lies together then, in the order in which widening leaves the lanes: every fourth channel.
//! 2. Two products of bytes fit 16 bits unless weights are -128; then, and where lanes are predicated, taps are taken one by one. Both
//!    halves of two products leave no register for the second tap's inputs, which are loaded twice.
//!
//! The last sixteen channels overlap those before; fewer than sixteen are predicated. Where input channels feed several channels each,
//! inputs are gathered. Eight, four, two channels or one fill the sixteen lanes with those of neighbouring windows.

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
    /// Where each channel's input lies from that of the first one.
    inputs: [u8; CHANNELS],
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

/// The bias of channels that have none.
static NO_BIAS: [i32; CHANNELS] = [0; CHANNELS];

/// [`Depthwise::model_spread`], of `ANY` tile.
pub(super) fn compute<const ANY: bool>(tile: &Depthwise<'_>, out: &mut [i8]) -> Option<()> {
    let taps = tile.taps.rows * tile.taps.columns;
    if taps > TAPS_MAX || !tile.are_short {
        return if ANY { tile.model_spread(out) } else { None };
    }
    if !tile.fits(out) {
        return None;
    }
    // Neighbouring windows whose channels fill sixteen lanes together are computed as one; the last ones overlap those before.
    let Depthwise { windows, input_steps, out_steps, channels, .. } = *tile;
    let fused = if channels.is_power_of_two() { CHANNELS / channels } else { 1 };
    let is_fused = fused > 1
        && tile.multiplier == 1
        && windows.columns >= fused
        && input_steps.columns == channels
        && out_steps.columns == channels;
    if !is_fused {
        compute_blocks(tile, windows.columns, (0, 1), out);
        return Some(());
    }
    let (columns, rest) = (windows.columns / fused, windows.columns % fused);
    compute_blocks(tile, columns, (0, fused), out);
    if rest > 0 {
        compute_blocks(tile, 1, (windows.columns - fused, fused), out);
    }
    Some(())
}

/// Computes `columns` times `fused` windows of each row, from one on. The tile fits; if windows are fused, they fill sixteen lanes.
#[inline(never)]
fn compute_blocks(
    tile: &Depthwise<'_>,
    columns: usize,
    (start, fused): (usize, usize),
    out: &mut [i8],
) {
    let taps = tile.taps.rows * tile.taps.columns;
    // Left as it is on the stack: what is read of it is written before.
    let mut memory = MaybeUninit::<Block>::uninit();
    let block = memory.as_mut_ptr();
    for (tap, (row, column)) in tile.taps.each().enumerate() {
        let place = |steps: Steps| row * steps.rows + column * steps.columns;
        // SAFETY: there are at most `TAPS_MAX` taps, and the block has so many places.
        unsafe {
            let (input, weight) = (&raw mut (*block).input_taps, &raw mut (*block).weight_taps);
            input.cast::<usize>().add(tap).write(place(tile.input_taps));
            weight.cast::<usize>().add(tap).write(place(tile.weight_taps));
        }
    }
    let channels = fused * tile.channels;
    let count = channels.min(CHANNELS);
    let mut padded = MaybeUninit::<Padded>::uninit();
    let mut constants = Constants::new(tile, count, block, &mut padded);
    let Depthwise { windows, input_steps, out_steps, .. } = *tile;
    let mut region = Region {
        input: core::ptr::null(),
        out: core::ptr::null_mut(),
        columns,
        rows: windows.rows,
        input_column: fused * input_steps.columns,
        out_column: fused * out_steps.columns,
        input_row: input_steps.rows.wrapping_sub(columns * fused * input_steps.columns),
        out_row: out_steps.rows.wrapping_sub(columns * fused * out_steps.columns),
        block,
        taps,
        output_offset: tile.output_offset,
        channels: count,
    };
    if taps % 2 == 1 {
        // A tap without weight makes up the last pair.
        // SAFETY: the block is this function's, and has an even number of places.
        unsafe {
            let (input, weights) = (&raw mut (*block).input_taps, &raw mut (*block).weights);
            input.cast::<usize>().add(taps).write(0);
            weights.cast::<[i8; CHANNELS]>().add(taps).write([0; CHANNELS]);
        }
    }
    let multiplier = tile.multiplier.max(1);
    let mut first = 0;
    while first < channels {
        let beyond = first.saturating_sub(channels - count);
        if beyond > 0 {
            constants.go_back(beyond);
            first -= beyond;
        }
        if tile.bias.is_none() && tile.channels >= CHANNELS {
            constants.bias = NO_BIAS.as_ptr();
        }
        // SAFETY: `Depthwise::fits` holds that each tap's weights of `count` channels from `first` on lie in the slice; there are sixteen
        // constants from `first` on. There are at most `TAPS_MAX` taps.
        let least = unsafe { prepare(&mut constants) };
        let input = start * input_steps.columns + first / multiplier;
        region.input = tile.input.as_ptr().wrapping_add(input);
        region.out = out.as_mut_ptr().wrapping_add(start * out_steps.columns + first);
        region.rows = windows.rows;
        type Run = unsafe extern "C" fn(&mut Region);
        let run: Run = match multiplier {
            1 if least > i32::from(i8::MIN) && count == CHANNELS => {
                region.taps = taps.div_ceil(2);
                run_pairs
            }
            1 => {
                region.taps = taps;
                run_singly
            }
            _ => {
                // SAFETY: the block is this function's.
                unsafe { (&raw mut (*block).inputs).write(inputs(first, multiplier)) };
                run_spread
            }
        };
        // SAFETY: `Depthwise::fits` holds that all taps of all windows and all outputs lie in their slices, for each of the channels;
        // loops for a part touch only the first `count` lanes.
        unsafe { run(&mut region) }
        first += CHANNELS;
    }
}

/// Where the inputs of sixteen channels lie from that of the first one.
#[inline(never)]
fn inputs(first: usize, multiplier: usize) -> [u8; CHANNELS] {
    let multiplier = multiplier.max(1);
    core::array::from_fn(|lane| ((first + lane) / multiplier - first / multiplier) as u8)
}

/// Weights and constants of sixteen channels, and where they go; the loop goes on to the next sixteen.
#[repr(C)]
struct Constants {
    weights: *const i8,
    bias: *const i32,
    multipliers: *const i32,
    shifts: *const i32,
    block: *mut Block,
    taps: usize,
    input_offset: i32,
    lanes: usize,
    /// Where taps are in the weights, and where the weights go.
    places: *const usize,
    copies: *mut [i8; CHANNELS],
    /// The channel of each lane.
    inputs: [u8; CHANNELS],
}

impl Constants {
    fn new(
        tile: &Depthwise<'_>,
        lanes: usize,
        block: *mut Block,
        padded: &mut MaybeUninit<Padded>,
    ) -> Self {
        let mut tables = [
            tile.bias.map_or(NO_BIAS.as_ptr(), <[i32]>::as_ptr),
            tile.multipliers.as_ptr(),
            tile.shifts.as_ptr(),
        ];
        if tile.channels < CHANNELS {
            let [bias, multipliers, shifts] = padded.write([[0; CHANNELS]; 3]);
            let lanes = bias.iter_mut().zip(multipliers.iter_mut().zip(shifts.iter_mut()));
            for ((bias, (multiplier, shift)), channel) in lanes.zip((0..tile.channels).cycle()) {
                let factor = tile.factor_of(channel);
                *bias = tile.bias_of(channel);
                (*multiplier, *shift) = (factor.multiplier, factor.shift);
            }
            tables = [bias.as_ptr(), multipliers.as_ptr(), shifts.as_ptr()];
        }
        let [bias, multipliers, shifts] = tables;
        // The bits of a lane's number that are its channel's.
        let mask = if lanes > tile.channels { tile.channels as u8 - 1 } else { 15 };
        // SAFETY: places of a block, which are not read here.
        let (places, copies) =
            unsafe { (&raw const (*block).weight_taps, &raw mut (*block).weights) };
        Constants {
            weights: tile.weights.as_ptr(),
            bias,
            multipliers,
            shifts,
            block,
            taps: tile.taps.rows * tile.taps.columns,
            input_offset: tile.input_offset,
            lanes,
            inputs: core::array::from_fn(|lane| lane as u8 & mask),
            places: places.cast(),
            copies: copies.cast(),
        }
    }

    fn go_back(&mut self, channels: usize) {
        self.weights = self.weights.wrapping_sub(channels);
        self.bias = self.bias.wrapping_sub(channels);
        self.multipliers = self.multipliers.wrapping_sub(channels);
        self.shifts = self.shifts.wrapping_sub(channels);
    }
}

/// Fills the block with weights and constants. Returns the least weight, or 0: unless it is -128, two products fit 16 bits.
///
/// # Safety
/// There are as many weights at each of the taps and sixteen of each constant, and the block has room for all taps.
#[unsafe(naked)]
unsafe extern "C" fn prepare(constants: &mut Constants) -> i32 {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "ldm r0, {{r1-r8}}",
        "vctp.8 r8",
        "ldrd r9, r10, [r0, #32]",
        "vldrb.8 q5, [r0, #40]",
        "vmov.i32 q2, #0",
        "vmov.i32 q3, #0",
        "vmov.i32 q4, #0",
        "dls lr, r6",
        "1:",
        "ldr r12, [r9], #4",
        "add r12, r1",
        "vpst",
        "vldrbt.u8 q0, [r12, q5]",
        "vmovlb.s8 q1, q0",
        "vstrb.8 q0, [r10], #16",
        "vadd.i16 q2, q2, q1",
        "vmin.s8 q4, q4, q0",
        "vmovlt.s8 q1, q0",
        "vadd.i16 q3, q3, q1",
        "le lr, 1b",
        "movs r6, #0",
        "vminv.s8 r6, q4",
        "adds r1, #16",
        // Even channels are in q2, odd ones in q3; each is split again.
        "vld40.32 {{q4, q5, q6, q7}}, [r2]",
        "vld41.32 {{q4, q5, q6, q7}}, [r2]",
        "vld42.32 {{q4, q5, q6, q7}}, [r2]",
        "vld43.32 {{q4, q5, q6, q7}}, [r2]!",
        "vmovlb.s16 q0, q2",
        "vmovlt.s16 q1, q2",
        "vmla.s32 q4, q0, r7",
        "vmla.s32 q6, q1, r7",
        "vmovlb.s16 q0, q3",
        "vmovlt.s16 q1, q3",
        "vmla.s32 q5, q0, r7",
        "vmla.s32 q7, q1, r7",
        "vstrw.32 q4, [r5]",
        "vstrw.32 q6, [r5, #16]",
        "vstrw.32 q5, [r5, #32]",
        "vstrw.32 q7, [r5, #48]",
        "vld40.32 {{q4, q5, q6, q7}}, [r3]",
        "vld41.32 {{q4, q5, q6, q7}}, [r3]",
        "vld42.32 {{q4, q5, q6, q7}}, [r3]",
        "vld43.32 {{q4, q5, q6, q7}}, [r3]!",
        "vstrw.32 q4, [r5, #64]",
        "vstrw.32 q6, [r5, #80]",
        "vstrw.32 q5, [r5, #96]",
        "vstrw.32 q7, [r5, #112]",
        "vld40.32 {{q0, q1, q2, q3}}, [r4]",
        "vld41.32 {{q0, q1, q2, q3}}, [r4]",
        "vld42.32 {{q0, q1, q2, q3}}, [r4]",
        "vld43.32 {{q0, q1, q2, q3}}, [r4]!",
        "vstrw.32 q0, [r5, #128]",
        "vstrw.32 q2, [r5, #144]",
        "vstrw.32 q1, [r5, #160]",
        "vstrw.32 q3, [r5, #176]",
        "stm r0, {{r1-r4}}",
        "sxtb r0, r6",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}

macro_rules! run {
    ($(#[$doc:meta])* $name:ident, [$($taps:expr),* $(,)?] [$($store:literal),*]) => {
        $(#[$doc])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name(region: &mut Region) {
            core::arch::naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "ldrd r8, r1, [r0, #40]",
                "vctp.8 r1",
                "ldrd r1, r2, [r0]",
                "ldrd r5, r6, [r0, #16]",
                "ldrd r9, r10, [r0, #32]",
                "1:",
                "ldr r7, [r0, #8]",
                "2:",
                "vldrw.32 q4, [r9]",
                "add r11, r9, #208",
                "vldrw.32 q5, [r9, #16]",
                "add r12, r9, #1232",
                "vldrw.32 q6, [r9, #32]",
                "dls lr, r10",
                "vldrw.32 q7, [r9, #48]",
                "3:",
                $($taps,)*
                "vmovlb.s16 q3, q2",
                "vadd.i32 q4, q4, q3",
                "vmovlt.s16 q2, q2",
                "vadd.i32 q5, q5, q2",
                "vmovlb.s16 q3, q0",
                "vadd.i32 q6, q6, q3",
                "vmovlt.s16 q0, q0",
                "vadd.i32 q7, q7, q0",
                "le lr, 3b",
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
                "vqadd.s16 q4, q4, r8",
                "vqadd.s16 q6, q6, r8",
                "vqmovnb.s16 q4, q4",
                "vqmovnt.s16 q4, q6",
                "add r1, r5",
                $($store,)*
                "add r2, r6",
                "subs r7, #1",
                "bne 2b",
                "ldrd r3, r4, [r0, #24]",
                "add r1, r3",
                "add r2, r4",
                "ldr r3, [r0, #12]",
                "subs r3, #1",
                "str r3, [r0, #12]",
                "bne 1b",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
            );
        }
    };
}

run! {
    /// Sixteen channels with weights above -128, two taps at a time.
    run_pairs,
    [
        "ldrd r3, r4, [r12], #8",
        "add r3, r1",
        "vldrb.8 q0, [r3]",
        "vldrb.8 q1, [r11], #16",
        "vmullb.s8 q2, q0, q1",
        "add r4, r1",
        "vmullt.s8 q3, q0, q1",
        "vldrb.8 q0, [r4]",
        "vldrb.8 q1, [r11], #16",
        "vmullb.s8 q0, q0, q1",
        "vadd.i16 q2, q2, q0",
        "vldrb.8 q0, [r4]",
        "vmullt.s8 q0, q0, q1",
        "vadd.i16 q0, q0, q3",
    ]
    ["vstrb.8 q4, [r2]"]
}
run! {
    /// The first channels of sixteen.
    run_singly,
    [
        "ldr r3, [r12], #4",
        "add r3, r1",
        "vpstt",
        "vldrbt.8 q0, [r3]",
        "vldrbt.8 q1, [r11], #16",
        "vmullb.s8 q2, q0, q1",
        "vmullt.s8 q0, q0, q1",
    ]
    ["vpst", "vstrbt.8 q4, [r2]"]
}
run! {
    /// The first channels of sixteen, several of which share an input.
    run_spread,
    [
        "ldr r3, [r12], #4",
        "add r3, r1",
        "vldrw.32 q1, [r9, #192]",
        "vpstt",
        "vldrbt.u8 q0, [r3, q1]",
        "vldrbt.8 q1, [r11], #16",
        "vmullb.s8 q2, q0, q1",
        "vmullt.s8 q0, q0, q1",
    ]
    ["vpst", "vstrbt.8 q4, [r2]"]
}
