//! Products of matrices.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_batch_matmul::{
    BatchMatmulParams, BatchMatmulShape, reference,
};
use cortado_contract::quant::{Activation, FilterOffset, InputOffset, OutputOffset, Requantize};
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_batch_matmul::batch_matmul_s8;

const BATCHES: &[(usize, usize)] = &[(1, 1), (2, 2), (1, 3), (3, 1), (0, 0), (1, 0)];
const ROWS: &[usize] = &[0, 1, 3];
const COLS: &[usize] = &[0, 1, 3, 4, 5, 8, 9];
const DEPTHS: &[usize] = &[0, 1, 3, 4, 5, 15, 16, 17, 33];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for &(lhs_batches, rhs_batches) in BATCHES {
        for &rows in ROWS {
            for &cols in COLS {
                for &depth in DEPTHS {
                    let shape = BatchMatmulShape { lhs_batches, rhs_batches, rows, cols, depth };
                    let what = case::<M>(workspace, &shape, seed);
                    suite.record(what.map(|what| Failure {
                        operator: "cortex_m::quantized_batch_matmul",
                        case: "",
                        seed,
                        shape: [shape.batches(), rows, cols, depth],
                        what,
                    }));
                    seed += 1;
                }
            }
        }
    }
}

fn case<M: Micro>(
    workspace: &mut Workspace<'_>,
    shape: &BatchMatmulShape,
    seed: u32,
) -> Option<What> {
    let BatchMatmulShape { lhs_batches, rhs_batches, rows, cols, depth } = *shape;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let lhs = memory.take::<i8>(lhs_batches * rows * depth);
    let rhs = memory.take::<i8>(rhs_batches * cols * depth);
    random.fill_i8(lhs);
    random.fill_i8(rhs);
    let shift_max = if seed.is_multiple_of(7) { 8 } else { -5 };
    let (min, max) = (random.between(-128, 127), random.between(-128, 127));
    let params = BatchMatmulParams {
        lhs_offset: InputOffset(random.between(-127, 128)),
        rhs_offset: FilterOffset(random.between(-127, 128)),
        output_offset: OutputOffset(random.between(-128, 127)),
        requantize: Requantize {
            multiplier: random.between(1 << 30, i32::MAX),
            shift: random.between(-14, shift_max),
        },
        activation: if seed.is_multiple_of(2) {
            Activation::INT8
        } else {
            Activation { min: min.min(max), max: min.max(max) }
        },
    };
    let outputs = shape.batches() * rows * cols;
    let expected = memory.take::<i8>(outputs);
    reference(shape, &params, lhs, rhs, expected);
    let out = memory.guarded::<i8>(outputs, seed as u8);
    if batch_matmul_s8::<M>(shape, &params, lhs, rhs, out.values).is_none() {
        return Some(What::Refused);
    }
    if !out.is_intact() {
        return Some(What::Guard);
    }
    compare(out.values, expected)
}
