//! One index of one axis.

use super::moves::case;
use super::slice_copy::orders;
use crate::suite::{Failure, Suite, What};
use crate::tensor::{CaseDomain, Tensor};
use crate::workspace::Workspace;
use cortado_contract::ops::{Rules, SelectCopy};
use cortado_contract::strided::MAX_AXES;
use cortado_kernels::Micro;

const SHAPES: &[&[u32]] =
    &[&[7], &[3, 8], &[2, 5, 3], &[2, 6, 4, 5], &[1, 1, 9, 1], &[2, 3, 2, 4, 2, 2]];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for shape in SHAPES {
        for dim in 0..shape.len() {
            for index in [0, i64::from(shape[dim]) - 1, -1, -i64::from(shape[dim])] {
                for (dtype, order, out_order) in orders() {
                    let input = Tensor::new(dtype, shape, order);
                    let mut extents = [0; MAX_AXES];
                    let kept = || (0..shape.len()).filter(|axis| *axis != dim);
                    kept().enumerate().for_each(|(axis, from)| extents[axis] = shape[from]);
                    let out = Tensor::new(dtype, &extents[..shape.len() - 1], out_order);
                    let written =
                        if seed % 2 == 0 { dim as i64 } else { dim as i64 - shape.len() as i64 };
                    let operator = SelectCopy::<CaseDomain> { input, dim: written, index, out };
                    let what = match operator.check() {
                        Err(_) => Some(What::Refused),
                        Ok(()) => {
                            case::<M>(workspace, seed, &input, &out, &operator.gather(), &|at| {
                                let mut source = [0; MAX_AXES];
                                kept().enumerate().for_each(|(axis, from)| source[from] = at[axis]);
                                source[dim] = index.rem_euclid(i64::from(shape[dim])) as u32;
                                source
                            })
                        }
                    };
                    suite.record(what.map(|what| Failure {
                        operator: "aten::select_copy",
                        case: "",
                        seed,
                        shape: input.extents(),
                        what,
                    }));
                    seed += 1;
                }
            }
        }
    }
}
