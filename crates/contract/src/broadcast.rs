//! How the operands of a binary operator meet: which of them advances along which axis of the result.
//!
//! NumPy's rule: axes are matched from the last one, and an axis that an operand lacks or has with extent 1 is repeated.
//! Memory order is independent of it. Along an axis of the result an element step is either a step in both operands, or in one of
//! them while the other stays. Neighbouring axes of the same kind act as one longer axis, so that most operators have only one
//! or two, whatever their rank.

use crate::strided::MAX_AXES;
use crate::value::{Rule, TensorMeta, Violation, require};

/// Which operands advance along an axis of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Advance {
    /// Only the first one; the second one is repeated.
    Lhs = 1,
    /// Only the second one; the first one is repeated.
    Rhs = 2,
    /// Both.
    Both = 3,
}

impl Advance {
    /// Whether the first operand advances.
    pub const fn lhs(self) -> bool {
        !matches!(self, Advance::Rhs)
    }

    /// Whether the second operand advances.
    pub const fn rhs(self) -> bool {
        !matches!(self, Advance::Lhs)
    }

    /// The kind with this discriminant.
    pub const fn from_bits(bits: u32) -> Option<Advance> {
        Some(match bits {
            1 => Advance::Lhs,
            2 => Advance::Rhs,
            3 => Advance::Both,
            _ => return None,
        })
    }
}

/// Neighbouring axes of a result, in memory, along which the same operands advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The number of steps; above 1.
    pub extent: u32,
    /// Which operands advance.
    pub advance: Advance,
}

/// The axes of a binary operator in memory order, outermost first; axes of extent 1 are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    axes: [Axis; MAX_AXES],
    len: usize,
}

impl Broadcast {
    /// No axes: one element.
    pub const SCALAR: Broadcast =
        Broadcast { axes: [Axis { extent: 1, advance: Advance::Both }; MAX_AXES], len: 0 };

    /// How `lhs` and `rhs` meet in `out`; each tensor comes with its position in the schema.
    ///
    /// # Errors
    /// The first rule that does not hold: at most [`MAX_AXES`] axes and 2^31 − 1 elements; extents of the result that follow from
    /// those of the operands; axes of both operands that lie in memory in the same order as the result's.
    pub fn new<T: TensorMeta>(
        lhs: (&T, u8),
        rhs: (&T, u8),
        out: (&T, u8),
    ) -> Result<Broadcast, Violation> {
        let ((lhs, lhs_argument), (rhs, rhs_argument), (out, out_argument)) = (lhs, rhs, out);
        require(out.rank() <= MAX_AXES, out_argument, Rule::Rank)?;
        require(out.rank() == lhs.rank().max(rhs.rank()), out_argument, Rule::Rank)?;
        let fits = out.element_count().is_some_and(|count| count <= i32::MAX as u32);
        require(fits, out_argument, Rule::TooLarge)?;
        for axis in 0..out.rank() {
            let (left, right) = (matching_extent(lhs, out, axis), matching_extent(rhs, out, axis));
            require(left == right || left == 1 || right == 1, rhs_argument, Rule::Shape)?;
            let extent = if left == 1 { right } else { left };
            require(out.dim(axis) == extent, out_argument, Rule::Shape)?;
        }
        for (operand, argument) in [(lhs, lhs_argument), (rhs, rhs_argument)] {
            require(is_ordered_alike(operand, out), argument, Rule::Layout)?;
        }
        if out.element_count() == Some(0) {
            return Ok(Broadcast::elementwise(0));
        }
        let mut broadcast = Broadcast::SCALAR;
        for axis in (0..out.rank()).map(|position| out.dim_order(position)) {
            let advance = match (matching_extent(lhs, out, axis), matching_extent(rhs, out, axis)) {
                (1, 1) => continue,
                (1, _) => Advance::Rhs,
                (_, 1) => Advance::Lhs,
                _ => Advance::Both,
            };
            broadcast.push(Axis { extent: out.dim(axis), advance });
        }
        Ok(broadcast)
    }

    /// Two operands of `count` elements each, without broadcasting.
    pub fn elementwise(count: u32) -> Broadcast {
        let mut broadcast = Broadcast::SCALAR;
        broadcast.push(Axis { extent: count, advance: Advance::Both });
        broadcast
    }

    /// Puts an axis inside of those there are; joins it with the innermost one if the same operands advance. Axes of extent 1,
    /// and those beyond [`MAX_AXES`], are ignored.
    pub fn push(&mut self, axis: Axis) {
        if axis.extent == 1 {
            return;
        }
        let innermost = self.len.checked_sub(1).and_then(|last| self.axes.get_mut(last));
        match innermost {
            Some(innermost) if innermost.advance == axis.advance => {
                innermost.extent = innermost.extent.wrapping_mul(axis.extent);
            }
            _ => {
                if let Some(slot) = self.axes.get_mut(self.len) {
                    *slot = axis;
                    self.len += 1;
                }
            }
        }
    }

    /// The axes, outermost first.
    pub fn axes(&self) -> &[Axis] {
        self.axes.get(..self.len).unwrap_or(&[])
    }

    /// The number of elements that are read of the first operand, read of the second one and written; at most 2^31 − 1 each for
    /// a [`Broadcast`] made by [`Broadcast::new`].
    pub fn element_counts(&self) -> [usize; 3] {
        let count = |counts: fn(Advance) -> bool| {
            let extents = self.axes().iter().filter(|axis| counts(axis.advance));
            extents.map(|axis| axis.extent as usize).product()
        };
        [count(Advance::lhs), count(Advance::rhs), count(|_| true)]
    }
}

/// The extent that an operand has for an axis of the result.
fn matching_extent(operand: &impl TensorMeta, out: &impl TensorMeta, axis: usize) -> u32 {
    match (axis + operand.rank()).checked_sub(out.rank()) {
        Some(axis) => operand.dim(axis),
        None => 1,
    }
}

/// Whether an operand has its axes in memory in the same order as the result, apart from those that are repeated.
fn is_ordered_alike(operand: &impl TensorMeta, out: &impl TensorMeta) -> bool {
    let missing = out.rank() - operand.rank();
    let order = (0..out.rank()).map(|position| out.dim_order(position));
    operand.is_ordered_as(order.filter_map(|axis| axis.checked_sub(missing)))
}

/// The exact meaning of a binary operator: `out = apply(lhs, rhs)`, element by element, over memory.
///
/// # Panics
/// If a slice is shorter than [`Broadcast::element_counts`] says.
pub fn reference<T: Copy>(
    broadcast: &Broadcast,
    lhs: &[T],
    rhs: &[T],
    out: &mut [T],
    apply: impl Fn(T, T) -> T,
) {
    let [_, _, count] = broadcast.element_counts();
    for (element, out) in out[..count].iter_mut().enumerate() {
        let (mut rest, mut left, mut right) = (element, 0, 0);
        let (mut left_stride, mut right_stride) = (1, 1);
        for axis in broadcast.axes().iter().rev() {
            let extent = axis.extent as usize;
            let index = rest % extent;
            rest /= extent;
            if axis.advance.lhs() {
                left += index * left_stride;
                left_stride *= extent;
            }
            if axis.advance.rhs() {
                right += index * right_stride;
                right_stride *= extent;
            }
        }
        *out = apply(lhs[left], rhs[right]);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::DType;
    use std::vec::Vec;

    struct Tensor {
        shape: Vec<u32>,
        order: Vec<usize>,
    }

    impl TensorMeta for Tensor {
        fn dtype(&self) -> DType {
            DType::I8
        }
        fn rank(&self) -> usize {
            self.shape.len()
        }
        fn dim(&self, axis: usize) -> u32 {
            self.shape.get(axis).copied().unwrap_or(0)
        }
        fn dim_order(&self, position: usize) -> usize {
            self.order[position]
        }
    }

    fn tensor(shape: &[u32]) -> Tensor {
        Tensor { shape: shape.to_vec(), order: (0..shape.len()).collect() }
    }

    fn channels_last(shape: [u32; 4]) -> Tensor {
        Tensor { shape: shape.to_vec(), order: std::vec![0, 2, 3, 1] }
    }

    fn broadcast(lhs: &Tensor, rhs: &Tensor, out: &Tensor) -> Result<Broadcast, Violation> {
        Broadcast::new((lhs, 0), (rhs, 1), (out, 2))
    }

    fn axes(broadcast: &Broadcast) -> Vec<(u32, Advance)> {
        broadcast.axes().iter().map(|axis| (axis.extent, axis.advance)).collect()
    }

    #[test]
    fn equal_shapes_are_one_axis() {
        let image = channels_last([2, 8, 12, 12]);
        let found = broadcast(&image, &image, &image).unwrap();
        assert_eq!(axes(&found), [(2 * 8 * 12 * 12, Advance::Both)]);
        let scalar = tensor(&[]);
        assert_eq!(axes(&broadcast(&scalar, &scalar, &scalar).unwrap()), []);
        assert_eq!(broadcast(&scalar, &scalar, &scalar).unwrap().element_counts(), [1; 3]);
    }

    #[test]
    fn axes_follow_memory() {
        let image = channels_last([2, 8, 3, 3]);
        let per_channel = broadcast(&image, &tensor(&[8, 1, 1]), &image).unwrap();
        assert_eq!(axes(&per_channel), [(18, Advance::Lhs), (8, Advance::Both)]);
        let per_pixel = broadcast(&channels_last([2, 1, 3, 3]), &image, &image).unwrap();
        assert_eq!(axes(&per_pixel), [(18, Advance::Both), (8, Advance::Rhs)]);
        assert_eq!(per_pixel.element_counts(), [18, 144, 144]);
        let (rows, cols) = (tensor(&[4, 1, 16]), tensor(&[1, 3, 16]));
        let both = broadcast(&rows, &cols, &tensor(&[4, 3, 16])).unwrap();
        assert_eq!(axes(&both), [(4, Advance::Lhs), (3, Advance::Rhs), (16, Advance::Both)]);
    }

    #[test]
    fn misfits_are_named() {
        let fails =
            |lhs: &Tensor, rhs: &Tensor, out: &Tensor| broadcast(lhs, rhs, out).unwrap_err();
        let image = channels_last([1, 2, 3, 4]);
        let contiguous = tensor(&[1, 2, 3, 4]);
        let layout = Violation { argument: 1, rule: Rule::Layout };
        assert_eq!(fails(&image, &contiguous, &image), layout);
        assert_eq!(fails(&image, &tensor(&[2, 3, 4]), &image), layout);
        let shape = Violation { argument: 1, rule: Rule::Shape };
        assert_eq!(fails(&image, &tensor(&[2]), &image), shape);
        let rank = Violation { argument: 2, rule: Rule::Rank };
        assert_eq!(fails(&image, &image, &tensor(&[2, 3, 4])), rank);
        let out = Violation { argument: 2, rule: Rule::Shape };
        assert_eq!(fails(&image, &image, &channels_last([1, 2, 3, 5])), out);
        let large = tensor(&[1 << 16, 1 << 15]);
        assert_eq!(fails(&large, &large, &large), Violation { argument: 2, rule: Rule::TooLarge });
    }

    #[test]
    fn empty_results_have_no_elements() {
        let found = broadcast(&tensor(&[0, 3]), &tensor(&[1, 3]), &tensor(&[0, 3])).unwrap();
        assert_eq!(found.element_counts(), [0; 3]);
        let mut out: [i8; 0] = [];
        reference(&found, &[], &[1, 2, 3], &mut out, |lhs, _| lhs);
    }

    #[test]
    fn the_reference_repeats_operands() {
        let (lhs, rhs) = (tensor(&[2, 1]), tensor(&[3]));
        let broadcast = broadcast(&lhs, &rhs, &tensor(&[2, 3])).unwrap();
        let mut out = [0; 6];
        reference(&broadcast, &[10, 20], &[1, 2, 3], &mut out, |lhs, rhs| lhs + rhs);
        assert_eq!(out, [11, 12, 13, 21, 22, 23]);
    }
}
