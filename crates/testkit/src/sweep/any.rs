//! Disjunctions along an axis.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::Workspace;
use cortado_contract::float::Rows;
use cortado_kernels::Micro;
use cortado_kernels::generic::any::any_along;

const ROWS: &[[usize; 3]] =
    &[[1, 1, 1], [3, 4, 1], [1, 5, 7], [2, 3, 5], [4, 0, 2], [0, 3, 2], [2, 3, 0], [5, 1, 3]];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    for (number, &[outer, length, inner]) in ROWS.iter().enumerate() {
        for round in 0..4 {
            let seed = number as u32 * 4 + round;
            let mut random = Random::new(seed);
            let mut memory = workspace.start();
            let input = memory.take::<u8>(outer * length * inner);
            // Few true values, so that both results occur.
            input
                .iter_mut()
                .for_each(|value| *value = if random.bits().is_multiple_of(5) { 3 } else { 0 });
            let expected = memory.take::<u8>(outer * inner);
            for (index, expected) in expected.iter_mut().enumerate() {
                let (block, column) = (index / inner, index % inner);
                let at = |row: usize| input[(block * length + row) * inner + column];
                *expected = u8::from((0..length).any(|row| at(row) != 0));
            }
            let out = memory.guarded::<u8>(outer * inner, seed as u8);
            let what = match any_along(&Rows { outer, length, inner }, input, out.values) {
                None => Some(What::Refused),
                Some(()) if !out.is_intact() => Some(What::Guard),
                Some(()) => compare(out.values, expected),
            };
            suite.record(what.map(|what| Failure {
                operator: "aten::any",
                case: "",
                seed,
                shape: [outer, length, inner, 0],
                what,
            }));
        }
    }
}
