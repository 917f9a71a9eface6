//! Tensors of one number, in float.

use super::float::{near, record};
use crate::suite::{Suite, What};
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_full::fill;

const NUMBERS: &[f32] = &[0.0, -1.5, 0.594_603_6, f32::INFINITY, f32::NAN];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    for (seed, number) in NUMBERS.iter().enumerate() {
        for length in [0, 1, 7, 33] {
            let mut memory = workspace.start();
            let expected = memory.take::<f32>(length);
            expected.iter_mut().for_each(|value| *value = *number);
            let out = memory.guarded::<f32>(length, seed as u8);
            fill(*number, out.values);
            let what =
                if out.is_intact() { near(out.values, expected, 0) } else { Some(What::Guard) };
            record(suite, "aten::full", seed as u32, [length, 0, 0, 0], what);
        }
    }
}
