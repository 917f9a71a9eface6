//! Padding.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::constant_pad_nd::Pattern;
use cortado_contract::ops::pad::{Frame, reference};
use cortado_kernels::Micro;
use cortado_kernels::generic::pad::pad;

const EXTENTS: &[[u32; 4]] =
    &[[1, 1, 1, 1], [1, 3, 4, 5], [2, 2, 3, 3], [1, 2, 2, 17], [2, 0, 1, 3]];
/// Before and behind.
const BORDERS: &[[[u32; 4]; 2]] = &[
    [[0, 0, 0, 0], [0, 0, 0, 0]],
    [[0, 1, 1, 0], [0, 1, 1, 0]],
    [[0, 0, 0, 2], [0, 0, 0, 1]],
    [[1, 2, 1, 1], [1, 1, 2, 2]],
    [[0, 0, 4, 0], [2, 0, 0, 0]],
    [[0, 0, 0, 0], [0, 3, 0, 0]],
];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep::<M>(workspace, suite, "cortex_m::pad", DType::I8);
}

/// The cases, for one element type.
pub(super) fn sweep<M: Micro>(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    dtype: DType,
) {
    let mut seed = 1;
    for &extents in EXTENTS {
        for &[pre, post] in BORDERS {
            let frame = Frame { extents, pre, post };
            suite.record(case::<M>(workspace, &frame, dtype, seed).map(|what| Failure {
                operator,
                case: dtype.name(),
                seed,
                shape: extents.map(|extent| extent as usize),
                what,
            }));
            seed += 1;
        }
    }
}

fn case<M: Micro>(
    workspace: &mut Workspace<'_>,
    frame: &Frame,
    dtype: DType,
    seed: u32,
) -> Option<What> {
    let mut random = Random::new(seed);
    let value = Pattern::of(dtype, f64::from(random.between(-128, 127)))?;
    let count = |extents: [u64; 4]| extents.iter().product::<u64>() as usize * value.bytes().len();
    let mut memory = workspace.start();
    let input = memory.take::<u8>(count(frame.extents.map(u64::from)));
    input.iter_mut().for_each(|byte| *byte = random.bits() as u8);
    let out_count = count(core::array::from_fn(|position| frame.out_extent(position)));
    let expected = memory.take::<u8>(out_count);
    reference(frame, value.bytes(), input, expected);
    let out = memory.guarded::<u8>(out_count, seed as u8);
    let Some(()) = pad::<M>(frame, value.bytes(), input, out.values) else {
        return Some(What::Refused);
    };
    if !out.is_intact() {
        return Some(What::Guard);
    }
    compare(out.values, expected)
}
