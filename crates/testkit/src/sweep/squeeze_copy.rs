//! Copies without axes of extent 1.

use super::moves::{ORDERS, case};
use crate::suite::{Failure, Suite, What};
use crate::tensor::{CaseDomain, Ints, Tensor};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{Rules, SqueezeCopy};
use cortado_kernels::Micro;

/// Shapes, the axes that are named, and which of the input's axes stay.
const CASES: &[(&[u32], &[i64], &[usize])] = &[
    (&[1, 3, 4], &[0], &[1, 2]),
    (&[2, 1, 3, 1], &[-1, 1], &[0, 2]),
    (&[2, 1, 3], &[0, 1], &[0, 2]),
    (&[1, 1], &[0, 1], &[]),
    (&[2, 3], &[], &[0, 1]),
    (&[2, 1, 3, 4, 1, 2], &[1], &[0, 2, 3, 4, 5]),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for (shape, dims, kept) in CASES {
        for order in &ORDERS[..2] {
            let input = Tensor::new(DType::F32, shape, order);
            let mut extents = [0; 6];
            kept.iter().enumerate().for_each(|(at, axis)| extents[at] = shape[*axis]);
            let out = Tensor::new(DType::F32, &extents[..kept.len()], &ORDERS[0]);
            let operator = SqueezeCopy::<CaseDomain> { input, dim: Ints::new(dims), out };
            let what = match operator.check() {
                Err(_) => Some(What::Refused),
                Ok(()) => case::<M>(workspace, seed, &input, &out, &operator.gather(), &|index| {
                    let mut from = [0; 6];
                    kept.iter().enumerate().for_each(|(at, axis)| from[*axis] = index[at]);
                    from
                }),
            };
            suite.record(what.map(|what| Failure {
                operator: "aten::squeeze_copy",
                case: "",
                seed,
                shape: input.extents(),
                what,
            }));
            seed += 1;
        }
    }
}
