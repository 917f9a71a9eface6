//! `cortex_m::pad`: a tensor within a frame of one value, over `int8`.

use super::Rules;
use crate::DType;
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// `out` is `input` with `pre_pad[p]` values before and `post_pad[p]` values behind it along each axis.
    ///
    /// The lists have four items in the order of *memory*, right-aligned for tensors of fewer axes: for an image stored as NHWC they
    /// are those of N, H, W and C. `input` and `out` are `int8`, have up to [`MAX_AXES`] axes and the same order in memory. As in
    /// ExecuTorch, an image with one channel or one pixel counts as NHWC, whichever order its file states.
    Pad = "cortex_m::pad" {
        /// The elements.
        input: Tensor,
        /// How many values to put before the input, by position in memory.
        pre_pad: IntList,
        /// How many values to put behind the input, by position in memory.
        post_pad: IntList,
        /// The value.
        pad_value: Int<i32>,
    }
}

/// The most axes that can be padded.
pub const MAX_AXES: usize = 4;

impl<D: Domain> Pad<D> {
    /// The input's extents and its frame, or the rule that they break.
    ///
    /// # Errors
    /// As [`Rules::check`].
    pub fn frame(&self) -> Result<Frame, Violation> {
        let Pad { input, pre_pad, post_pad, out, .. } = self;
        for (argument, list) in [(argument::pre_pad, pre_pad), (argument::post_pad, post_pad)] {
            require(list.len() == MAX_AXES, argument, Rule::Length)?;
        }
        let unused = MAX_AXES - input.rank();
        let mut frame = Frame { extents: [1; MAX_AXES], pre: [0; MAX_AXES], post: [0; MAX_AXES] };
        for position in 0..MAX_AXES {
            let count = |list: &D::IntList, argument| {
                let count = list.get(position).and_then(|count| u16::try_from(count).ok());
                require_some(count.map(u32::from), argument, Rule::Range)
            };
            frame.pre[position] = count(pre_pad, argument::pre_pad)?;
            frame.post[position] = count(post_pad, argument::post_pad)?;
            let out_extent = match position.checked_sub(unused) {
                Some(position) => {
                    let axis = stored_axis(input, position);
                    if let Some(extent) = frame.extents.get_mut(position + unused) {
                        *extent = input.dim(axis);
                    }
                    out.dim(axis)
                }
                None => 1,
            };
            let extent = frame.out_extent(position);
            require(extent == u64::from(out_extent), argument::out, Rule::Shape)?;
        }
        Ok(frame)
    }
}

/// The axis at a position of memory. An image with one channel or one pixel counts as NHWC.
fn stored_axis(tensor: &impl TensorMeta, position: usize) -> usize {
    match is_image(tensor) {
        true => [0, 2, 3, 1].get(position).copied().unwrap_or(0),
        false => tensor.dim_order(position),
    }
}

/// Whether a tensor counts as an image in NHWC.
fn is_image(tensor: &impl TensorMeta) -> bool {
    let is_ambiguous = tensor.dim(1) == 1 || tensor.dim(2) == 1 && tensor.dim(3) == 1;
    tensor.rank() == 4 && (is_ambiguous || tensor.is_ordered_as([0, 2, 3, 1]))
}

impl<D: Domain> Rules for Pad<D> {
    fn check(&self) -> Result<(), Violation> {
        let Pad { input, out, .. } = self;
        require(input.dtype() == DType::I8, argument::input, Rule::DType)?;
        require(out.dtype() == DType::I8, argument::out, Rule::DType)?;
        require((1..=MAX_AXES).contains(&input.rank()), argument::input, Rule::Rank)?;
        require(out.rank() == input.rank(), argument::out, Rule::Rank)?;
        for (argument, tensor) in [(argument::input, input), (argument::out, out)] {
            let fits = tensor.element_count().is_some_and(|count| count <= i32::MAX as u32);
            require(fits, argument, Rule::TooLarge)?;
        }
        self.frame()?;
        let order = (0..out.rank()).map(|position| stored_axis(input, position));
        require(out.is_ordered_as(order), argument::out, Rule::Layout)?;
        require((-128..=127).contains(&self.pad_value), argument::pad_value, Rule::Range)
    }
}

/// A tensor of four axes, outermost first, and how many values surround it along each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The input's extents.
    pub extents: [u32; MAX_AXES],
    /// The values before it.
    pub pre: [u32; MAX_AXES],
    /// The values behind it.
    pub post: [u32; MAX_AXES],
}

impl Frame {
    /// The result's extent at a position.
    pub fn out_extent(&self, position: usize) -> u64 {
        let at = |counts: &[u32; MAX_AXES]| u64::from(counts.get(position).copied().unwrap_or(0));
        at(&self.extents) + at(&self.pre) + at(&self.post)
    }
}

/// The exact meaning of padding with elements of as many bytes as `value` has.
///
/// # Panics
/// If a slice is shorter than its extents say.
pub fn reference(frame: &Frame, value: &[u8], input: &[u8], out: &mut [u8]) {
    let extents: [usize; MAX_AXES] =
        core::array::from_fn(|position| frame.out_extent(position) as usize);
    for (index, out) in out.chunks_exact_mut(value.len()).enumerate() {
        let (mut rest, mut from, mut stride) = (index, Some(0), 1);
        for position in (0..MAX_AXES).rev() {
            let extent = frame.extents[position] as usize;
            let inside = (rest % extents[position])
                .checked_sub(frame.pre[position] as usize)
                .filter(|index| *index < extent);
            rest /= extents[position];
            from = from.zip(inside).map(|(from, index)| from + index * stride);
            stride *= extent;
        }
        out.copy_from_slice(from.map_or(value, |from| &input[from * value.len()..][..value.len()]));
    }
}
