//! Softmax.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::Workspace;
use cortado_contract::ops::softmax::{SoftmaxResult, SoftmaxRows, SoftmaxScale, reference};
use cortado_kernels::Micro;
use cortado_kernels::generic::softmax::softmax;

/// The last two are long enough for sums whose quotients vanish.
const LENGTHS: &[usize] = &[0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 33, 100, 513, 1025];
/// Outer and inner extents.
const ROWS: &[(usize, usize)] = &[(0, 1), (1, 1), (2, 1), (1, 2), (3, 3)];
/// Multiplier, shift and least difference, as they follow from scales of 1e-8, 0.003, 0.04, 0.1, 1.3 and 1000.
const SCALES: &[(i32, i32, i32)] = &[
    (1_441_151_880, 0, -2_080_374_784),
    (1_649_267_442, 18, -7936),
    (1_374_389_535, 22, -496),
    (1_717_986_918, 23, -248),
    (1_395_864_371, 27, -15),
    (i32::MAX, 31, 0),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep::<M>(workspace, suite, "cortex_m::softmax", SoftmaxResult::Standard);
}

/// The cases, for one kind of result.
pub(super) fn sweep<M: Micro>(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    result: SoftmaxResult,
) {
    let mut seed = 1;
    for &length in LENGTHS {
        for &(outer, inner) in ROWS {
            for &(multiplier, shift, diff_min) in SCALES {
                let rows = SoftmaxRows { outer, length, inner };
                if outer * length * inner > 3000 {
                    continue;
                }
                let scale = SoftmaxScale { multiplier, shift, diff_min };
                let what = case::<M>(workspace, rows, &scale, result, seed);
                suite.record(what.map(|what| Failure {
                    operator,
                    case: "",
                    seed,
                    shape: [outer, length, inner, shift as usize],
                    what,
                }));
                seed += 1;
            }
        }
    }
}

fn case<M: Micro>(
    workspace: &mut Workspace<'_>,
    rows: SoftmaxRows,
    scale: &SoftmaxScale,
    result: SoftmaxResult,
    seed: u32,
) -> Option<What> {
    let count = rows.outer * rows.length * rows.inner;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let input = memory.take::<i8>(count);
    match seed % 3 {
        0 => random.fill_i8(input),
        // Close together, or all the same.
        1 => input.iter_mut().for_each(|value| *value = random.between(-4, 4) as i8),
        _ => input.fill(random.bits() as i8),
    }
    let expected = memory.take::<i8>(count);
    reference(rows, scale, result, input, expected);
    let out = memory.guarded::<i8>(count, seed as u8);
    let Some(()) = softmax::<M>(rows, scale, result, input, out.values) else {
        return Some(What::Refused);
    };
    if !out.is_intact() {
        return Some(What::Guard);
    }
    compare(out.values, expected)
}
