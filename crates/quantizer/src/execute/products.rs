//! Fully connected layers and products of matrices.

use super::{Call, Kernel, Results};
use crate::tensor::Tensor;
use cortado_compiler::graph::Node;
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

pub(super) fn kernel(node: &Node) -> Option<Kernel> {
    Some(match node.target.as_str() {
        "aten.linear.default" => linear,
        "aten.matmul.default" => {
            |call| matmul(call, call.input(&["self", "input"])?, call.input(&["other"])?)
        }
        "aten.bmm.default" | "aten.mm.default" | "aten.mv.default" | "aten.dot.default" => {
            |call| matmul(call, call.input(&["self"])?, call.input(&["mat2", "vec", "tensor"])?)
        }
        "aten.addmm.default" | "aten.baddbmm.default" => add_product,
        _ => return None,
    })
}

/// `out = lhs · rhs`, or `lhs · rhsᵀ` where `rhs` lies as `[cols, depth]`.
fn multiply(
    [rows, depth, cols]: [usize; 3],
    lhs: &[f32],
    rhs: &[f32],
    is_transposed: bool,
    out: &mut [f32],
) -> Result<(), String> {
    let shape = |error: ndarray::ShapeError| error.to_string();
    let lhs = ArrayView2::from_shape((rows, depth), lhs).map_err(shape)?;
    let rhs = match is_transposed {
        true => ArrayView2::from_shape((cols, depth), rhs).map_err(shape)?.reversed_axes(),
        false => ArrayView2::from_shape((depth, cols), rhs).map_err(shape)?,
    };
    let mut out = ArrayViewMut2::from_shape((rows, cols), out).map_err(shape)?;
    general_mat_mul(1.0, &lhs, &rhs, 0.0, &mut out);
    Ok(())
}

fn linear(call: &Call<'_>) -> Results {
    let (input, weight) = (call.input(&["input"])?, call.input(&["weight"])?);
    let [out_features, in_features] = weight.shape()[..] else {
        return Err("its weight is not a matrix".to_owned());
    };
    if input.shape().last() != Some(&in_features) {
        return Err(format!("its input does not have {in_features} features"));
    }
    let rows = input.data().len() / in_features.max(1);
    let mut out = vec![0.0; rows * out_features];
    let extents = [rows, in_features, out_features];
    multiply(extents, input.data(), weight.data(), true, &mut out)?;
    if let Some(bias) = call.optional("bias")? {
        for row in out.chunks_exact_mut(out_features.max(1)) {
            row.iter_mut().zip(bias.data()).for_each(|(it, bias)| *it += bias);
        }
    }
    Ok(vec![Tensor::new(call.out_shape()?, out)])
}

/// Products of the last two axes, the others broadcast; a vector is a row on the left and a column on the right.
fn matmul(call: &Call<'_>, lhs: &Tensor, rhs: &Tensor) -> Results {
    let row = |shape: &[usize]| match shape {
        [depth] => vec![1, *depth],
        shape => shape.to_vec(),
    };
    let column = |shape: &[usize]| match shape {
        [depth] => vec![*depth, 1],
        shape => shape.to_vec(),
    };
    let (left, right) = (row(lhs.shape()), column(rhs.shape()));
    let ([left_batch @ .., rows, depth], [right_batch @ .., inner, cols]) = (&left[..], &right[..])
    else {
        return Err("its operands are not matrices".to_owned());
    };
    if depth != inner {
        return Err(format!("{left:?} cannot be multiplied by {right:?}"));
    }
    let out_shape = call.out_shape()?;
    let size = rows * cols;
    let count = out_shape.iter().product::<usize>();
    let batch: Vec<usize> = broadcast(left_batch, right_batch)?;
    let batches: usize = batch.iter().product();
    if batches * size != count {
        return Err(format!("{left:?} times {right:?} does not have the extents {out_shape:?}"));
    }
    let mut out = vec![0.0; count];
    for (index, out) in out.chunks_exact_mut(size.max(1)).enumerate() {
        let lhs = &lhs.data()[position(index, &batch, left_batch) * rows * depth..];
        let rhs = &rhs.data()[position(index, &batch, right_batch) * depth * cols..];
        let extents = [*rows, *depth, *cols];
        multiply(extents, &lhs[..rows * depth], &rhs[..depth * cols], false, out)?;
    }
    Ok(vec![Tensor::new(out_shape, out)])
}

fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| {
        (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis])
    };
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (a, b) if a == b || b == 1 => Ok(a),
            (1, b) => Ok(b),
            _ => Err(format!("batches {a:?} and {b:?} cannot be broadcast")),
        })
        .collect()
}

/// Which matrix of an operand with the batches `own` belongs to a matrix of the result.
fn position(mut index: usize, batch: &[usize], own: &[usize]) -> usize {
    let (mut position, mut stride) = (0, 1);
    for (back, extent) in batch.iter().rev().enumerate() {
        let at = index % extent;
        index /= extent;
        if let Some(axis) = own.len().checked_sub(back + 1) {
            position += if own[axis] == 1 { 0 } else { at * stride };
            stride *= own[axis];
        }
    }
    position
}

/// `beta · self + alpha · (a · b)`
fn add_product(call: &Call<'_>) -> Results {
    let (lhs, rhs) = (call.input(&["mat1", "batch1"])?, call.input(&["mat2", "batch2"])?);
    let mut product = matmul(call, lhs, rhs)?;
    let number = |name: &str| call.node.float(name).unwrap_or(1.0) as f32;
    let (alpha, beta) = (number("alpha"), number("beta"));
    let shape = call.out_shape()?;
    let added = super::elementwise::broadcast(call.input(&["self"])?, &shape)?;
    if let Some(product) = product.first_mut() {
        let pairs = product.data_mut().iter_mut().zip(added.iter());
        pairs.for_each(|(it, added)| *it = alpha * *it + beta * added);
    }
    Ok(product)
}
