//! Tensors in memory as strides, and operators that only move elements.
//!
//! An operator that moves elements computes `out[i, j, …] = input[offset + i·strides[0] + j·strides[1] + …]`: a permutation
//! permutes the input's strides, a slice adds an offset and multiplies one stride, an expansion has a stride of 0. So each of
//! them is one [`Gather`], whatever the order of axes in memory on either side.

use crate::value::TensorMeta;

/// The most axes that an operator moves elements along.
pub const MAX_AXES: usize = 6;

/// The strides of a tensor's axes in elements, by logical axis; 0 past the last axis.
///
/// The tensor has at most [`MAX_AXES`] axes and fewer than 2^32 elements.
pub fn strides(tensor: &impl TensorMeta) -> [u32; MAX_AXES] {
    let mut strides = [0; MAX_AXES];
    let mut stride = 1u32;
    for position in (0..tensor.rank().min(MAX_AXES)).rev() {
        let axis = tensor.dim_order(position);
        if let Some(slot) = strides.get_mut(axis) {
            *slot = stride;
        }
        stride = stride.wrapping_mul(tensor.dim(axis));
    }
    strides
}

/// Where each element of a result comes from, in elements of the input's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Where the result's first element comes from.
    pub offset: u32,
    /// What a step along each logical axis of the result adds to that.
    pub strides: [u32; MAX_AXES],
}

/// The exact meaning of an operator that moves elements of `element_bytes` bytes, over memory.
///
/// `shape` holds the result's extents and `out_strides` its strides, both by logical axis.
///
/// # Panics
/// If a slice is shorter than extents and strides say.
pub fn reference(
    shape: &[u32],
    gather: &Gather,
    out_strides: &[u32; MAX_AXES],
    element_bytes: usize,
    input: &[u8],
    out: &mut [u8],
) {
    let count: u32 = shape.iter().product();
    for element in 0..count {
        let (mut rest, mut from, mut to) = (element, gather.offset, 0);
        for axis in (0..shape.len()).rev() {
            let index = rest % shape[axis];
            rest /= shape[axis];
            from += index * gather.strides[axis];
            to += index * out_strides[axis];
        }
        let (from, to) = (from as usize * element_bytes, to as usize * element_bytes);
        out[to..to + element_bytes].copy_from_slice(&input[from..from + element_bytes]);
    }
}

/// An axis as schemas write it: counted from the last one when it is negative. `None` when there is no such axis.
pub fn axis_of(written: i64, rank: usize) -> Option<usize> {
    let rank = rank as i64;
    let axis = if written < 0 { written + rank } else { written };
    (0..rank).contains(&axis).then_some(axis as usize)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::DType;

    struct Image;

    impl TensorMeta for Image {
        fn dtype(&self) -> DType {
            DType::I8
        }
        fn rank(&self) -> usize {
            4
        }
        fn dim(&self, axis: usize) -> u32 {
            [2, 3, 4, 5][axis]
        }
        fn dim_order(&self, position: usize) -> usize {
            [0, 2, 3, 1][position]
        }
    }

    #[test]
    fn strides_follow_the_order_in_memory() {
        assert_eq!(strides(&Image), [60, 1, 15, 3, 0, 0]);
    }

    #[test]
    fn axes_count_from_either_end() {
        assert_eq!(axis_of(-1, 4), Some(3));
        assert_eq!(axis_of(0, 1), Some(0));
        assert_eq!(axis_of(4, 4), None);
        assert_eq!(axis_of(-5, 4), None);
        assert_eq!(axis_of(0, 0), None);
    }

    #[test]
    fn a_gather_reads_along_its_strides() {
        let input: [u8; 6] = [1, 2, 3, 4, 5, 6];
        let mut out = [0; 6];
        let transposed = Gather { offset: 0, strides: [1, 3, 0, 0, 0, 0] };
        reference(&[3, 2], &transposed, &[2, 1, 0, 0, 0, 0], 1, &input, &mut out);
        assert_eq!(out, [1, 4, 2, 5, 3, 6]);
        let repeated = Gather { offset: 2, strides: [0, 1, 0, 0, 0, 0] };
        reference(&[2, 1], &repeated, &[1, 1, 0, 0, 0, 0], 2, &input, &mut out);
        assert_eq!(out[..4], [5, 6, 5, 6]);
    }
}
