//! Brings products of matrices in binary32 into the forms that operators have.
//!
//! A product with a constant matrix on the right is a linear layer. Every other one becomes a batched product of `[batches, rows,
//! depth]` with `[batches, depth, cols]`: vectors become matrices, leading axes are joined, and operands are repeated where
//! batches broadcast. Where one matrix on the right stands for all batches, those on the left are one tall matrix. Sums with a
//! product (`addmm`, `baddbmm`) are a product and a sum. Quantized products are `transpose_matmul`'s.

use super::PassContext;
use super::fold_constants::transposed_matrix;
use super::rewriter::{Rewriter, replace_each};
use crate::error::CompileError;
use crate::graph::{Argument, Graph, ValueId};

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    replace_each(graph, rewrite);
    Ok(())
}

fn rewrite(rewriter: &mut Rewriter<'_>) -> Option<()> {
    let node = rewriter.origin;
    let [output] = node.outputs[..] else { return None };
    if node.operands().chain([output]).any(|id| !rewriter.is_f32(id)) {
        return None;
    }
    let (lhs, rhs) = match node.target.as_str() {
        "aten.bmm.default" | "aten.mm.default" => (node.value("self")?, node.value("mat2")?),
        "aten.matmul.default" => (node.value("self")?, node.value("other")?),
        "aten.mv.default" => (node.value("self")?, node.value("vec")?),
        "aten.dot.default" => (node.value("self")?, node.value("tensor")?),
        "aten.addmm.default" => {
            return sum(rewriter, node.value("mat1")?, node.value("mat2")?, output);
        }
        "aten.baddbmm.default" => {
            return sum(rewriter, node.value("batch1")?, node.value("batch2")?, output);
        }
        _ => return None,
    };
    let is_batched = node.target == "aten.bmm.default";
    if is_batched && rewriter.graph.value(rhs).data.is_none() {
        // The form that is wanted.
        return None;
    }
    product(rewriter, lhs, rhs, output)
}

/// `beta · self + alpha · lhs rhs`.
fn sum(rewriter: &mut Rewriter<'_>, lhs: ValueId, rhs: ValueId, output: ValueId) -> Option<()> {
    let node = rewriter.origin;
    let addend = node.value("self")?;
    let alpha = node.float("alpha").unwrap_or(1.0);
    let beta = node.float("beta").unwrap_or(1.0);
    let addend_shape = rewriter.shape(addend).to_vec();
    let shape = rewriter.shape(output).to_vec();
    let is_row = addend_shape.len() == 1 && addend_shape.last() == shape.last();
    if let Some(weight) = linear_weight(rewriter, rhs)
        && is_row
        && (alpha, beta) == (1.0, 1.0)
    {
        linear(rewriter, lhs, weight, addend.into(), output);
        return Some(());
    }
    if (alpha, beta) == (1.0, 0.0) {
        return product(rewriter, lhs, rhs, output);
    }
    let plain = rewriter.result("product", shape.clone());
    product(rewriter, lhs, rhs, plain)?;
    if beta == 0.0 {
        multiply(rewriter, plain, alpha, output);
        return Some(());
    }
    let scaled = |rewriter: &mut Rewriter<'_>, id: ValueId, factor: f64| {
        if factor == 1.0 {
            return id;
        }
        let shape = rewriter.shape(id).to_vec();
        let result = rewriter.result("scaled", shape);
        multiply(rewriter, id, factor, result);
        result
    };
    let (plain, addend) = (scaled(rewriter, plain, alpha), scaled(rewriter, addend, beta));
    let arguments = [("self", plain.into()), ("other", addend.into())];
    rewriter.call_into("aten.add.Tensor", arguments, output);
    Some(())
}

fn multiply(rewriter: &mut Rewriter<'_>, id: ValueId, factor: f64, output: ValueId) {
    let factor = rewriter.constant("factor", Vec::new(), &[factor as f32]);
    let arguments = [("self", id.into()), ("other", factor.into())];
    rewriter.call_into("aten.mul.Tensor", arguments, output);
}

/// The weights of the linear layer that a product with this right operand is, if that is a constant matrix or vector.
fn linear_weight(rewriter: &mut Rewriter<'_>, rhs: ValueId) -> Option<ValueId> {
    let value = rewriter.graph.value(rhs);
    value.data.as_ref()?;
    match value.shape[..] {
        [depth] => Some(rewriter.view(rhs, vec![1, depth])),
        [_, _] => {
            let transposed = transposed_matrix(value)?;
            Some(rewriter.graph.add_value(transposed))
        }
        _ => None,
    }
}

fn linear(
    rewriter: &mut Rewriter<'_>,
    input: ValueId,
    weight: ValueId,
    bias: Argument,
    output: ValueId,
) {
    let arguments = [("input", input.into()), ("weight", weight.into()), ("bias", bias)];
    rewriter.call_into("aten.linear.default", arguments, output);
}

fn product(rewriter: &mut Rewriter<'_>, lhs: ValueId, rhs: ValueId, output: ValueId) -> Option<()> {
    let as_vector = |shape: &[u32]| shape.len() == 1;
    if let Some(weight) = linear_weight(rewriter, rhs) {
        let mut shape = rewriter.shape(lhs).to_vec();
        *shape.last_mut()? = rewriter.shape(weight)[0];
        return into_shape(rewriter, shape, output, |rewriter, result| {
            linear(rewriter, lhs, weight, Argument::None, result);
        });
    }
    let (lhs_shape, rhs_shape) = (rewriter.shape(lhs).to_vec(), rewriter.shape(rhs).to_vec());
    let lhs_shape = if as_vector(&lhs_shape) { vec![1, lhs_shape[0]] } else { lhs_shape };
    let rhs_shape = if as_vector(&rhs_shape) { vec![rhs_shape[0], 1] } else { rhs_shape };
    let [lhs_batch @ .., rows, depth] = &lhs_shape[..] else { return None };
    let [rhs_batch @ .., rhs_depth, cols] = &rhs_shape[..] else { return None };
    if depth != rhs_depth || lhs_shape.contains(&0) || rhs_shape.contains(&0) {
        return None;
    }
    let (lhs, rhs, shape) = if count(rhs_batch) == 1 {
        let rows = count(lhs_batch) * rows;
        let lhs = rewriter.view(lhs, vec![1, rows, *depth]);
        (lhs, rewriter.view(rhs, vec![1, *depth, *cols]), vec![1, rows, *cols])
    } else {
        let batch = broadcast(lhs_batch, rhs_batch);
        let lhs = batches(rewriter, lhs, lhs_batch, &batch, [*rows, *depth]);
        let rhs = batches(rewriter, rhs, rhs_batch, &batch, [*depth, *cols]);
        (lhs, rhs, vec![count(&batch), *rows, *cols])
    };
    into_shape(rewriter, shape, output, |rewriter, result| {
        let arguments = [("self", lhs.into()), ("mat2", rhs.into())];
        rewriter.call_into("aten.bmm.default", arguments, result);
    })
}

/// Writes what computes `output` under another shape, and the view that brings it into its own.
fn into_shape(
    rewriter: &mut Rewriter<'_>,
    shape: Vec<u32>,
    output: ValueId,
    write: impl FnOnce(&mut Rewriter<'_>, ValueId),
) -> Option<()> {
    if rewriter.shape(output) == shape {
        write(rewriter, output);
        return Some(());
    }
    let result = rewriter.result("product", shape);
    write(rewriter, result);
    let size = rewriter.shape(output).iter().map(|extent| i64::from(*extent)).collect();
    let arguments = [("self", result.into()), ("size", Argument::Ints(size))];
    rewriter.call_into("aten.view.default", arguments, output);
    Some(())
}

/// Matrices with their leading axes, repeated to `batch`, joined into one.
fn batches(
    rewriter: &mut Rewriter<'_>,
    id: ValueId,
    own: &[u32],
    batch: &[u32],
    matrix: [u32; 2],
) -> ValueId {
    let joined = vec![count(batch), matrix[0], matrix[1]];
    if count(own) == count(batch) {
        return rewriter.view(id, joined);
    }
    let own: Vec<u32> = own.iter().chain(&matrix).copied().collect();
    let id = rewriter.view(id, own);
    let wanted: Vec<u32> = batch.iter().chain(&matrix).copied().collect();
    let size = Argument::Ints(wanted.iter().map(|extent| i64::from(*extent)).collect());
    let arguments = [("self", id.into()), ("size", size)];
    let expanded = rewriter.call("expanded", "aten.expand.default", arguments, wanted);
    rewriter.view(expanded, joined)
}

/// The axes that two shapes broadcast to, as PyTorch has checked that they do.
fn broadcast(a: &[u32], b: &[u32]) -> Vec<u32> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[u32], axis: usize| {
        (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis])
    };
    (0..rank).map(|axis| extent(a, axis).max(extent(b, axis))).collect()
}

fn count(shape: &[u32]) -> u32 {
    shape.iter().product()
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;

    /// The targets that a product of two inputs becomes, and the shapes of the operands of the batched product.
    fn product_of(lhs: &[u32], rhs: &[u32], result: &[u32]) -> (Vec<String>, Vec<Vec<u32>>) {
        let mut sample = Sample::default();
        let (lhs, rhs) = (sample.input("lhs", lhs), sample.input("rhs", rhs));
        let arguments = [("self", lhs.into()), ("other", rhs.into())];
        let output = sample.node("product", "aten.matmul.default", &arguments, result);
        let targets = sample.run(&[output], run);
        let graph = &sample.graph;
        let bmm = graph.nodes.iter().find(|node| node.target == "aten.bmm.default").unwrap();
        (targets, bmm.operands().map(|id| graph.value(id).shape.clone()).collect())
    }

    #[test]
    fn products_are_batched() {
        let (view, bmm, expand) = ("aten.view.default", "aten.bmm.default", "aten.expand.default");
        let (targets, shapes) = product_of(&[2, 3, 4], &[2, 4, 5], &[2, 3, 5]);
        assert_eq!(
            (targets.as_slice(), shapes),
            (&[bmm.to_owned()][..], vec![vec![2, 3, 4], vec![2, 4, 5]])
        );
        let (targets, shapes) = product_of(&[4], &[4], &[]);
        assert_eq!(targets, [view, view, bmm, view]);
        assert_eq!(shapes, [[1, 1, 4], [1, 4, 1]]);
        let (targets, shapes) = product_of(&[6, 2, 3, 4], &[4, 5], &[6, 2, 3, 5]);
        assert_eq!(targets, [view, view, bmm, view]);
        assert_eq!(shapes, [[1, 36, 4], [1, 4, 5]]);
        let (targets, shapes) = product_of(&[2, 1, 3, 4], &[3, 4, 5], &[2, 3, 3, 5]);
        assert_eq!(targets, [expand, view, expand, view, bmm, view]);
        assert_eq!(shapes, [[6, 3, 4], [6, 4, 5]]);
    }

    #[test]
    fn constant_matrices_make_linear_layers() {
        let mut sample = Sample::default();
        let input = sample.input("x", &[2, 3]);
        let matrix = sample.constant("w", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let bias = sample.constant("b", &[2], &[7.0, 8.0]);
        let arguments = [("self", bias.into()), ("mat1", input.into()), ("mat2", matrix.into())];
        let output = sample.node("sum", "aten.addmm.default", &arguments, &[2, 2]);
        assert_eq!(sample.run(&[output], run), ["aten.linear.default"]);
        let node = &sample.graph.nodes[0];
        let weight = node.value("weight").unwrap();
        assert_eq!(sample.elements(weight), Some(vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0]));
        assert_eq!(node.value("bias"), Some(bias));
    }

    #[test]
    fn factors_of_a_sum_are_kept() {
        let mut sample = Sample::default();
        let (a, b, c) =
            (sample.input("a", &[2]), sample.input("b", &[3, 4]), sample.input("c", &[4, 2]));
        let arguments = [
            ("self", a.into()),
            ("mat1", b.into()),
            ("mat2", c.into()),
            ("alpha", Argument::Float(2.0)),
        ];
        let output = sample.node("sum", "aten.addmm.default", &arguments, &[3, 2]);
        let targets = sample.run(&[output], run);
        let targets: Vec<&str> =
            targets.iter().map(String::as_str).filter(|it| !it.contains("view")).collect();
        assert_eq!(targets, ["aten.bmm.default", "aten.mul.Tensor", "aten.add.Tensor"]);
    }
}
