//! What the cases of operators that move elements share.

use crate::random::Random;
use crate::suite::{What, compare};
use crate::tensor::Tensor;
use crate::workspace::Workspace;
use cortado_contract::strided::{Gather, MAX_AXES, strides};
use cortado_contract::value::TensorMeta;
use cortado_kernels::Micro;
use cortado_kernels::generic::strided::{Moves, copy};

/// Orders in memory that cases go through; axes that a tensor does not have are left out.
pub(super) const ORDERS: &[[u8; 6]] =
    &[[0, 1, 2, 3, 4, 5], [0, 2, 3, 1, 4, 5], [5, 4, 3, 2, 1, 0], [1, 0, 4, 5, 3, 2]];

/// Runs the kernel on random bytes. `source` says by its definition in which element of the input an element of the result
/// comes from, both by logical index.
pub(super) fn case<M: Micro>(
    workspace: &mut Workspace<'_>,
    seed: u32,
    input: &Tensor,
    out: &Tensor,
    gather: &Gather,
    source: &dyn Fn([u32; MAX_AXES]) -> [u32; MAX_AXES],
) -> Option<What> {
    let element_bytes = out.dtype().size_bytes() as usize;
    let mut memory = workspace.start();
    let mut random = Random::new(seed);
    let values = memory.take::<u8>(input.size_bytes());
    values.iter_mut().for_each(|value| *value = random.bits() as u8);
    let expected = memory.take::<u8>(out.size_bytes());
    let address = |tensor: &Tensor, index: [u32; MAX_AXES]| {
        let steps = index.iter().zip(strides(tensor)).map(|(index, stride)| index * stride);
        steps.sum::<u32>() as usize * element_bytes
    };
    for element in 0..out.element_count()? {
        let mut rest = element;
        let mut index = [0; MAX_AXES];
        for axis in (0..out.rank()).rev() {
            index[axis] = rest % out.dim(axis);
            rest /= out.dim(axis);
        }
        let (from, to) = (address(input, source(index)), address(out, index));
        expected[to..][..element_bytes].copy_from_slice(&values[from..][..element_bytes]);
    }
    let moved = memory.guarded::<u8>(out.size_bytes(), seed as u8);
    let offset = gather.offset as usize * element_bytes;
    let values = values.get(offset..).unwrap_or(&[]);
    let Some(()) = copy::<M>(&Moves::new(out, gather), values, moved.values) else {
        return Some(What::Refused);
    };
    if !moved.is_intact() {
        return Some(What::Guard);
    }
    compare(moved.values, expected)
}
