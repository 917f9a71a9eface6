//! What the sweeps of binary operators share: extents to broadcast, and results by logical index.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::{Guarded, Workspace};
use cortado_contract::DType;
use cortado_contract::broadcast::Broadcast;
use cortado_contract::strided::{MAX_AXES, strides};
use cortado_kernels::LoadedTensor;
use cortado_kernels::memory::{Location, Source};
use cortado_kernels::micro::Integer;
use cortado_kernels::operand::MAX_RANK;

/// Lengths without broadcasting.
const COUNTS: &[u32] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 129];

/// Extents of both operands, and whether images (four axes) are channels-last.
const SHAPES: &[(&[u32], &[u32], bool)] = &[
    (&[], &[], false),
    (&[17], &[], false),
    (&[], &[17], false),
    (&[4, 1, 16], &[1, 3, 16], false),
    (&[4, 3, 1], &[1, 1, 5], false),
    (&[5], &[2, 3, 5], false),
    (&[2, 3, 1], &[2, 3, 33], false),
    (&[1, 3, 2, 5], &[1, 3, 1, 1], false),
    (&[4, 2, 1, 1], &[1, 1, 3, 4], false),
    (&[2, 5, 3, 4], &[2, 5, 3, 4], true),
    (&[2, 5, 3, 4], &[1, 5, 1, 1], true),
    (&[5, 1, 1], &[2, 5, 3, 4], true),
    (&[2, 1, 3, 4], &[2, 17, 3, 4], true),
    (&[2, 5, 1, 4], &[1, 5, 3, 1], true),
    (&[3, 4], &[2, 5, 3, 4], true),
    (&[2, 1, 3, 1], &[1, 5, 1, 4], true),
    (&[2, 1, 3, 1, 2, 1], &[1, 2, 1, 3, 1, 2], false),
    (&[2, 2, 1, 3, 1, 2], &[2, 1, 3, 3, 1, 2], false),
    (&[0, 3], &[1, 3], false),
    (&[1, 1, 1, 1], &[1, 9, 1, 1], true),
];

/// A binary operator on the kernels of one instruction set.
pub(super) trait Binary {
    /// The type of the elements.
    type Element: Integer + PartialEq + Into<i64>;
    /// What the operator takes besides its operands.
    type Params;
    /// The operator's name.
    const NAME: &'static str;

    /// Random parameters.
    fn params(random: &mut Random, seed: u32) -> Self::Params;
    /// The result for one element of each operand.
    fn apply(params: &Self::Params, lhs: Self::Element, rhs: Self::Element) -> Self::Element;
    /// The contract's reference.
    fn reference(
        broadcast: &Broadcast,
        params: &Self::Params,
        lhs: &[Self::Element],
        rhs: &[Self::Element],
        out: &mut [Self::Element],
    );
    /// The kernel.
    fn kernel(
        broadcast: &Broadcast,
        params: &Self::Params,
        lhs: Source<'_, Self::Element>,
        rhs: Source<'_, Self::Element>,
        out: &mut [Self::Element],
    ) -> Option<()>;
}

/// Runs all cases of an operator.
pub(super) fn sweep<B: Binary>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 1;
    for &count in COUNTS {
        for _ in 0..4 {
            let tensor = tensor(&[count], false);
            let what = case::<B>(workspace, seed, [&tensor, &tensor, &tensor]);
            record::<B>(suite, "elementwise", seed, [count as usize, 0, 0, 0], what);
            seed += 1;
        }
    }
    for (index, &(lhs, rhs, channels_last)) in SHAPES.iter().enumerate() {
        let tensors = [lhs, rhs].map(|shape| tensor(shape, channels_last));
        let out = result_of(&tensors, channels_last);
        for _ in 0..4 {
            let what = case::<B>(workspace, seed, [&tensors[0], &tensors[1], &out]);
            record::<B>(suite, "broadcast", seed, [index, 0, 0, 0], what);
            seed += 1;
        }
    }
}

fn record<B: Binary>(
    suite: &mut Suite,
    case: &'static str,
    seed: u32,
    shape: [usize; 4],
    what: Option<What>,
) {
    suite.record(what.map(|what| Failure { operator: B::NAME, case, seed, shape, what }));
}

fn case<B: Binary>(
    workspace: &mut Workspace<'_>,
    seed: u32,
    tensors: [&LoadedTensor; 3],
) -> Option<What> {
    let [lhs_tensor, rhs_tensor, out_tensor] = tensors;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let params = B::params(&mut random, seed);
    let lhs = memory.take::<B::Element>(count(lhs_tensor));
    let rhs = memory.take::<B::Element>(count(rhs_tensor));
    fill(&mut random, lhs);
    fill(&mut random, rhs);
    let expected = memory.take::<B::Element>(count(out_tensor));
    by_logical_index(tensors, lhs, rhs, expected, |lhs, rhs| B::apply(&params, lhs, rhs));
    let Ok(broadcast) = Broadcast::new((lhs_tensor, 0), (rhs_tensor, 1), (out_tensor, 2)) else {
        return Some(What::Refused);
    };
    let out = memory.guarded::<B::Element>(count(out_tensor), seed as u8);
    B::reference(&broadcast, &params, lhs, rhs, out.values);
    if let Some(what) = compare(out.values, expected) {
        return Some(what);
    }
    out.values.fill(B::Element::from_i32(seed as i32));
    let (lhs, rhs) = (&*lhs, &*rhs);
    let run = |lhs: Source<'_, _>, rhs: Source<'_, _>, out: &mut Guarded<'_, _>| {
        if B::kernel(&broadcast, &params, lhs, rhs, out.values).is_none() {
            return Some(What::Refused);
        }
        if out.is_intact() { None } else { Some(What::Guard) }
    };
    let mut out = out;
    if let Some(what) = run(lhs.into(), rhs.into(), &mut out) {
        return Some(what);
    }
    if let Some(what) = compare(out.values, expected) {
        return Some(what);
    }
    // Once more over each operand that is as large as the result, and over both.
    let is_whole = |operand: &[B::Element]| operand.len() == out.values.len();
    let (lhs_is_whole, rhs_is_whole) = (is_whole(lhs), is_whole(rhs));
    if lhs_is_whole {
        out.values.copy_from_slice(lhs);
        let what = run(Source::InPlace, rhs.into(), &mut out);
        if let Some(what) = what.or_else(|| compare(out.values, expected)) {
            return Some(what);
        }
    }
    if rhs_is_whole {
        out.values.copy_from_slice(rhs);
        let what = run(lhs.into(), Source::InPlace, &mut out);
        if let Some(what) = what.or_else(|| compare(out.values, expected)) {
            return Some(what);
        }
    }
    if lhs_is_whole && rhs_is_whole {
        for (expected, lhs) in expected.iter_mut().zip(lhs) {
            *expected = B::apply(&params, *lhs, *lhs);
        }
        out.values.copy_from_slice(lhs);
        let what = run(Source::InPlace, Source::InPlace, &mut out);
        return what.or_else(|| compare(out.values, expected));
    }
    None
}

/// The whole range of the type, every eighth number an extreme one.
fn fill<T: Integer>(random: &mut Random, values: &mut [T]) {
    let (min, max) = if size_of::<T>() == 1 { (-128, 127) } else { (-32768, 32767) };
    for value in values {
        *value = T::from_i32(match random.between(0, 15) {
            0 => min,
            1 => max,
            _ => random.between(min, max),
        });
    }
}

/// `out = apply(lhs, rhs)` for each logical index of the result: NumPy's rule, spelt out.
fn by_logical_index<T: Copy>(
    [lhs_tensor, rhs_tensor, out_tensor]: [&LoadedTensor; 3],
    lhs: &[T],
    rhs: &[T],
    out: &mut [T],
    apply: impl Fn(T, T) -> T,
) {
    let rank = usize::from(out_tensor.rank);
    let offset = |tensor: &LoadedTensor, index: &[u32; MAX_AXES]| {
        let missing = rank - usize::from(tensor.rank);
        let strides = strides(tensor);
        let axes = 0..usize::from(tensor.rank);
        let steps = axes.map(|axis| match tensor.dims[axis] {
            1 => 0,
            _ => (index[axis + missing] * strides[axis]) as usize,
        });
        steps.sum::<usize>()
    };
    for element in 0..count(out_tensor) {
        let mut index = [0; MAX_AXES];
        let mut rest = element as u32;
        for axis in (0..rank).rev() {
            index[axis] = rest % out_tensor.dims[axis];
            rest /= out_tensor.dims[axis];
        }
        out[offset(out_tensor, &index)] =
            apply(lhs[offset(lhs_tensor, &index)], rhs[offset(rhs_tensor, &index)]);
    }
}

fn count(tensor: &LoadedTensor) -> usize {
    tensor.dims[..usize::from(tensor.rank)].iter().product::<u32>() as usize
}

fn tensor(shape: &[u32], channels_last: bool) -> LoadedTensor {
    let mut dims = [0; MAX_RANK];
    dims[..shape.len()].copy_from_slice(shape);
    let mut dim_order: [u8; MAX_RANK] = core::array::from_fn(|axis| axis as u8);
    if channels_last && shape.len() == 4 {
        dim_order[..4].copy_from_slice(&[0, 2, 3, 1]);
    }
    let location = Location::region(0, 0).expect("0 is an offset");
    LoadedTensor { dtype: DType::I8, rank: shape.len() as u8, dims, dim_order, location }
}

/// The tensor that both operands are broadcast to.
fn result_of(operands: &[LoadedTensor; 2], channels_last: bool) -> LoadedTensor {
    let rank = usize::from(operands[0].rank.max(operands[1].rank));
    let mut shape = [1; MAX_RANK];
    for operand in operands {
        let missing = rank - usize::from(operand.rank);
        for (slot, extent) in shape[missing..rank].iter_mut().zip(&operand.dims) {
            if *extent != 1 {
                *slot = *extent;
            }
        }
    }
    tensor(&shape[..rank], channels_last)
}
