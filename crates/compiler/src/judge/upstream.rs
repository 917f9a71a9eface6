//! What ExecuTorch's own runtime does with a file on each instruction set.
//!
//! The runtime has one build of kernels and takes what a file gives them: nothing in the file says for which kernels it was
//! made, so calls are judged one by one, in the order in which they run. The rules below are those of ExecuTorch 1.5's Cortex-M
//! operators and of the CMSIS-NN that it pins (commit `dbf45dbf`), built with GCC or Clang and with the runtime's optional checks
//! off, as they are by default:
//!
//! * A linear layer's Helium kernel fails without a kernel sum. The others ignore it, and with it the bias that is folded into it.
//! * A scratch buffer of 0 bytes is handed on as a null pointer. Most kernels that need it notice and fail. The Helium kernel for a
//!   depthwise convolution of one channel does not: it writes turned weights to low addresses. Where these are more than a
//!   vector table, they hit what else is there; else the convolution behind it notices.
//! * A scratch buffer that is too small, but not of 0 bytes, goes unnoticed. What a kernel then overwrites depends on the plan.
//! * Some operators are wrong or refused on every instruction set, because of layouts or parameters that they do not look at.

use crate::lift::{Lifted, Overlap, Place};
use crate::lowered::{BufferId, Lowered, LoweredDomain, LoweredTensor};
use crate::plan::operands;
use crate::retarget::{Layer, int32s, shares};
use cortado_contract::Isa;
use cortado_contract::ops::quantized_conv2d::{ConvShape, Plane};
use cortado_contract::ops::{Operator, Rules, is_result};
use cortado_contract::quant::{Activation, OutputOffset, Requantize};
use cortado_contract::value::TensorMeta;
use serde::Serialize;

/// What a user of ExecuTorch's runtime meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The outputs are right.
    Equal,
    /// The outputs can be wrong, and nothing says so.
    SilentlyWrong,
    /// A call breaks the rules of its operator, and what kernels make of it cannot be told.
    Unknown,
    /// The first `execute` fails with a status.
    ErrorAtExecute,
    /// The method cannot be loaded.
    ErrorAtLoad,
    /// The processor ends in a HardFault.
    Crash,
}

impl Outcome {
    /// The outcome in a few words.
    pub const fn describe(self) -> &'static str {
        match self {
            Outcome::Equal => "right",
            Outcome::SilentlyWrong => "silently wrong",
            Outcome::Unknown => "cannot be told",
            Outcome::ErrorAtExecute => "error at execute",
            Outcome::ErrorAtLoad => "error at load",
            Outcome::Crash => "crash (HardFault)",
        }
    }
}

/// What happens on an instruction set, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The instruction set of the runtime's kernels.
    pub isa: &'static str,
    /// What happens.
    pub outcome: Outcome,
    /// Why, in the order in which it happens; what lies behind a failure is left out.
    pub findings: Vec<Finding>,
}

/// What one call contributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The position of the call.
    pub instruction: usize,
    /// The operator.
    pub operator: &'static str,
    /// What it does to the outcome.
    pub outcome: Outcome,
    /// Why.
    pub why: String,
}

/// Judges a program for ExecuTorch's runtime with the kernels of an instruction set.
///
/// Of calls that break their operators' own rules nothing can be told; [`super::broken_rules`] says which rules these are.
pub fn verdict(lifted: &Lifted, isa: Isa) -> Verdict {
    let judge =
        Judge { lifted, program: &lifted.program, isa, lifetimes: lifetimes(&lifted.program) };
    let mut findings = Vec::new();
    let mut push = |instruction: usize, operator, (outcome, why): Effect| {
        findings.push(Finding { instruction, operator, outcome, why });
        outcome
    };
    let calls = || lifted.program.calls.iter().enumerate();
    let mut loads = true;
    for (index, call) in calls() {
        let kind = call.operator.kind();
        if kind.name().starts_with("cortado::") {
            let why = "ExecuTorch has no such operator".to_owned();
            push(index, kind.name(), (Outcome::ErrorAtLoad, why));
            loads = false;
        }
    }
    let mut outcome = if loads { Outcome::Equal } else { Outcome::ErrorAtLoad };
    for (index, call) in calls().filter(|_| loads) {
        if call.operator.check().is_err() && super::forms::Term::of(&call.operator).is_none() {
            let why = "it breaks a rule of the operator".to_owned();
            outcome = push(index, call.operator.kind().name(), (Outcome::Unknown, why));
            break;
        }
        let effects = judge.overlaps(index, &call.operator).into_iter();
        for effect in effects.chain(judge.call(index, &call.operator)) {
            outcome = outcome.max(push(index, call.operator.kind().name(), effect));
        }
        if outcome > Outcome::SilentlyWrong {
            break;
        }
    }
    Verdict { isa: isa.name(), outcome, findings }
}

type Effect = (Outcome, String);

struct Judge<'l> {
    lifted: &'l Lifted,
    program: &'l Lowered,
    isa: Isa,
    /// Of each buffer that is a storage, the first and the last call during which it is alive.
    lifetimes: Vec<Option<(usize, usize)>>,
}

/// The bytes of the largest vector table that a core of Armv8-M can have: 16 exceptions and 480 interrupts.
const VECTOR_TABLE_BYTES: u64 = (16 + 480) * 4;
/// The channels that the Helium depthwise kernel takes at a time (`CH_IN_BLOCK_MVE`).
const HELIUM_CHANNELS: u64 = 124;
/// The number of input channels above which a transposed convolution is computed as a convolution
/// (`REVERSE_TCOL_EFFICIENT_THRESHOLD`).
const REVERSED_CHANNELS: usize = 16;

impl Judge<'_> {
    /// What comes of operands that share memory.
    fn overlaps(&self, index: usize, operator: &Operator<LoweredDomain>) -> Vec<Effect> {
        let uses_scratch = operator.scratch_bytes(self.isa) != [0, 0];
        let here = super::harmful_overlaps(self.lifted).filter(|overlap| {
            overlap.call == index && (is_result(overlap.written) || uses_scratch)
        });
        here.map(|overlap| {
            let Overlap { written, other, .. } = overlap;
            wrong(format!("its `{written}` shares memory with its `{other}`"))
        })
        .collect()
    }

    /// What a call contributes; in order, up to the first that ends the execution.
    fn call(&self, index: usize, operator: &Operator<LoweredDomain>) -> Vec<Effect> {
        use Operator as Op;
        match operator {
            Op::QuantizedLinear(linear) => self.linear(operator, &LinearNumbers {
                factors: vec![linear.requantize().unwrap_or(Requantize { multiplier: 0, shift: 0 })],
                output_offset: linear.output_offset,
                activation: Activation { min: linear.activation_min, max: linear.activation_max },
            }),
            Op::QuantizedConv2d(conv) => conv.shape().map_or(vec![], |shape| {
                let mut effects = self.convolution(index, &shape, &conv.scratch);
                if conv.bias.is_none() && shape.groups() > 1 {
                    effects.push(wrong(
                        "it has groups and no bias: from the second group on the kernel reads biases from near address 0".to_owned(),
                    ));
                }
                effects
            }),
            Op::QuantizedDepthwiseConv2d(conv) => conv.shape().map_or(vec![], |shape| {
                self.depthwise(index, &shape, &conv.scratch, conv.bias.is_some())
            }),
            Op::QuantizedTransposeConv2d(conv) => conv.shape().map_or(vec![], |shape| {
                self.transposed(index, &shape, &conv.scratch, &conv.output_scratch)
            }),
            Op::QuantizedBatchMatmul(product) => {
                let shape = product.shape();
                if shape.lhs_batches != shape.rhs_batches {
                    return vec![error("its operands have different numbers of matrices".to_owned())];
                }
                match self.isa {
                    Isa::Mve => self.scratch(index, &product.scratch, 4 * shape.cols as u64, Null::Noticed),
                    Isa::Dsp | Isa::Scalar => vec![],
                }
            }
            Op::QuantizedAvgPool2d(pool) => match self.isa {
                Isa::Dsp => {
                    self.scratch(index, &pool.scratch, 4 * u64::from(pool.input.dim(1)), Null::Noticed)
                }
                Isa::Mve | Isa::Scalar => vec![],
            },
            Op::Softmax(softmax) => {
                let rank = softmax.input.rank() as i64;
                if softmax.dim != -1 && softmax.dim != rank - 1 {
                    vec![error("it is not along the last axis".to_owned())]
                } else if !softmax.input.is_row_major() {
                    vec![wrong("it reads memory as if its axes were in logical order".to_owned())]
                } else {
                    vec![]
                }
            }
            Op::Transpose(transpose) => {
                if transpose.input.rank() > 4 {
                    vec![error("it has more than 4 axes".to_owned())]
                } else if !transpose.input.is_row_major() || !transpose.out.is_row_major() {
                    vec![wrong("it moves memory as if its axes were in logical order".to_owned())]
                } else {
                    vec![]
                }
            }
            Op::Cat(cat) => {
                if is_misplaced_cat(&cat.out, cat.dim) {
                    vec![wrong("it joins memory as if its axes were in logical order".to_owned())]
                } else {
                    vec![]
                }
            }
            _ => vec![],
        }
    }

    fn linear(&self, operator: &Operator<LoweredDomain>, numbers: &LinearNumbers) -> Vec<Effect> {
        let Some(layer) = Layer::of(operator) else { return vec![] };
        match (self.isa, layer.bias.is_some(), layer.kernel_sum.is_some()) {
            (_, true, true) if !super::forms::terms_agree(self.program, operator) => vec![wrong(
                "it has a bias and a kernel_sum that contradict each other, and kernels of different instruction sets read different ones".to_owned(),
            )],
            (Isa::Mve, _, false) => {
                vec![error("it has no kernel_sum, without which the Helium kernel fails".to_owned())]
            }
            (Isa::Dsp | Isa::Scalar, false, true) => self.lost_bias(&layer, numbers).into_iter().collect(),
            _ => vec![],
        }
    }

    /// What comes of ignoring the kernel sum, in which the bias is folded.
    fn lost_bias(&self, layer: &Layer<'_>, numbers: &LinearNumbers) -> Option<Effect> {
        let lost = "the kernels ignore its kernel_sum, and with it the bias that is folded into it";
        let Some((sums, shares)) = layer.kernel_sum.as_ref().and_then(|sums| {
            let sums = int32s(self.program, sums)?;
            let shares =
                shares(self.program, layer.weights, layer.input_offset, layer.filter_offset)?;
            (sums.len() == shares.len()).then_some((sums, shares))
        }) else {
            return Some(wrong(lost.to_owned()));
        };
        let (mut wrong_features, mut steps) = (0, 0f64);
        for (feature, (sum, share)) in sums.iter().zip(&shares).enumerate() {
            let bias = sum.wrapping_sub(*share);
            if bias != 0 && !numbers.hides(self.program, layer, feature, bias) {
                wrong_features += 1;
                let factor = numbers.factor(feature);
                let step = f64::from(bias).abs() * f64::from(factor.multiplier)
                    / 2f64.powi(31 - factor.shift);
                steps = steps.max(step);
            }
        }
        if wrong_features == 0 {
            return None;
        }
        let features = sums.len();
        Some(wrong(format!(
            "{lost}: {wrong_features} of {features} output features are off, by up to {} of 255 steps",
            steps.round().clamp(1.0, 255.0)
        )))
    }

    /// A convolution as `arm_convolve_wrapper_s8` computes it.
    fn convolution(&self, index: usize, shape: &ConvShape, scratch: &LoweredTensor) -> Vec<Effect> {
        let one = Plane::square(1);
        let is_dense = shape.group_channels == shape.in_channels;
        let ConvShape { kernel, dilation, padding, stride, .. } = *shape;
        if is_dense && kernel == one && dilation == one && padding == Plane::square(0) {
            return vec![];
        }
        let is_row = is_dense
            && shape.input.height == 1
            && kernel.height == 1
            && dilation.width == 1
            && (stride.width * shape.in_channels).is_multiple_of(4);
        let needed = match (self.isa, is_row.then(|| row(shape))) {
            (Isa::Mve, Some(Row::Refused)) => {
                return vec![error(
                    "the Helium kernel for images of one row fails on its padding".to_owned(),
                )];
            }
            (Isa::Mve, Some(Row::Bytes(bytes))) => bytes,
            _ => self.window_bytes(shape),
        };
        self.scratch(index, scratch, needed, Null::Noticed)
    }

    /// The bytes that `arm_convolve_s8` writes to its scratch buffer.
    fn window_bytes(&self, shape: &ConvShape) -> u64 {
        let window = shape.kernel_size() as u64;
        let aligned = window.next_multiple_of(4);
        let pixels = (shape.output.area() as u64).max(1);
        match self.isa {
            // Up to four windows.
            Isa::Mve => (pixels.min(4) - 1) * aligned + window,
            // Up to two windows in 16 bits; the first is gathered where the second one will be.
            Isa::Dsp | Isa::Scalar if pixels > 1 => 4 * aligned,
            Isa::Dsp | Isa::Scalar => 2 * aligned + window,
        }
    }

    fn depthwise(
        &self,
        index: usize,
        shape: &ConvShape,
        scratch: &LoweredTensor,
        has_bias: bool,
    ) -> Vec<Effect> {
        if shape.batches != 1 {
            return vec![error("it takes one image at a time".to_owned())];
        }
        let taps = shape.kernel.area() as u64;
        if self.isa == Isa::Mve && shape.in_channels == 1 && shape.out_channels > 1 {
            return self.depthwise_of_one_channel(index, shape, scratch);
        }
        let is_plain =
            shape.in_channels == shape.out_channels && shape.dilation == Plane::square(1);
        let is_3_by_3 = shape.kernel == Plane::square(3)
            && shape.padding.height <= 1
            && shape.padding.width <= 1;
        let channels = shape.in_channels as u64;
        match self.isa {
            Isa::Mve if is_plain => {
                let windows = (shape.output.area() as u64).clamp(1, 4);
                let needed = (windows * taps).saturating_sub(1) * HELIUM_CHANNELS
                    + channels.min(HELIUM_CHANNELS);
                let mut effects = self.scratch(index, scratch, needed, Null::Noticed);
                if !has_bias && channels > HELIUM_CHANNELS {
                    effects.push(wrong(format!(
                        "it has no bias and more than {HELIUM_CHANNELS} channels: the kernel reads the others' biases from near address 0"
                    )));
                }
                effects
            }
            Isa::Dsp if is_plain && !is_3_by_3 => {
                self.scratch(index, scratch, 2 * channels * taps, Null::Noticed)
            }
            _ => vec![],
        }
    }

    /// The Helium kernel turns the weights around and convolves.
    fn depthwise_of_one_channel(
        &self,
        index: usize,
        shape: &ConvShape,
        scratch: &LoweredTensor,
    ) -> Vec<Effect> {
        let weights = (shape.kernel.area() * shape.out_channels) as u64;
        let gathering =
            u64::from(cortado_contract::ops::quantized_conv2d::scratch_bytes(shape, Isa::Mve));
        let end = gathering + weights;
        let null = if end > VECTOR_TABLE_BYTES { Null::Written(end) } else { Null::Vectors };
        self.scratch(index, scratch, end, null)
    }

    fn transposed(
        &self,
        index: usize,
        shape: &ConvShape,
        scratch: &LoweredTensor,
        output_scratch: &LoweredTensor,
    ) -> Vec<Effect> {
        let ConvShape { kernel, stride, in_channels, out_channels, .. } = *shape;
        let is_reversed =
            stride.height <= 2 && stride.width <= 2 && in_channels > REVERSED_CHANNELS;
        if is_reversed {
            let turned = (kernel.area() * in_channels * out_channels) as u64;
            let mut effects = self.scratch(index, scratch, self.window_bytes(shape), Null::Noticed);
            if effects.iter().all(|(outcome, _)| *outcome <= Outcome::SilentlyWrong) {
                effects.extend(self.scratch(index, output_scratch, turned, Null::Noticed));
            }
            return effects;
        }
        let columns = shape.input.width.saturating_sub(1).saturating_mul(stride.width);
        let columns = columns.saturating_add(kernel.width.max(stride.width));
        let rows = kernel.height.max(stride.height);
        let needed = [columns, out_channels, rows]
            .iter()
            .fold(4u64, |bytes, extent| bytes.saturating_mul(*extent as u64));
        let mut effects = self.scratch(index, scratch, needed, Null::Noticed);
        if !shape.padding.height.is_multiple_of(stride.height) {
            effects.push(wrong(format!(
                "its padding of {} rows is no multiple of its stride of {}, and the kernel then misplaces rows",
                shape.padding.height, stride.height
            )));
        }
        effects
    }

    /// What comes of a scratch buffer of which a kernel uses this many bytes.
    fn scratch(
        &self,
        index: usize,
        scratch: &LoweredTensor,
        needed: u64,
        null: Null,
    ) -> Vec<Effect> {
        let given = self.program.buffer(scratch.id).size_bytes();
        if needed <= given {
            return vec![];
        }
        let why = format!("it has {given} bytes of scratch, and the kernel uses {needed}");
        if given == 0 {
            return match null {
                Null::Noticed => vec![error(why)],
                Null::Vectors => vec![error(format!(
                    "{why}: it is handed a null pointer, and writes over interrupt vectors before it notices"
                ))],
                Null::Written(end) => vec![(
                    Outcome::Crash,
                    format!(
                        "{why}: it is handed a null pointer, does not check it, and writes up to address {end:#x}"
                    ),
                )],
            };
        }
        let Some(place) = self.lifted.place(scratch.id) else { return vec![wrong(why)] };
        match self.damage(index, scratch.id, Place { size_bytes: needed, ..place }) {
            Some(what) => vec![wrong(format!("{why}, unnoticed: it overwrites {what}"))],
            None => {
                vec![(Outcome::Equal, format!("{why}, unnoticed, but nothing is alive behind it"))]
            }
        }
    }

    /// What a call destroys by writing to a place that begins with its scratch buffer.
    fn damage(&self, index: usize, scratch: BufferId, place: Place) -> Option<String> {
        let planned = self.lifted.planned_bytes.get(place.memory_id as usize).copied().unwrap_or(0);
        if place.end() > planned {
            return Some("what lies behind the planned memory".to_owned());
        }
        let storage = self.program.storage(scratch);
        let hit = self.lifetimes.iter().enumerate().find(|(id, life)| {
            let is_alive = life.is_some_and(|(first, last)| first <= index + 1 && index < last);
            let is_there = self
                .lifted
                .places
                .get(*id)
                .copied()
                .flatten()
                .is_some_and(|it| it.overlaps(&place));
            *id != storage.0 && is_alive && is_there
        });
        hit.map(|(id, _)| format!("`{}`", self.program.buffers[id].name))
    }
}

/// What a kernel does that is handed a null pointer for its scratch buffer.
enum Null {
    /// It returns an error.
    Noticed,
    /// It writes over interrupt vectors, then returns an error.
    Vectors,
    /// It writes up to this address.
    Written(u64),
}

/// What `arm_convolve_1_x_n_s8` does with an image of one row.
enum Row {
    /// It uses so many bytes of scratch.
    Bytes(u64),
    /// It gathers windows like any other convolution.
    Windows,
    /// It fails.
    Refused,
}

fn row(shape: &ConvShape) -> Row {
    let number = |value: usize| value as i64;
    let (kernel, stride, channels) =
        (number(shape.kernel.width), number(shape.stride.width), number(shape.in_channels));
    let (output, padding) = (number(shape.output.width), number(shape.padding.width));
    let total = (output - 1) * stride + kernel - number(shape.input.width);
    let uneven = total % 2;
    if padding * 2 + uneven != total {
        return Row::Refused;
    }
    let windows =
        |padding: i64| if padding == 0 { 0 } else { 1.max((padding + stride - 1) / stride) };
    let (left, right) = (windows(padding), windows(padding + uneven));
    if left + right + (output - left - right).max(0) != output {
        return Row::Windows;
    }
    let padding_left = padding * channels;
    let padding_right = if uneven == 0 { padding_left } else { right * channels };
    let bytes = (kernel * channels + padding_left).max((kernel - 1) * channels + padding_right);
    Row::Bytes(bytes.max(0) as u64)
}

/// Whether joining memory as if axes were in logical order gives something else: unless as many elements precede the axis in memory as do
/// in logical order.
fn is_misplaced_cat(out: &LoweredTensor, dim: i64) -> bool {
    let rank = out.rank() as i64;
    let axis = if dim < 0 { dim + rank } else { dim };
    let Some(position) = (0..out.rank()).find(|at| out.dim_order(*at) as i64 == axis) else {
        return false;
    };
    let in_memory: u64 = (0..position).map(|at| u64::from(out.dim(out.dim_order(at)))).product();
    let logical: u64 = (0..axis as usize).map(|axis| u64::from(out.dim(axis))).product();
    in_memory != logical
}

/// The numbers of a linear layer that decide whether a lost bias shows.
struct LinearNumbers {
    factors: Vec<Requantize>,
    output_offset: OutputOffset,
    activation: Activation,
}

impl LinearNumbers {
    fn factor(&self, feature: usize) -> Requantize {
        self.factors[feature % self.factors.len()]
    }

    /// Whether no input whatever makes the layer's result different without the bias: rescaling and clamping are monotone, so it is
    /// enough to look at the least and the greatest sum.
    fn hides(&self, program: &Lowered, layer: &Layer<'_>, feature: usize, bias: i32) -> bool {
        let [_, in_features] = layer.weights.shape[..] else { return false };
        let Some(weights) = crate::retarget::constant(program, layer.weights) else { return false };
        let row = weights.chunks(in_features.max(1) as usize).nth(feature).unwrap_or(&[]);
        let (mut least, mut greatest) = (i64::from(bias.min(0)), i64::from(bias.max(0)));
        for weight in row {
            let weight = i64::from(*weight as i8) + i64::from(layer.filter_offset.0);
            let ends =
                [-128i64, 127].map(|input| (input + i64::from(layer.input_offset.0)) * weight);
            least += ends[0].min(ends[1]);
            greatest += ends[0].max(ends[1]);
        }
        let factor = self.factor(feature);
        let result = |sum: i64| {
            // What wraps is not monotone.
            let sum = i32::try_from(sum).ok().filter(|_| factor.shift <= 0)?;
            Some(self.activation.clamp(factor.apply(sum).wrapping_add(self.output_offset.0)))
        };
        result(least).is_some() && result(least) == result(greatest)
    }
}

/// For each buffer with memory of its own, the first and the last call during which it is alive. Time 0 is before the first call, time
/// `n` is call `n − 1`.
fn lifetimes(program: &Lowered) -> Vec<Option<(usize, usize)>> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; program.buffers.len()];
    let mut touch = |id: BufferId, time: usize| {
        let life = &mut lives[program.storage(id).0];
        let (first, last) = life.unwrap_or((time, time));
        *life = Some((first.min(time), last.max(time)));
    };
    program.inputs.iter().for_each(|id| touch(*id, 0));
    for (index, call) in program.calls.iter().enumerate() {
        operands(&call.operator).into_iter().for_each(|id| touch(id, index + 1));
    }
    program.outputs.iter().for_each(|id| touch(*id, program.calls.len() + 1));
    lives
}

fn wrong(why: String) -> Effect {
    (Outcome::SilentlyWrong, why)
}

fn error(why: String) -> Effect {
    (Outcome::ErrorAtExecute, why)
}
