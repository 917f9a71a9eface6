//! Fully connected layers over 16-bit activations and 8-bit weights (`arm_fully_connected_s16`).

use cortado_contract::ops::quantized_linear::{LinearParamsS16, LinearShape};

/// The number of products that fit a 32-bit accumulator whatever their values: `2^31 / (2^15 · 2^7)`, less one.
const BLOCK: usize = 511;

/// Computes a fully connected layer over `int16`; see [`cortado_contract::ops::quantized_linear::reference_s16`] for its bits.
///
/// Products are summed in 32 bits for as long as they cannot overflow, then in 64. `None` when a slice is shorter than
/// the extents say.
pub fn linear_s16(
    shape: LinearShape,
    params: &LinearParamsS16<'_>,
    input: &[i16],
    weights: &[i8],
    out: &mut [i16],
) -> Option<()> {
    let LinearShape { rows, in_features, out_features } = shape;
    for row in 0..rows {
        let lhs = input.get(row * in_features..)?.get(..in_features)?;
        for channel in 0..out_features {
            let rhs = weights.get(channel * in_features..)?.get(..in_features)?;
            let bias = match params.bias {
                Some(bias) => *bias.get(channel)?,
                None => 0,
            };
            let accumulator = bias.wrapping_add(dot_s16(lhs, rhs));
            *out.get_mut(row * out_features + channel)? = params.finish(accumulator, channel);
        }
    }
    Some(())
}

/// The dot product of rows of the same length.
pub(super) fn dot_s16(lhs: &[i16], rhs: &[i8]) -> i64 {
    let mut sum = 0i64;
    for (lhs, rhs) in lhs.chunks(BLOCK).zip(rhs.chunks(BLOCK)) {
        let products = lhs.iter().zip(rhs).map(|(lhs, rhs)| i32::from(*lhs) * i32::from(*rhs));
        sum += i64::from(products.fold(0i32, i32::wrapping_add));
    }
    sum
}
