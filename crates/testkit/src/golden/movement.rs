//! `transpose_s8` and `pad_s8`.

use super::{Case, check};
use crate::suite::What;
use crate::tensor::{CaseDomain, Ints, Tensor};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::pad::Frame;
use cortado_contract::ops::{Rules, Transpose};
use cortado_kernels::Micro;
use cortado_kernels::generic::pad::pad as pad_s8;
use cortado_kernels::generic::strided::{Moves, copy};

const DIMS: [&str; 4] = ["n", "h", "w", "c"];

/// Tensors of fewer than four axes fill n, h and w first.
pub(super) fn transpose<M: Micro>(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
) -> Option<Result<(), What>> {
    let rank = case.count("transpose_params.num_dims")?;
    let permutations = ["0", "1", "2", "3"];
    let mut permutation = [0; 4];
    for (item, name) in permutation.iter_mut().zip(permutations).take(rank) {
        *item = i64::from(member(case, "transpose_params.permutations.", name)?);
    }
    let tensor = |prefix: &str| {
        let mut shape = [0; 4];
        for (extent, name) in shape.iter_mut().zip(DIMS) {
            *extent = u32::try_from(member(case, prefix, name)?).ok()?;
        }
        Some(Tensor::new(DType::I8, shape.get(..rank)?, &[0, 1, 2, 3]))
    };
    let operator = Transpose::<CaseDomain> {
        input: tensor("input_dims.")?,
        perm: Ints::new(permutation.get(..rank)?),
        out: tensor("output_dims.")?,
    };
    let expected = case.tensor::<i8>("expected.output")?;
    let out = workspace.start().guarded::<u8>(expected.len(), 0x5a);
    let moves = operator.check().ok().map(|()| Moves::new(&operator.out, &operator.gather()));
    let input = case.tensor::<u8>("inputs.input")?;
    let outcome = moves.and_then(|moves| copy::<M>(&moves, input, out.values));
    Some(check(outcome, &out, case.tensor::<u8>("expected.output")?))
}

pub(super) fn pad<M: Micro>(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
) -> Option<Result<(), What>> {
    let numbers = |prefix: &str| {
        let mut numbers = [0; 4];
        for (number, name) in numbers.iter_mut().zip(DIMS) {
            *number = u32::try_from(member(case, prefix, name)?).ok()?;
        }
        Some(numbers)
    };
    let frame = Frame {
        extents: numbers("input_size.")?,
        pre: numbers("pre_pad.")?,
        post: numbers("post_pad.")?,
    };
    let value = i8::try_from(case.number("pad_value")?).ok()?;
    let expected = case.tensor::<u8>("expected.output")?;
    let out = workspace.start().guarded::<u8>(expected.len(), 0x5a);
    let outcome = pad_s8::<M>(&frame, &[value as u8], case.tensor("inputs.input")?, out.values);
    Some(check(outcome, &out, expected))
}

/// The parameter whose path is these two behind each other.
fn member(case: &Case<'_>, prefix: &str, name: &str) -> Option<i32> {
    let mut path = [0; 64];
    let (head, rest) = path.split_at_mut_checked(prefix.len())?;
    head.copy_from_slice(prefix.as_bytes());
    rest.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    case.number(core::str::from_utf8(path.get(..prefix.len() + name.len())?).ok()?)
}
