//! The logarithms of a softmax, in float.

use super::float::{fill, near, record};
use crate::random::Random;
use crate::suite::{Suite, What};
use crate::workspace::Workspace;
use cortado_contract::float::Rows;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_log_softmax::log_softmax;
use cortado_kernels::generic::math::{exp_f64, log_f64};

const LENGTHS: &[usize] = &[0, 1, 2, 3, 5, 8, 17, 100];
/// Outer and inner extents.
const ROWS: &[(usize, usize)] = &[(0, 1), (1, 1), (2, 1), (1, 2), (3, 3)];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for &length in LENGTHS {
        for &(outer, inner) in ROWS {
            if outer * length * inner <= 300 {
                let what = case(workspace, Rows { outer, length, inner }, seed);
                record(suite, "aten::_log_softmax", seed, [outer, length, inner, 0], what);
            }
            seed += 1;
        }
    }
}

fn case(workspace: &mut Workspace<'_>, rows: Rows, seed: u32) -> Option<What> {
    let Rows { outer, length, inner } = rows;
    let mut memory = workspace.start();
    let input = memory.take::<f32>(outer * length * inner);
    fill(&mut Random::new(seed), input);
    if seed.is_multiple_of(3) {
        input.iter_mut().for_each(|value| *value *= 20.0);
    }
    let expected = memory.take::<f32>(input.len());
    for start in (0..outer).flat_map(|row| (0..inner).map(move |at| row * length * inner + at)) {
        let at = |index: usize| start + index * inner;
        let greatest = (0..length).fold(f32::MIN, |greatest, index| greatest.max(input[at(index)]));
        let distance = |index: usize| f64::from(input[at(index)]) - f64::from(greatest);
        let logarithm = log_f64((0..length).map(|index| exp_f64(distance(index))).sum());
        for index in 0..length {
            expected[at(index)] = (distance(index) - logarithm) as f32;
        }
    }
    let out = memory.guarded::<f32>(input.len(), seed as u8);
    let Some(()) = log_softmax(rows, input, out.values) else {
        return Some(What::Refused);
    };
    if !out.is_intact() {
        return Some(What::Guard);
    }
    near(out.values, expected, 1)
}
