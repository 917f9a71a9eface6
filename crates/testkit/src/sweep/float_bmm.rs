//! Products of matrices, in float. Sums of the cases are exact in any order.

use super::float::{fill, near, record};
use crate::random::Random;
use crate::suite::{Suite, What};
use crate::workspace::Workspace;
use cortado_contract::float::MatrixShape;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_bmm::multiply;

const EXTENTS: &[usize] = &[0, 1, 2, 5, 8];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for &rows in EXTENTS {
        for &inner in EXTENTS {
            for &cols in EXTENTS {
                let shape = MatrixShape { batches: 1 + seed as usize % 3, rows, inner, cols };
                let what = case(workspace, shape, seed);
                record(suite, "aten::bmm", seed, [shape.batches, rows, inner, cols], what);
                seed += 1;
            }
        }
    }
}

fn case(workspace: &mut Workspace<'_>, shape: MatrixShape, seed: u32) -> Option<What> {
    let MatrixShape { batches, rows, inner, cols } = shape;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let lhs = memory.take::<f32>(batches * rows * inner);
    let rhs = memory.take::<f32>(batches * inner * cols);
    fill(&mut random, lhs);
    fill(&mut random, rhs);
    let expected = memory.take::<f32>(batches * rows * cols);
    for (index, expected) in expected.iter_mut().enumerate() {
        let (row, col) = (index / cols, index % cols);
        let batch = row / rows;
        let right = |i: usize| rhs[(batch * inner + i) * cols + col];
        *expected = (0..inner).map(|i| lhs[row * inner + i] * right(i)).sum();
    }
    let out = memory.guarded::<f32>(expected.len(), seed as u8);
    let Some(()) = multiply(shape, lhs, rhs, out.values) else {
        return Some(What::Refused);
    };
    if !out.is_intact() {
        return Some(What::Guard);
    }
    near(out.values, expected, 0)
}
