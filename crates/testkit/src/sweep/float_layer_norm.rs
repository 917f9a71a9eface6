//! Layer normalization, in float.

use super::float::{fill, near, record};
use crate::random::Random;
use crate::suite::{Suite, What};
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_layer_norm::{LayerNorm, layer_norm};
use cortado_kernels::generic::math::sqrt_f64;

const LENGTHS: &[usize] = &[1, 2, 3, 8, 17, 64];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 0;
    for &length in LENGTHS {
        for rows in [0, 1, 3] {
            for _ in 0..4 {
                let what = case(workspace, rows, length, seed);
                record(suite, "cortado::layer_norm", seed, [rows, length, 0, 0], what);
                seed += 1;
            }
        }
    }
}

fn case(workspace: &mut Workspace<'_>, rows: usize, length: usize, seed: u32) -> Option<What> {
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let input = memory.take::<f32>(rows * length);
    let (weight, bias) = (memory.take::<f32>(length), memory.take::<f32>(length));
    for values in [&mut *input, &mut *weight, &mut *bias] {
        fill(&mut random, values);
    }
    let norm = LayerNorm {
        length,
        weight: (seed & 1 != 0).then_some(&*weight),
        bias: (seed & 2 != 0).then_some(&*bias),
        epsilon: 1e-5,
    };
    let expected = memory.take::<f32>(input.len());
    for (row, expected) in input.chunks(length).zip(expected.chunks_mut(length)) {
        let count = length as f64;
        let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let square = |x: &f32| (f64::from(*x) - mean) * (f64::from(*x) - mean);
        let variance = row.iter().map(square).sum::<f64>() / count;
        for (index, expected) in expected.iter_mut().enumerate() {
            let normal = (f64::from(row[index]) - mean) / sqrt_f64(variance + norm.epsilon);
            let weight = norm.weight.map_or(1.0, |weight| weight[index]);
            *expected = normal as f32 * weight + norm.bias.map_or(0.0, |bias| bias[index]);
        }
    }
    let out = memory.guarded::<f32>(input.len(), seed as u8);
    let Some(()) = layer_norm(&norm, input, out.values) else {
        return Some(What::Refused);
    };
    if !out.is_intact() {
        return Some(What::Guard);
    }
    // A neighbour's difference before the bias is added is more where the sum is smaller.
    let is_close = |(found, expected): (&f32, &f32)| (found - expected).abs() <= 1e-5;
    if out.values.iter().zip(expected.iter()).all(is_close) {
        return None;
    }
    near(out.values, expected, 0)
}
