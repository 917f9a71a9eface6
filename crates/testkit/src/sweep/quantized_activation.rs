//! Functions as tables.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_activation::{ENTRIES, reference};
use cortado_kernels::Micro;

const COUNTS: &[usize] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 256];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for &count in COUNTS {
        for _ in 0..3 {
            let what = case::<M>(workspace, count, seed);
            suite.record(what.map(|what| Failure {
                operator: "cortex_m::quantized_activation",
                case: "table",
                seed,
                shape: [count, 0, 0, 0],
                what,
            }));
            seed += 1;
        }
    }
}

fn case<M: Micro>(workspace: &mut Workspace<'_>, count: usize, seed: u32) -> Option<What> {
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let table = memory.take::<i8>(ENTRIES);
    random.fill_i8(table);
    let table = table.first_chunk::<ENTRIES>()?;
    let input = memory.take::<i8>(count);
    random.fill_i8(input);
    let expected = memory.take::<i8>(count);
    reference(table, input, expected);
    let out = memory.guarded::<i8>(count, seed as u8);
    M::lookup(table, input, out.values);
    if !out.is_intact() {
        return Some(What::Guard);
    }
    compare(out.values, expected)
}
