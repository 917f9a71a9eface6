//! Real numbers to integers at the border.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::Workspace;
use cortado_contract::ops::quantize_per_tensor::reference;
use cortado_contract::quant::{Activation, ZeroPoint, inverse_scale};
use cortado_kernels::Micro;
use cortado_kernels::micro::Integer;

const COUNTS: &[usize] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 100];
pub(super) const SCALES: &[f64] =
    &[1.0, 0.003_919_653_594_493_866, 7.838_790_224_923_287e-6, 1e-30, 3.0e20, 0.1];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for &count in COUNTS {
        for &scale in SCALES {
            for round in 0..4 {
                let whats = [
                    ("int8", case::<M, i8>(workspace, count, scale, seed, -128, 127)),
                    ("uint8", case::<M, u8>(workspace, count, scale, seed, 0, 255)),
                    ("int16", case::<M, i16>(workspace, count, scale, seed, -32768, 32767)),
                ];
                for (case, what) in whats {
                    suite.record(what.map(|what| Failure {
                        operator: "cortex_m::quantize_per_tensor",
                        case,
                        seed,
                        shape: [count, round, 0, 0],
                        what,
                    }));
                }
                seed += 1;
            }
        }
    }
}

fn case<M: Micro, T: Integer + PartialEq + Into<i64>>(
    workspace: &mut Workspace<'_>,
    count: usize,
    scale: f64,
    seed: u32,
    min: i32,
    max: i32,
) -> Option<What> {
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let input = memory.take::<f32>(count);
    for value in input.iter_mut() {
        *value = match random.bits() % 8 {
            0 => f32::from_bits(random.bits()),
            // Exactly between two integers, where ties go to the even one.
            1 | 2 => (random.between(-300, 300) as f32 + 0.5) * scale as f32,
            _ => random.between(-(1 << 16), 1 << 16) as f32 * scale as f32 / 256.0,
        };
    }
    let zero_point = ZeroPoint(random.between(min, max));
    let range = if seed.is_multiple_of(2) {
        Activation { min, max }
    } else {
        Activation { min: min / 2 + 1, max: max / 3 + 1 }
    };
    let expected = memory.take::<i32>(count);
    reference(input, inverse_scale(scale), zero_point, range, expected);
    let out = memory.guarded::<T>(count, seed as u8);
    M::quantize(input, inverse_scale(scale), zero_point, range, out.values);
    if !out.is_intact() {
        return Some(What::Guard);
    }
    let differs = |(found, expected): (&T, &i32)| found.to_i32() != *expected;
    let index = out.values.iter().zip(expected.iter()).position(differs)?;
    compare(&[i64::from(out.values[index].to_i32())], &[i64::from(expected[index])]).map(|_| {
        What::Value { index, expected: expected[index].into(), found: out.values[index].into() }
    })
}
