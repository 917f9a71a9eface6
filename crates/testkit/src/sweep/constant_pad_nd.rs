//! Padding over other element types, and frames of tensors in any order in memory.

use super::moves::ORDERS;
use super::pad::sweep;
use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::tensor::{CaseDomain, Ints, Tensor};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{ConstantPadNd, Rules};
use cortado_contract::strided::{MAX_AXES, strides};
use cortado_contract::value::TensorMeta;
use cortado_kernels::Micro;
use cortado_kernels::generic::pad::pad;

const OPERATOR: &str = "aten::constant_pad_nd";

/// Extents, and how many values to put before and behind, from the last axis on.
const TENSORS: &[(&[u32], &[i64])] = &[
    (&[], &[]),
    (&[5], &[2, 1]),
    (&[3, 4], &[0, 0, 1, 2]),
    (&[2, 3, 4], &[1, 0]),
    (&[2, 3, 4, 5], &[1, 2, 0, 3]),
    (&[1, 3, 1, 5], &[0, 0, 1, 1, 2, 0]),
    (&[2, 1, 2, 3, 2], &[0, 0, 1, 0, 0, 0, 0, 1]),
    (&[1, 2, 1, 3, 2, 2], &[1, 1, 0, 2]),
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep::<M>(workspace, suite, OPERATOR, DType::I16);
    let mut seed = 1;
    for (shape, borders) in TENSORS {
        for order in ORDERS {
            for dtype in [DType::I8, DType::F32] {
                let input = Tensor::new(dtype, shape, order);
                let mut extents = [0; MAX_AXES];
                for (axis, extent) in extents.iter_mut().enumerate().take(shape.len()) {
                    let (pre, post) = border(borders, shape.len(), axis);
                    *extent = shape[axis] + pre + post;
                }
                let out = Tensor::new(dtype, &extents[..shape.len()], order);
                let value = f64::from(seed as i8);
                let operator =
                    ConstantPadNd::<CaseDomain> { input, pad: Ints::new(borders), value, out };
                suite.record(case::<M>(workspace, seed, &operator, borders).map(|what| Failure {
                    operator: OPERATOR,
                    case: dtype.name(),
                    seed,
                    shape: input.extents(),
                    what,
                }));
                seed += 1;
            }
        }
    }
}

fn border(borders: &[i64], rank: usize, axis: usize) -> (u32, u32) {
    let item = |item: usize| borders.get(item).copied().unwrap_or(0) as u32;
    let first = 2 * (rank - 1 - axis);
    (item(first), item(first + 1))
}

/// The expected result comes from where each element belongs by its logical index.
fn case<M: Micro>(
    workspace: &mut Workspace<'_>,
    seed: u32,
    operator: &ConstantPadNd<CaseDomain>,
    borders: &[i64],
) -> Option<What> {
    let ConstantPadNd { input, out, .. } = operator;
    if operator.check().is_err() {
        return Some(What::Refused);
    }
    let (Ok(frame), Some(value)) = (operator.frame(), operator.pattern()) else {
        return Some(What::Refused);
    };
    let bytes = value.bytes().len();
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let values = memory.take::<u8>(input.size_bytes());
    values.iter_mut().for_each(|byte| *byte = random.bits() as u8);
    let expected = memory.take::<u8>(out.size_bytes());
    expected.chunks_exact_mut(bytes).for_each(|element| element.copy_from_slice(value.bytes()));
    let (from, to) = (strides(input), strides(out));
    for element in 0..input.element_count()? {
        let (mut rest, mut source, mut target) = (element, 0, 0);
        for axis in (0..input.rank()).rev() {
            let index = rest % input.dim(axis);
            rest /= input.dim(axis);
            source += index * from[axis];
            target += (index + border(borders, input.rank(), axis).0) * to[axis];
        }
        let (source, target) = (source as usize * bytes, target as usize * bytes);
        expected[target..][..bytes].copy_from_slice(&values[source..][..bytes]);
    }
    let padded = memory.guarded::<u8>(out.size_bytes(), seed as u8);
    if pad::<M>(&frame, value.bytes(), values, padded.values).is_none() {
        return Some(What::Refused);
    }
    if !padded.is_intact() {
        return Some(What::Guard);
    }
    compare(padded.values, expected)
}
