//! Four channels of a window at a time: weights are widened once for all windows, inputs as they are read.

use super::super::channels::Channels;
use super::{sadd16, sxtb16, sxtb16_ror8, word};

/// Widens the weights of four channels.
#[inline(always)]
pub(super) fn spread(weights: &[i8; 4]) -> [u32; 2] {
    let weights = word(weights);
    [sxtb16(weights), sxtb16_ror8(weights)]
}

/// Adds up widened weights: of at most 32 taps, whose sums fit halves.
#[inline(always)]
pub(super) fn sum(weights: &[[u32; 2]]) -> [i32; 4] {
    let pairs = weights
        .iter()
        .fold([0; 2], |sums, weights| [sadd16(sums[0], weights[0]), sadd16(sums[1], weights[1])]);
    let low = |pair: u32| i32::from(pair as i16);
    let high = |pair: u32| pair as i32 >> 16;
    [low(pairs[0]), low(pairs[1]), high(pairs[0]), high(pairs[1])]
}

/// Computes four channels of a rectangle of windows; weights are the even channels' in one word and the odd ones' in the other.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn multiply(channels: &mut Channels<[u32; 2]>) {
    core::arch::naked_asm!(
        concat!(".cpu ", env!("CORTADO_DSP_CPU")),
        "push {{r4-r11, lr}}",
        "mov r12, r0",
        "ldrd r0, r11, [r12, #52]",
        "5:",
        "ldr r7, [r12, #68]",
        "str r7, [r12, #88]",
        "10:",
        "add r1, r12, #92",
        "add r2, r12, #220",
        "ldr lr, [r12, #60]",
        "ldm r12, {{r3-r6}}",
        "20:",
        "ldr r7, [r1], #4",
        "ldrd r9, r10, [r2], #8",
        "ldr r7, [r0, r7]",
        "subs lr, #1",
        "sxtb16 r8, r7, ror #8",
        "sxtb16 r7, r7",
        "smlabb r3, r7, r9, r3",
        "smlatt r5, r7, r9, r5",
        "smlabb r4, r8, r10, r4",
        "smlatt r6, r8, r10, r6",
        "bne 20b",
        "ldrd r7, r8, [r12, #16]",
        "ldrd r9, r10, [r12, #24]",
        "smmlar r3, r3, r7, r3",
        "smmlar r4, r4, r8, r4",
        "smmlar r5, r5, r9, r5",
        "smmlar r6, r6, r10, r6",
        "ldrd r7, r8, [r12, #32]",
        "ldrd r9, r10, [r12, #40]",
        "ldr r1, [r12, #48]",
        "add r3, r3, r3, asr #31",
        "add r4, r4, r4, asr #31",
        "add r5, r5, r5, asr #31",
        "add r6, r6, r6, asr #31",
        "asrs r3, r7",
        "asr r4, r4, r8",
        "asr r5, r5, r9",
        "asr r6, r6, r10",
        "add r3, r1",
        "add r4, r1",
        "add r5, r1",
        "add r6, r1",
        "ldrd r7, r8, [r12, #72]",
        "ldr r1, [r12, #88]",
        "ssat r3, #8, r3, asr #1",
        "ssat r4, #8, r4, asr #1",
        "ssat r5, #8, r5, asr #1",
        "ssat r6, #8, r6, asr #1",
        "strb r3, [r11]",
        "strb r4, [r11, #1]",
        "strb r5, [r11, #2]",
        "strb r6, [r11, #3]",
        "add r0, r7",
        "add r11, r8",
        "subs r1, #1",
        "str r1, [r12, #88]",
        "bne 10b",
        "ldrd r7, r8, [r12, #80]",
        "ldr r1, [r12, #64]",
        "add r0, r7",
        "add r11, r8",
        "subs r1, #1",
        "str r1, [r12, #64]",
        "bne 5b",
        "pop {{r4-r11, pc}}",
    )
}
