//! The statistics of layer normalization, in float. The normalization itself is swept by its own operator.

use super::float::{fill, near, record};
use crate::random::Random;
use crate::suite::Suite;
use crate::workspace::Workspace;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_layer_norm::row_statistics;
use cortado_kernels::generic::math::sqrt_f64;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    for (seed, length) in [1usize, 2, 3, 8, 17, 64].into_iter().enumerate() {
        let mut random = Random::new(seed as u32);
        let mut memory = workspace.start();
        let row = memory.take::<f32>(length);
        fill(&mut random, row);
        let (mean, scale) = row_statistics(row, 1e-5);
        let count = length as f64;
        let expected = row.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let square = |x: &f32| (f64::from(*x) - expected) * (f64::from(*x) - expected);
        let variance = row.iter().map(square).sum::<f64>() / count;
        let expected = [expected as f32, (1.0 / sqrt_f64(variance + 1e-5)) as f32];
        let what = near(&[mean as f32, scale as f32], &expected, 1);
        record(suite, "aten::native_layer_norm", seed as u32, [length, 0, 0, 0], what);
    }
}
