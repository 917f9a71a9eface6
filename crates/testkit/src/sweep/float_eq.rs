//! Comparisons with a number, in float.

use super::float::record;
use crate::suite::{Suite, What, compare};
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_eq::equal;

const NUMBERS: &[f32] = &[0.0, -0.0, 1.5, f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 1.5, -1.5];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    for (seed, number) in NUMBERS.iter().enumerate() {
        for length in [0, 1, 8, 17] {
            let mut memory = workspace.start();
            let input = memory.take::<f32>(length);
            let expected = memory.take::<u8>(length);
            for (index, (input, expected)) in input.iter_mut().zip(expected.iter_mut()).enumerate()
            {
                *input = NUMBERS[index % NUMBERS.len()];
                // Neither zero differs from the other, and nothing equals NaN.
                *expected =
                    u8::from((*input).partial_cmp(number) == Some(core::cmp::Ordering::Equal));
            }
            let out = memory.guarded::<u8>(length, seed as u8);
            equal(input, *number, out.values);
            let what =
                if out.is_intact() { compare(out.values, expected) } else { Some(What::Guard) };
            record(suite, "aten::eq", seed as u32, [length, 0, 0, 0], what);
        }
    }
}
