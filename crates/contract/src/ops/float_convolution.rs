//! `aten::convolution`: convolutions over one or two axes, in `float32`.

use super::Rules;
use crate::float::check_float;
use crate::strided::strides;
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require, require_some};

operator! {
    /// `out[n,o,y,x] = Σ_{c,i,j} input[n, g·C+c, y·stride+i·dilation−padding, x·…+j·…−…] · weight[o,c,i,j] + bias[o]`, where output
    /// channel `o` belongs to group `g` and `C` is the number of channels in a group. What lies outside of the input counts 0.
    ///
    /// Shapes: `input` `[batches, in_channels, height, width]`, `weight` `[out_channels, C, kernel_height, kernel_width]`, `bias`
    /// `[out_channels]`; or all of them without a height. All are `float32`, in any order in memory. Transposed convolutions are
    /// refused.
    FloatConvolution = "aten::convolution" {
        /// The activations.
        input: Tensor,
        /// The weights.
        weight: Tensor,
        /// The constant term; zero when it is absent.
        bias: OptionalTensor,
        /// The steps in the input, per axis.
        stride: IntList,
        /// The zeros before and after the input, per axis.
        padding: IntList,
        /// The distance between weights in the input, per axis.
        dilation: IntList,
        /// Whether the convolution is transposed: false.
        transposed: Bool,
        /// Belongs to transposed convolutions; not read.
        output_padding: IntList,
        /// The number of groups.
        groups: Int<i64>,
    }
}

/// How one axis of the input is gone along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The input's extent.
    pub input: u32,
    /// The weights' extent.
    pub kernel: u32,
    /// The result's extent.
    pub out: u32,
    /// The step in the input from one result to the next.
    pub stride: u32,
    /// The zeros before the input.
    pub padding: u32,
    /// The distance between weights in the input.
    pub dilation: u32,
}

impl Window {
    /// The window of an axis that there is not.
    const NONE: Window = Window { input: 1, kernel: 1, out: 1, stride: 1, padding: 0, dilation: 1 };

    /// Whether the result's extent follows from the others.
    fn is_consistent(&self) -> bool {
        let [input, kernel, out, stride, padding, dilation] =
            [self.input, self.kernel, self.out, self.stride, self.padding, self.dilation]
                .map(i64::from);
        let span = dilation * (kernel - 1) + 1;
        let room = input + 2 * padding - span;
        room >= 0 && room / stride.max(1) + 1 == out
    }
}

/// Strides in elements, of batches, channels, height and width.
pub type Steps = [u32; 4];

/// The extents and strides of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// The number of images.
    pub batches: u32,
    /// The number of output channels.
    pub out_channels: u32,
    /// The number of input channels in a group.
    pub group_channels: u32,
    /// The number of groups.
    pub groups: u32,
    /// Along the height.
    pub vertical: Window,
    /// Along the width.
    pub horizontal: Window,
    /// The input's strides.
    pub input: Steps,
    /// The weights' strides.
    pub weight: Steps,
    /// The result's strides.
    pub out: Steps,
}

/// The most that a stride, a padding or a dilation may be.
const MAX_STEP: i64 = u16::MAX as i64;

impl<D: Domain> FloatConvolution<D> {
    /// Extents and strides. `None` when a list has the wrong length or a number is out of range.
    pub fn convolution(&self) -> Option<Convolution> {
        let spatial = self.input.rank().checked_sub(2).filter(|axes| matches!(axes, 1 | 2))?;
        let window = |axis: usize| {
            let number = |list: &D::IntList, least: i64| {
                let index = if list.len() == 1 { 0 } else { axis };
                let is_long_enough = matches!(list.len(), 1) || list.len() == spatial;
                let number = list.get(index).filter(|number| (least..=MAX_STEP).contains(number));
                number.filter(|_| is_long_enough).and_then(|number| u32::try_from(number).ok())
            };
            Some(Window {
                input: self.input.dim(2 + axis),
                kernel: self.weight.dim(2 + axis),
                out: self.out.dim(2 + axis),
                stride: number(&self.stride, 1)?,
                padding: number(&self.padding, 0)?,
                dilation: number(&self.dilation, 1)?,
            })
        };
        let steps = |tensor: &D::Tensor| {
            let [batch, channel, first, second, ..] = strides(tensor);
            if spatial == 2 { [batch, channel, first, second] } else { [batch, channel, 0, first] }
        };
        Some(Convolution {
            batches: self.out.dim(0),
            out_channels: self.out.dim(1),
            group_channels: self.weight.dim(1),
            groups: u32::try_from(self.groups).ok().filter(|groups| *groups > 0)?,
            vertical: if spatial == 2 { window(0)? } else { Window::NONE },
            horizontal: window(spatial - 1)?,
            input: steps(&self.input),
            weight: steps(&self.weight),
            out: steps(&self.out),
        })
    }
}

impl<D: Domain> Rules for FloatConvolution<D> {
    fn check(&self) -> Result<(), Violation> {
        let FloatConvolution { input, weight, bias, out, .. } = self;
        for (tensor, argument) in
            [(input, argument::input), (weight, argument::weight), (out, argument::out)]
        {
            check_float(tensor, argument)?;
            require(matches!(tensor.rank(), 3 | 4), argument, Rule::Rank)?;
            require(tensor.rank() == input.rank(), argument, Rule::Rank)?;
        }
        require(!self.transposed, argument::transposed, Rule::Range)?;
        let convolution = require_some(self.convolution(), argument::stride, Rule::Range)?;
        let Convolution { groups, group_channels, out_channels, .. } = convolution;
        require(input.dim(0) == out.dim(0), argument::out, Rule::Shape)?;
        let channels = group_channels.checked_mul(groups);
        require(channels == Some(input.dim(1)), argument::weight, Rule::Shape)?;
        require(weight.dim(0) == out_channels, argument::weight, Rule::Shape)?;
        require(out_channels.is_multiple_of(groups), argument::groups, Rule::Shape)?;
        let is_consistent =
            convolution.vertical.is_consistent() && convolution.horizontal.is_consistent();
        require(is_consistent, argument::out, Rule::Shape)?;
        if let Some(bias) = bias {
            check_float(bias, argument::bias)?;
            require(bias.element_count() == Some(out_channels), argument::bias, Rule::Shape)?;
        }
        Ok(())
    }

    fn multiply_accumulates(&self) -> u64 {
        let per_channel = (1..self.weight.rank()).map(|axis| u64::from(self.weight.dim(axis)));
        u64::from(self.out.element_count().unwrap_or(0)) * per_channel.product::<u64>()
    }

    fn is_float(&self) -> bool {
        true
    }
}
