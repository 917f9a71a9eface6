//! Choices between numbers, in float.

use super::float::{fill, near, record};
use crate::random::Random;
use crate::suite::{Suite, What};
use crate::tensor::{CaseDomain, Tensor};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{FloatWhere, Rules};
use cortado_kernels::Micro;
use cortado_kernels::generic::float_where::{axes, choose};

/// Shapes of condition, both operands and the result.
const MEETINGS: &[[&[u32]; 4]] = &[
    [&[7], &[7], &[7], &[7]],
    [&[], &[5], &[], &[5]],
    [&[2, 3, 1], &[2, 3, 4], &[1, 1, 4], &[2, 3, 4]],
    [&[4], &[3, 1], &[], &[3, 4]],
    [&[1, 2, 1, 1], &[2, 2, 3, 4], &[3, 4], &[2, 2, 3, 4]],
    [&[0, 3], &[3], &[1, 1], &[0, 3]],
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    for (seed, shapes) in MEETINGS.iter().enumerate() {
        let order = [0, 1, 2, 3];
        let tensor = |dtype, shape: &[u32]| Tensor::new(dtype, shape, &order);
        let operator = FloatWhere::<CaseDomain> {
            condition: tensor(DType::Bool, shapes[0]),
            input: tensor(DType::F32, shapes[1]),
            other: tensor(DType::F32, shapes[2]),
            out: tensor(DType::F32, shapes[3]),
        };
        let what = case(workspace, seed as u32, &operator);
        record(suite, "aten::where", seed as u32, operator.out.extents(), what);
    }
}

fn case(
    workspace: &mut Workspace<'_>,
    seed: u32,
    operator: &FloatWhere<CaseDomain>,
) -> Option<What> {
    if operator.check().is_err() {
        return Some(What::Refused);
    }
    let FloatWhere { condition, input, other, out } = operator;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let truths = memory.take::<u8>(condition.size_bytes());
    truths.iter_mut().for_each(|truth| *truth = random.bits() as u8 & 1);
    let first = memory.take::<f32>(input.size_bytes() / 4);
    let second = memory.take::<f32>(other.size_bytes() / 4);
    fill(&mut random, first);
    fill(&mut random, second);
    let expected = memory.take::<f32>(out.size_bytes() / 4);
    // The position of an element of the result in an operand, by NumPy's rule.
    let position = |operand: &Tensor, element: usize| {
        let (mut rest, mut position, mut step) = (element, 0, 1);
        for back in 0..out.shape().len() {
            let extent = out.shape()[out.shape().len() - 1 - back] as usize;
            let index = rest % extent;
            rest /= extent;
            if let Some(own) = operand.shape().len().checked_sub(back + 1) {
                let own = operand.shape()[own] as usize;
                position += if own == 1 { 0 } else { index * step };
                step *= own;
            }
        }
        position
    };
    for (element, expected) in expected.iter_mut().enumerate() {
        *expected = if truths[position(condition, element)] != 0 {
            first[position(input, element)]
        } else {
            second[position(other, element)]
        };
    }
    let found = memory.guarded::<f32>(expected.len(), seed as u8);
    let (axes, rank) = axes([condition, input, other], out);
    let Some(()) = choose(&axes[..rank], truths, [first, second], found.values) else {
        return Some(What::Refused);
    };
    if found.is_intact() { near(found.values, expected, 0) } else { Some(What::Guard) }
}
