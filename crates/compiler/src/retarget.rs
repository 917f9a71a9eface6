//! Retargeting: the calls of one instruction set as those of another.
//!
//! Two things of a lowered program depend on the instruction set: the form of linear layers' constant terms, and the sizes of
//! scratch buffers. Both are data, and so is all that is needed to convert them:
//!
//! ```text
//! bias[o] = kernel_sum[o] − input_offset · Σ_i (weights[o,i] + filter_offset)        wrapping in 32 bits
//! ```
//!
//! Besides, ExecuTorch's kernels for joining and transposing take memory as if its axes were in logical order, whatever the file says
//! of them, on every instruction set. Such calls are told of memory order instead, which is the same for all who look at it.
//!
//! A bias of zeros and none are the same layer. Where none is needed none is written, here as in the lowering, because a kernel sum
//! does not tell which of both it was made from.

use crate::lowered::{
    Buffer, BufferId, BufferKind, Ints, Lowered, LoweredDomain, LoweredTensor, Tensors,
};
use cortado_contract::ops::quantized_linear::kernel_sums;
use cortado_contract::ops::{Cat, Operator, Rules, Transpose, is_scratch};
use cortado_contract::quant::{FilterOffset, InputOffset};
use cortado_contract::value::TensorMeta;
use cortado_contract::{ConstantForm, DType, Isa};
use std::collections::HashMap;
use std::sync::Arc;

/// What has changed in a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The number of linear layers whose constant term is in another form now.
    pub forms: usize,
    /// The number of scratch buffers that have another size now.
    pub scratch_buffers: usize,
    /// The number of calls that are told of memory order now.
    pub orders: usize,
}

/// Why a program cannot be retargeted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("instruction {instruction}, {operator}: {what}")]
pub struct RetargetError {
    /// The position of the call.
    pub instruction: usize,
    /// The operator.
    pub operator: &'static str,
    /// What cannot be proved or converted.
    pub what: String,
}

/// Converts a program's calls to those of an instruction set.
///
/// # Errors
/// A call breaks its operator's rules, or a linear layer's constant term cannot be computed.
pub fn retarget(program: &mut Lowered, isa: Isa) -> Result<Changes, RetargetError> {
    let mut changes = Changes::default();
    for index in 0..program.calls.len() {
        let mut operator = program.calls[index].operator.clone();
        let kind = operator.kind();
        let fail = |what| RetargetError { instruction: index, operator: kind.name(), what };
        if let Err(violation) = operator.check() {
            let argument = kind.argument_name(violation.argument);
            return Err(fail(format!("argument `{argument}` {}", violation.rule.explain())));
        }
        let layer = Layer::of(&operator);
        let terms = layer.map(|layer| layer.convert(program, isa)).transpose().map_err(fail)?;
        if let Some(terms) = terms.flatten() {
            set_terms(&mut operator, terms);
            changes.forms += 1;
        }
        if let Some(ordered) = in_memory_order(program, &operator) {
            operator = ordered;
            changes.orders += 1;
        }
        changes.scratch_buffers += resize_scratch(program, &mut operator, isa);
        program.calls[index].operator = operator;
    }
    Ok(changes)
}

/// A join or a transposition of tensors whose axes are in memory in another than their logical order, as one of row-major tensors.
fn in_memory_order(
    program: &mut Lowered,
    operator: &Operator<LoweredDomain>,
) -> Option<Operator<LoweredDomain>> {
    let position = |tensor: &LoweredTensor, axis: i64| {
        tensor
            .dim_order
            .iter()
            .position(|at| i64::from(*at) == axis)
            .map(|position| position as i64)
    };
    match operator {
        Operator::Cat(cat) if !cat.out.is_row_major() => {
            let rank = cat.out.rank() as i64;
            let axis = if cat.dim < 0 { cat.dim + rank } else { cat.dim };
            let dim = position(&cat.out, axis)?;
            if cat.tensors.0.iter().any(|tensor| tensor.dim_order != cat.out.dim_order) {
                return None;
            }
            let tensors = cat.tensors.0.iter().map(|tensor| seen_in_memory(program, tensor));
            let tensors = Tensors(tensors.collect());
            let out = seen_in_memory(program, &cat.out);
            Some(Operator::Cat(Cat { tensors, dim, out }))
        }
        Operator::Transpose(call) if !call.input.is_row_major() || !call.out.is_row_major() => {
            let axes = call.out.dim_order.iter().map(|axis| {
                let from = *call.perm.0.get(usize::from(*axis))?;
                position(&call.input, if from < 0 { from + call.input.rank() as i64 } else { from })
            });
            let perm = Ints(axes.collect::<Option<_>>()?);
            let input = seen_in_memory(program, &call.input);
            let out = seen_in_memory(program, &call.out);
            Some(Operator::Transpose(Transpose { input, perm, out }))
        }
        _ => None,
    }
}

/// The same memory as a tensor whose axes are in memory in their logical order.
fn seen_in_memory(program: &mut Lowered, tensor: &LoweredTensor) -> LoweredTensor {
    let buffer = Buffer {
        name: program.buffer(tensor.id).name.clone(),
        dtype: tensor.dtype,
        shape: tensor.dim_order.iter().map(|axis| tensor.shape[usize::from(*axis)]).collect(),
        dim_order: (0..tensor.dim_order.len() as u8).collect(),
        kind: BufferKind::View(tensor.id),
    };
    let id = program.add(buffer);
    program.tensor(id)
}

/// Leaves out every bias of zeros that a linear layer has.
pub(crate) fn drop_zero_biases(program: &mut Lowered) {
    for index in 0..program.calls.len() {
        let is_zero = Layer::of(&program.calls[index].operator).is_some_and(|layer| {
            let bias = layer.bias.as_ref().filter(|_| layer.kernel_sum.is_none());
            let bias = bias.and_then(|bias| int32s(program, bias));
            bias.is_some_and(|bias| bias.iter().all(|number| *number == 0))
        });
        if is_zero {
            set_terms(&mut program.calls[index].operator, (None, None));
        }
    }
}

/// Gives scratch buffers the sizes that the instruction set's kernels ask for.
fn resize_scratch(
    program: &mut Lowered,
    operator: &mut Operator<LoweredDomain>,
    isa: Isa,
) -> usize {
    let sizes = operator.scratch_bytes(isa);
    let mut sizes = sizes.iter();
    let mut resized: HashMap<BufferId, u32> = HashMap::new();
    for (name, tensor) in operands(operator) {
        if is_scratch(name)
            && let Some(bytes) = sizes.next()
            && (tensor.dtype != DType::U8 || tensor.shape != [*bytes])
        {
            resized.insert(tensor.id, *bytes);
        }
    }
    *operator = crate::finish::replace_tensors(operator, |tensor| {
        let mut tensor = tensor.clone();
        if let Some(bytes) = resized.get(&tensor.id) {
            (tensor.dtype, tensor.shape, tensor.dim_order) = (DType::U8, vec![*bytes], vec![0]);
            let buffer = &mut program.buffers[tensor.id.0];
            (buffer.dtype, buffer.shape, buffer.dim_order) = (DType::U8, vec![*bytes], vec![0]);
        }
        tensor
    });
    resized.len()
}

/// The tensors of an operator with the names of their arguments.
pub(crate) fn operands(operator: &Operator<LoweredDomain>) -> Vec<(&'static str, LoweredTensor)> {
    let mut named = crate::lift::Named::default();
    operator.encode(&mut named);
    named.0
}

/// What both linear operators have in common.
pub(crate) struct Layer<'o> {
    pub(crate) weights: &'o LoweredTensor,
    pub(crate) bias: &'o Option<LoweredTensor>,
    pub(crate) kernel_sum: &'o Option<LoweredTensor>,
    pub(crate) input_offset: InputOffset,
    pub(crate) filter_offset: FilterOffset,
}

/// Evaluates an expression over `$linear`, whichever linear operator it is; `None` for other operators.
macro_rules! with_linear {
    ($operator:expr, $linear:ident => $value:expr) => {
        match $operator {
            Operator::QuantizedLinear($linear) => Some($value),
            Operator::QuantizedLinearPerChannel($linear) => Some($value),
            _ => None,
        }
    };
}

impl<'o> Layer<'o> {
    /// The layer that an operator is, if it is one.
    pub(crate) fn of(operator: &'o Operator<LoweredDomain>) -> Option<Self> {
        with_linear!(operator, linear => Layer {
            weights: &linear.weights,
            bias: &linear.bias,
            kernel_sum: &linear.kernel_sum,
            input_offset: linear.input_offset,
            filter_offset: linear.filter_offset,
        })
    }

    /// The constant term in the form that `isa` reads, as bias and kernel sum; `None` where it is in that form already.
    fn convert(&self, program: &mut Lowered, isa: Isa) -> Result<Option<Terms>, String> {
        let form = ConstantForm::of_operands(self.bias.is_some(), self.kernel_sum.is_some());
        if form.map_err(|both| both.to_string())? == isa.constant_form() {
            return Ok(None);
        }
        let constant = |tensor: &LoweredTensor, name: &str| {
            int32s(program, tensor).ok_or_else(|| {
                format!("its `{name}` is no constant of the file, so it cannot be converted")
            })
        };
        let term = match (self.bias, self.kernel_sum) {
            (Some(bias), _) => Some(constant(bias, "bias")?),
            (None, Some(sum)) => Some(constant(sum, "kernel_sum")?),
            (None, None) => None,
        };
        let share = shares(program, self.weights, self.input_offset, self.filter_offset).ok_or(
            "its `weights` are no constant of the file, so its constant term cannot be converted",
        )?;
        let name = program.buffer(self.weights.id).name.clone();
        Ok(Some(match isa.constant_form() {
            ConstantForm::KernelSum => {
                let bias = term.unwrap_or_else(|| vec![0; share.len()]);
                let sums = share.iter().zip(bias).map(|(share, bias)| share.wrapping_add(bias));
                let (name, shape) = (format!("{name}_kernel_sum"), vec![1, share.len() as u32]);
                (None, Some(int32_row(program, name, shape, sums.collect())))
            }
            ConstantForm::Bias => {
                let sums = term.unwrap_or_default();
                let bias: Vec<i32> =
                    sums.iter().zip(&share).map(|(sum, share)| sum.wrapping_sub(*share)).collect();
                let (name, shape) = (format!("{name}_bias"), vec![bias.len() as u32]);
                let is_zero = bias.iter().all(|number| *number == 0);
                ((!is_zero).then(|| int32_row(program, name, shape, bias)), None)
            }
        }))
    }
}

/// A linear layer's bias and kernel sum.
type Terms = (Option<LoweredTensor>, Option<LoweredTensor>);

/// Gives a linear layer another constant term.
fn set_terms(operator: &mut Operator<LoweredDomain>, (bias, kernel_sum): Terms) {
    with_linear!(operator, linear => (linear.bias, linear.kernel_sum) = (bias, kernel_sum));
}

/// The input offset's share of each output feature's constant term: `input_offset · Σ_i (weights[o,i] + filter_offset)`. `None`
/// where the weights are no constant.
pub(crate) fn shares(
    program: &Lowered,
    weights: &LoweredTensor,
    input_offset: InputOffset,
    filter_offset: FilterOffset,
) -> Option<Vec<i32>> {
    let [out_features, in_features] = weights.shape[..] else { return None };
    let data = constant(program, weights)?;
    let weights: Vec<i8> = data.iter().map(|byte| *byte as i8).collect();
    let count = (out_features as usize).checked_mul(in_features as usize)?;
    let mut out = vec![0; out_features as usize];
    kernel_sums(
        in_features as usize,
        weights.get(..count)?,
        input_offset,
        filter_offset,
        None,
        &mut out,
    );
    Some(out)
}

/// The bytes of a constant, `None` for other tensors.
pub(crate) fn constant<'p>(program: &'p Lowered, tensor: &LoweredTensor) -> Option<&'p [u8]> {
    match &program.buffer(program.storage(tensor.id)).kind {
        BufferKind::Constant(data) => Some(data),
        _ => None,
    }
}

/// The numbers of a constant of 32-bit integers, `None` for other tensors.
pub(crate) fn int32s(program: &Lowered, tensor: &LoweredTensor) -> Option<Vec<i32>> {
    let data = constant(program, tensor).filter(|_| tensor.dtype == DType::I32)?;
    Some(data.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
}

fn int32_row(
    program: &mut Lowered,
    name: String,
    shape: Vec<u32>,
    values: Vec<i32>,
) -> LoweredTensor {
    let bytes: Arc<[u8]> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let dim_order = (0..shape.len() as u8).collect();
    let kind = BufferKind::Constant(bytes);
    let id = program.add(Buffer { name, dtype: DType::I32, shape, dim_order, kind });
    program.tensor(id)
}
