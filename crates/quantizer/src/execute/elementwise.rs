//! Functions of single elements: all that the compiler knows ([`Elementwise`]), comparisons, masks, conversions, and tensors that
//! are made from nothing.

use super::{Call, Kernel, Results};
use crate::tensor::{Tensor, strides};
use cortado_compiler::functions::{Elementwise, base_name};
use cortado_compiler::graph::{Argument, Node};
use cortado_compiler::passes::clamp_range;
use cortado_contract::DType;
use std::borrow::Cow;

pub(super) fn kernel(node: &Node) -> Option<Kernel> {
    let (name, _) = base_name(node)?;
    Some(match name {
        "zeros" | "zeros_like" | "new_zeros" | "ones" | "ones_like" | "new_ones" | "full"
        | "full_like" | "new_full" | "scalar_tensor" | "arange" => filled,
        "to" | "_to_copy" | "type_as" | "float" | "double" | "int" | "long" | "bool" => converted,
        "eq" | "ne" | "lt" | "less" | "le" | "less_equal" | "gt" | "greater" | "ge"
        | "greater_equal" | "logical_and" | "logical_or" | "bitwise_and" | "bitwise_or"
        | "logical_not" | "bitwise_not" => compared,
        "where" | "masked_fill" => chosen,
        "glu" => gated,
        _ if clamp_range(node).is_some() => clamped,
        _ if Elementwise::of(node).is_some() => function,
        _ => return None,
    })
}

/// A tensor's elements, repeated to other extents.
pub(super) fn broadcast<'t>(tensor: &'t Tensor, shape: &[usize]) -> Result<Cow<'t, [f32]>, String> {
    if tensor.shape() == shape {
        return Ok(Cow::Borrowed(tensor.data()));
    }
    let own = tensor.shape();
    let missing = shape.len().checked_sub(own.len());
    let fits = missing.is_some_and(|missing| {
        own.iter().zip(&shape[missing..]).all(|(own, extent)| *own == 1 || own == extent)
    });
    let Some(missing) = missing.filter(|_| fits) else {
        return Err(format!("{own:?} cannot be broadcast to {shape:?}"));
    };
    // Only the axes that are not repeated move on in the operand.
    let steps = strides(own);
    let step = |axis: usize| {
        axis.checked_sub(missing).map_or(0, |axis| if own[axis] == 1 { 0 } else { steps[axis] })
    };
    let steps: Vec<usize> = (0..shape.len()).map(step).collect();
    Ok(Cow::Owned(gather(tensor.data(), shape, &steps, 0)))
}

/// The elements at `offset + Σ index · step`, for all indices of a shape.
pub(super) fn gather(data: &[f32], shape: &[usize], steps: &[usize], offset: usize) -> Vec<f32> {
    let count: usize = shape.iter().product();
    let mut out = Vec::with_capacity(count);
    let Some((inner, outer)) = shape.split_last() else { return vec![data[offset]] };
    let inner_step = steps[steps.len() - 1];
    let mut at = vec![0; outer.len()];
    let mut start = offset;
    while out.len() < count {
        match inner_step {
            1 => out.extend_from_slice(&data[start..start + inner]),
            0 => out.extend(std::iter::repeat_n(data[start], *inner)),
            step => out.extend((0..*inner).map(|index| data[start + index * step])),
        }
        for axis in (0..outer.len()).rev() {
            at[axis] += 1;
            start += steps[axis];
            if at[axis] < outer[axis] {
                break;
            }
            start -= steps[axis] * outer[axis];
            at[axis] = 0;
        }
    }
    out
}

fn clamped(call: &Call<'_>) -> Results {
    let range = clamp_range(call.node).ok_or("its bounds are not known")?;
    let (min, max) = (range.min as f32, range.max as f32);
    let mut out = call.input(&["self", "input"])?.clone();
    out.data_mut().iter_mut().for_each(|it| *it = it.clamp(min, max));
    Ok(vec![out])
}

fn function(call: &Call<'_>) -> Results {
    let function = Elementwise::of(call.node).ok_or("it is no known function")?;
    let shape = call.out_shape()?;
    let operand = |index: usize| call.tensor(function.operands[index]);
    let out: Vec<f32> = match function.operands.len() {
        1 => {
            let input = operand(0)?.data().iter();
            input.map(|x| function.apply(&[f64::from(*x)]) as f32).collect()
        }
        _ => {
            let (lhs, rhs) = (broadcast_weights(call, operand(0)?, &shape)?, operand(1)?);
            let rhs = broadcast_weights(call, rhs, &shape)?;
            let pairs = lhs.iter().zip(rhs.iter());
            match (base_name(call.node), call.node.float("alpha").unwrap_or(1.0) == 1.0) {
                (Some(("add", _)), true) => pairs.map(|(x, y)| x + y).collect(),
                (Some(("mul", _)), _) => pairs.map(|(x, y)| x * y).collect(),
                _ => pairs
                    .map(|(x, y)| function.apply(&[f64::from(*x), f64::from(*y)]) as f32)
                    .collect(),
            }
        }
    };
    Ok(vec![Tensor::new(shape, out)])
}

/// As [`broadcast`]; the weights of `prelu` lie along the channels, axis 1.
fn broadcast_weights<'t>(
    call: &Call<'_>,
    tensor: &'t Tensor,
    shape: &[usize],
) -> Result<Cow<'t, [f32]>, String> {
    let is_prelu = base_name(call.node).is_some_and(|(name, _)| name == "prelu");
    if !is_prelu || tensor.shape().len() != 1 || tensor.data().len() == 1 || shape.len() < 2 {
        return broadcast(tensor, shape);
    }
    let mut own = vec![1; shape.len()];
    own[1] = tensor.data().len();
    let tensor = tensor.reshaped(own).ok_or("its weights are not one per channel")?;
    Ok(Cow::Owned(broadcast(&tensor, shape)?.into_owned()))
}

/// An argument that is a tensor or a number.
fn operand<'a>(call: &Call<'a>, name: &str, shape: &[usize]) -> Result<Cow<'a, [f32]>, String> {
    match call.node.argument(name) {
        Some(Argument::Value(id)) => broadcast(call.tensor(*id)?, shape),
        Some(Argument::Bool(value)) => {
            Ok(Cow::Owned(vec![f32::from(u8::from(*value)); shape.iter().product()]))
        }
        _ => {
            let number = call.node.float(name);
            let number = number.ok_or_else(|| format!("its argument `{name}` is no number"))?;
            Ok(Cow::Owned(vec![number as f32; shape.iter().product()]))
        }
    }
}

fn compared(call: &Call<'_>) -> Results {
    let shape = call.out_shape()?;
    let lhs = operand(call, "self", &shape)?;
    let (name, _) = base_name(call.node).ok_or("it is no comparison")?;
    if matches!(name, "logical_not" | "bitwise_not") {
        let out = lhs.iter().map(|it| f32::from(u8::from(*it == 0.0))).collect();
        return Ok(vec![Tensor::new(shape, out)]);
    }
    let rhs = operand(call, "other", &shape)?;
    let holds: fn(f32, f32) -> bool = match name {
        "eq" => |a, b| a == b,
        "ne" => |a, b| a != b,
        "lt" | "less" => |a, b| a < b,
        "le" | "less_equal" => |a, b| a <= b,
        "gt" | "greater" => |a, b| a > b,
        "ge" | "greater_equal" => |a, b| a >= b,
        "logical_and" | "bitwise_and" => |a, b| a != 0.0 && b != 0.0,
        _ => |a, b| a != 0.0 || b != 0.0,
    };
    let pairs = lhs.iter().zip(rhs.iter());
    let out = pairs.map(|(a, b)| f32::from(u8::from(holds(*a, *b)))).collect();
    Ok(vec![Tensor::new(shape, out)])
}

fn chosen(call: &Call<'_>) -> Results {
    let shape = call.out_shape()?;
    let is_where = base_name(call.node).is_some_and(|(name, _)| name == "where");
    let (mask, then, other) = match is_where {
        true => ("condition", "self", "other"),
        false => ("mask", "value", "self"),
    };
    let (mask, then) = (operand(call, mask, &shape)?, operand(call, then, &shape)?);
    let other = operand(call, other, &shape)?;
    let pick =
        |((mask, then), other): ((&f32, &f32), &f32)| if *mask != 0.0 { *then } else { *other };
    let out = mask.iter().zip(then.iter()).zip(other.iter()).map(pick).collect();
    Ok(vec![Tensor::new(shape, out)])
}

/// A conversion: fractions go where the result is an integer.
fn converted(call: &Call<'_>) -> Results {
    let mut out = call.input(&["self", "input"])?.clone();
    let dtype = call.node.outputs.first().map(|id| call.graph.value(*id).dtype);
    match dtype {
        Some(DType::F32 | DType::F64) | None => {}
        Some(DType::Bool) => {
            out.data_mut().iter_mut().for_each(|it| *it = f32::from(u8::from(*it != 0.0)));
        }
        Some(_) => out.data_mut().iter_mut().for_each(|it| *it = it.trunc()),
    }
    Ok(vec![out])
}

fn filled(call: &Call<'_>) -> Results {
    let shape = call.out_shape()?;
    let count = shape.iter().product();
    let (name, overload) = base_name(call.node).ok_or("it is not known")?;
    let number = |name: &str| match call.node.argument(name) {
        Some(Argument::Bool(value)) => Ok(f64::from(u8::from(*value))),
        _ => call.node.float(name).ok_or_else(|| format!("its argument `{name}` is no number")),
    };
    let out = match name {
        "arange" => {
            let start = if overload == "default" { 0.0 } else { number("start")? };
            let step = call.node.float("step").unwrap_or(1.0);
            (0..count).map(|index| (start + index as f64 * step) as f32).collect()
        }
        "ones" | "ones_like" | "new_ones" => vec![1.0; count],
        "full" | "full_like" | "new_full" => vec![number("fill_value")? as f32; count],
        "scalar_tensor" => vec![number("s")? as f32; count],
        _ => vec![0.0; count],
    };
    Ok(vec![Tensor::new(shape, out)])
}

/// `a · sigmoid(b)` for the two halves of an axis.
fn gated(call: &Call<'_>) -> Results {
    let input = call.input(&["self"])?;
    let axis = call.axis("dim", -1, input.shape().len())?;
    let inner: usize = input.shape()[axis..].iter().product();
    let half = inner / 2;
    let row = |row: &[f32]| -> Vec<f32> {
        let (a, b) = row.split_at(half);
        let gate = |b: f32| 1.0 / (1.0 + (-f64::from(b)).exp());
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) * gate(*b)) as f32).collect()
    };
    let out = input.data().chunks_exact(inner.max(1)).flat_map(row).collect();
    Ok(vec![Tensor::new(call.out_shape()?, out)])
}
