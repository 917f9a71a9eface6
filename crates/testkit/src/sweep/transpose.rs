//! Permutations of axes over `int8`.

use super::moves::{ORDERS, case};
use crate::suite::{Failure, Suite, What};
use crate::tensor::{CaseDomain, Ints, Tensor};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{Rules, Transpose};
use cortado_contract::strided::{Gather, MAX_AXES};
use cortado_contract::value::{TensorMeta, Violation};
use cortado_kernels::Micro;

const SHAPES: &[&[u32]] = &[
    &[],
    &[11],
    &[5, 9],
    &[1, 7],
    &[2, 7, 3],
    &[0, 3],
    &[1, 3, 4, 5],
    &[2, 3, 4, 5],
    &[4, 1, 3, 17],
    &[2, 3, 2, 4, 3],
    &[2, 3, 1, 2, 3, 2],
];

const PERMUTATIONS: &[[i64; 6]] = &[
    [0, 1, 2, 3, 4, 5],
    [5, 4, 3, 2, 1, 0],
    [0, 2, 3, 1, 4, 5],
    [0, 3, 1, 2, 5, 4],
    [1, 0, 3, 2, 5, 4],
    [2, 0, 5, 3, 1, 4],
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep::<M>(workspace, suite, "cortex_m::transpose", DType::I8, |input, permutation, out| {
        let operator = Transpose::<CaseDomain> { input, perm: permutation, out };
        operator.check().map(|()| operator.gather())
    });
}

/// The cases; `gather` makes the operator, checks it and says where elements come from.
pub(super) fn sweep<M: Micro>(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    dtype: DType,
    gather: fn(Tensor, Ints, Tensor) -> Result<Gather, Violation>,
) {
    let mut seed = 1;
    for shape in SHAPES {
        for permutation in PERMUTATIONS {
            for order in ORDERS {
                for out_order in ORDERS {
                    // Every other one counts its axes from the last.
                    let (list, count) = restrict(permutation, shape.len(), seed % 2 == 0);
                    let from = |axis: usize| list[axis].rem_euclid(count as i64) as usize;
                    let input = Tensor::new(dtype, shape, order);
                    let mut extents = [0; MAX_AXES];
                    (0..count).for_each(|axis| extents[axis] = shape[from(axis)]);
                    let out = Tensor::new(dtype, &extents[..count], out_order);
                    let what = match gather(input, Ints::new(&list[..count]), out) {
                        Err(_) => Some(What::Refused),
                        Ok(gather) => case::<M>(workspace, seed, &input, &out, &gather, &|index| {
                            let mut source = [0; MAX_AXES];
                            (0..count).for_each(|axis| source[from(axis)] = index[axis]);
                            source
                        }),
                    };
                    let extents = input.extents();
                    let case = input.dtype().name();
                    suite.record(what.map(|what| Failure {
                        operator,
                        case,
                        seed,
                        shape: extents,
                        what,
                    }));
                    seed += 1;
                }
            }
        }
    }
}

/// What a permutation of six axes does to the first `rank` of them.
fn restrict(permutation: &[i64; 6], rank: usize, from_the_end: bool) -> ([i64; 6], usize) {
    let mut list = [0; 6];
    let axes = permutation.iter().filter(|axis| **axis < rank as i64);
    for (slot, axis) in list.iter_mut().zip(axes) {
        *slot = if from_the_end { axis - rank as i64 } else { *axis };
    }
    (list, rank)
}
