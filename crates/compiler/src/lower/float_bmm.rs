//! Products of matrices, left in float.

use super::float::is_float;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::lowered::LoweredTensor;
use cortado_contract::ops::{FloatAdd, FloatBmm, Operator};
use cortado_contract::value::TensorMeta;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    if is_float(lowerer, node, &["bmm", "mm", "matmul"]) {
        return Some(lower_product(lowerer, node));
    }
    is_float(lowerer, node, &["addmm", "baddbmm"]).then(|| lower_sum(lowerer, node))
}

fn lower_product(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let lhs = lowerer.float_operand(node, "self")?;
    let second = if node.argument("mat2").is_some() { "mat2" } else { "other" };
    let rhs = lowerer.float_operand(node, second)?;
    let extents = Extents::of(node, &lhs, &rhs)?;
    let (input, mat2) = extents.operands(lowerer, &lhs, &rhs);
    let target = lowerer.float_target(node)?;
    let out = lowerer.row_major(&target, extents.result());
    lowerer.call(node, Operator::FloatBmm(FloatBmm { input, mat2, out }));
    lowerer.float_finish(node, target)
}

/// `beta · self + alpha · product`.
fn lower_sum(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let names = ["mat1", "batch1"].into_iter().zip(["mat2", "batch2"]);
    let Some((first, second)) = names.into_iter().find(|(first, _)| node.argument(first).is_some())
    else {
        return Err(Unsupported::new(node, "it has no matrices"));
    };
    if node.float("beta").is_some_and(|beta| beta != 1.0) {
        return Err(Unsupported::new(node, "its `beta` is not 1"));
    }
    let alpha = node.float("alpha").unwrap_or(1.0);
    let constant = lowerer.float_operand(node, "self")?;
    let (lhs, rhs) = (lowerer.float_operand(node, first)?, lowerer.float_operand(node, second)?);
    let extents = Extents::of(node, &lhs, &rhs)?;
    let (input, mat2) = extents.operands(lowerer, &lhs, &rhs);
    let Some(output) = node.outputs.first() else {
        return Err(Unsupported::new(node, "it has no result"));
    };
    let out = lowerer.tensor(*output);
    let product = lowerer.like(node, "product", &out);
    let whole = lowerer.row_major(&product, extents.result());
    lowerer.call(node, Operator::FloatBmm(FloatBmm { input, mat2, out: whole }));
    lowerer.float_binary(node, constant, product, &|input, other, out| {
        Operator::FloatAdd(FloatAdd { input, other, alpha, out })
    })
}

/// Batches, rows, length of the sums, and columns.
struct Extents {
    batches: u32,
    rows: u32,
    inner: u32,
    cols: u32,
}

impl Extents {
    /// The extents of a product as PyTorch's `matmul` defines it, as far as no matrix is repeated.
    fn of(node: &Node, lhs: &LoweredTensor, rhs: &LoweredTensor) -> Result<Extents, Unsupported> {
        if !lhs.is_row_major() || !rhs.is_row_major() {
            return Err(Unsupported::new(node, "its operands are not in memory in their order"));
        }
        let (left, right) = (lhs.shape.as_slice(), rhs.shape.as_slice());
        let Some((inner, leading)) = left.split_last() else {
            return Err(Unsupported::new(node, "it multiplies numbers"));
        };
        let product = |extents: &[u32]| extents.iter().product::<u32>();
        if let [matching] | [matching, _] = right
            && matching == inner
        {
            let cols = right.get(1).copied().unwrap_or(1);
            return Ok(Extents { batches: 1, rows: product(leading), inner: *inner, cols });
        }
        let repeated = || {
            Unsupported::new(node, format!("it repeats matrices: {left:?} times {right:?}"))
                .with_remedy("expand both operands to the same leading extents first")
        };
        let [batches @ .., matching, cols] = right else { return Err(repeated()) };
        let fits = left.len() == right.len()
            && left.get(..batches.len()) == Some(batches)
            && matching == inner;
        let rows = leading.last().filter(|_| fits).ok_or_else(repeated)?;
        Ok(Extents { batches: product(batches), rows: *rows, inner: *inner, cols: *cols })
    }

    /// The operands' memory as three axes.
    fn operands(
        &self,
        lowerer: &mut Lowerer<'_>,
        lhs: &LoweredTensor,
        rhs: &LoweredTensor,
    ) -> (LoweredTensor, LoweredTensor) {
        let Extents { batches, rows, inner, cols } = *self;
        let lhs = lowerer.row_major(lhs, vec![batches, rows, inner]);
        (lhs, lowerer.row_major(rhs, vec![batches, inner, cols]))
    }

    /// The result as three axes.
    fn result(&self) -> Vec<u32> {
        vec![self.batches, self.rows, self.cols]
    }
}
