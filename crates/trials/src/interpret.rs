//! A program's answer by the contract alone.
//!
//! Calls are executed one after the other by the contract's `reference` functions, each buffer in memory of its own. Nothing of
//! the kernels, of the memory plan or of the loader takes part, so that agreement with them says something. Operators that compute
//! in float have no reference: a program with one of them has no answer here.

use cortado_compiler::lowered::{BufferId, BufferKind, Lowered, LoweredDomain, LoweredTensor};
use cortado_compiler::plan::operands_and_results;
use cortado_contract::DType;
use cortado_contract::broadcast::Broadcast;
use cortado_contract::ops::quantized_add;
use cortado_contract::ops::quantized_batch_matmul::BatchMatmulParams;
use cortado_contract::ops::quantized_conv2d::{
    BiasS16, ConvArguments, ConvParams, ConvParamsS16, ConvShape,
};
use cortado_contract::ops::quantized_linear::{
    LinearConstants, LinearParams, LinearParamsS16, LinearShape, Rescale,
};
use cortado_contract::ops::softmax::{SoftmaxResult, SoftmaxRows, SoftmaxScale};
use cortado_contract::ops::{self, Operator, OperatorKind, Rules};
use cortado_contract::quant::{Activation, inverse_scale};
use cortado_contract::strided::{self, Gather, strides};
use cortado_contract::value::{IntList, TensorMeta, Violation};

/// Why a program has no answer here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The contract defines no bits for the operator, which computes in float.
    Float(OperatorKind),
    /// A call breaks its operator's rules.
    Rule(OperatorKind, Violation),
    /// A call, or the caller, reads what nothing has written.
    Unwritten,
    /// An input has another size.
    InputSize,
}

/// The bytes of every output in memory order, from those of every input in memory order.
///
/// # Errors
/// See [`NoAnswer`].
pub fn interpret(program: &Lowered, inputs: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, NoAnswer> {
    let mut run = Run { program, bytes: vec![None; program.buffers.len()] };
    for (id, bytes) in program.inputs.iter().zip(inputs) {
        if program.buffer(*id).size_bytes() != bytes.len() as u64 {
            return Err(NoAnswer::InputSize);
        }
        run.bytes[program.storage(*id).0] = Some(bytes.clone());
    }
    for call in &program.calls {
        let kind = call.operator.kind();
        call.operator.check().map_err(|violation| NoAnswer::Rule(kind, violation))?;
        run.call(&call.operator)?;
    }
    program.outputs.iter().map(|id| run.read(*id)).collect()
}

/// About how many steps the reference takes for a program: what bounds a trial on programs that nobody chose.
pub fn steps(program: &Lowered) -> u64 {
    let calls = program.calls.iter().map(|call| call_steps(program, &call.operator));
    calls.fold(0, u64::saturating_add)
}

fn call_steps(program: &Lowered, operator: &Operator<LoweredDomain>) -> u64 {
    let count = |tensor: &LoweredTensor| u64::from(tensor.element_count().unwrap_or(u32::MAX));
    let area = |list: &dyn Fn(usize) -> Option<i64>| {
        let item = |index| list(index).map_or(1, |item| item.unsigned_abs().max(1));
        item(0).saturating_mul(item(1))
    };
    let operands = operands_and_results(operator).into_iter().map(|(id, _)| program.tensor(id));
    let tensors = operands.map(|tensor| count(&tensor)).fold(0, u64::saturating_add);
    let windows = match operator {
        Operator::QuantizedAvgPool2d(pool) => {
            count(&pool.out).saturating_mul(area(&|index| pool.kernel_size.get(index)))
        }
        Operator::QuantizedMaxPool2d(pool) => {
            count(&pool.out).saturating_mul(area(&|index| pool.kernel_size.get(index)))
        }
        Operator::QuantizedTransposeConv2d(conv) => {
            let weights = u64::from(conv.weight.dim(1)) * u64::from(conv.weight.dim(2));
            count(&conv.out).saturating_mul(weights)
        }
        _ => 0,
    };
    operator.multiply_accumulates().saturating_add(tensors).saturating_add(windows)
}

/// A program that is being executed.
struct Run<'p> {
    program: &'p Lowered,
    /// What each storage that is no constant holds; `None` before it is written.
    bytes: Vec<Option<Vec<u8>>>,
}

impl Run<'_> {
    fn read(&self, id: BufferId) -> Result<Vec<u8>, NoAnswer> {
        let size = self.program.buffer(id).size_bytes() as usize;
        let storage = self.program.storage(id);
        let bytes = match &self.program.buffer(storage).kind {
            BufferKind::Constant(data) => data.get(..size),
            _ => self.bytes[storage.0].as_ref().and_then(|bytes| bytes.get(..size)),
        };
        // What has no elements holds nothing that could be missing.
        if size == 0 {
            Ok(Vec::new())
        } else {
            bytes.map(<[u8]>::to_vec).ok_or(NoAnswer::Unwritten)
        }
    }

    fn write(&mut self, tensor: &LoweredTensor, bytes: Vec<u8>) {
        self.bytes[self.program.storage(tensor.id).0] = Some(bytes);
    }

    fn int8(&self, tensor: &LoweredTensor) -> Result<Vec<i8>, NoAnswer> {
        Ok(self.read(tensor.id)?.into_iter().map(|byte| byte as i8).collect())
    }

    fn int16(&self, tensor: &LoweredTensor) -> Result<Vec<i16>, NoAnswer> {
        let bytes = self.read(tensor.id)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect())
    }

    fn int32(&self, tensor: &LoweredTensor) -> Result<Vec<i32>, NoAnswer> {
        let bytes = self.read(tensor.id)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
    }

    fn int64(&self, tensor: &LoweredTensor) -> Result<Vec<i64>, NoAnswer> {
        let bytes = self.read(tensor.id)?;
        Ok(bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
    }

    fn optional_int32(&self, tensor: Option<&LoweredTensor>) -> Result<Option<Vec<i32>>, NoAnswer> {
        tensor.map(|tensor| self.int32(tensor)).transpose()
    }

    /// Computes an `int8` result.
    fn compute(
        &mut self,
        out: &LoweredTensor,
        compute: impl FnOnce(&mut [i8]),
    ) -> Result<(), NoAnswer> {
        let mut result = vec![0; elements(out)];
        compute(&mut result);
        self.write(out, result.into_iter().map(|value| value as u8).collect());
        Ok(())
    }

    /// Computes an `int16` result.
    fn compute_int16(
        &mut self,
        out: &LoweredTensor,
        compute: impl FnOnce(&mut [i16]),
    ) -> Result<(), NoAnswer> {
        let mut result = vec![0; elements(out)];
        compute(&mut result);
        self.write(out, result.into_iter().flat_map(i16::to_le_bytes).collect());
        Ok(())
    }

    fn call(&mut self, operator: &Operator<LoweredDomain>) -> Result<(), NoAnswer> {
        match operator {
            Operator::QuantizePerTensor(call) => {
                let input = self.read(call.input.id)?;
                let input: Vec<f32> =
                    input.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                let mut out = vec![0; input.len()];
                let range = Activation { min: call.quant_min, max: call.quant_max };
                let inverse = inverse_scale(call.scale);
                ops::quantize_per_tensor::reference(
                    &input,
                    inverse,
                    call.zero_point,
                    range,
                    &mut out,
                );
                let size = call.dtype.size_bytes() as usize;
                let bytes = out.iter().flat_map(|value| value.to_le_bytes()[..size].to_vec());
                self.write(&call.out, bytes.collect());
                Ok(())
            }
            Operator::DequantizePerTensor(call) => {
                let input: Vec<i32> = match call.dtype {
                    DType::I8 => self.int8(&call.input)?.into_iter().map(i32::from).collect(),
                    DType::I16 => self.int16(&call.input)?.into_iter().map(i32::from).collect(),
                    _ => self.read(call.input.id)?.into_iter().map(i32::from).collect(),
                };
                let mut out = vec![0.0; input.len()];
                let scale = call.scale as f32;
                ops::dequantize_per_tensor::reference(&input, scale, call.zero_point, &mut out);
                self.write(&call.out, out.into_iter().flat_map(f32::to_le_bytes).collect());
                Ok(())
            }
            Operator::QuantizedLinear(call) => {
                let factor = call.requantize().ok_or(NoAnswer::Unwritten)?;
                self.linear(
                    [&call.input, &call.weights, &call.out],
                    [call.bias.as_ref(), call.kernel_sum.as_ref()],
                    LinearParams {
                        input_offset: call.input_offset,
                        filter_offset: call.filter_offset,
                        output_offset: call.output_offset,
                        constants: LinearConstants::Bias(None),
                        rescale: Rescale::PerTensor(factor),
                        activation: Activation {
                            min: call.activation_min,
                            max: call.activation_max,
                        },
                    },
                )
            }
            Operator::QuantizedLinearPerChannel(call) => {
                let multipliers = self.int32(&call.requantize_multipliers)?;
                let shifts = self.int32(&call.requantize_shifts)?;
                self.linear(
                    [&call.input, &call.weights, &call.out],
                    [call.bias.as_ref(), call.kernel_sum.as_ref()],
                    LinearParams {
                        input_offset: call.input_offset,
                        filter_offset: call.filter_offset,
                        output_offset: call.output_offset,
                        constants: LinearConstants::Bias(None),
                        rescale: Rescale::PerChannel { multipliers: &multipliers, shifts: &shifts },
                        activation: Activation {
                            min: call.activation_min,
                            max: call.activation_max,
                        },
                    },
                )
            }
            Operator::QuantizedConv2d(call) => {
                self.convolve(&call.common(), call.shape(), ops::quantized_conv2d::reference)
            }
            Operator::QuantizedDepthwiseConv2d(call) => self.convolve(
                &call.common(),
                call.shape(),
                ops::quantized_depthwise_conv2d::reference,
            ),
            Operator::QuantizedTransposeConv2d(call) => self.convolve(
                &call.common(),
                call.shape(),
                ops::quantized_transpose_conv2d::reference,
            ),
            Operator::QuantizedBatchMatmul(call) => {
                let (lhs, rhs) = (self.int8(&call.lhs)?, self.int8(&call.rhs_transposed)?);
                let params = BatchMatmulParams {
                    lhs_offset: call.lhs_zero_point,
                    rhs_offset: call.rhs_zero_point,
                    output_offset: call.output_zero_point,
                    requantize: call.requantize(),
                    activation: Activation::INT8,
                };
                let shape = call.shape();
                self.compute(&call.out, |out| {
                    ops::quantized_batch_matmul::reference(&shape, &params, &lhs, &rhs, out);
                })
            }
            Operator::QuantizedAvgPool2d(call) => {
                let (input, pool) = (self.int8(&call.input)?, rule(operator, call.pool())?);
                self.compute(&call.out, |out| {
                    ops::quantized_avg_pool2d::reference(&pool, Activation::INT8, &input, out);
                })
            }
            Operator::QuantizedMaxPool2d(call) => {
                let (input, pool) = (self.int8(&call.input)?, rule(operator, call.pool())?);
                let range = Activation { min: call.activation_min, max: call.activation_max };
                self.compute(&call.out, |out| {
                    ops::quantized_max_pool2d::reference(&pool, range, &input, out);
                })
            }
            Operator::QuantizedActivation(call) => {
                let (input, table) = (self.int8(&call.input)?, self.int8(&call.lut)?);
                let table = table.first_chunk().copied().ok_or(NoAnswer::Unwritten)?;
                self.compute(&call.out, |out| {
                    ops::quantized_activation::reference(&table, &input, out);
                })
            }
            Operator::Softmax(call) => self.softmax(
                [&call.input, &call.out],
                call.rows(),
                call.scale(),
                SoftmaxResult::Standard,
            ),
            Operator::RescaledSoftmax(call) => {
                self.softmax([&call.input, &call.out], call.rows(), call.scale(), call.result())
            }
            Operator::QuantizedAdd(call) => {
                let params = call.params();
                self.binary(
                    operator,
                    [&call.lhs, &call.rhs, &call.out],
                    call.broadcast(),
                    |broadcast, lhs, rhs, out| {
                        quantized_add::reference(broadcast, &params, lhs, rhs, out);
                    },
                )
            }
            Operator::QuantizedMul(call) => {
                let params = call.params();
                self.binary(
                    operator,
                    [&call.lhs, &call.rhs, &call.out],
                    call.broadcast(),
                    |broadcast, lhs, rhs, out| {
                        ops::quantized_mul::reference(broadcast, &params, lhs, rhs, out);
                    },
                )
            }
            Operator::QuantizedDiv(call) if call.out.dtype == DType::I16 => {
                let (lhs, rhs) = (self.int16(&call.lhs)?, self.int16(&call.rhs)?);
                let broadcast = rule(operator, call.broadcast())?;
                let params = call.params();
                self.compute_int16(&call.out, |out| {
                    ops::quantized_div::reference_s16(&broadcast, &params, &lhs, &rhs, out);
                })
            }
            Operator::QuantizedDiv(call) => {
                let params = call.params();
                self.binary(
                    operator,
                    [&call.lhs, &call.rhs, &call.out],
                    call.broadcast(),
                    |broadcast, lhs, rhs, out| {
                        ops::quantized_div::reference(broadcast, &params, lhs, rhs, out);
                    },
                )
            }
            Operator::Minimum(call) => self.binary(
                operator,
                [&call.lhs, &call.rhs, &call.out],
                call.broadcast(),
                ops::minimum::reference,
            ),
            Operator::Maximum(call) => self.binary(
                operator,
                [&call.lhs, &call.rhs, &call.out],
                call.broadcast(),
                ops::maximum::reference,
            ),
            Operator::Pad(call) => {
                let (input, frame) = (self.read(call.input.id)?, rule(operator, call.frame())?);
                let value = [call.pad_value as u8];
                let mut out = vec![0; size_bytes(&call.out)];
                ops::pad::reference(&frame, &value, &input, &mut out);
                self.write(&call.out, out);
                Ok(())
            }
            Operator::ConstantPadNd(call) => {
                let (input, frame) = (self.read(call.input.id)?, rule(operator, call.frame())?);
                let pattern = call.pattern().ok_or(NoAnswer::Unwritten)?;
                let mut out = vec![0; size_bytes(&call.out)];
                ops::pad::reference(&frame, pattern.bytes(), &input, &mut out);
                self.write(&call.out, out);
                Ok(())
            }
            Operator::Transpose(call) => self.gather(&call.input, &call.out, &call.gather()),
            Operator::PermuteCopy(call) => self.gather(&call.input, &call.out, &call.gather()),
            Operator::SliceCopy(call) => self.gather(&call.input, &call.out, &call.gather()),
            Operator::SelectCopy(call) => self.gather(&call.input, &call.out, &call.gather()),
            Operator::ExpandCopy(call) => self.gather(&call.input, &call.out, &call.gather()),
            Operator::CloneDimOrder(call) => self.gather(&call.input, &call.out, &call.gather()),
            Operator::SqueezeCopy(call) => self.gather(&call.input, &call.out, &call.gather()),
            Operator::UnsqueezeCopy(call) => self.gather(&call.input, &call.out, &call.gather()),
            Operator::Cat(call) => {
                let rounds = call.rounds() as usize;
                let parts: Result<Vec<Vec<u8>>, NoAnswer> =
                    call.tensors.0.iter().map(|tensor| self.read(tensor.id)).collect();
                let parts = parts?;
                let chunks: Vec<(&[u8], usize)> =
                    parts.iter().map(|part| (&part[..], part.len() / rounds.max(1))).collect();
                let mut out = vec![0; size_bytes(&call.out)];
                ops::cat::reference(rounds, &chunks, &mut out);
                self.write(&call.out, out);
                Ok(())
            }
            Operator::SplitWithSizesCopy(call) => {
                let input = self.read(call.input.id)?;
                let rounds = (call.rounds() as usize).max(1);
                let round_bytes = input.len() / rounds;
                let mut start = 0;
                for part in &call.out.0 {
                    let chunk = size_bytes(part) / rounds;
                    let rows = (0..rounds).map(|round| round * round_bytes + start);
                    let bytes = rows.flat_map(|from| input[from..from + chunk].to_vec()).collect();
                    self.write(part, bytes);
                    start += chunk;
                }
                Ok(())
            }
            Operator::QuantizedLinearInt16(call) => self.linear_int16(call),
            Operator::QuantizedConv2dInt16(call) => self.convolve_int16(
                &call.common(),
                call.shape(),
                ops::quantized_conv2d::reference_s16,
            ),
            Operator::QuantizedDepthwiseConv2dInt16(call) => self.convolve_int16(
                &call.common(),
                call.shape(),
                ops::quantized_depthwise_conv2d::reference_s16,
            ),
            Operator::LogicalNot(call) => {
                let input = self.read(call.input.id)?;
                self.write(&call.out, input.iter().map(|byte| u8::from(*byte == 0)).collect());
                Ok(())
            }
            other => Err(NoAnswer::Float(other.kind())),
        }
    }

    fn linear(
        &mut self,
        [input, weights, out]: [&LoweredTensor; 3],
        [bias, kernel_sum]: [Option<&LoweredTensor>; 2],
        params: LinearParams<'_>,
    ) -> Result<(), NoAnswer> {
        let shape = LinearShape {
            rows: (0..input.rank() - 1).map(|axis| input.dim(axis) as usize).product(),
            in_features: input.last_dim() as usize,
            out_features: out.last_dim() as usize,
        };
        let (bias, kernel_sum) = (self.optional_int32(bias)?, self.optional_int32(kernel_sum)?);
        let constants = match &kernel_sum {
            Some(sums) => LinearConstants::KernelSum(sums),
            None => LinearConstants::Bias(bias.as_deref()),
        };
        let params = LinearParams { constants, ..params };
        let (input, weights) = (self.int8(input)?, self.int8(weights)?);
        self.compute(out, |out| {
            ops::quantized_linear::reference(shape, &params, &input, &weights, out);
        })
    }

    fn convolve(
        &mut self,
        call: &ConvArguments<'_, LoweredDomain>,
        shape: Option<ConvShape>,
        reference: fn(&ConvShape, &ConvParams<'_>, &[i8], &[i8], &mut [i8]),
    ) -> Result<(), NoAnswer> {
        let shape = shape.ok_or(NoAnswer::Unwritten)?;
        let multipliers = self.int32(call.requantize_multipliers)?;
        let shifts = self.int32(call.requantize_shifts)?;
        let bias = self.optional_int32(call.bias)?;
        let params = ConvParams {
            input_offset: call.input_offset,
            output_offset: call.output_offset,
            bias: bias.as_deref(),
            rescale: Rescale::PerChannel { multipliers: &multipliers, shifts: &shifts },
            activation: call.activation,
        };
        let (input, weights) = (self.int8(call.input)?, self.int8(call.weight)?);
        self.compute(call.out, |out| reference(&shape, &params, &input, &weights, out))
    }

    fn linear_int16(
        &mut self,
        call: &ops::QuantizedLinearInt16<LoweredDomain>,
    ) -> Result<(), NoAnswer> {
        let shape = LinearShape {
            rows: (0..call.input.rank() - 1).map(|axis| call.input.dim(axis) as usize).product(),
            in_features: call.input.last_dim() as usize,
            out_features: call.out.last_dim() as usize,
        };
        let bias = call.bias.as_ref().map(|bias| self.int64(bias)).transpose()?;
        let multipliers = self.int32(&call.requantize_multipliers)?;
        let shifts = self.int32(&call.requantize_shifts)?;
        let params = LinearParamsS16 {
            bias: bias.as_deref(),
            rescale: Rescale::PerChannel { multipliers: &multipliers, shifts: &shifts },
            activation: Activation { min: call.activation_min, max: call.activation_max },
        };
        let (input, weights) = (self.int16(&call.input)?, self.int8(&call.weights)?);
        self.compute_int16(&call.out, |out| {
            ops::quantized_linear::reference_s16(shape, &params, &input, &weights, out);
        })
    }

    fn convolve_int16(
        &mut self,
        call: &ConvArguments<'_, LoweredDomain>,
        shape: Option<ConvShape>,
        reference: fn(&ConvShape, &ConvParamsS16<'_>, &[i16], &[i8], &mut [i16]),
    ) -> Result<(), NoAnswer> {
        let shape = shape.ok_or(NoAnswer::Unwritten)?;
        let multipliers = self.int32(call.requantize_multipliers)?;
        let shifts = self.int32(call.requantize_shifts)?;
        let bias = call.bias.map(|bias| self.int64(bias)).transpose()?;
        let params = ConvParamsS16 {
            bias: BiasS16::Wide(bias.as_deref()),
            rescale: Rescale::PerChannel { multipliers: &multipliers, shifts: &shifts },
            activation: call.activation,
        };
        let (input, weights) = (self.int16(call.input)?, self.int8(call.weight)?);
        self.compute_int16(call.out, |out| reference(&shape, &params, &input, &weights, out))
    }

    fn softmax(
        &mut self,
        [input, out]: [&LoweredTensor; 2],
        rows: Option<SoftmaxRows>,
        scale: SoftmaxScale,
        result: SoftmaxResult,
    ) -> Result<(), NoAnswer> {
        let (input, rows) = (self.int8(input)?, rows.ok_or(NoAnswer::Unwritten)?);
        self.compute(out, |out| ops::softmax::reference(rows, &scale, result, &input, out))
    }

    fn binary(
        &mut self,
        operator: &Operator<LoweredDomain>,
        [lhs, rhs, out]: [&LoweredTensor; 3],
        broadcast: Result<Broadcast, Violation>,
        reference: impl FnOnce(&Broadcast, &[i8], &[i8], &mut [i8]),
    ) -> Result<(), NoAnswer> {
        let broadcast = rule(operator, broadcast)?;
        let (lhs, rhs) = (self.int8(lhs)?, self.int8(rhs)?);
        self.compute(out, |out| reference(&broadcast, &lhs, &rhs, out))
    }

    fn gather(
        &mut self,
        input: &LoweredTensor,
        out: &LoweredTensor,
        gather: &Gather,
    ) -> Result<(), NoAnswer> {
        let bytes = self.read(input.id)?;
        let mut result = vec![0; size_bytes(out)];
        let element_bytes = out.dtype.size_bytes() as usize;
        strided::reference(&out.shape, gather, &strides(out), element_bytes, &bytes, &mut result);
        self.write(out, result);
        Ok(())
    }
}

fn rule<T>(
    operator: &Operator<LoweredDomain>,
    result: Result<T, Violation>,
) -> Result<T, NoAnswer> {
    result.map_err(|violation| NoAnswer::Rule(operator.kind(), violation))
}

fn elements(tensor: &LoweredTensor) -> usize {
    tensor.element_count().unwrap_or(0) as usize
}

fn size_bytes(tensor: &LoweredTensor) -> usize {
    elements(tensor) * tensor.dtype.size_bytes() as usize
}
