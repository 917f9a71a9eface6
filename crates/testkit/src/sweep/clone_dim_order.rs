//! Copies into another order in memory.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::strided::{Gather, reference, strides};
use cortado_contract::value::TensorMeta;
use cortado_kernels::Micro;
use cortado_kernels::generic::strided::{Moves, copy};

const SHAPES: &[&[u32]] = &[
    &[1, 1, 1, 1],
    &[1, 3, 5, 7],
    &[2, 8, 4, 4],
    &[1, 1, 6, 5],
    &[3, 16, 1, 1],
    &[4, 5],
    &[2, 3, 4],
    &[9],
    &[0, 3, 2, 2],
];
const ORDERS: &[[u8; 4]] = &[[0, 1, 2, 3], [0, 2, 3, 1], [3, 2, 1, 0], [1, 0, 3, 2], [0, 3, 1, 2]];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for shape in SHAPES {
        for from in ORDERS {
            for to in ORDERS {
                for dtype in [DType::I8, DType::I16, DType::F32] {
                    let (input, out) =
                        (Ordered::new(shape, from, dtype), Ordered::new(shape, to, dtype));
                    let what = case::<M>(workspace, &input, &out, seed);
                    let extents = core::array::from_fn(|axis| input.dim(axis) as usize);
                    suite.record(what.map(|what| Failure {
                        operator: "dim_order_ops::_clone_dim_order",
                        case: dtype.name(),
                        seed,
                        shape: extents,
                        what,
                    }));
                    seed += 1;
                }
            }
        }
    }
}

fn case<M: Micro>(
    workspace: &mut Workspace<'_>,
    input: &Ordered<'_>,
    out: &Ordered<'_>,
    seed: u32,
) -> Option<What> {
    let bytes = input.element_count()? as usize * input.dtype.size_bytes() as usize;
    let mut memory = workspace.start();
    let source = memory.take::<u8>(bytes);
    let mut random = Random::new(seed);
    source.iter_mut().for_each(|byte| *byte = random.bits() as u8);
    let expected = memory.take::<u8>(bytes);
    let gather = Gather { offset: 0, strides: strides(input) };
    reference(
        input.shape,
        &gather,
        &strides(out),
        input.dtype.size_bytes() as usize,
        source,
        expected,
    );
    let copied = memory.guarded::<u8>(bytes, seed as u8);
    let Some(()) = copy::<M>(&Moves::new(out, &gather), source, copied.values) else {
        return Some(What::Refused);
    };
    if !copied.is_intact() {
        return Some(What::Guard);
    }
    compare(copied.values, expected)
}

/// A tensor's extents with an order in memory; of a longer order only the axes that the tensor has count.
struct Ordered<'s> {
    shape: &'s [u32],
    order: [u8; 4],
    dtype: DType,
}

impl<'s> Ordered<'s> {
    fn new(shape: &'s [u32], order: &[u8; 4], dtype: DType) -> Self {
        let mut kept = [0; 4];
        let axes = order.iter().filter(|axis| usize::from(**axis) < shape.len());
        kept.iter_mut().zip(axes).for_each(|(kept, axis)| *kept = *axis);
        Ordered { shape, order: kept, dtype }
    }
}

impl TensorMeta for Ordered<'_> {
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn rank(&self) -> usize {
        self.shape.len()
    }
    fn dim(&self, axis: usize) -> u32 {
        self.shape.get(axis).copied().unwrap_or(0)
    }
    fn dim_order(&self, position: usize) -> usize {
        self.order.get(position).copied().map_or(0, usize::from)
    }
}
