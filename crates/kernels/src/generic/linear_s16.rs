//! Fully connected layers over 16-bit activations and 8-bit weights (`arm_fully_connected_s16`).

use super::conv_s16::multiply_row;
use super::int16::Int16Params;
use crate::micro::Micro;
use cortado_contract::ops::quantized_linear::LinearShape;

/// Computes a fully connected layer over `int16`; see [`cortado_contract::ops::quantized_linear::reference_s16`] for its bits.
///
/// Each row is a window of a convolution. `None` when a slice is shorter than the extents say.
pub fn linear_s16<M: Micro>(
    shape: LinearShape,
    params: &Int16Params<'_>,
    input: &[i16],
    weights: &[i8],
    out: &mut [i16],
) -> Option<()> {
    let LinearShape { rows, in_features, out_features } = shape;
    for row in 0..rows {
        let input = input.get(row * in_features..)?.get(..in_features)?;
        let out = out.get_mut(row * out_features..)?.get_mut(..out_features)?;
        multiply_row::<M>(input, params, weights, 0, out)?;
    }
    Some(())
}
