//! Joining tensors along an axis.

use super::moves::ORDERS;
use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::tensor::{CaseDomain, Tensor, Tensors};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{Cat, Rules};
use cortado_contract::strided::{MAX_AXES, strides};
use cortado_contract::value::TensorMeta;
use cortado_kernels::Micro;
use cortado_kernels::generic::cat::place;

const SHAPES: &[&[u32]] =
    &[&[1], &[3, 2], &[2, 1, 3], &[2, 1, 4, 5], &[1, 1, 1, 1], &[2, 2, 1, 2, 3]];
/// The tensors' extents along the axis.
const PARTS: &[&[u32]] = &[&[4], &[1, 2], &[8, 4], &[3, 0, 1], &[1, 1, 1, 5, 2]];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for shape in SHAPES {
        for dim in 0..shape.len() {
            for parts in PARTS {
                for order in ORDERS {
                    for dtype in [DType::I8, DType::F32] {
                        let with = |extent: u32| {
                            let mut extents = [0; MAX_AXES];
                            extents[..shape.len()].copy_from_slice(shape);
                            extents[dim] = extent;
                            Tensor::new(dtype, &extents[..shape.len()], order)
                        };
                        let mut tensors = [with(0); MAX_AXES];
                        (0..parts.len()).for_each(|index| tensors[index] = with(parts[index]));
                        let out = with(parts.iter().sum());
                        let operator = Cat::<CaseDomain> {
                            tensors: Tensors::new(&tensors[..parts.len()]),
                            dim: if seed % 2 == 0 {
                                dim as i64
                            } else {
                                dim as i64 - shape.len() as i64
                            },
                            out,
                        };
                        let tensors = &tensors[..parts.len()];
                        let what = case(workspace, seed, &operator, tensors, dim);
                        suite.record(what.map(|what| Failure {
                            operator: "aten::cat",
                            case: "",
                            seed,
                            shape: out.extents(),
                            what,
                        }));
                        seed += 1;
                    }
                }
            }
        }
    }
}

/// The expected result comes from where each element belongs by its logical index.
fn case(
    workspace: &mut Workspace<'_>,
    seed: u32,
    operator: &Cat<CaseDomain>,
    tensors: &[Tensor],
    dim: usize,
) -> Option<What> {
    if operator.check().is_err() {
        return Some(What::Refused);
    }
    let out = &operator.out;
    let element_bytes = out.dtype().size_bytes() as usize;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let expected = memory.take::<u8>(out.size_bytes());
    let joined = memory.guarded::<u8>(out.size_bytes(), seed as u8);
    let rounds = operator.rounds() as usize;
    let (mut start, mut first) = (0, 0);
    for tensor in tensors {
        let values = memory.take::<u8>(tensor.size_bytes());
        values.iter_mut().for_each(|value| *value = random.bits() as u8);
        let (from, to) = (strides(tensor), strides(out));
        for element in 0..tensor.element_count()? {
            let (mut rest, mut source, mut target) = (element, 0, first * to[dim]);
            for axis in (0..tensor.rank()).rev() {
                let index = rest % tensor.dim(axis);
                rest /= tensor.dim(axis);
                source += index * from[axis];
                target += index * to[axis];
            }
            let (source, target) =
                (source as usize * element_bytes, target as usize * element_bytes);
            expected[target..][..element_bytes].copy_from_slice(&values[source..][..element_bytes]);
        }
        let chunk = tensor.size_bytes().checked_div(rounds).unwrap_or(0);
        let round = out.size_bytes().checked_div(rounds).unwrap_or(0);
        if place(values, chunk, start, round, joined.values).is_none() {
            return Some(What::Refused);
        }
        start += chunk;
        first += tensor.dim(dim);
    }
    if !joined.is_intact() {
        return Some(What::Guard);
    }
    compare(joined.values, expected)
}
