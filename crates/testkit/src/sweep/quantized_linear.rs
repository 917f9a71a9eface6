//! Fully connected layers with one rescaling factor.

use super::LARGE_BYTES;
use crate::random::Random;
use crate::suite::What;
use crate::suite::{Failure, Suite, compare};
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_linear::{
    LinearConstants, LinearParams, LinearShape, Rescale, kernel_sums, reference,
};
use cortado_contract::quant::{Activation, FilterOffset, InputOffset, OutputOffset, Requantize};
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_linear::{linear_narrowed_s8, linear_s8};

const IN_FEATURES: &[usize] = &[0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80];
const OUT_FEATURES: &[usize] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13];
const ROWS: &[usize] = &[0, 1, 2, 3];
/// Rows, inputs and outputs around eight sixteens and twice that, around one, two and more of the pieces in which inputs are widened, and
/// around the blocks of features whose sums are put together: 64, or 132 with Helium, which takes 128 inputs by a loop of their own.
const EDGES: &[(usize, usize, usize)] = &[
    (1, 127, 4),
    (2, 128, 8),
    (1, 129, 7),
    (1, 143, 4),
    (1, 144, 5),
    (2, 160, 4),
    (1, 255, 4),
    (1, 256, 9),
    (1, 257, 4),
    (1, 272, 4),
    (1, 300, 8),
    (1, 511, 5),
    (1, 512, 6),
    (2, 513, 4),
    (1, 769, 4),
    (1, 1030, 4),
    (3, 5, 63),
    (2, 7, 64),
    (2, 8, 65),
    (1, 16, 68),
    (2, 20, 132),
    (1, 128, 1),
    (1, 128, 2),
    (2, 128, 3),
    (1, 128, 5),
    (2, 128, 7),
    (1, 128, 11),
    (1, 128, 32),
    (1, 192, 6),
    (1, 193, 7),
    (1, 2, 131),
    (2, 3, 133),
    (1, 1, 264),
    (2, 2, 265),
    (1, 4, 272),
];

/// Inputs longer than a piece with more features than sums are kept of from one piece to the next.
const LARGE: &[(usize, usize, usize)] = &[(1, 260, 131), (1, 514, 133)];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep::<M>(workspace, suite, "cortex_m::quantized_linear", false);
}

/// The cases, with one factor or with one per output feature.
pub(super) fn sweep<M: Micro>(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    per_channel: bool,
) {
    let around = |rows: &'static usize| {
        IN_FEATURES.iter().flat_map(move |in_features| {
            OUT_FEATURES.iter().map(move |out_features| (*rows, *in_features, *out_features))
        })
    };
    let large = if workspace.bytes() < LARGE_BYTES { &[] } else { LARGE };
    let shapes = ROWS.iter().flat_map(around).chain(EDGES.iter().chain(large).copied());
    for (index, (rows, in_features, out_features)) in shapes.enumerate() {
        let shape = LinearShape { rows, in_features, out_features };
        for (form, is_kernel_sum) in [false, true].into_iter().enumerate() {
            let seed = (1 + 2 * index + form) as u32;
            let what = case::<M>(workspace, shape, seed, is_kernel_sum, per_channel);
            suite.record(what.map(|what| Failure {
                operator,
                case: if is_kernel_sum { "kernel_sum" } else { "bias" },
                seed,
                shape: [rows, in_features, out_features, 0],
                what,
            }));
        }
    }
}

fn case<M: Micro>(
    workspace: &mut Workspace<'_>,
    shape: LinearShape,
    seed: u32,
    is_kernel_sum: bool,
    per_channel: bool,
) -> Option<What> {
    let LinearShape { rows, in_features, out_features } = shape;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let input = memory.take::<i8>(rows * in_features);
    let weights = memory.take::<i8>(out_features * in_features);
    random.fill_i8(input);
    random.fill_i8(weights);
    let bias = memory.take::<i32>(out_features);
    // Every fourth case wraps around in 32 bits, the others stay where layers are.
    let limit = if seed.is_multiple_of(4) { i32::MAX } else { 1 << 18 };
    bias.iter_mut().for_each(|bias| *bias = random.between(-limit, limit));
    let bias = if seed.is_multiple_of(5) { None } else { Some(&*bias) };
    let input_offset = InputOffset(random.between(-127, 128));
    // Compilers write 0; files may hold anything.
    let filter_offset =
        FilterOffset(if seed.is_multiple_of(3) { random.between(-127, 128) } else { 0 });
    let sums = memory.take::<i32>(out_features);
    kernel_sums(in_features, weights, input_offset, filter_offset, bias, sums);
    let constants =
        if is_kernel_sum { LinearConstants::KernelSum(sums) } else { LinearConstants::Bias(bias) };
    let shift_max = if seed.is_multiple_of(7) { 8 } else { -5 };
    let multipliers = memory.take::<i32>(out_features);
    multipliers.iter_mut().for_each(|multiplier| *multiplier = random.between(1 << 30, i32::MAX));
    let shifts = memory.take::<i32>(out_features);
    shifts.iter_mut().for_each(|shift| *shift = random.between(-14, shift_max));
    let (min, max) = (random.between(-128, 127), random.between(-128, 127));
    let activation = if seed.is_multiple_of(2) {
        Activation::INT8
    } else {
        Activation { min: min.min(max), max: min.max(max) }
    };
    let params = LinearParams {
        input_offset,
        filter_offset,
        output_offset: OutputOffset(random.between(-128, 127)),
        constants,
        rescale: if per_channel {
            Rescale::PerChannel { multipliers, shifts }
        } else {
            Rescale::PerTensor(Requantize { multiplier: multipliers[0], shift: shifts[0] })
        },
        activation,
    };
    let expected = memory.take::<i8>(rows * out_features);
    reference(shape, &params, input, weights, expected);
    let out = memory.guarded::<i8>(rows * out_features, seed as u8);
    for kernel in [linear_s8::<M>, linear_narrowed_s8::<M>] {
        out.values.fill(seed as i8);
        let Some(()) = kernel(shape, &params, input, weights, out.values) else {
            return Some(What::Refused);
        };
        if !out.is_intact() {
            return Some(What::Guard);
        }
        if let Some(what) = compare(out.values, expected) {
            return Some(what);
        }
    }
    None
}
