//! Fully connected layers over 16-bit activations.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_linear::{
    LinearParamsS16, LinearShape, Rescale, reference_s16,
};
use cortado_contract::quant::{Activation, SHIFT_MAX_S64};
use cortado_kernels::Micro;
use cortado_kernels::generic::int16::Int16Params;
use cortado_kernels::generic::linear_s16::linear_s16;

const IN_FEATURES: &[usize] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33];
const OUT_FEATURES: &[usize] = &[1, 2, 3, 4, 5, 9];
const ROWS: &[usize] = &[0, 1, 3];
/// Around the number of products that fit 32 bits, once and twice: 511.
const DEEP: &[(usize, usize, usize)] =
    &[(1, 510, 2), (1, 511, 2), (1, 512, 2), (1, 513, 1), (1, 1021, 1), (1, 1022, 1), (1, 1024, 1)];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let around = |rows: &'static usize| {
        IN_FEATURES.iter().flat_map(move |in_features| {
            OUT_FEATURES.iter().map(move |out_features| (*rows, *in_features, *out_features))
        })
    };
    let shapes = ROWS.iter().flat_map(around).chain(DEEP.iter().copied());
    for (index, (rows, in_features, out_features)) in shapes.enumerate() {
        let shape = LinearShape { rows, in_features, out_features };
        for (form, is_extreme) in [false, true].into_iter().enumerate() {
            let seed = (1 + 2 * index + form) as u32;
            suite.record(case::<M>(workspace, shape, seed, is_extreme).map(|what| Failure {
                operator: "cortado::quantized_linear_int16",
                case: if is_extreme { "extreme" } else { "" },
                seed,
                shape: [rows, in_features, out_features, 0],
                what,
            }));
        }
    }
}

/// A layer of numbers drawn at random, or of the least ones only, whose sums are as large as can be.
fn case<M: Micro>(
    workspace: &mut Workspace<'_>,
    shape: LinearShape,
    seed: u32,
    is_extreme: bool,
) -> Option<What> {
    let LinearShape { rows, in_features, out_features } = shape;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let input = memory.take::<i16>(rows * in_features);
    input.iter_mut().for_each(|value| *value = random.between(-32768, 32767) as i16);
    let weights = memory.take::<i8>(out_features * in_features);
    random.fill_i8(weights);
    if is_extreme {
        input.fill(i16::MIN);
        weights.fill(i8::MIN);
    }
    let bias = memory.take::<i64>(out_features);
    bias.iter_mut().for_each(|bias| *bias = i64::from(random.between(i32::MIN, i32::MAX)) << 4);
    let shift_max = if seed.is_multiple_of(7) { SHIFT_MAX_S64 } else { -5 };
    let multipliers = memory.take::<i32>(out_features);
    multipliers.iter_mut().for_each(|multiplier| *multiplier = random.between(1 << 30, i32::MAX));
    let shifts = memory.take::<i32>(out_features);
    shifts.iter_mut().for_each(|shift| *shift = random.between(-24, shift_max));
    let params = LinearParamsS16 {
        bias: if seed.is_multiple_of(5) { None } else { Some(bias) },
        rescale: Rescale::PerChannel { multipliers, shifts },
        activation: Activation {
            min: random.between(-32768, 0),
            max: if seed.is_multiple_of(3) { random.between(0, 32767) } else { 32767 },
        },
    };
    let expected = memory.take::<i16>(rows * out_features);
    reference_s16(shape, &params, input, weights, expected);
    let out = memory.guarded::<i16>(rows * out_features, seed as u8);
    let LinearParamsS16 { bias, activation, .. } = params;
    let params = Int16Params { bias, multipliers, shifts, activation };
    if linear_s16::<M>(shape, &params, input, weights, out.values).is_none() {
        return Some(What::Refused);
    }
    if !out.is_intact() {
        return Some(What::Guard);
    }
    compare(out.values, expected)
}
