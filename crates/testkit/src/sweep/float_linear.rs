//! Fully connected layers, in float. Sums of the cases are exact in any order.

use super::float::{fill, near, record};
use crate::random::Random;
use crate::suite::{Suite, What};
use crate::workspace::Workspace;
use cortado_contract::float::MatrixShape;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_linear::linear;

const IN_FEATURES: &[usize] = &[0, 1, 2, 3, 4, 5, 8, 13, 32];
const OUT_FEATURES: &[usize] = &[0, 1, 3, 4, 9];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for &inner in IN_FEATURES {
        for &cols in OUT_FEATURES {
            for rows in [0, 1, 3] {
                let shape = MatrixShape { batches: 1, rows, inner, cols };
                let what = case(workspace, shape, seed);
                record(suite, "aten::linear", seed, [rows, inner, cols, 0], what);
                seed += 1;
            }
        }
    }
}

fn case(workspace: &mut Workspace<'_>, shape: MatrixShape, seed: u32) -> Option<What> {
    let MatrixShape { rows, inner, cols, .. } = shape;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let input = memory.take::<f32>(rows * inner);
    let weight = memory.take::<f32>(cols * inner);
    let bias = memory.take::<f32>(cols);
    for values in [&mut *input, &mut *weight, &mut *bias] {
        fill(&mut random, values);
    }
    let bias = seed.is_multiple_of(2).then_some(&*bias);
    let expected = memory.take::<f32>(rows * cols);
    for (index, expected) in expected.iter_mut().enumerate() {
        let (row, channel) = (index / cols, index % cols);
        let products = (0..inner).map(|i| input[row * inner + i] * weight[channel * inner + i]);
        *expected = products.sum::<f32>() + bias.map_or(0.0, |bias| bias[channel]);
    }
    let out = memory.guarded::<f32>(rows * cols, seed as u8);
    let Some(()) = linear(shape, input, weight, bias, out.values) else {
        return Some(What::Refused);
    };
    if !out.is_intact() {
        return Some(What::Guard);
    }
    near(out.values, expected, 0)
}
