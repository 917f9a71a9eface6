//! What the cases of operators over `float32` share.
//!
//! Failures show the bits of both numbers.

use crate::random::Random;
use crate::suite::{Failure, Suite, What};
use crate::tensor::Tensor;
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::broadcast::{Broadcast, reference};
use cortado_kernels::generic::float::{combine, map};

/// Lengths around the edges of vectors.
const LENGTHS: &[usize] = &[0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33];

/// Shapes of both operands and of the result.
const MEETINGS: &[[&[u32]; 3]] = &[
    [&[], &[], &[]],
    [&[7], &[7], &[7]],
    [&[7], &[], &[7]],
    [&[], &[7], &[7]],
    [&[2, 3, 5], &[2, 3, 5], &[2, 3, 5]],
    [&[2, 3, 5], &[5], &[2, 3, 5]],
    [&[3, 1], &[2, 3, 5], &[2, 3, 5]],
    [&[4, 1, 6], &[1, 3, 6], &[4, 3, 6]],
    [&[1, 2, 3, 4], &[2, 2, 1, 1], &[2, 2, 3, 4]],
    [&[0, 3], &[3], &[0, 3]],
];

/// Runs the cases of a function of one number.
pub(super) fn unary(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    cases: &[(f32, f32)],
    function: impl Fn(f32) -> f32,
) {
    for (seed, length) in LENGTHS.iter().enumerate() {
        let mut memory = workspace.start();
        let (input, expected) = (memory.take::<f32>(*length), memory.take::<f32>(*length));
        // Each length starts elsewhere, so that together they see all cases at all positions.
        for (index, (input, expected)) in input.iter_mut().zip(expected.iter_mut()).enumerate() {
            (*input, *expected) = cases[(seed + index) % cases.len()];
        }
        let out = memory.guarded::<f32>(*length, seed as u8);
        map(input, &function, out.values);
        let what = if out.is_intact() { near(out.values, expected, 1) } else { Some(What::Guard) };
        record(suite, operator, seed as u32, [*length, 0, 0, 0], what);
    }
}

/// Runs the cases of a function of two numbers.
pub(super) fn binary(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    function: impl Fn(f32, f32) -> f32,
) {
    for (seed, shapes) in MEETINGS.iter().enumerate() {
        let order = [0, 1, 2, 3];
        let [lhs, rhs, out] = shapes.map(|shape| Tensor::new(DType::F32, shape, &order));
        let extents = out.extents();
        let mut random = Random::new(seed as u32);
        let mut memory = workspace.start();
        let [lhs_values, rhs_values, expected] =
            [&lhs, &rhs, &out].map(|tensor| memory.take::<f32>(tensor.size_bytes() / 4));
        fill(&mut random, lhs_values);
        fill(&mut random, rhs_values);
        let found = memory.guarded::<f32>(expected.len(), seed as u8);
        let what = match Broadcast::new((&lhs, 0), (&rhs, 1), (&out, 2)) {
            Ok(broadcast) => {
                reference(&broadcast, lhs_values, rhs_values, expected, &function);
                let done = combine(
                    &broadcast,
                    (&*lhs_values).into(),
                    (&*rhs_values).into(),
                    &function,
                    found.values,
                );
                match done {
                    None => Some(What::Refused),
                    Some(()) if !found.is_intact() => Some(What::Guard),
                    Some(()) => near(found.values, expected, 0),
                }
            }
            Err(_) => Some(What::Unreadable),
        };
        record(suite, operator, seed as u32, extents, what);
    }
}

/// Counts a case.
pub(super) fn record(
    suite: &mut Suite,
    operator: &'static str,
    seed: u32,
    shape: [usize; 4],
    what: Option<What>,
) {
    suite.record(what.map(|what| Failure { operator, case: "", seed, shape, what }));
}

/// Fills with numbers from −8 to 8 in steps of 1/16, whose sums of products are exact.
pub(super) fn fill(random: &mut Random, values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = random.between(-128, 128) as f32 / 16.0);
}

/// The first result that is more than `steps` neighbours away from what it should be.
pub(super) fn near(found: &[f32], expected: &[f32], steps: u32) -> Option<What> {
    // Numbers in their order, both zeros in the middle.
    let order = |value: f32| {
        let bits = value.to_bits() as i32;
        if bits < 0 { i32::MIN.wrapping_sub(bits) } else { bits }
    };
    let is_near = |(found, expected): (&f32, &f32)| {
        found.is_nan() && expected.is_nan()
            || !found.is_nan() && order(*found).abs_diff(order(*expected)) <= steps
    };
    let index = found.iter().zip(expected).position(|pair| !is_near(pair))?;
    let bits = |value: f32| i64::from(value.to_bits());
    Some(What::Value { index, expected: bits(expected[index]), found: bits(found[index]) })
}
