//! A row of a fully connected layer: sums into a buffer, 132 features at a time, which are then rescaled.
//!
//! ```text
//! for each 132 features:
//!     of 128 inputs: four rows at a time, one after the other; the input stays in registers       (1)
//!     of others: six rows side by side share each load of the input                               (2)
//!     rows left over likewise, two by two
//!     rescale eight sums at a time, narrow them with saturation, store them; the rest predicated  (3)
//! ```
//!
//! 1. Rows of weights follow each other in memory, so one pointer goes through all of them. Seven vectors of input are kept, and the
//!    eighth takes the place of the seventh for every second pair of rows: 66 instructions per four rows.
//! 2. Accumulators of `VMLADAVA` are even registers, so pointers take the odd ones. The loop's tail is predicated.
//! 3. `VQRDMLAH` is the doubling high multiplication that adds minus one for negative numbers: a rounding shift rounds ties up, and so
//!    they are rounded away from zero. Where the product rounds to zero, minus one is shifted to zero.

use cortado_contract::ops::quantized_linear::{LinearParams, LinearShape, Rescale};

/// What the loop reads.
#[repr(C)]
struct Frame {
    weights: *const i8,
    constants: *const i32,
    input: *const i8,
    depth: usize,
    out: *mut i8,
    rows: usize,
    count: usize,
    /// The factor of all features, if there are no tables.
    multiplier: i32,
    shift: i32,
    output_offset: i32,
    min: i32,
    max: i32,
    multipliers: *const i32,
    shifts: *const i32,
    filter_offset: i32,
}

/// [`lines`](crate::tile::lines) of `ANY` layer, or one with a single factor that shifts to the right and no offset of weights.
#[inline(always)]
pub(super) fn multiply<const ANY: bool>(
    shape: &LinearShape,
    params: &LinearParams<'_>,
    constants: &[i32],
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let LinearShape { rows, in_features: depth, out_features: count } = *shape;
    let (multiplier, shift, multipliers, shifts, factors) = match params.rescale {
        Rescale::PerTensor(factor) => {
            (factor.multiplier, factor.shift, core::ptr::null(), core::ptr::null(), usize::MAX)
        }
        Rescale::PerChannel { .. } if !ANY => return None,
        Rescale::PerChannel { multipliers, shifts } => {
            let factors = multipliers.len().min(shifts.len());
            (0, 0, multipliers.as_ptr(), shifts.as_ptr(), factors)
        }
    };
    let holds = |rows: usize, columns: usize, length: usize| {
        rows.checked_mul(columns).is_some_and(|count| count <= length)
    };
    if !holds(rows, depth, input.len())
        || !holds(count, depth, weights.len())
        || !holds(rows, count, out.len())
        || count > constants.len().min(factors)
    {
        return None;
    }
    if rows > 0 && count > 0 {
        let frame = Frame {
            weights: weights.as_ptr(),
            constants: constants.as_ptr(),
            input: input.as_ptr(),
            depth,
            count,
            out: out.as_mut_ptr(),
            multiplier,
            shift,
            output_offset: params.output_offset.0,
            min: params.activation.min,
            max: params.activation.max,
            multipliers,
            shifts,
            filter_offset: params.filter_offset.0,
            rows,
        };
        // SAFETY: there are weights, constants and factors for `count` features, and inputs and outputs for `rows` rows, which is all
        // that is read and written.
        unsafe { multiply_frame::<ANY>(&frame) };
    }
    Some(())
}

/// The products of 16 elements of six rows.
macro_rules! six_rows {
    () => {
        "
        vldrb.8 q0, [r12], #16
        vldrb.8 q1, [r1], #16
        vmladava.s8 r0, q0, q1
        vldrb.8 q2, [r3], #16
        vmladava.s8 r2, q0, q2
        vldrb.8 q1, [r5], #16
        vmladava.s8 r4, q0, q1
        vldrb.8 q2, [r7], #16
        vmladava.s8 r6, q0, q2
        vldrb.8 q1, [r9], #16
        vmladava.s8 r8, q0, q1
        vldrb.8 q2, [r11], #16
        vmladava.s8 r10, q0, q2
        "
    };
}

/// Of `ANY` layer, or one that [`multiply`] takes without.
#[unsafe(naked)]
unsafe extern "C" fn multiply_frame<const ANY: bool>(frame: &Frame) {
    core::arch::naked_asm!(
        ".cpu cortex-m55",
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        // Frame, features; of these, the next constants and sums; input, depth; step, end of the sums, fours of blocks, elements besides;
        // the next weights, constants, features left, the next outputs; rows left, what is added to sums; then 132 sums.
        "sub sp, #592",
        "str r0, [sp]",
        "ldrd r3, r4, [r0, #8]",
        "ldrd r5, r6, [r0, #16]",
        "strd r3, r4, [sp, #16]",
        "strd r5, r6, [sp, #52]",
        // A row: what the weights' offset adds.
        "5:",
        ".if {any}",
        "ldr r7, [r0, #56]",
        "cbz r7, 7f",
        "movs r2, #0",
        "mov r12, r3",
        "wlstp.8 lr, r4, 8f",
        "6:",
        "vldrb.8 q0, [r12], #16",
        "vaddva.s8 r2, q0",
        "letp lr, 6b",
        "8:",
        "muls r7, r2, r7",
        "7:",
        "str r7, [sp, #60]",
        ".endif",
        "ldrd r1, r2, [r0]",
        "ldr r5, [r0, #24]",
        // A block of features.
        "10:",
        "mov r6, r5",
        "subs r5, #132",
        "ite hi",
        "movhi r6, #132",
        "movls r5, #0",
        "strd r2, r5, [sp, #44]",
        "str r6, [sp, #4]",
        "add r11, sp, #64",
        ".if {any}",
        "cbz r7, 2f",
        // Constants with what is added take the place of the sums.
        "mov r8, r11",
        "dlstp.32 lr, r6",
        "1:",
        "vldrw.32 q0, [r2], #16",
        "vadd.i32 q0, q0, r7",
        "vstrw.32 q0, [r8], #16",
        "letp lr, 1b",
        "mov r2, r11",
        "2:",
        ".endif",
        "strd r2, r11, [sp, #8]",
        "cmp r4, #128",
        "bne 20f",
        // Rows of 128, four at a time.
        "sub r8, r1, #32",
        "mov r9, r2",
        "mov r10, r11",
        "lsrs r5, r6, #2",
        "vldrb.8 q0, [r3]",
        "vldrb.8 q1, [r3, #16]",
        "vldrb.8 q2, [r3, #32]",
        "vldrb.8 q3, [r3, #48]",
        "vldrb.8 q4, [r3, #64]",
        "vldrb.8 q5, [r3, #80]",
        "vldrb.8 q6, [r3, #96]",
        "mov r11, r3",
        "wls lr, r5, 12f",
        "11:",
        "ldm r9!, {{r0, r2, r4, r6}}",
        "vldrb.8 q7, [r8, #32]!",
        "vmladava.s8 r0, q0, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r0, q1, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r0, q2, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r0, q3, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r0, q4, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r0, q5, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r0, q6, q7",
        "vldrb.8 q7, [r8, #32]!",
        "vmladava.s8 r2, q0, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r2, q1, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r2, q2, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r2, q3, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r2, q4, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r2, q5, q7",
        "vldrb.8 q7, [r8, #16]",
        "vmladava.s8 r2, q6, q7",
        "vldrb.8 q6, [r11, #112]",
        "vldrb.8 q7, [r8, #-96]",
        "vmladava.s8 r0, q6, q7",
        "vldrb.8 q7, [r8, #32]!",
        "vmladava.s8 r2, q6, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r4, q0, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r4, q1, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r4, q2, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r4, q3, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r4, q4, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r4, q5, q7",
        "vldrb.8 q7, [r8, #32]!",
        "vmladava.s8 r4, q6, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r6, q0, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r6, q1, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r6, q2, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r6, q3, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r6, q4, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r6, q5, q7",
        "vldrb.8 q7, [r8, #32]",
        "vmladava.s8 r6, q6, q7",
        "vldrb.8 q6, [r11, #96]",
        "vldrb.8 q7, [r8, #-112]",
        "vmladava.s8 r4, q6, q7",
        "vldrb.8 q7, [r8, #16]!",
        "vmladava.s8 r6, q6, q7",
        "stm r10!, {{r0, r2, r4, r6}}",
        "le lr, 11b",
        "12:",
        "add r1, r8, #32",
        "ldrd r0, r6, [sp]",
        "lsls r5, r6, #30",
        "beq 45f",
        "strd r9, r10, [sp, #8]",
        "b 40f",
        // Six rows side by side.
        "20:",
        "subs r7, r6, #6",
        "blo 40f",
        ".if {any}",
        "lsrs r3, r4, #6",
        "and r12, r4, #63",
        "strd r3, r12, [sp, #32]",
        ".endif",
        "movs r7, #6",
        "udiv r5, r6, r7",
        "mul r2, r5, r7",
        "add r12, r11, r2, lsl #2",
        "mul r2, r4, r7",
        "add r7, r4, #15",
        "bic r7, r7, #15",
        "subs r2, r2, r7",
        "strd r2, r12, [sp, #24]",
        "add r3, r1, r4",
        "add r5, r3, r4",
        "add r7, r5, r4",
        "add r9, r7, r4",
        "add r11, r9, r4",
        "21:",
        "ldr r12, [sp, #8]",
        "ldm r12!, {{r0, r2, r4, r6, r8, r10}}",
        "str r12, [sp, #8]",
        // Fours of blocks first, where speed is all.
        ".if {any}",
        "ldr r12, [sp, #16]",
        "ldr lr, [sp, #32]",
        "wls lr, lr, 23f",
        "22:",
        ".rept 4",
        six_rows!(),
        ".endr",
        "le lr, 22b",
        "23:",
        "ldr lr, [sp, #36]",
        ".else",
        "ldrd r12, lr, [sp, #16]",
        ".endif",
        "wlstp.8 lr, lr, 25f",
        "24:",
        six_rows!(),
        "letp lr, 24b",
        "25:",
        "ldr r12, [sp, #12]",
        "stm r12!, {{r0, r2, r4, r6, r8, r10}}",
        "str r12, [sp, #12]",
        "ldrd r0, r2, [sp, #24]",
        "add r1, r0",
        "add r3, r0",
        "add r5, r0",
        "add r7, r0",
        "add r9, r0",
        "add r11, r0",
        "cmp r12, r2",
        "bne 21b",
        // Rows left over.
        "40:",
        "ldrd r0, r6, [sp]",
        "ldrd r9, r10, [sp, #8]",
        "ldrd r11, r7, [sp, #16]",
        "add r8, sp, #64",
        "sub r2, r10, r8",
        "subs r5, r6, r2, lsr #2",
        "beq 45f",
        "add r8, r7, #15",
        "bic r8, r8, #15",
        "sub r8, r7, r8",
        "41:",
        "mov r3, r1",
        "ldr r2, [r9], #4",
        "subs r5, #2",
        "itt hs",
        "addhs r3, r1, r7",
        "ldrhs r4, [r9], #4",
        "mov r12, r11",
        "wlstp.8 lr, r7, 43f",
        "42:",
        "vldrb.8 q0, [r12], #16",
        "vldrb.8 q1, [r1], #16",
        "vmladava.s8 r2, q0, q1",
        "vldrb.8 q2, [r3], #16",
        "vmladava.s8 r4, q0, q2",
        "letp lr, 42b",
        "43:",
        "str r2, [r10], #4",
        "cmp r5, #0",
        "it ge",
        "strge r4, [r10], #4",
        "add r1, r3, r8",
        "bgt 41b",
        "45:",
        "str r1, [sp, #40]",
        // From sums to results.
        "add r4, sp, #64",
        "add r1, r0, #28",
        "ldm r1, {{r2, r3, r5, r7, r8}}",
        "ldr r1, [sp, #52]",
        ".if {any}",
        "ldr r9, [r0, #48]",
        "cmp r9, #0",
        "bne 60f",
        "cmp r3, #0",
        "bge 80f",
        ".endif",
        "lsrs r0, r6, #3",
        "beq 52f",
        "vdup.16 q4, r7",
        "vdup.16 q5, r8",
        "dls lr, r0",
        "51:",
        "vld20.32 {{q0, q1}}, [r4]",
        "vld21.32 {{q0, q1}}, [r4]!",
        "vshr.s32 q2, q0, #31",
        "vqrdmlah.s32 q2, q0, r2",
        "vshr.s32 q3, q1, #31",
        "vqrdmlah.s32 q3, q1, r2",
        "vrshl.s32 q2, r3",
        "vrshl.s32 q3, r3",
        "vqmovnb.s32 q2, q2",
        "vqmovnt.s32 q2, q3",
        "vqadd.s16 q2, q2, r5",
        "vmax.s16 q2, q2, q4",
        "vmin.s16 q2, q2, q5",
        "vstrb.16 q2, [r1], #8",
        "le lr, 51b",
        "52:",
        "ands r6, r6, #7",
        "beq 70f",
        "vdup.32 q6, r7",
        "vdup.32 q7, r8",
        "dlstp.32 lr, r6",
        "53:",
        "vldrw.32 q0, [r4], #16",
        "vshr.s32 q2, q0, #31",
        "vqrdmlah.s32 q2, q0, r2",
        "vrshl.s32 q2, r3",
        "vadd.i32 q2, q2, r5",
        "vmax.s32 q2, q2, q6",
        "vmin.s32 q2, q2, q7",
        "vstrb.32 q2, [r1], #4",
        "letp lr, 53b",
        // Outputs go on where these end.
        "70:",
        "ldrd r2, r5, [sp, #44]",
        "cbz r5, 71f",
        "ldr r7, [sp, #4]",
        "add r2, r2, r7, lsl #2",
        "ldr r1, [sp, #52]",
        "add r1, r7",
        "str r1, [sp, #52]",
        "ldr r1, [sp, #40]",
        "ldrd r3, r4, [sp, #16]",
        ".if {any}",
        "ldr r7, [sp, #60]",
        ".endif",
        "b 10b",
        // The next row.
        "71:",
        "ldr r6, [sp, #56]",
        "subs r6, #1",
        "beq 72f",
        "ldr r7, [sp, #4]",
        "ldr r1, [sp, #52]",
        "add r1, r7",
        "strd r1, r6, [sp, #52]",
        "ldr r0, [sp]",
        "ldrd r3, r4, [sp, #16]",
        "add r3, r4",
        "str r3, [sp, #16]",
        "b 5b",
        "72:",
        "add sp, #592",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
        // From sums to results with a factor that does not shift to the right: no ties.
        ".if {any}",
        "80:",
        "vdup.32 q6, r7",
        "vdup.32 q7, r8",
        "dlstp.32 lr, r6",
        "81:",
        "vldrw.32 q0, [r4], #16",
        "vrshl.s32 q0, r3",
        "vqrdmulh.s32 q0, q0, r2",
        "vadd.i32 q0, q0, r5",
        "vmax.s32 q0, q0, q6",
        "vmin.s32 q0, q0, q7",
        "vstrb.32 q0, [r1], #4",
        "letp lr, 81b",
        "b 70b",
        // With a factor for each feature: its place is how many are neither left nor in this block. Shifts to the left come before the
        // multiplication, and only those to the right have ties.
        "60:",
        "ldr r10, [r0, #52]",
        "ldr r2, [r0, #24]",
        "ldr r3, [sp, #48]",
        "subs r2, r2, r3",
        "subs r2, r2, r6",
        "add r9, r9, r2, lsl #2",
        "add r10, r10, r2, lsl #2",
        "vmov.i32 q5, #0",
        "vdup.32 q6, r7",
        "vdup.32 q7, r8",
        "dlstp.32 lr, r6",
        "61:",
        "vldrw.32 q0, [r4], #16",
        "vldrw.32 q3, [r10], #16",
        "vmax.s32 q4, q3, q5",
        "vldrw.32 q1, [r9], #16",
        "vrshl.s32 q0, q0, q4",
        "vqrdmulh.s32 q0, q0, q1",
        "vand q2, q0, q3",
        "vshr.s32 q2, q2, #31",
        "vqadd.s32 q0, q0, q2",
        "vmin.s32 q4, q3, q5",
        "vrshl.s32 q0, q0, q4",
        "vadd.i32 q0, q0, r5",
        "vmax.s32 q0, q0, q6",
        "vmin.s32 q0, q0, q7",
        "vstrb.32 q0, [r1], #4",
        "letp lr, 61b",
        "b 70b",
        ".endif",
        any = const ANY as usize,
    )
}
