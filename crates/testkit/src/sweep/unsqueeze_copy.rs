//! Copies with one more axis.

use super::moves::{ORDERS, case};
use crate::suite::{Failure, Suite, What};
use crate::tensor::{CaseDomain, Tensor};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{Rules, UnsqueezeCopy};
use cortado_kernels::Micro;

/// Shapes, and where the new axis goes among those of the result.
const CASES: &[(&[u32], i64)] =
    &[(&[3, 4], 0), (&[3, 4], 1), (&[3, 4], -1), (&[], 0), (&[2, 3, 4], -2), (&[2, 1, 3, 4, 2], 5)];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for (shape, dim) in CASES {
        for order in &ORDERS[..2] {
            let input = Tensor::new(DType::F32, shape, order);
            let rank = shape.len() + 1;
            let new = if *dim < 0 { *dim + rank as i64 } else { *dim } as usize;
            let mut extents = [1; 6];
            let axes = (0..rank).filter(|axis| *axis != new);
            axes.zip(*shape).for_each(|(axis, extent)| extents[axis] = *extent);
            let out = Tensor::new(DType::F32, &extents[..rank], &ORDERS[0]);
            let operator = UnsqueezeCopy::<CaseDomain> { input, dim: *dim, out };
            let what = match operator.check() {
                Err(_) => Some(What::Refused),
                Ok(()) => case::<M>(workspace, seed, &input, &out, &operator.gather(), &|index| {
                    let mut from = [0; 6];
                    let axes = (0..rank).filter(|axis| *axis != new);
                    axes.enumerate().for_each(|(at, axis)| from[at] = index[axis]);
                    from
                }),
            };
            suite.record(what.map(|what| Failure {
                operator: "aten::unsqueeze_copy",
                case: "",
                seed,
                shape: input.extents(),
                what,
            }));
            seed += 1;
        }
    }
}
