//! Slices of one axis.

use super::moves::{ORDERS, case};
use crate::suite::{Failure, Suite, What};
use crate::tensor::{CaseDomain, Tensor};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{Rules, SliceCopy};
use cortado_kernels::Micro;

const SHAPES: &[&[u32]] =
    &[&[7], &[3, 8], &[2, 5, 3], &[2, 6, 4, 5], &[1, 1, 9, 1], &[2, 3, 2, 4, 2]];

/// Start, end and step; what they come to on an axis is Python's `range`.
const BOUNDS: &[(Option<i64>, Option<i64>, i64)] = &[
    (None, None, 1),
    (Some(1), None, 1),
    (Some(0), Some(3), 1),
    (Some(-2), Some(i64::MAX), 1),
    (Some(1), Some(-1), 2),
    (None, Some(100), 3),
    (Some(4), Some(2), 1),
    (Some(i64::MIN), Some(2), 5),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for shape in SHAPES {
        for dim in 0..shape.len() {
            for &(start, end, step) in BOUNDS {
                for (dtype, order, out_order) in orders() {
                    let extent = i64::from(shape[dim]);
                    let index =
                        |bound: i64| if bound < 0 { bound.saturating_add(extent) } else { bound };
                    let first = index(start.unwrap_or(0)).clamp(0, extent);
                    let beyond = index(end.unwrap_or(extent)).clamp(0, extent);
                    let count = (first..beyond).step_by(step as usize).count();
                    let input = Tensor::new(dtype, shape, order);
                    let mut extents = [0; 6];
                    extents[..shape.len()].copy_from_slice(shape);
                    extents[dim] = count as u32;
                    let out = Tensor::new(dtype, &extents[..shape.len()], out_order);
                    let written =
                        if seed % 2 == 0 { dim as i64 } else { dim as i64 - shape.len() as i64 };
                    let operator =
                        SliceCopy::<CaseDomain> { input, dim: written, start, end, step, out };
                    let what = match operator.check() {
                        Err(_) => Some(What::Refused),
                        Ok(()) => case::<M>(
                            workspace,
                            seed,
                            &input,
                            &out,
                            &operator.gather(),
                            &|mut index| {
                                index[dim] = first as u32 + index[dim] * step as u32;
                                index
                            },
                        ),
                    };
                    suite.record(what.map(|what| Failure {
                        operator: "aten::slice_copy",
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

/// Element types with an order in memory on either side.
pub(super) fn orders() -> impl Iterator<Item = (DType, &'static [u8; 6], &'static [u8; 6])> {
    let [rows, images, ..] = ORDERS else { unreachable!("there are several orders") };
    let dtypes = [DType::I8, DType::F32].into_iter();
    dtypes.flat_map(move |dtype| {
        [(dtype, rows, rows), (dtype, images, images), (dtype, images, rows)]
    })
}
