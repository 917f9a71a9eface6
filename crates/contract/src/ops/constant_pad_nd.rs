//! `aten::constant_pad_nd`: a tensor within a frame of one value, over any element type.

use super::Rules;
use super::pad::{Frame, MAX_AXES};
use super::transpose::check_moved;
use crate::DType;
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// `out` is `self` with `pad[2i]` values before and `pad[2i + 1]` values behind it along the `i`-th axis from the last.
    ///
    /// Both have the same element type, any number of axes and the same order in memory, whichever. Once neighbours without a
    /// frame between them have become one, [`MAX_AXES`] axes may be left.
    ConstantPadNd = "aten::constant_pad_nd" {
        /// The elements.
        input as "self": Tensor,
        /// How many values to put before and behind, from the last axis on.
        pad: IntList,
        /// The value.
        value: Scalar,
    }
}

impl<D: Domain> ConstantPadNd<D> {
    /// The input's extents and its frame, outermost first in memory, or the rule that they break.
    ///
    /// # Errors
    /// As [`Rules::check`].
    pub fn frame(&self) -> Result<Frame, Violation> {
        let ConstantPadNd { input, pad, .. } = self;
        let rank = input.rank();
        require(pad.len() % 2 == 0 && pad.len() / 2 <= rank, argument::pad, Rule::Length)?;
        let count = |item: usize| {
            let count = if item < pad.len() { pad.get(item) } else { Some(0) };
            let count = count.and_then(|count| u32::try_from(count).ok());
            require_some(count.filter(|count| *count <= MAX_COUNT), argument::pad, Rule::Range)
        };
        let mut frame = Frame { extents: [1; MAX_AXES], pre: [0; MAX_AXES], post: [0; MAX_AXES] };
        let mut position = MAX_AXES;
        // From the innermost axis outwards. One joins the next inner one where that has no frame.
        for at in (0..rank).rev().map(|position| input.dim_order(position)) {
            let item = 2 * (rank - 1 - at);
            let (extent, pre, post) = (input.dim(at), count(item)?, count(item + 1)?);
            let of = |counts: &[u32; MAX_AXES]| counts.get(position).copied();
            let is_framed = of(&frame.pre) != Some(0) || of(&frame.post) != Some(0);
            let inner = match of(&frame.extents) {
                Some(extent) if !is_framed => extent,
                _ => {
                    position = require_some(position.checked_sub(1), argument::pad, Rule::Rank)?;
                    1
                }
            };
            let scale = |count: u32| {
                let count = count.checked_mul(inner).filter(|count| *count <= MAX_COUNT);
                require_some(count, argument::pad, Rule::TooLarge)
            };
            let extent = require_some(extent.checked_mul(inner), argument::input, Rule::TooLarge)?;
            let counts = [
                (&mut frame.extents, extent),
                (&mut frame.pre, scale(pre)?),
                (&mut frame.post, scale(post)?),
            ];
            for (list, count) in counts {
                if let Some(slot) = list.get_mut(position) {
                    *slot = count;
                }
            }
        }
        Ok(frame)
    }

    /// The value's bytes in memory, or `None` when the element type cannot hold it.
    pub fn pattern(&self) -> Option<Pattern> {
        Pattern::of(self.input.dtype(), self.value)
    }
}

/// The most values on one side; prepared operators count them in 16 bits.
const MAX_COUNT: u32 = u16::MAX as u32;

impl<D: Domain> Rules for ConstantPadNd<D> {
    fn check(&self) -> Result<(), Violation> {
        let ConstantPadNd { input, pad, out, .. } = self;
        check_moved(input, out, argument::out)?;
        require(out.rank() == input.rank(), argument::out, Rule::Rank)?;
        self.frame()?;
        for axis in 0..input.rank() {
            let item = 2 * (input.rank() - 1 - axis);
            let count = |item| if item < pad.len() { pad.get(item).unwrap_or(0) } else { 0 };
            let extent = i64::from(input.dim(axis)) + count(item) + count(item + 1);
            require(extent == i64::from(out.dim(axis)), argument::out, Rule::Shape)?;
        }
        let order = (0..input.rank()).map(|position| input.dim_order(position));
        require(out.is_ordered_as(order), argument::out, Rule::Layout)?;
        require(self.pattern().is_some(), argument::value, Rule::Range)
    }
}

/// The bytes of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    bytes: [u8; 8],
    length: u8,
}

impl Pattern {
    /// The bytes of a number, `None` when the element type cannot hold it.
    pub fn of(dtype: DType, value: f64) -> Option<Pattern> {
        let length = dtype.size_bytes() as u8;
        let mut bytes = [0; 8];
        match dtype {
            DType::F32 => bytes[..4].copy_from_slice(&(value as f32).to_le_bytes()),
            DType::F64 => bytes = value.to_le_bytes(),
            // Casting truncates and saturates, so only a number that the type holds comes back unchanged.
            DType::I8 if f64::from(value as i8) == value => bytes[0] = value as i8 as u8,
            DType::U8 if f64::from(value as u8) == value => bytes[0] = value as u8,
            DType::Bool if value == 0.0 || value == 1.0 => bytes[0] = value as u8,
            DType::I16 if f64::from(value as i16) == value => {
                bytes[..2].copy_from_slice(&(value as i16).to_le_bytes());
            }
            DType::I32 if f64::from(value as i32) == value => {
                bytes[..4].copy_from_slice(&(value as i32).to_le_bytes());
            }
            DType::I64 if value as i64 as f64 == value => bytes = (value as i64).to_le_bytes(),
            _ => return None,
        }
        Some(Pattern { bytes, length })
    }

    /// The pattern in words, low first.
    pub fn to_words(self) -> [u32; 2] {
        let [a, b, c, d, e, f, g, h] = self.bytes;
        [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
    }

    /// The pattern of `length` bytes in these words.
    pub fn from_words(words: [u32; 2], length: u8) -> Pattern {
        let ([a, b, c, d], [e, f, g, h]) = (words[0].to_le_bytes(), words[1].to_le_bytes());
        Pattern { bytes: [a, b, c, d, e, f, g, h], length: length.min(8) }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_the_elements_bytes() {
        assert_eq!(Pattern::of(DType::F32, -1.5).unwrap().bytes(), (-1.5f32).to_le_bytes());
        assert_eq!(Pattern::of(DType::I8, -3.0).unwrap().bytes(), [0xfd]);
        assert_eq!(Pattern::of(DType::I64, -2.0).unwrap().bytes(), (-2i64).to_le_bytes());
        assert_eq!(Pattern::of(DType::I8, 128.0), None);
        assert_eq!(Pattern::of(DType::I32, 0.5), None);
        let pattern = Pattern::of(DType::F64, f64::NEG_INFINITY).unwrap();
        assert_eq!(Pattern::from_words(pattern.to_words(), 8), pattern);
    }
}
