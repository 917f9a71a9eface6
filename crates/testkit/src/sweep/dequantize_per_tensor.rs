//! Integers to real numbers at the border.

use super::quantize_per_tensor::SCALES;
use crate::random::Random;
use crate::suite::{Failure, Suite, What};
use crate::workspace::Workspace;
use cortado_contract::ops::dequantize_per_tensor::reference;
use cortado_contract::quant::ZeroPoint;
use cortado_kernels::Micro;
use cortado_kernels::micro::Integer;

const COUNTS: &[usize] = &[0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 100];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for &count in COUNTS {
        for &scale in SCALES {
            let whats = [
                ("int8", case::<M, i8>(workspace, count, scale, seed, -128, 127)),
                ("uint8", case::<M, u8>(workspace, count, scale, seed, 0, 255)),
                ("int16", case::<M, i16>(workspace, count, scale, seed, -32768, 32767)),
            ];
            for (case, what) in whats {
                suite.record(what.map(|what| Failure {
                    operator: "cortex_m::dequantize_per_tensor",
                    case,
                    seed,
                    shape: [count, 0, 0, 0],
                    what,
                }));
            }
            seed += 1;
        }
    }
}

fn case<M: Micro, T: Integer>(
    workspace: &mut Workspace<'_>,
    count: usize,
    scale: f64,
    seed: u32,
    min: i32,
    max: i32,
) -> Option<What> {
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let input = memory.take::<T>(count);
    let integers = memory.take::<i32>(count);
    for (input, integer) in input.iter_mut().zip(integers.iter_mut()) {
        *integer = random.between(min, max);
        *input = T::from_i32(*integer);
    }
    let zero_point = ZeroPoint(random.between(min, max));
    let expected = memory.take::<f32>(count);
    reference(integers, scale as f32, zero_point, expected);
    let out = memory.guarded::<f32>(count, seed as u8);
    M::dequantize(input, scale as f32, zero_point, out.values);
    if !out.is_intact() {
        return Some(What::Guard);
    }
    let differs = |(found, expected): (&f32, &f32)| found.to_bits() != expected.to_bits();
    let index = out.values.iter().zip(expected.iter()).position(differs)?;
    let (expected, found) = (expected[index].to_bits().into(), out.values[index].to_bits().into());
    Some(What::Value { index, expected, found })
}
