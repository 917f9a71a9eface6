//! What operators mean, in words and numbers.

use crate::model::{Family, Rescale};
use cortado_compiler::lowered::{
    BufferId, BufferKind, Ints, Lowered, LoweredDomain, LoweredTensor,
};
use cortado_contract::ops::quantized_conv2d::ConvArguments;
use cortado_contract::ops::{Operator, OperatorKind};

/// What an operator does, in words.
pub(super) fn title(operator: &Operator<LoweredDomain>) -> String {
    use Operator as Op;
    match operator {
        Op::QuantizedConv2d(it) => convolution(&it.common()),
        Op::QuantizedConv2dInt16(it) => format!("{} in int16", convolution(&it.common())),
        Op::QuantizedDepthwiseConv2d(it) => {
            format!("Depthwise {}", window(&it.weight.shape, &it.stride, &it.dilation))
        }
        Op::QuantizedDepthwiseConv2dInt16(it) => {
            format!("Depthwise {} in int16", window(&it.weight.shape, &it.stride, &it.dilation))
        }
        Op::QuantizePerTensor(it) => format!("Quantize to {}", it.dtype),
        Op::QuantizedTransposeConv2d(it) => {
            let window = window(&it.weight.shape, &it.stride, &it.dilation);
            format!("Transposed convolution {window}")
        }
        Op::QuantizedLinear(it) => linear(&it.weights.shape, ""),
        Op::QuantizedLinearPerChannel(it) => linear(&it.weights.shape, " per channel"),
        Op::QuantizedLinearInt16(it) => linear(&it.weights.shape, " in int16"),
        Op::FloatLinear(it) => linear(&it.weight.shape, " in float"),
        Op::QuantizedBatchMatmul(it) => product(&it.lhs.shape, &it.out.shape, ""),
        Op::FloatBmm(it) => product(&it.input.shape, &it.out.shape, " in float"),
        Op::QuantizedAvgPool2d(it) => {
            format!("Average pool {}", pool(&it.kernel_size, &it.stride))
        }
        Op::QuantizedMaxPool2d(it) => format!("Max pool {}", pool(&it.kernel_size, &it.stride)),
        Op::Transpose(it) => format!("Transpose to {}", axes(&it.perm)),
        Op::PermuteCopy(it) => format!("Transpose to {}", axes(&it.dims)),
        Op::Cat(it) => format!("Concatenate {} along axis {}", it.tensors.0.len(), it.dim),
        Op::SliceCopy(it) => format!("Slice of axis {}", it.dim),
        Op::SelectCopy(it) => format!("Select {} of axis {}", it.index, it.dim),
        Op::SplitWithSizesCopy(it) => format!("Split along axis {}", it.dim),
        Op::CloneDimOrder(it) => match it.input.dim_order == it.out.dim_order {
            true => "Copy".to_owned(),
            false => "Copy into another memory order".to_owned(),
        },
        _ => name(operator.kind()),
    }
}

/// A convolution that is neither depthwise nor transposed.
fn convolution(it: &ConvArguments<'_, LoweredDomain>) -> String {
    let inputs = it.input.shape.get(1).copied().unwrap_or(0);
    let group = it.weight.shape.get(3).copied().unwrap_or(0);
    let groups = inputs.checked_div(group).filter(|groups| *groups > 1);
    let groups = groups.map_or(String::new(), |groups| format!(", {groups} groups"));
    format!("Convolution {}{groups}", window(&it.weight.shape, it.stride, it.dilation))
}

/// An operator's name in words.
pub(super) fn name(kind: OperatorKind) -> String {
    use OperatorKind as Kind;
    let name = match kind {
        Kind::QuantizePerTensor => "Quantize to integers",
        Kind::DequantizePerTensor => "Dequantize to float",
        Kind::QuantizedConv2d => "Convolution",
        Kind::QuantizedDepthwiseConv2d => "Depthwise convolution",
        Kind::QuantizedTransposeConv2d => "Transposed convolution",
        Kind::QuantizedLinear | Kind::QuantizedLinearPerChannel => "Linear",
        Kind::QuantizedConv2dInt16 => "Convolution in int16",
        Kind::QuantizedDepthwiseConv2dInt16 => "Depthwise convolution in int16",
        Kind::QuantizedLinearInt16 => "Linear in int16",
        Kind::QuantizedBatchMatmul => "Matrix product",
        Kind::QuantizedAdd => "Add",
        Kind::QuantizedMul => "Multiply",
        Kind::QuantizedDiv => "Divide",
        Kind::QuantizedActivation => "Activation by table",
        Kind::QuantizedAvgPool2d => "Average pool",
        Kind::QuantizedMaxPool2d => "Max pool",
        Kind::RescaledSoftmax => "Softmax with rescaling",
        Kind::Pad | Kind::ConstantPadNd => "Pad",
        Kind::ExpandCopy => "Expand",
        Kind::FloatAdd => "Add in float",
        Kind::FloatSub => "Subtract in float",
        Kind::FloatMul => "Multiply in float",
        Kind::FloatDiv => "Divide in float",
        Kind::FloatSoftmax => "Softmax in float",
        Kind::FloatLogSoftmax => "Log softmax in float",
        Kind::FloatConvolution => "Convolution in float",
        Kind::CloneDimOrder => "Copy",
        other => return words(other.name()),
    };
    name.to_owned()
}

/// The words of an operator's name, without its namespace: `aten::layer_norm.out` is `Layer norm`.
pub(super) fn words(name: &str) -> String {
    let name = name.rsplit("::").next().unwrap_or(name);
    let name = name.split('.').next().unwrap_or(name).trim_start_matches('_');
    let words = name.strip_suffix("_copy").unwrap_or(name).replace('_', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => "Operator without a name".to_owned(),
    }
}

/// Height, width, stride and dilation of a window; weights are OHWI.
fn window(weights: &[u32], stride: &Ints, dilation: &Ints) -> String {
    let extent = |axis: usize| weights.get(axis).copied().unwrap_or(0);
    let mut text = format!("{}×{}", extent(1), extent(2));
    for (what, list) in [("stride", &stride.0), ("dilation", &dilation.0)] {
        if list.iter().any(|step| *step != 1) {
            text.push_str(&format!(", {what} {}", steps(list)));
        }
    }
    text
}

fn pool(kernel: &Ints, stride: &Ints) -> String {
    let window: Vec<String> = kernel.0.iter().map(i64::to_string).collect();
    let stride = if stride.0.is_empty() { &kernel.0 } else { &stride.0 };
    match stride.iter().all(|step| *step == 1) {
        true => window.join("×"),
        false => format!("{}, stride {}", window.join("×"), steps(stride)),
    }
}

fn steps(list: &[i64]) -> String {
    match list {
        [first, rest @ ..] if rest.iter().all(|step| step == first) => first.to_string(),
        _ => list.iter().map(i64::to_string).collect::<Vec<_>>().join("×"),
    }
}

fn axes(list: &Ints) -> String {
    list.0.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")
}

fn linear(weights: &[u32], how: &str) -> String {
    match weights {
        [outputs, inputs] => format!("Linear {inputs} → {outputs}{how}"),
        _ => format!("Linear{how}"),
    }
}

fn product(lhs: &[u32], out: &[u32], how: &str) -> String {
    match (lhs, out) {
        ([batches, rows, depth], [_, _, columns]) => {
            let of = if *batches == 1 { String::new() } else { format!("{batches} × ") };
            format!("Matrix product {of}{rows}×{depth} · {depth}×{columns}{how}")
        }
        _ => format!("Matrix product{how}"),
    }
}

/// What an operator does, for its colour.
pub(super) fn family(kind: OperatorKind, is_float: bool) -> Family {
    use OperatorKind as Kind;
    if is_float {
        return Family::Float;
    }
    match kind {
        Kind::QuantizedConv2d | Kind::QuantizedConv2dInt16 | Kind::QuantizedTransposeConv2d => {
            Family::Convolution
        }
        Kind::QuantizedDepthwiseConv2d | Kind::QuantizedDepthwiseConv2dInt16 => Family::Depthwise,
        Kind::QuantizedLinear
        | Kind::QuantizedLinearPerChannel
        | Kind::QuantizedLinearInt16
        | Kind::QuantizedBatchMatmul => Family::Linear,
        Kind::QuantizedAdd
        | Kind::QuantizedMul
        | Kind::QuantizedDiv
        | Kind::QuantizedActivation
        | Kind::Minimum
        | Kind::Maximum => Family::Elementwise,
        Kind::QuantizedAvgPool2d
        | Kind::QuantizedMaxPool2d
        | Kind::Softmax
        | Kind::RescaledSoftmax => Family::Reduction,
        _ => Family::Movement,
    }
}

/// Whether an operator's result is another order of its operand's elements.
pub(super) fn is_transpose(operator: &Operator<LoweredDomain>) -> bool {
    match operator {
        Operator::Transpose(_) | Operator::PermuteCopy(_) => true,
        Operator::CloneDimOrder(it) => it.input.dim_order != it.out.dim_order,
        _ => false,
    }
}

/// What is known of the numbers that a tensor's integers stand for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Affine {
    pub(super) scale: Option<f64>,
    pub(super) zero_point: Option<i64>,
}

/// What an operator's arguments say of its tensors' integers.
pub(super) fn affines(operator: &Operator<LoweredDomain>) -> Vec<(BufferId, Affine)> {
    use Operator as Op;
    let zero = |tensor: &LoweredTensor, zero_point: i64| {
        (tensor.id, Affine { scale: None, zero_point: Some(zero_point) })
    };
    let symmetric = |tensors: [&LoweredTensor; 3]| tensors.map(|it| zero(it, 0)).to_vec();
    let scaled = |tensor: &LoweredTensor, scale: f64, zero_point: i32| {
        (tensor.id, Affine { scale: Some(scale), zero_point: Some(i64::from(zero_point)) })
    };
    // Offsets of inputs are *minus* their zero points.
    macro_rules! sums {
        ($it:expr, $weights:expr) => {
            vec![
                zero(&$it.input, -i64::from($it.input_offset.0)),
                zero($weights, 0),
                zero(&$it.out, i64::from($it.output_offset.0)),
            ]
        };
    }
    match operator {
        Op::QuantizePerTensor(it) => vec![scaled(&it.out, it.scale, it.zero_point.0)],
        Op::DequantizePerTensor(it) => vec![scaled(&it.input, it.scale, it.zero_point.0)],
        Op::QuantizedConv2d(it) => sums!(it, &it.weight),
        Op::QuantizedDepthwiseConv2d(it) => sums!(it, &it.weight),
        Op::QuantizedTransposeConv2d(it) => sums!(it, &it.weight),
        Op::QuantizedLinear(it) => vec![
            zero(&it.input, -i64::from(it.input_offset.0)),
            zero(&it.weights, -i64::from(it.filter_offset.0)),
            zero(&it.out, i64::from(it.output_offset.0)),
        ],
        Op::QuantizedLinearPerChannel(it) => vec![
            zero(&it.input, -i64::from(it.input_offset.0)),
            zero(&it.weights, -i64::from(it.filter_offset.0)),
            zero(&it.out, i64::from(it.output_offset.0)),
        ],
        Op::QuantizedConv2dInt16(it) => symmetric([&it.input, &it.weight, &it.out]),
        Op::QuantizedDepthwiseConv2dInt16(it) => symmetric([&it.input, &it.weight, &it.out]),
        Op::QuantizedLinearInt16(it) => symmetric([&it.input, &it.weights, &it.out]),
        Op::QuantizedBatchMatmul(it) => vec![
            zero(&it.lhs, -i64::from(it.lhs_zero_point.0)),
            zero(&it.rhs_transposed, -i64::from(it.rhs_zero_point.0)),
            zero(&it.out, i64::from(it.output_zero_point.0)),
        ],
        Op::QuantizedAdd(it) => vec![
            zero(&it.lhs, i64::from(it.lhs_zero_point.0)),
            zero(&it.rhs, i64::from(it.rhs_zero_point.0)),
            zero(&it.out, i64::from(it.output_zero_point.0)),
        ],
        Op::QuantizedMul(it) => vec![
            zero(&it.lhs, i64::from(it.lhs_zero_point.0)),
            zero(&it.rhs, i64::from(it.rhs_zero_point.0)),
            zero(&it.out, i64::from(it.output_zero_point.0)),
        ],
        Op::QuantizedDiv(it) => vec![
            zero(&it.lhs, i64::from(it.lhs_zero_point.0)),
            zero(&it.rhs, i64::from(it.rhs_zero_point.0)),
            zero(&it.out, i64::from(it.output_zero_point.0)),
        ],
        Op::QuantizedAvgPool2d(it) => {
            vec![zero(&it.input, it.zero_point), zero(&it.out, it.zero_point)]
        }
        Op::QuantizedMaxPool2d(it) => {
            vec![zero(&it.input, it.input_zero_point), zero(&it.out, it.output_zero_point)]
        }
        Op::Softmax(it) => {
            vec![zero(&it.input, it.input_zero_point), zero(&it.out, it.output_zero_point)]
        }
        Op::RescaledSoftmax(it) => vec![zero(&it.out, i64::from(it.output_offset.0))],
        _ => Vec::new(),
    }
}

/// Operand and result of an operator whose integers stand for the same numbers on both sides.
pub(super) fn carried(operator: &Operator<LoweredDomain>) -> Vec<(BufferId, BufferId)> {
    use Operator as Op;
    match operator {
        Op::Transpose(it) => vec![(it.input.id, it.out.id)],
        Op::PermuteCopy(it) => vec![(it.input.id, it.out.id)],
        Op::CloneDimOrder(it) => vec![(it.input.id, it.out.id)],
        Op::SliceCopy(it) => vec![(it.input.id, it.out.id)],
        Op::SelectCopy(it) => vec![(it.input.id, it.out.id)],
        Op::ExpandCopy(it) => vec![(it.input.id, it.out.id)],
        Op::SqueezeCopy(it) => vec![(it.input.id, it.out.id)],
        Op::UnsqueezeCopy(it) => vec![(it.input.id, it.out.id)],
        Op::Pad(it) => vec![(it.input.id, it.out.id)],
        Op::QuantizedMaxPool2d(it) => vec![(it.input.id, it.out.id)],
        Op::QuantizedAvgPool2d(it) => vec![(it.input.id, it.out.id)],
        Op::Cat(it) => it.tensors.0.iter().map(|part| (part.id, it.out.id)).collect(),
        Op::SplitWithSizesCopy(it) => it.out.0.iter().map(|part| (it.input.id, part.id)).collect(),
        _ => Vec::new(),
    }
}

/// By what an operator multiplies its accumulators.
pub(super) fn rescale(program: &Lowered, operator: &Operator<LoweredDomain>) -> Option<Rescale> {
    use Operator as Op;
    let numbers = |tensor: &LoweredTensor| -> Vec<i64> {
        let storage = program.storage(tensor.id);
        let BufferKind::Constant(data) = &program.buffer(storage).kind else { return Vec::new() };
        let (numbers, _) = data.as_chunks::<4>();
        numbers.iter().map(|bytes| i64::from(i32::from_le_bytes(*bytes))).collect()
    };
    let one = |multiplier: i64, shift: i64| (vec![multiplier], vec![shift]);
    let (multipliers, shifts) = match operator {
        Op::QuantizedConv2d(it) => {
            (numbers(&it.requantize_multipliers), numbers(&it.requantize_shifts))
        }
        Op::QuantizedDepthwiseConv2d(it) => {
            (numbers(&it.requantize_multipliers), numbers(&it.requantize_shifts))
        }
        Op::QuantizedTransposeConv2d(it) => {
            (numbers(&it.requantize_multipliers), numbers(&it.requantize_shifts))
        }
        Op::QuantizedLinearPerChannel(it) => {
            (numbers(&it.requantize_multipliers), numbers(&it.requantize_shifts))
        }
        Op::QuantizedConv2dInt16(it) => {
            (numbers(&it.requantize_multipliers), numbers(&it.requantize_shifts))
        }
        Op::QuantizedDepthwiseConv2dInt16(it) => {
            (numbers(&it.requantize_multipliers), numbers(&it.requantize_shifts))
        }
        Op::QuantizedLinearInt16(it) => {
            (numbers(&it.requantize_multipliers), numbers(&it.requantize_shifts))
        }
        Op::QuantizedLinear(it) => {
            (it.requantize_multipliers.0.clone(), it.requantize_shifts.0.clone())
        }
        Op::QuantizedBatchMatmul(it) => {
            one(i64::from(it.output_multiplier), i64::from(it.output_shift))
        }
        Op::QuantizedMul(it) => one(i64::from(it.output_multiplier), i64::from(it.output_shift)),
        _ => return None,
    };
    let factor = |(multiplier, shift): (&i64, &i64)| {
        *multiplier as f64 / f64::from(1u32 << 31) * 2f64.powi((*shift).clamp(-64, 64) as i32)
    };
    let factors: Vec<f64> = multipliers.iter().zip(&shifts).map(factor).collect();
    let min = factors.iter().copied().reduce(f64::min)?;
    let max = factors.iter().copied().reduce(f64::max)?;
    Some(Rescale { factors: factors.len(), min, max })
}
