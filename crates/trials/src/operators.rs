//! Random calls of every operator that has integer results, with random extents, layouts and parameters.
//!
//! A call's operands are constants of the program, or copies of them in the arena, and its result is an output. So a program
//! without inputs holds as many cases as one likes, and a board runs them in one go.

use crate::choices::Choices;
use cortado_compiler::finish::finish;
use cortado_compiler::lowered::{
    Buffer, BufferId, BufferKind, Call, Ints, Lowered, LoweredDomain, LoweredTensor, Tensors,
};
use cortado_compiler::plan::PlanOptions;
use cortado_compiler::retarget::retarget;
use cortado_contract::ops::{self, Operator, OperatorKind, Rules};
use cortado_contract::quant::{FilterOffset, InputOffset, OutputOffset, ZeroPoint};
use cortado_contract::value::TensorMeta;
use cortado_contract::{DType, Target};

/// The operators that cases are made of.
pub const KINDS: &[OperatorKind] = &[
    OperatorKind::QuantizedLinear,
    OperatorKind::QuantizedLinearPerChannel,
    OperatorKind::QuantizedConv2d,
    OperatorKind::QuantizedDepthwiseConv2d,
    OperatorKind::QuantizedTransposeConv2d,
    OperatorKind::QuantizedBatchMatmul,
    OperatorKind::QuantizedAvgPool2d,
    OperatorKind::QuantizedMaxPool2d,
    OperatorKind::QuantizedAdd,
    OperatorKind::QuantizedMul,
    OperatorKind::QuantizedDiv,
    OperatorKind::Minimum,
    OperatorKind::Maximum,
    OperatorKind::QuantizedActivation,
    OperatorKind::Softmax,
    OperatorKind::RescaledSoftmax,
    OperatorKind::Pad,
    OperatorKind::ConstantPadNd,
    OperatorKind::Transpose,
    OperatorKind::PermuteCopy,
    OperatorKind::SliceCopy,
    OperatorKind::SelectCopy,
    OperatorKind::ExpandCopy,
    OperatorKind::Cat,
    OperatorKind::SplitWithSizesCopy,
    OperatorKind::SqueezeCopy,
    OperatorKind::UnsqueezeCopy,
    OperatorKind::CloneDimOrder,
    OperatorKind::QuantizePerTensor,
    OperatorKind::DequantizePerTensor,
    OperatorKind::LogicalNot,
    OperatorKind::QuantizedLinearInt16,
    OperatorKind::QuantizedConv2dInt16,
    OperatorKind::QuantizedDepthwiseConv2dInt16,
];

/// A program of `count` random calls, and the number of those that break no rule and so are in it.
pub fn program(choices: &mut Choices<'_>, count: usize) -> Lowered {
    let mut maker = Maker { choices, program: Lowered::default() };
    for _ in 0..count {
        if maker.choices.is_used_up() {
            break;
        }
        maker.case();
    }
    maker.program
}

/// A program as a file for a target: linear layers and scratch as its kernels have them, memory planned.
///
/// # Errors
/// The text of what a later stage refuses.
pub fn file(program: &Lowered, target: Target) -> Result<Vec<u8>, String> {
    let mut program = program.clone();
    retarget(&mut program, target.isa()).map_err(|error| error.to_string())?;
    let options = PlanOptions { seconds: 0.01, ..PlanOptions::default() };
    let finished = finish(&program, target, &options).map_err(|error| error.to_string())?;
    Ok(finished.pte)
}

/// The memory order of images whose logical order is NCHW.
const NHWC: [u8; 4] = [0, 2, 3, 1];

/// What layers over `int16` have in common.
struct Int16Operands {
    input: LoweredTensor,
    weights: LoweredTensor,
    bias: Option<LoweredTensor>,
    multipliers: LoweredTensor,
    shifts: LoweredTensor,
    min: i32,
    max: i32,
    out: LoweredTensor,
}

struct Maker<'c, 'b> {
    choices: &'c mut Choices<'b>,
    program: Lowered,
}

impl Maker<'_, '_> {
    fn case(&mut self) {
        let kind = self.choices.pick(KINDS);
        let before = self.program.clone();
        let operator = self.operator(kind);
        // What breaks a rule no compiler writes. That loaders refuse it is tried elsewhere.
        if operator.check().is_err() {
            self.program = before;
            return;
        }
        self.call(operator.clone());
        let results = operator.kind().result_arguments();
        debug_assert!(results != 0);
        let ids = cortado_compiler::plan::operands_and_results(&operator);
        let outputs = ids.into_iter().filter(|(_, is_result)| *is_result).map(|(id, _)| id);
        self.program.outputs.extend(outputs);
    }

    fn call(&mut self, operator: Operator<LoweredDomain>) {
        let name = format!("call{}", self.program.calls.len());
        self.program.calls.push(Call { name, source: String::new(), operator });
    }

    fn add(&mut self, dtype: DType, shape: &[u32], order: &[u8], kind: BufferKind) -> BufferId {
        let name = format!("tensor{}", self.program.buffers.len());
        let (shape, dim_order) = (shape.to_vec(), order.to_vec());
        self.program.add(Buffer { name, dtype, shape, dim_order, kind })
    }

    fn constant(
        &mut self,
        dtype: DType,
        shape: &[u32],
        order: &[u8],
        data: Vec<u8>,
    ) -> LoweredTensor {
        let id = self.add(dtype, shape, order, BufferKind::Constant(data.into()));
        self.program.tensor(id)
    }

    /// A result, or scratch.
    fn out(&mut self, dtype: DType, shape: &[u32], order: &[u8]) -> LoweredTensor {
        let id = self.add(dtype, shape, order, BufferKind::Activation);
        self.program.tensor(id)
    }

    fn scratch(&mut self) -> LoweredTensor {
        // `retarget` gives it the size that the instruction set's kernels ask for.
        self.out(DType::U8, &[0], &[0])
    }

    /// An operand of random elements: a constant, or every fourth time a copy of one in the arena.
    fn operand(&mut self, dtype: DType, shape: &[u32], order: &[u8]) -> LoweredTensor {
        let count: u32 = shape.iter().product();
        let mut bytes = self.choices.bytes((count * dtype.size_bytes()) as usize);
        match dtype {
            DType::Bool => bytes.iter_mut().for_each(|byte| *byte &= 1),
            // Numbers that quantize to something, and not a few that do not.
            DType::F32 => {
                for bytes in bytes.as_chunks_mut::<4>().0 {
                    let bits = u32::from_le_bytes(*bytes);
                    let value = match bits % 32 {
                        0 => f32::from_bits(bits),
                        1 => f32::NAN,
                        2 => f32::INFINITY,
                        _ => f32::from((bits >> 16) as i16) / 256.0,
                    };
                    *bytes = value.to_le_bytes();
                }
            }
            _ => {}
        }
        let constant = self.constant(dtype, shape, order, bytes);
        if !self.choices.once_in(4) {
            return constant;
        }
        let out = self.out(dtype, shape, order);
        let dim_order = Some(Ints(order.iter().map(|axis| i64::from(*axis)).collect()));
        self.call(Operator::CloneDimOrder(ops::CloneDimOrder {
            input: constant,
            non_blocking: false,
            dim_order,
            out: out.clone(),
        }));
        out
    }

    fn int8(&mut self, shape: &[u32]) -> LoweredTensor {
        self.operand(DType::I8, shape, &row_major(shape))
    }

    fn image(&mut self, shape: [u32; 4]) -> LoweredTensor {
        self.operand(DType::I8, &shape, &NHWC)
    }

    fn int32s(&mut self, values: &[i32]) -> LoweredTensor {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(DType::I32, &[values.len() as u32], &[0], data)
    }

    /// An extent, often one around the edges of the kernels' tiles.
    fn extent(&mut self, max: i32) -> u32 {
        const EDGES: &[i32] =
            &[1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65];
        let extent = if self.choices.once_in(3) {
            self.choices.between(1, max)
        } else {
            self.choices.pick(EDGES)
        };
        extent.min(max) as u32
    }

    /// Extents of a tensor of a rank within these, and not too many elements.
    fn shape(&mut self, min_rank: i32, max_rank: i32) -> Vec<u32> {
        let rank = self.choices.between(min_rank, max_rank);
        let mut left = 300;
        (0..rank)
            .map(|_| {
                // Tensors without elements are sound as well.
                if self.choices.once_in(60) {
                    return 0;
                }
                let extent = self.extent(left.clamp(1, 40));
                left /= extent as i32;
                extent
            })
            .collect()
    }

    fn order(&mut self, rank: usize) -> Vec<u8> {
        let mut order: Vec<u8> = (0..rank as u8).collect();
        if self.choices.once_in(2) {
            for last in (1..rank).rev() {
                order.swap(last, self.choices.index(last + 1));
            }
        }
        order
    }

    fn offset(&mut self) -> i32 {
        self.choices.between(-127, 128)
    }

    fn multiplier(&mut self) -> i32 {
        if self.choices.once_in(16) {
            return self.choices.pick(&[0, 1, 1 << 30, i32::MAX]);
        }
        self.choices.between(1 << 30, i32::MAX)
    }

    fn shift(&mut self) -> i32 {
        if self.choices.once_in(8) {
            self.choices.between(-31, 8)
        } else {
            self.choices.between(-14, -3)
        }
    }

    fn activation(&mut self) -> (i32, i32) {
        if !self.choices.once_in(3) {
            return (-128, 127);
        }
        let (a, b) = (self.choices.between(-128, 127), self.choices.between(-128, 127));
        (a.min(b), a.max(b))
    }

    /// A bias, mostly of a layer's size, sometimes one that wraps around.
    fn bias(&mut self, channels: u32) -> Option<LoweredTensor> {
        if self.choices.once_in(5) {
            return None;
        }
        let limit = if self.choices.once_in(4) { i32::MAX } else { 1 << 16 };
        let values: Vec<i32> = (0..channels).map(|_| self.choices.between(-limit, limit)).collect();
        Some(self.int32s(&values))
    }

    /// Factors of channels: in half of the lists all of them normalized and below a half, for which there are kernels of their own.
    fn factors(&mut self, channels: u32) -> [LoweredTensor; 2] {
        let are_short = self.choices.once_in(2);
        let mut list = |short: [i32; 2], any: fn(&mut Self) -> i32| -> Vec<i32> {
            let one = |_| match are_short {
                true => self.choices.between(short[0], short[1]),
                false => any(self),
            };
            (0..channels).map(one).collect()
        };
        let multipliers = list([1 << 30, i32::MAX], Self::multiplier);
        let shifts = list([-14, -1], Self::shift);
        [self.int32s(&multipliers), self.int32s(&shifts)]
    }

    fn operator(&mut self, kind: OperatorKind) -> Operator<LoweredDomain> {
        match kind {
            OperatorKind::QuantizedLinear | OperatorKind::QuantizedLinearPerChannel => {
                self.linear(kind == OperatorKind::QuantizedLinearPerChannel)
            }
            OperatorKind::QuantizedConv2d
            | OperatorKind::QuantizedDepthwiseConv2d
            | OperatorKind::QuantizedTransposeConv2d => self.convolution(kind),
            OperatorKind::QuantizedBatchMatmul => self.batch_matmul(),
            OperatorKind::QuantizedAvgPool2d | OperatorKind::QuantizedMaxPool2d => self.pool(kind),
            OperatorKind::QuantizedAdd
            | OperatorKind::QuantizedMul
            | OperatorKind::QuantizedDiv
            | OperatorKind::Minimum
            | OperatorKind::Maximum => self.binary(kind),
            OperatorKind::Softmax | OperatorKind::RescaledSoftmax => self.softmax(kind),
            OperatorKind::QuantizedLinearInt16 => {
                self.int16(OperatorKind::QuantizedLinearPerChannel)
            }
            OperatorKind::QuantizedConv2dInt16 => self.int16(OperatorKind::QuantizedConv2d),
            OperatorKind::QuantizedDepthwiseConv2dInt16 => {
                self.int16(OperatorKind::QuantizedDepthwiseConv2d)
            }
            _ => self.other(kind),
        }
    }

    fn linear(&mut self, per_channel: bool) -> Operator<LoweredDomain> {
        let in_features = if self.choices.once_in(30) { 0 } else { self.extent(200) };
        let out_features = if self.choices.once_in(30) { 0 } else { self.extent(40) };
        let leading = if self.choices.once_in(3) { self.shape(0, 2) } else { vec![1] };
        let leading: Vec<u32> = leading.into_iter().map(|extent| extent.min(4)).collect();
        let shape = |last: u32| leading.iter().copied().chain([last]).collect::<Vec<_>>();
        let input = self.int8(&shape(in_features));
        let data = self.choices.bytes((in_features * out_features) as usize);
        let weights = self.constant(DType::I8, &[out_features, in_features], &[0, 1], data);
        let bias = self.bias(out_features);
        let (input_offset, output_offset) = (self.offset(), self.choices.between(-128, 127));
        let filter_offset = if self.choices.once_in(3) { self.offset() } else { 0 };
        let (activation_min, activation_max) = self.activation();
        let (input_offset, filter_offset, output_offset) =
            (InputOffset(input_offset), FilterOffset(filter_offset), OutputOffset(output_offset));
        if per_channel {
            let [requantize_multipliers, requantize_shifts] = self.factors(out_features);
            let out = self.out(DType::I8, &shape(out_features), &row_major(&shape(out_features)));
            return Operator::QuantizedLinearPerChannel(ops::QuantizedLinearPerChannel {
                input,
                weights,
                bias,
                kernel_sum: None,
                input_offset,
                filter_offset,
                output_offset,
                requantize_multipliers,
                requantize_shifts,
                activation_max,
                activation_min,
                out,
            });
        }
        let (multiplier, shift) = (self.multiplier(), self.shift());
        let out = self.out(DType::I8, &shape(out_features), &row_major(&shape(out_features)));
        Operator::QuantizedLinear(ops::QuantizedLinear {
            input,
            weights,
            bias,
            kernel_sum: None,
            input_offset,
            filter_offset,
            output_offset,
            requantize_multipliers: Ints(vec![i64::from(multiplier)]),
            requantize_shifts: Ints(vec![i64::from(shift)]),
            activation_max,
            activation_min,
            out,
        })
    }

    fn convolution(&mut self, kind: OperatorKind) -> Operator<LoweredDomain> {
        let mut axes = [self.window(kind), self.window(kind)];
        if self.choices.once_in(5) {
            // Each output pixel is computed from the input pixel at its place.
            let point = |of: Window| Window {
                out: of.input,
                kernel: 1,
                stride: 1,
                padding: 0,
                dilation: 1,
                added: 0,
                ..of
            };
            axes = axes.map(point);
        }
        let batches = if self.choices.once_in(30) { 0 } else { self.choices.between(1, 2) as u32 };
        let mut in_channels = self.extent(20);
        let fours = 4 * self.choices.between(1, 5) as u32;
        let (out_channels, group_channels) = match kind {
            OperatorKind::QuantizedDepthwiseConv2d if self.choices.once_in(4) => {
                in_channels = 1;
                (fours, 1)
            }
            OperatorKind::QuantizedDepthwiseConv2d => {
                (in_channels * self.choices.pick(&[1, 1, 1, 2, 3]), 1)
            }
            OperatorKind::QuantizedConv2d if self.choices.once_in(3) => {
                let groups = self.choices.pick(&[2, 3, 4]);
                let per_group = self.choices.between(1, 5) as u32;
                let in_channels = (in_channels / groups).max(1);
                return self.convolve(
                    kind,
                    batches,
                    axes,
                    [in_channels * groups, per_group * groups, in_channels],
                );
            }
            _ if self.choices.once_in(2) => (fours, in_channels),
            _ => (self.extent(20), in_channels),
        };
        self.convolve(kind, batches, axes, [in_channels, out_channels, group_channels])
    }

    fn convolve(
        &mut self,
        kind: OperatorKind,
        batches: u32,
        [rows, columns]: [Window; 2],
        [in_channels, out_channels, group_channels]: [u32; 3],
    ) -> Operator<LoweredDomain> {
        let input = self.image([batches, in_channels, rows.input, columns.input]);
        let weight_shape = match kind {
            OperatorKind::QuantizedDepthwiseConv2d => {
                [1, rows.kernel, columns.kernel, out_channels]
            }
            _ => [out_channels, rows.kernel, columns.kernel, group_channels],
        };
        let data = self.choices.bytes(weight_shape.iter().product::<u32>() as usize);
        let weight = self.constant(DType::I8, &weight_shape, &[0, 1, 2, 3], data);
        let bias = self.bias(out_channels);
        let pair = |number: fn(&Window) -> u32| {
            Ints(vec![i64::from(number(&rows)), i64::from(number(&columns))])
        };
        let (stride, padding) = (pair(|axis| axis.stride), pair(|axis| axis.padding));
        let (dilation, added) = (pair(|axis| axis.dilation), pair(|axis| axis.added));
        let (input_offset, output_offset) =
            (InputOffset(self.offset()), OutputOffset(self.choices.between(-128, 127)));
        let [requantize_multipliers, requantize_shifts] = self.factors(out_channels);
        let (activation_min, activation_max) = self.activation();
        let scratch = self.scratch();
        let output_scratch =
            (kind == OperatorKind::QuantizedTransposeConv2d).then(|| self.scratch());
        let out = self.out(DType::I8, &[batches, out_channels, rows.out, columns.out], &NHWC);
        match output_scratch {
            Some(output_scratch) => {
                Operator::QuantizedTransposeConv2d(ops::QuantizedTransposeConv2d {
                    input,
                    weight,
                    bias,
                    stride,
                    padding,
                    output_padding: added,
                    dilation,
                    input_offset,
                    output_offset,
                    requantize_multipliers,
                    requantize_shifts,
                    activation_min,
                    activation_max,
                    scratch,
                    output_scratch,
                    out,
                })
            }
            None if kind == OperatorKind::QuantizedConv2d => {
                Operator::QuantizedConv2d(ops::QuantizedConv2d {
                    input,
                    weight,
                    bias,
                    stride,
                    padding,
                    dilation,
                    input_offset,
                    output_offset,
                    requantize_multipliers,
                    requantize_shifts,
                    activation_min,
                    activation_max,
                    scratch,
                    out,
                })
            }
            None => Operator::QuantizedDepthwiseConv2d(ops::QuantizedDepthwiseConv2d {
                input,
                weight,
                bias,
                stride,
                padding,
                dilation,
                depth_multiplier: (out_channels / in_channels) as i32,
                input_offset,
                output_offset,
                requantize_multipliers,
                requantize_shifts,
                activation_min,
                activation_max,
                scratch,
                out,
            }),
        }
    }

    /// A layer over `int16`, of the extents that one over `int8` has.
    fn int16(&mut self, kind: OperatorKind) -> Operator<LoweredDomain> {
        let before = self.program.clone();
        let narrow = self.operator(kind);
        self.program = before;
        match narrow {
            Operator::QuantizedConv2d(conv) => {
                let wide = self.int16_operands(&conv.input, &conv.weight, &conv.out, 1);
                Operator::QuantizedConv2dInt16(ops::QuantizedConv2dInt16 {
                    input: wide.input,
                    weight: wide.weights,
                    bias: wide.bias,
                    stride: conv.stride,
                    padding: conv.padding,
                    dilation: conv.dilation,
                    requantize_multipliers: wide.multipliers,
                    requantize_shifts: wide.shifts,
                    activation_min: wide.min,
                    activation_max: wide.max,
                    out: wide.out,
                })
            }
            Operator::QuantizedDepthwiseConv2d(conv) => {
                let wide = self.int16_operands(&conv.input, &conv.weight, &conv.out, 1);
                Operator::QuantizedDepthwiseConv2dInt16(ops::QuantizedDepthwiseConv2dInt16 {
                    input: wide.input,
                    weight: wide.weights,
                    bias: wide.bias,
                    stride: conv.stride,
                    padding: conv.padding,
                    dilation: conv.dilation,
                    depth_multiplier: conv.depth_multiplier,
                    requantize_multipliers: wide.multipliers,
                    requantize_shifts: wide.shifts,
                    activation_min: wide.min,
                    activation_max: wide.max,
                    out: wide.out,
                })
            }
            Operator::QuantizedLinearPerChannel(linear) => {
                let features = linear.out.rank() - 1;
                let wide =
                    self.int16_operands(&linear.input, &linear.weights, &linear.out, features);
                Operator::QuantizedLinearInt16(ops::QuantizedLinearInt16 {
                    input: wide.input,
                    weights: wide.weights,
                    bias: wide.bias,
                    requantize_multipliers: wide.multipliers,
                    requantize_shifts: wide.shifts,
                    activation_min: wide.min,
                    activation_max: wide.max,
                    out: wide.out,
                })
            }
            other => other,
        }
    }

    /// What layers over `int16` have in common; the result's axis `channel_axis` is that of its channels.
    fn int16_operands(
        &mut self,
        input: &LoweredTensor,
        weights: &LoweredTensor,
        out: &LoweredTensor,
        channel_axis: usize,
    ) -> Int16Operands {
        let channels = out.dim(channel_axis);
        let input = self.operand(DType::I16, &input.shape, &input.dim_order);
        let data = self.choices.bytes(weights.shape.iter().product::<u32>() as usize);
        let weights = self.constant(DType::I8, &weights.shape, &weights.dim_order, data);
        let bias = (!self.choices.once_in(5)).then(|| {
            let limit = if self.choices.once_in(4) { i32::MAX } else { 1 << 16 };
            let raised = if self.choices.once_in(4) { 32 } else { 4 };
            let number = |_| i64::from(self.choices.between(-limit, limit)).wrapping_shl(raised);
            let bytes: Vec<u8> = (0..channels).map(number).flat_map(i64::to_le_bytes).collect();
            self.constant(DType::I64, &[channels], &[0], bytes)
        });
        let [multipliers, shifts] = self.factors(channels);
        let (a, b) = match self.choices.once_in(3) {
            true => (self.choices.between(-32768, 32767), self.choices.between(-32768, 32767)),
            false => (-32768, 32767),
        };
        let out = self.out(DType::I16, &out.shape, &out.dim_order);
        Int16Operands {
            input,
            weights,
            bias,
            multipliers,
            shifts,
            min: a.min(b),
            max: a.max(b),
            out,
        }
    }

    /// Rows or columns of a convolution.
    fn window(&mut self, kind: OperatorKind) -> Window {
        // A kernel without taps leaves the bias of its layer.
        let is_empty = self.choices.once_in(30);
        let mut number = |min, max| self.choices.between(min, max) as u32;
        let (input, kernel) = (number(1, 7), if is_empty { 0 } else { number(1, 4) });
        let (stride, padding) = (number(1, 3), number(0, 3));
        let dilation = number(0, 5).saturating_sub(2).max(1);
        let added = number(0, 1);
        let reach = dilation * kernel.saturating_sub(1);
        let out = match kind {
            OperatorKind::QuantizedTransposeConv2d => {
                ((input - 1) * stride + reach + 1 + added).saturating_sub(2 * padding)
            }
            _ => (input + 2 * padding).saturating_sub(reach).div_ceil(stride) + added,
        };
        Window { input, out, kernel, stride, padding, dilation, added }
    }

    fn batch_matmul(&mut self) -> Operator<LoweredDomain> {
        let (rows, cols, depth) = (self.extent(9), self.extent(17), self.extent(65));
        let batches = self.choices.between(1, 3) as u32;
        let (lhs_batches, rhs_batches) = match self.choices.between(0, 3) {
            0 => (1, batches),
            1 => (batches, 1),
            _ => (batches, batches),
        };
        let lhs = self.int8(&[lhs_batches, rows, depth]);
        let rhs_transposed = self.int8(&[rhs_batches, cols, depth]);
        let (lhs_zero_point, rhs_zero_point) = (self.offset(), self.offset());
        let output_zero_point = self.choices.between(-128, 127);
        let (output_multiplier, output_shift) = (self.multiplier(), self.shift());
        let scratch = self.scratch();
        let out = self.out(DType::I8, &[batches, rows, cols], &[0, 1, 2]);
        Operator::QuantizedBatchMatmul(ops::QuantizedBatchMatmul {
            lhs,
            lhs_zero_point: InputOffset(lhs_zero_point),
            rhs_transposed,
            rhs_zero_point: FilterOffset(rhs_zero_point),
            output_zero_point: OutputOffset(output_zero_point),
            output_multiplier,
            output_shift,
            scratch,
            out,
        })
    }

    fn pool(&mut self, kind: OperatorKind) -> Operator<LoweredDomain> {
        let is_average = kind == OperatorKind::QuantizedAvgPool2d;
        let (batch, channels) = (self.choices.between(1, 2) as u32, self.extent(33));
        let ceil_mode = self.choices.once_in(3);
        let axes: [Window; 2] = std::array::from_fn(|_| {
            let mut number = |min, max| self.choices.between(min, max) as u32;
            let (input, kernel, stride) = (number(1, 8), number(1, 5), number(1, 3));
            let padding = number(0, kernel as i32 / 2);
            let dilation = if is_average { 1 } else { number(1, 2) };
            let windows = ops::quantized_avg_pool2d::Windows {
                input,
                out: 0,
                kernel,
                stride,
                padding,
                dilation,
            };
            let out = windows.count(ceil_mode).unwrap_or(0);
            Window { input, out, kernel, stride, padding, dilation, added: 0 }
        });
        let [rows, columns] = axes;
        let input = self.image([batch, channels, rows.input, columns.input]);
        let pair = |number: fn(&Window) -> u32| {
            Ints(vec![i64::from(number(&rows)), i64::from(number(&columns))])
        };
        let scratch = is_average.then(|| self.scratch());
        let (activation_min, activation_max) = self.activation();
        let zero_point = i64::from(self.choices.between(-128, 127));
        let out = self.out(DType::I8, &[batch, channels, rows.out, columns.out], &NHWC);
        let (kernel_size, stride) = (pair(|axis| axis.kernel), pair(|axis| axis.stride));
        let padding = pair(|axis| axis.padding);
        match scratch {
            Some(scratch) => Operator::QuantizedAvgPool2d(ops::QuantizedAvgPool2d {
                input,
                kernel_size,
                stride,
                padding,
                ceil_mode,
                zero_point,
                multiplier: 0,
                shift: 0,
                scratch,
                out,
            }),
            None => Operator::QuantizedMaxPool2d(ops::QuantizedMaxPool2d {
                input,
                kernel_size,
                stride,
                padding,
                dilation: pair(|axis| axis.dilation),
                ceil_mode,
                input_zero_point: zero_point,
                output_zero_point: zero_point,
                activation_min,
                activation_max,
                out,
            }),
        }
    }

    fn binary(&mut self, kind: OperatorKind) -> Operator<LoweredDomain> {
        let dtype = if kind == OperatorKind::QuantizedDiv && self.choices.once_in(3) {
            DType::I16
        } else {
            DType::I8
        };
        let shape = self.shape(0, 6);
        let order = self.order(shape.len());
        // Either operand may lack leading axes and have extent 1 anywhere.
        let mut operand = || {
            let lacking =
                if self.choices.once_in(4) { self.choices.index(shape.len() + 1) } else { 0 };
            let mut own = shape[lacking..].to_vec();
            if self.choices.once_in(2) {
                for extent in &mut own {
                    if self.choices.once_in(3) {
                        *extent = 1;
                    }
                }
            }
            let order: Vec<u8> =
                order.iter().filter_map(|axis| axis.checked_sub(lacking as u8)).collect();
            self.operand(dtype, &own, &order)
        };
        let (lhs, rhs) = (operand(), operand());
        let out_shape: Vec<u32> = (0..shape.len())
            .map(|axis| {
                let of = |tensor: &LoweredTensor| {
                    (axis + tensor.rank()).checked_sub(shape.len()).map_or(1, |at| tensor.dim(at))
                };
                of(&lhs).max(of(&rhs))
            })
            .collect();
        let rank = lhs.rank().max(rhs.rank());
        let skipped = out_shape.len() - rank;
        let out_shape = &out_shape[skipped..];
        let order: Vec<u8> =
            order.iter().filter_map(|axis| axis.checked_sub(skipped as u8)).collect();
        let zero_points: [i32; 3] = std::array::from_fn(|_| self.choices.between(-128, 127));
        let [lhs_zero_point, rhs_zero_point] = [zero_points[0], zero_points[1]].map(ZeroPoint);
        let output_zero_point = OutputOffset(zero_points[2]);
        let (activation_min, activation_max) = self.activation();
        let multipliers: [i32; 3] = std::array::from_fn(|_| self.multiplier());
        let shifts: [i32; 3] = std::array::from_fn(|_| self.shift());
        let sign = if self.choices.once_in(4) { -1 } else { 1 };
        let scale = f64::from(self.choices.between(1, 4000)) / 64.0;
        let out = self.out(dtype, out_shape, &order);
        match kind {
            OperatorKind::QuantizedAdd => Operator::QuantizedAdd(ops::QuantizedAdd {
                lhs,
                lhs_zero_point,
                lhs_multiplier: multipliers[0],
                lhs_shift: shifts[0].max(-4),
                rhs,
                rhs_zero_point,
                rhs_multiplier: sign * multipliers[1],
                rhs_shift: shifts[1].max(-4),
                output_zero_point,
                output_multiplier: multipliers[2],
                output_shift: shifts[2] - 12,
                activation_min,
                activation_max,
                out,
            }),
            OperatorKind::QuantizedMul => Operator::QuantizedMul(ops::QuantizedMul {
                lhs,
                lhs_zero_point,
                rhs,
                rhs_zero_point,
                output_zero_point,
                output_multiplier: multipliers[0],
                output_shift: shifts[0],
                out,
            }),
            OperatorKind::QuantizedDiv => Operator::QuantizedDiv(ops::QuantizedDiv {
                lhs,
                lhs_zero_point,
                rhs,
                rhs_zero_point,
                output_zero_point,
                output_scale: f64::from(sign) * scale,
                out,
            }),
            OperatorKind::Minimum => Operator::Minimum(ops::Minimum { lhs, rhs, out }),
            _ => Operator::Maximum(ops::Maximum { lhs, rhs, out }),
        }
    }

    fn softmax(&mut self, kind: OperatorKind) -> Operator<LoweredDomain> {
        let shape = self.shape(1, 4);
        let order = self.order(shape.len());
        let dim = i64::from(self.choices.between(-(shape.len() as i32), shape.len() as i32 - 1));
        let input = self.operand(DType::I8, &shape, &order);
        let (input_multiplier, input_shift) = (self.multiplier(), self.choices.between(0, 26));
        let diff_min = -self.choices.between(0, 255).min((1i32 << 30 >> input_shift).max(1));
        let (output_multiplier, output_shift) = (self.multiplier(), self.choices.between(-31, 12));
        let zero_point = self.choices.between(-128, 127);
        let out = self.out(DType::I8, &shape, &order);
        if kind == OperatorKind::Softmax {
            return Operator::Softmax(ops::Softmax {
                input,
                dim,
                input_zero_point: i64::from(zero_point),
                output_zero_point: -128,
                input_multiplier,
                input_shift,
                diff_min,
                out,
            });
        }
        Operator::RescaledSoftmax(ops::RescaledSoftmax {
            input,
            dim,
            input_multiplier,
            input_shift,
            diff_min,
            output_offset: OutputOffset(zero_point),
            output_multiplier,
            output_shift,
            out,
        })
    }

    fn other(&mut self, kind: OperatorKind) -> Operator<LoweredDomain> {
        let dtype = match kind {
            OperatorKind::Transpose | OperatorKind::Pad | OperatorKind::QuantizedActivation => {
                DType::I8
            }
            OperatorKind::QuantizePerTensor => DType::F32,
            OperatorKind::DequantizePerTensor => {
                self.choices.pick(&[DType::I8, DType::I16, DType::U8])
            }
            OperatorKind::LogicalNot => DType::Bool,
            _ => self.choices.pick(&[
                DType::I8,
                DType::I8,
                DType::I16,
                DType::I32,
                DType::F32,
                DType::I64,
            ]),
        };
        let shape = self.shape(if kind == OperatorKind::Pad { 1 } else { 0 }, 5);
        let order = self.order(shape.len());
        let (rank, signed) = (shape.len(), |choices: &mut Choices<'_>, rank: usize| {
            i64::from(choices.between(-(rank as i32), rank as i32 - 1))
        });
        let input = self.operand(dtype, &shape, &order);
        match kind {
            OperatorKind::QuantizedActivation => {
                let table = self.choices.bytes(256);
                let lut = self.constant(DType::I8, &[256], &[0], table);
                let out = self.out(DType::I8, &shape, &order);
                Operator::QuantizedActivation(ops::QuantizedActivation { input, lut, out })
            }
            OperatorKind::QuantizePerTensor => {
                let result = self.choices.pick(&[DType::I8, DType::I16, DType::U8]);
                let (min, max) = result.quantized_range().unwrap_or((0, 0));
                let out = self.out(result, &shape, &order);
                Operator::QuantizePerTensor(ops::QuantizePerTensor {
                    input,
                    scale: f64::from(self.choices.between(1, 1000)) / 512.0,
                    zero_point: ZeroPoint(self.choices.between(min, max)),
                    quant_min: min,
                    quant_max: max,
                    dtype: result,
                    out,
                })
            }
            OperatorKind::DequantizePerTensor => {
                let (min, max) = dtype.quantized_range().unwrap_or((0, 0));
                let out = self.out(DType::F32, &shape, &order);
                Operator::DequantizePerTensor(ops::DequantizePerTensor {
                    input,
                    scale: f64::from(self.choices.between(1, 1000)) / 512.0,
                    zero_point: ZeroPoint(self.choices.between(min, max)),
                    quant_min: min,
                    quant_max: max,
                    dtype,
                    out,
                })
            }
            OperatorKind::LogicalNot => {
                let out = self.out(dtype, &shape, &order);
                Operator::LogicalNot(ops::LogicalNot { input, out })
            }
            OperatorKind::CloneDimOrder => {
                let order = self.order(rank);
                let dim_order = Some(Ints(order.iter().map(|axis| i64::from(*axis)).collect()));
                let out = self.out(dtype, &shape, &order);
                Operator::CloneDimOrder(ops::CloneDimOrder {
                    input,
                    non_blocking: false,
                    dim_order,
                    out,
                })
            }
            OperatorKind::Pad | OperatorKind::ConstantPadNd => self.pad(kind, input),
            OperatorKind::Transpose | OperatorKind::PermuteCopy => {
                let dims = self.order(rank);
                let shape: Vec<u32> = dims.iter().map(|axis| shape[usize::from(*axis)]).collect();
                let order = self.order(rank);
                let out = self.out(dtype, &shape, &order);
                let dims = Ints(dims.iter().map(|axis| i64::from(*axis)).collect());
                match kind {
                    OperatorKind::Transpose => {
                        Operator::Transpose(ops::Transpose { input, perm: dims, out })
                    }
                    _ => Operator::PermuteCopy(ops::PermuteCopy { input, dims, out }),
                }
            }
            OperatorKind::SliceCopy => {
                let dim = signed(self.choices, rank.max(1));
                let at = if dim < 0 { dim + rank as i64 } else { dim } as usize;
                let extent = shape.get(at).copied().unwrap_or(1) as i32;
                let start = self.choices.between(0, (extent - 1).max(0));
                let end = self.choices.between(start, extent);
                let step = self.choices.between(1, 3);
                let mut shape = shape.clone();
                if let Some(slot) = shape.get_mut(at) {
                    *slot = ((end - start) as u32).div_ceil(step as u32);
                }
                let order = self.order(rank);
                let out = self.out(dtype, &shape, &order);
                Operator::SliceCopy(ops::SliceCopy {
                    input,
                    dim,
                    start: Some(i64::from(start)),
                    end: Some(i64::from(end)),
                    step: i64::from(step),
                    out,
                })
            }
            OperatorKind::SelectCopy => {
                let dim = signed(self.choices, rank.max(1));
                let at = if dim < 0 { dim + rank as i64 } else { dim } as usize;
                let mut kept = shape.clone();
                let extent = if at < rank { kept.remove(at) } else { 1 };
                let index = signed(self.choices, (extent as usize).max(1));
                let order = self.order(kept.len());
                let out = self.out(dtype, &kept, &order);
                Operator::SelectCopy(ops::SelectCopy { input, dim, index, out })
            }
            OperatorKind::ExpandCopy => self.expand(dtype),
            OperatorKind::SqueezeCopy => {
                let mut narrow = shape.clone();
                let mut dims = Vec::new();
                for (axis, extent) in narrow.iter_mut().enumerate() {
                    if self.choices.once_in(2) {
                        *extent = 1;
                        dims.push(axis as i64);
                    }
                }
                let input = self.operand(dtype, &narrow, &order);
                let kept: Vec<u32> = narrow
                    .iter()
                    .enumerate()
                    .filter(|(axis, _)| !dims.contains(&(*axis as i64)))
                    .map(|(_, extent)| *extent)
                    .collect();
                let out_order = self.order(kept.len());
                let out = self.out(dtype, &kept, &out_order);
                Operator::SqueezeCopy(ops::SqueezeCopy { input, dim: Ints(dims), out })
            }
            OperatorKind::UnsqueezeCopy => {
                let dim = signed(self.choices, rank + 1);
                let at = if dim < 0 { dim + rank as i64 + 1 } else { dim } as usize;
                let mut wide = shape.clone();
                wide.insert(at, 1);
                let order = self.order(wide.len());
                let out = self.out(dtype, &wide, &order);
                Operator::UnsqueezeCopy(ops::UnsqueezeCopy { input, dim, out })
            }
            _ => self.join_or_split(kind, input, dtype, &order),
        }
    }

    fn pad(&mut self, kind: OperatorKind, input: LoweredTensor) -> Operator<LoweredDomain> {
        let rank = input.rank();
        let mut counts =
            || -> Vec<u32> { (0..rank).map(|_| self.choices.between(0, 2) as u32).collect() };
        // By axis in logical order.
        let (pre, post) = (counts(), counts());
        let shape: Vec<u32> =
            (0..rank).map(|axis| input.dim(axis) + pre[axis] + post[axis]).collect();
        if kind == OperatorKind::ConstantPadNd {
            let pad = (0..rank).rev().flat_map(|axis| [pre[axis], post[axis]]).map(i64::from);
            let pad = Ints(pad.collect());
            let value = f64::from(self.choices.between(-128, 127));
            let out = self.out(input.dtype, &shape, &input.dim_order.clone());
            return Operator::ConstantPadNd(ops::ConstantPadNd { input, pad, value, out });
        }
        // By memory axis, right aligned in a list of the frame's axes. Images of four axes count as NHWC.
        let axes = ops::pad::MAX_AXES;
        let order: Vec<u8> = input.dim_order.clone();
        let by_memory = |counts: &[u32]| {
            let counts = order.iter().map(|axis| i64::from(counts[usize::from(*axis)]));
            let missing = std::iter::repeat_n(0, axes.saturating_sub(rank));
            Ints(missing.chain(counts).collect())
        };
        let (pre_pad, post_pad) = (by_memory(&pre), by_memory(&post));
        let pad_value = self.choices.between(-128, 127);
        let out = self.out(input.dtype, &shape, &order);
        Operator::Pad(ops::Pad { input, pre_pad, post_pad, pad_value, out })
    }

    fn expand(&mut self, dtype: DType) -> Operator<LoweredDomain> {
        let shape = self.shape(0, 4);
        let narrow: Vec<u32> =
            shape.iter().map(|extent| if self.choices.once_in(2) { 1 } else { *extent }).collect();
        let lacking = self.choices.index(shape.len() + 1);
        let narrow = &narrow[lacking..];
        let shape: Vec<u32> = shape.iter().map(|extent| (*extent).min(12)).collect();
        let narrow: Vec<u32> = narrow.iter().map(|extent| (*extent).min(12)).collect();
        let order = self.order(narrow.len());
        let input = self.operand(dtype, &narrow, &order);
        let out_order = self.order(shape.len());
        let out = self.out(dtype, &shape, &out_order);
        let size = Ints(shape.iter().map(|extent| i64::from(*extent)).collect());
        Operator::ExpandCopy(ops::ExpandCopy { input, size, implicit: false, out })
    }

    fn join_or_split(
        &mut self,
        kind: OperatorKind,
        input: LoweredTensor,
        dtype: DType,
        order: &[u8],
    ) -> Operator<LoweredDomain> {
        let rank = input.rank();
        let at = self.choices.index(rank.max(1));
        let dim = at as i64 - if self.choices.once_in(2) { rank as i64 } else { 0 };
        let with = |extent: u32| {
            let mut shape = input.shape.clone();
            if let Some(slot) = shape.get_mut(at) {
                *slot = extent;
            }
            shape
        };
        if kind == OperatorKind::Cat {
            let count = self.choices.between(0, 3);
            let extents: Vec<u32> = (0..count).map(|_| self.choices.between(0, 9) as u32).collect();
            let sum = extents.iter().sum::<u32>() + input.shape.get(at).copied().unwrap_or(1);
            let (shapes, out_shape) =
                (extents.iter().map(|extent| with(*extent)).collect::<Vec<_>>(), with(sum));
            let mut tensors = vec![input];
            tensors.extend(shapes.iter().map(|shape| self.operand(dtype, shape, order)));
            let out = self.out(dtype, &out_shape, order);
            return Operator::Cat(ops::Cat { tensors: Tensors(tensors), dim, out });
        }
        let mut left = input.shape.get(at).copied().unwrap_or(1);
        let mut sizes = Vec::new();
        while left > 0 && sizes.len() < 7 {
            let size = self.choices.between(0, left as i32) as u32;
            sizes.push(size);
            left -= size;
        }
        sizes.push(left);
        let shapes: Vec<Vec<u32>> = sizes.iter().map(|size| with(*size)).collect();
        let parts = shapes.iter().map(|shape| self.out(dtype, shape, order)).collect();
        Operator::SplitWithSizesCopy(ops::SplitWithSizesCopy {
            input,
            split_sizes: Ints(sizes.iter().map(|size| i64::from(*size)).collect()),
            dim,
            out: Tensors(parts),
        })
    }
}

/// Extents along one axis.
#[derive(Clone, Copy)]
struct Window {
    input: u32,
    out: u32,
    kernel: u32,
    stride: u32,
    padding: u32,
    dilation: u32,
    added: u32,
}

fn row_major(shape: &[u32]) -> Vec<u8> {
    (0..shape.len() as u8).collect()
}
