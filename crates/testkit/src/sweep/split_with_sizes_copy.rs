//! Parts along an axis.

use super::moves::ORDERS;
use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::tensor::{CaseDomain, Ints, Tensor, Tensors};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{Rules, SplitWithSizesCopy};
use cortado_contract::strided::{MAX_AXES, strides};
use cortado_contract::value::TensorMeta;
use cortado_kernels::Micro;
use cortado_kernels::generic::split_with_sizes_copy::take;

const SHAPES: &[&[u32]] = &[&[1], &[3, 2], &[2, 1, 3], &[2, 1, 4, 5]];
/// The parts' extents along the axis.
const PARTS: &[&[i64]] = &[&[4], &[1, 2], &[3, 0, 1], &[1, 1, 1, 5, 2]];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for shape in SHAPES {
        for dim in 0..shape.len() {
            for sizes in PARTS {
                for order in &ORDERS[..2] {
                    let with = |extent: u32| {
                        let mut extents = [0; MAX_AXES];
                        extents[..shape.len()].copy_from_slice(shape);
                        extents[dim] = extent;
                        Tensor::new(DType::F32, &extents[..shape.len()], order)
                    };
                    let mut parts = [with(0); MAX_AXES];
                    (0..sizes.len()).for_each(|index| parts[index] = with(sizes[index] as u32));
                    let parts = &parts[..sizes.len()];
                    let operator = SplitWithSizesCopy::<CaseDomain> {
                        input: with(sizes.iter().sum::<i64>() as u32),
                        split_sizes: Ints::new(sizes),
                        dim: dim as i64,
                        out: Tensors::new(parts),
                    };
                    let what = case(workspace, seed, &operator, parts, dim);
                    suite.record(what.map(|what| Failure {
                        operator: "aten::split_with_sizes_copy",
                        case: "",
                        seed,
                        shape: operator.input.extents(),
                        what,
                    }));
                    seed += 1;
                }
            }
        }
    }
}

/// The expected parts come from where each element belongs by its logical index.
fn case(
    workspace: &mut Workspace<'_>,
    seed: u32,
    operator: &SplitWithSizesCopy<CaseDomain>,
    parts: &[Tensor],
    dim: usize,
) -> Option<What> {
    if operator.check().is_err() {
        return Some(What::Refused);
    }
    let input = &operator.input;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let values = memory.take::<u8>(input.size_bytes());
    values.iter_mut().for_each(|value| *value = random.bits() as u8);
    let rounds = operator.rounds() as usize;
    let round = input.size_bytes().checked_div(rounds).unwrap_or(0);
    let (mut start, mut first) = (0, 0);
    for part in parts {
        let expected = memory.take::<u8>(part.size_bytes());
        let (from, to) = (strides(input), strides(part));
        for element in 0..part.element_count()? {
            let (mut rest, mut source, mut target) = (element, first * from[dim], 0);
            for axis in (0..part.rank()).rev() {
                let index = rest % part.dim(axis);
                rest /= part.dim(axis);
                source += index * from[axis];
                target += index * to[axis];
            }
            let (source, target) = (source as usize * 4, target as usize * 4);
            expected[target..][..4].copy_from_slice(&values[source..][..4]);
        }
        let chunk = part.size_bytes().checked_div(rounds).unwrap_or(0);
        let out = memory.guarded::<u8>(part.size_bytes(), seed as u8);
        if take(values, round, start, chunk, out.values).is_none() {
            return Some(What::Refused);
        }
        if !out.is_intact() {
            return Some(What::Guard);
        }
        if let Some(what) = compare(out.values, expected) {
            return Some(what);
        }
        start += chunk;
        first += part.dim(dim);
    }
    None
}
