//! Axes of extent 1 repeated.

use super::moves::case;
use super::slice_copy::orders;
use crate::suite::{Failure, Suite, What};
use crate::tensor::{CaseDomain, Ints, Tensor};
use crate::workspace::Workspace;
use cortado_contract::ops::{ExpandCopy, Rules};
use cortado_contract::strided::MAX_AXES;
use cortado_kernels::Micro;

/// Shapes before and after.
const SHAPES: &[(&[u32], &[u32])] = &[
    (&[], &[]),
    (&[], &[5]),
    (&[1], &[7]),
    (&[4], &[4]),
    (&[4], &[3, 4]),
    (&[3, 1], &[3, 5]),
    (&[1, 5], &[2, 3, 5]),
    (&[2, 1, 3, 1], &[2, 4, 3, 5]),
    (&[1, 6, 1, 1], &[2, 6, 3, 4]),
    (&[3, 1, 2], &[2, 2, 1, 3, 4, 2]),
    (&[1, 2], &[0, 2]),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for (shape, expanded) in SHAPES {
        for (dtype, order, out_order) in orders() {
            let (input, out) =
                (Tensor::new(dtype, shape, order), Tensor::new(dtype, expanded, out_order));
            let new = expanded.len() - shape.len();
            // Every other list leaves extents that are kept to the input.
            let mut size = [0; MAX_AXES];
            for (axis, extent) in expanded.iter().enumerate() {
                let is_kept = axis >= new && shape[axis - new] == *extent;
                size[axis] = if is_kept && seed % 2 == 0 { -1 } else { i64::from(*extent) };
            }
            let size = Ints::new(&size[..expanded.len()]);
            let operator = ExpandCopy::<CaseDomain> { input, size, implicit: false, out };
            let what = match operator.check() {
                Err(_) => Some(What::Refused),
                Ok(()) => case::<M>(workspace, seed, &input, &out, &operator.gather(), &|index| {
                    let mut source = [0; MAX_AXES];
                    for axis in 0..shape.len() {
                        source[axis] = if shape[axis] == 1 { 0 } else { index[axis + new] };
                    }
                    source
                }),
            };
            suite.record(what.map(|what| Failure {
                operator: "aten::expand_copy",
                case: "",
                seed,
                shape: out.extents(),
                what,
            }));
            seed += 1;
        }
    }
}
