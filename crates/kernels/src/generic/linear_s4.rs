//! Fully connected layers over `int8` activations and packed 4-bit weights (`arm_fully_connected_s4`).
//!
//! Two weights share a byte, the first in the low nibble; rows follow each other without a gap, so a row of odd length
//! starts or ends in the middle of a byte.

use super::quantized_linear::offset_and_constants;
use crate::micro::Micro;
use cortado_contract::ops::quantized_linear::{LinearParams, LinearShape};

/// The number of weights that are unpacked at a time; even, so that blocks of one row keep their parity.
pub(super) const BLOCK: usize = 64;

/// Computes a fully connected layer whose `weights` are packed 4-bit numbers.
///
/// Bits: those of [`cortado_contract::ops::quantized_linear::reference`] over the unpacked weights. `None` when a slice is
/// shorter than the extents say.
pub fn linear_s4<M: Micro>(
    shape: LinearShape,
    params: &LinearParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) -> Option<()> {
    let LinearShape { rows, in_features, out_features } = shape;
    let (offset, constants) = offset_and_constants(params);
    for row in 0..rows {
        let lhs = input.get(row * in_features..)?.get(..in_features)?;
        let offsets = offset.wrapping_mul(in_features as i32);
        let correction = M::sum(lhs).wrapping_add(offsets).wrapping_mul(params.filter_offset.0);
        for channel in 0..out_features {
            let mut accumulator = match constants {
                Some(constants) => *constants.get(channel)?,
                None => 0,
            };
            accumulator = accumulator.wrapping_add(correction);
            for (block, lhs) in lhs.chunks(BLOCK).enumerate() {
                let mut unpacked = [0; BLOCK];
                let unpacked = unpacked.get_mut(..lhs.len())?;
                unpack(weights, channel * in_features + block * BLOCK, unpacked)?;
                accumulator = accumulator.wrapping_add(M::dot(lhs, offset, unpacked));
            }
            let scaled = params.rescale.factor(channel).apply(accumulator);
            let value = params.activation.clamp(scaled.wrapping_add(params.output_offset.0));
            *out.get_mut(row * out_features + channel)? = value as i8;
        }
    }
    Some(())
}

/// Unpacks the numbers from index `first` on, two's complement of four bits each.
pub(super) fn unpack(packed: &[i8], first: usize, out: &mut [i8]) -> Option<()> {
    for (index, out) in (first..).zip(out) {
        let byte = *packed.get(index / 2)?;
        *out = if index % 2 == 0 { byte << 4 >> 4 } else { byte >> 4 };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_are_signed_and_low_first() {
        let mut out = [0; 4];
        assert_eq!(unpack(&[0x78u8 as i8, 0x0f], 0, &mut out), Some(()));
        assert_eq!(out, [-8, 7, -1, 0]);
        let mut out = [0; 2];
        assert_eq!(unpack(&[0x78u8 as i8, 0x0f], 1, &mut out), Some(()));
        assert_eq!(out, [7, -1]);
        assert_eq!(unpack(&[0], 1, &mut out), None);
    }
}
