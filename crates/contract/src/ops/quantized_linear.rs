//! `cortex_m::quantized_linear`: a fully connected layer with one rescaling factor.
//!
//! Its constant term comes in one of two forms, see [`crate::layout`].

use super::Rules;
use crate::DType;
use crate::layout::ConstantForm;
use crate::quant::{
    Activation, FilterOffset, InputOffset, OutputOffset, Requantize, reduce_multiplier,
    requantize_s64,
};
use crate::value::{Domain, IntList, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[r,o] = clamp(requantize(Σ_i (input[r,i] + input_offset)·(weights[o,i] + filter_offset) + bias[o]) + output_offset)`.
    ///
    /// Shapes: `input` `[…, in_features]`, `weights` `[out_features, in_features]`, `bias` `[out_features]`,
    /// `kernel_sum` `[out_features]` or `[1, out_features]`, `out` `[…, out_features]` with the leading axes of
    /// `input`. `input`, `weights` and `out` are `int8`, `bias` and `kernel_sum` `int32`. `bias` and `kernel_sum`
    /// exclude each other; both absent means a bias of zero. The sum wraps in 32 bits.
    ///
    /// The schema has the greatest value before the least.
    QuantizedLinear = "cortex_m::quantized_linear" {
        /// The activations.
        input: Tensor,
        /// The weights, one row per output feature.
        weights: Tensor,
        /// The constant term without the input offset's share.
        bias: OptionalTensor,
        /// The constant term with the input offset's share.
        kernel_sum: OptionalTensor,
        /// Minus the input's zero point.
        input_offset: Int<InputOffset>,
        /// Minus the weights' zero point.
        filter_offset: Int<FilterOffset>,
        /// The output's zero point.
        output_offset: Int<OutputOffset>,
        /// The rescaling factor's multiplier: one item.
        requantize_multipliers: IntList,
        /// The rescaling factor's shift: one item.
        requantize_shifts: IntList,
        /// The greatest result.
        activation_max: Int<i32>,
        /// The least result.
        activation_min: Int<i32>,
    }
}

impl<D: Domain> QuantizedLinear<D> {
    /// The rescaling factor, or `None` unless there is exactly one and kernels can compute with it.
    pub fn requantize(&self) -> Option<Requantize> {
        if self.requantize_multipliers.len() != 1 || self.requantize_shifts.len() != 1 {
            return None;
        }
        let multiplier = i32::try_from(self.requantize_multipliers.get(0)?).ok()?;
        let shift = i32::try_from(self.requantize_shifts.get(0)?).ok()?;
        Some(Requantize { multiplier, shift }).filter(|factor| factor.is_valid())
    }
}

impl<D: Domain> Rules for QuantizedLinear<D> {
    fn check(&self) -> Result<(), Violation> {
        check_tensors(LinearTensors {
            input: &self.input,
            weights: &self.weights,
            bias: self.bias.as_ref(),
            kernel_sum: self.kernel_sum.as_ref(),
            out: &self.out,
            out_argument: argument::out,
            activations: DType::I8,
        })?;
        check_offsets(self.input_offset, self.filter_offset, self.output_offset)?;
        require(
            self.requantize_multipliers.len() == 1,
            argument::requantize_multipliers,
            Rule::Length,
        )?;
        require(self.requantize_shifts.len() == 1, argument::requantize_shifts, Rule::Length)?;
        require(self.requantize().is_some(), argument::requantize_multipliers, Rule::Range)?;
        check_activation(self.activation_min, self.activation_max, argument::activation_max)
    }

    fn constant_form(&self) -> Option<ConstantForm> {
        ConstantForm::of_operands(self.bias.is_some(), self.kernel_sum.is_some()).ok()
    }

    fn multiply_accumulates(&self) -> u64 {
        u64::from(self.out.element_count().unwrap_or(0)) * u64::from(self.input.last_dim())
    }
}

/// The tensors that both linear operators have in the same positions, and the position of `out`.
pub(super) struct LinearTensors<'a, T> {
    pub(super) input: &'a T,
    pub(super) weights: &'a T,
    pub(super) bias: Option<&'a T>,
    pub(super) kernel_sum: Option<&'a T>,
    pub(super) out: &'a T,
    pub(super) out_argument: u8,
    /// The element type of `input` and `out`: `int8` with constants of `int32`, or `int16` with ones of `int64`.
    pub(super) activations: DType,
}

/// Checks data types and extents of a linear layer.
pub(super) fn check_tensors<T: TensorMeta>(tensors: LinearTensors<'_, T>) -> Result<(), Violation> {
    let LinearTensors { input, weights, bias, kernel_sum, out, out_argument, activations } =
        tensors;
    require(input.dtype() == activations, argument::input, Rule::DType)?;
    require(weights.dtype() == DType::I8, argument::weights, Rule::DType)?;
    require(out.dtype() == activations, out_argument, Rule::DType)?;
    require(input.rank() >= 1, argument::input, Rule::Rank)?;
    require(weights.rank() == 2, argument::weights, Rule::Rank)?;
    require(out.rank() == input.rank(), out_argument, Rule::Rank)?;
    let leading = input.rank() - 1;
    require((0..leading).all(|axis| input.dim(axis) == out.dim(axis)), out_argument, Rule::Shape)?;
    require(weights.dim(0) == out.last_dim(), argument::weights, Rule::Shape)?;
    require(weights.dim(1) == input.last_dim(), argument::weights, Rule::Shape)?;
    for (argument, tensor) in
        [(argument::input, input), (argument::weights, weights), (out_argument, out)]
    {
        let fits = tensor.element_count().is_some_and(|count| count <= i32::MAX as u32);
        require(fits, argument, Rule::TooLarge)?;
        require(tensor.last_dim() <= MAX_FEATURES, argument, Rule::TooLarge)?;
        require(tensor.is_row_major(), argument, Rule::Layout)?;
    }
    let constants = if activations == DType::I16 { DType::I64 } else { DType::I32 };
    for (argument, constant) in [(argument::bias, bias), (argument::kernel_sum, kernel_sum)] {
        let Some(constant) = constant else { continue };
        require(constant.dtype() == constants, argument, Rule::DType)?;
        let is_row = constant.last_dim() == out.last_dim()
            && constant.element_count() == Some(out.last_dim());
        require(is_row, argument, Rule::Shape)?;
    }
    require(bias.is_none() || kernel_sum.is_none(), argument::kernel_sum, Rule::BothForms)
}

/// The most input or output features of a linear layer; prepared layers count them in 16 bits.
pub const MAX_FEATURES: u32 = u16::MAX as u32;

/// Checks the offsets, which both linear operators have in the same positions: each is a zero point of
/// `int8`, with its sign.
pub(super) fn check_offsets(
    input: InputOffset,
    filter: FilterOffset,
    output: OutputOffset,
) -> Result<(), Violation> {
    require((-127..=128).contains(&input.0), argument::input_offset, Rule::Range)?;
    require((-127..=128).contains(&filter.0), argument::filter_offset, Rule::Range)?;
    require((-128..=127).contains(&output.0), argument::output_offset, Rule::Range)
}

/// Checks the limits of an `int8` result, whose greatest value is the argument at `max_argument` and the least
/// the next one.
pub(super) fn check_activation(min: i32, max: i32, max_argument: u8) -> Result<(), Violation> {
    require(max <= 127, max_argument, Rule::Range)?;
    require(-128 <= min && min <= max, max_argument + 1, Rule::Range)
}

/// The extents of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    /// The product of all leading axes.
    pub rows: usize,
    /// The length of an input row.
    pub in_features: usize,
    /// The length of an output row.
    pub out_features: usize,
}

/// The constant term of a linear layer, one number per output feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearConstants<'a> {
    /// The bias, or `None` for zero; the input offset's share is still to be added.
    Bias(Option<&'a [i32]>),
    /// The whole constant term.
    KernelSum(&'a [i32]),
}

/// The rescaling of accumulators to outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescale<'a> {
    /// One factor for all output channels.
    PerTensor(Requantize),
    /// One factor per output channel.
    PerChannel {
        /// Q31 multipliers.
        multipliers: &'a [i32],
        /// Exponents, positive is left.
        shifts: &'a [i32],
    },
}

impl Rescale<'_> {
    /// The factor of one output channel; zero for a channel that has none.
    #[inline(always)]
    pub fn factor(&self, channel: usize) -> Requantize {
        match *self {
            Rescale::PerTensor(factor) => factor,
            Rescale::PerChannel { multipliers, shifts } => Requantize {
                multiplier: multipliers.get(channel).copied().unwrap_or(0),
                shift: shifts.get(channel).copied().unwrap_or(0),
            },
        }
    }
}

/// The numbers of a linear layer besides its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearParams<'a> {
    /// Minus the input's zero point.
    pub input_offset: InputOffset,
    /// Minus the weights' zero point.
    pub filter_offset: FilterOffset,
    /// The output's zero point.
    pub output_offset: OutputOffset,
    /// The constant term.
    pub constants: LinearConstants<'a>,
    /// The rescaling of accumulators to outputs.
    pub rescale: Rescale<'a>,
    /// The range of results.
    pub activation: Activation,
}

/// The exact meaning of a linear layer over `int8`.
///
/// `input` is `[rows, in_features]`, `weights` `[out_features, in_features]`, `out` `[rows, out_features]`.
///
/// # Panics
/// If a slice is shorter than its extents say.
pub fn reference(
    shape: LinearShape,
    params: &LinearParams<'_>,
    input: &[i8],
    weights: &[i8],
    out: &mut [i8],
) {
    let offset = match params.constants {
        LinearConstants::Bias(_) => params.input_offset.0,
        LinearConstants::KernelSum(_) => 0,
    };
    for row in 0..shape.rows {
        let input = &input[row * shape.in_features..][..shape.in_features];
        for channel in 0..shape.out_features {
            let weights = &weights[channel * shape.in_features..][..shape.in_features];
            let mut accumulator = constant(params.constants, channel);
            for (input, weight) in input.iter().zip(weights) {
                let weight = i32::from(*weight) + params.filter_offset.0;
                accumulator = accumulator.wrapping_add((i32::from(*input) + offset) * weight);
            }
            let scaled = params.rescale.factor(channel).apply(accumulator);
            let value = params.activation.clamp(scaled.wrapping_add(params.output_offset.0));
            out[row * shape.out_features + channel] = value as i8;
        }
    }
}

fn constant(constants: LinearConstants<'_>, channel: usize) -> i32 {
    match constants {
        LinearConstants::Bias(None) => 0,
        LinearConstants::Bias(Some(values)) | LinearConstants::KernelSum(values) => values[channel],
    }
}

/// The whole constant term of each output feature:
/// `kernel_sum[o] = input_offset · Σ_i (weights[o,i] + filter_offset) + bias[o]`, wrapping in 32 bits
/// (`arm_vector_sum_s8`).
///
/// # Panics
/// If `weights` is shorter than `out.len() · in_features`.
pub fn kernel_sums(
    in_features: usize,
    weights: &[i8],
    input_offset: InputOffset,
    filter_offset: FilterOffset,
    bias: Option<&[i32]>,
    out: &mut [i32],
) {
    for (channel, out) in out.iter_mut().enumerate() {
        let row = &weights[channel * in_features..][..in_features];
        let sum = row.iter().fold(0i32, |sum, weight| {
            sum.wrapping_add(i32::from(*weight)).wrapping_add(filter_offset.0)
        });
        *out = input_offset.0.wrapping_mul(sum).wrapping_add(bias.map_or(0, |bias| bias[channel]));
    }
}

/// The numbers of a linear layer with 16-bit activations besides its weights; zero points are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearParamsS16<'a> {
    /// One number per output feature, or `None` for zero.
    pub bias: Option<&'a [i64]>,
    /// The rescaling of accumulators to outputs; multipliers are reduced to 16 bits, see [`crate::quant::reduce_multiplier`].
    pub rescale: Rescale<'a>,
    /// The range of results.
    pub activation: Activation,
}

impl LinearParamsS16<'_> {
    /// The result of an output feature's accumulator.
    #[inline(always)]
    pub fn finish(&self, accumulator: i64, channel: usize) -> i16 {
        let factor = self.rescale.factor(channel);
        let multiplier = reduce_multiplier(factor.multiplier);
        self.activation.clamp(requantize_s64(accumulator, multiplier, factor.shift)) as i16
    }
}

/// The exact meaning of a linear layer with 16-bit activations, 8-bit weights and a 64-bit bias
/// (`arm_fully_connected_s16`).
///
/// # Panics
/// If a slice is shorter than its extents say.
pub fn reference_s16(
    shape: LinearShape,
    params: &LinearParamsS16<'_>,
    input: &[i16],
    weights: &[i8],
    out: &mut [i16],
) {
    for row in 0..shape.rows {
        let input = &input[row * shape.in_features..][..shape.in_features];
        for channel in 0..shape.out_features {
            let weights = &weights[channel * shape.in_features..][..shape.in_features];
            let mut accumulator = params.bias.map_or(0, |bias| bias[channel]);
            for (input, weight) in input.iter().zip(weights) {
                let product = i64::from(*input) * i64::from(*weight);
                accumulator = accumulator.wrapping_add(product);
            }
            out[row * shape.out_features + channel] = params.finish(accumulator, channel);
        }
    }
}
