//! Softmax, in float.

use super::float::{fill, near, record};
use crate::random::Random;
use crate::suite::{Suite, What};
use crate::workspace::Workspace;
use cortado_contract::float::Rows;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_softmax::softmax;
use cortado_kernels::generic::math::exp_f64;

const LENGTHS: &[usize] = &[0, 1, 2, 3, 5, 8, 17, 100];
/// Outer and inner extents.
const ROWS: &[(usize, usize)] = &[(0, 1), (1, 1), (2, 1), (1, 2), (3, 3)];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    // Exponentials are rounded before they are divided.
    sweep(
        workspace,
        suite,
        &Softmax { operator: "aten::_softmax", kernel: softmax, expect, ulps: 2 },
    );
}

/// An operator of the softmax kind.
pub(super) struct Softmax {
    pub(super) operator: &'static str,
    pub(super) kernel: fn(Rows, &[f32], &mut [f32]) -> Option<()>,
    /// What it makes of a row, given what its greatest number is.
    pub(super) expect: fn(row: Row<'_>, greatest: f32, expected: &mut [f32]),
    /// How far results may be from that.
    pub(super) ulps: u32,
}

/// The elements of a row: so many, from the first on, a step apart.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) elements: &'a [f32],
    pub(super) step: usize,
    pub(super) length: usize,
}

impl<'a> Row<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = &'a f32> {
        self.elements.iter().step_by(self.step).take(self.length)
    }
}

fn expect(row: Row<'_>, greatest: f32, expected: &mut [f32]) {
    let weight = |number: &f32| exp_f64(f64::from(number - greatest));
    let sum: f64 = row.iter().map(weight).sum();
    let places = expected.iter_mut().step_by(row.step);
    places.zip(row.iter()).for_each(|(place, number)| *place = (weight(number) / sum) as f32);
}

/// Runs all cases of an operator of the softmax kind.
pub(super) fn sweep(workspace: &mut Workspace<'_>, suite: &mut Suite, softmax: &Softmax) {
    let mut seed = 1;
    for &length in LENGTHS {
        for &(outer, inner) in ROWS {
            if outer * length * inner <= 300 {
                let what = case(workspace, Rows { outer, length, inner }, seed, softmax);
                record(suite, softmax.operator, seed, [outer, length, inner, 0], what);
            }
            seed += 1;
        }
    }
}

fn case(workspace: &mut Workspace<'_>, rows: Rows, seed: u32, softmax: &Softmax) -> Option<What> {
    let Rows { outer, length, inner } = rows;
    let mut memory = workspace.start();
    let input = memory.take::<f32>(outer * length * inner);
    fill(&mut Random::new(seed), input);
    if seed.is_multiple_of(3) {
        input.iter_mut().for_each(|value| *value *= 20.0);
    }
    let expected = memory.take::<f32>(input.len());
    for start in (0..outer).flat_map(|row| (0..inner).map(move |at| row * length * inner + at)) {
        let row = Row { elements: input.get(start..).unwrap_or(&[]), step: inner, length };
        let greatest = row.iter().fold(f32::MIN, |greatest, number| greatest.max(*number));
        (softmax.expect)(row, greatest, expected.get_mut(start..).unwrap_or(&mut []));
    }
    let out = memory.guarded::<f32>(input.len(), seed as u8);
    let Some(()) = (softmax.kernel)(rows, input, out.values) else {
        return Some(What::Refused);
    };
    if !out.is_intact() {
        return Some(What::Guard);
    }
    near(out.values, expected, softmax.ulps)
}
