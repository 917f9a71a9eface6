//! Negations of truth values.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::logical_not::negate;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    for seed in 0..16u32 {
        let length = seed as usize * 2 + 1;
        let mut random = Random::new(seed);
        let mut memory = workspace.start();
        let (input, expected) = (memory.take::<u8>(length), memory.take::<u8>(length));
        for (input, expected) in input.iter_mut().zip(expected.iter_mut()) {
            *input = [0, 1, 2, 255][random.bits() as usize % 4];
            *expected = if *input == 0 { 1 } else { 0 };
        }
        let out = memory.guarded::<u8>(length, seed as u8);
        negate(input, out.values);
        let what = if out.is_intact() { compare(out.values, expected) } else { Some(What::Guard) };
        suite.record(what.map(|what| Failure {
            operator: "aten::logical_not",
            case: "",
            seed,
            shape: [length, 0, 0, 0],
            what,
        }));
    }
}
