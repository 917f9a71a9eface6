//! What lowerings of operators that move elements share: tensors seen as their memory, arguments of nodes, and quantization
//! that must not change on the way.
//!
//! ExecuTorch's portable kernels for joining and slicing, and its transpose, read memory as if every tensor were row-major. Calls
//! are therefore written over row-major views of the same memory wherever a tensor lies otherwise, so that a program means
//! the same to either runtime.

use super::Lowerer;
use crate::error::Unsupported;
use crate::graph::{Argument, Graph, Node, Quantization, ValueId};
use crate::lowered::{Buffer, BufferKind, LoweredTensor};
use cortado_contract::DType;
use cortado_contract::value::TensorMeta;

impl Lowerer<'_> {
    /// The same memory under other extents.
    pub(super) fn seen_as(
        &mut self,
        tensor: &LoweredTensor,
        shape: Vec<u32>,
        dim_order: Vec<u8>,
    ) -> LoweredTensor {
        if tensor.shape == shape && tensor.dim_order == dim_order {
            return tensor.clone();
        }
        let name = self.program.buffer(tensor.id).name.clone();
        let kind = BufferKind::View(tensor.id);
        let id = self.program.add(Buffer { name, dtype: tensor.dtype, shape, dim_order, kind });
        self.program.tensor(id)
    }

    /// The same memory as a row-major tensor.
    pub(super) fn row_major(&mut self, tensor: &LoweredTensor, shape: Vec<u32>) -> LoweredTensor {
        let order = (0..shape.len() as u8).collect();
        self.seen_as(tensor, shape, order)
    }

    /// The memory of a tensor that lies in `order`, as a row-major tensor with its axes in that order.
    pub(super) fn in_memory(&mut self, tensor: &LoweredTensor, order: &[u8]) -> LoweredTensor {
        let shape = order.iter().map(|axis| tensor.shape[usize::from(*axis)]).collect();
        self.row_major(tensor, shape)
    }

    /// Memory for a result that no value of the graph stands for.
    pub(super) fn temporary(
        &mut self,
        name: String,
        dtype: DType,
        shape: Vec<u32>,
        dim_order: Vec<u8>,
    ) -> LoweredTensor {
        let kind = BufferKind::Activation;
        let id = self.program.add(Buffer { name, dtype, shape, dim_order, kind });
        self.program.tensor(id)
    }

    /// The one input of a node and its one result.
    pub(super) fn ends(&self, node: &Node) -> Result<(ValueId, ValueId), Unsupported> {
        let input = node.value("self").or_else(|| node.value("input"));
        match (input, node.outputs.as_slice()) {
            (Some(input), [output]) => Ok((input, *output)),
            _ => Err(Unsupported::new(node, "it has no input or more than one result")),
        }
    }

    /// The same, where both stand for the same numbers.
    pub(super) fn moved_ends(&self, node: &Node) -> Result<(ValueId, ValueId), Unsupported> {
        let (input, output) = self.ends(node)?;
        self.require_same_meaning(node, input, output)?;
        Ok((input, output))
    }

    /// Fails unless two values hold the same type and stand for the same numbers.
    pub(super) fn require_same_meaning(
        &self,
        node: &Node,
        input: ValueId,
        output: ValueId,
    ) -> Result<(), Unsupported> {
        let (from, to) = (self.graph.value(input), self.graph.value(output));
        if from.dtype != to.dtype {
            let why = format!("it takes {} and results in {}", from.dtype, to.dtype);
            return Err(Unsupported::new(node, why)
                .with_remedy("quantize its input and its result alike, or neither of them"));
        }
        if !have_same_meaning(&from.quantization, &to.quantization) {
            let why = format!(
                "`{}` and `{}` are quantized with different scales or zero points",
                from.name, to.name
            );
            return Err(Unsupported::new(node, why).with_remedy(
                "let both share their quantization parameters (SharedQuantizationSpec)",
            ));
        }
        Ok(())
    }
}

/// Whether both say the same about integers; limits may differ, since only quantizing applies them.
pub(super) fn have_same_meaning(a: &Option<Quantization>, b: &Option<Quantization>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a.scale == b.scale && a.zero_points == b.zero_points && a.dtype == b.dtype
        }
        (None, None) => true,
        _ => false,
    }
}

/// The axis that an argument names, `default` when it is absent.
pub(super) fn axis(
    graph: &Graph,
    node: &Node,
    name: &str,
    default: i64,
    of: ValueId,
) -> Result<usize, Unsupported> {
    let rank = graph.value(of).shape.len();
    axis_of(node, node.int(name).unwrap_or(default), rank)
}

/// An axis counted from either end.
pub(super) fn axis_of(node: &Node, written: i64, rank: usize) -> Result<usize, Unsupported> {
    cortado_contract::strided::axis_of(written, rank).ok_or_else(|| {
        Unsupported::new(node, format!("it names axis {written} of a tensor with {rank}"))
    })
}

/// Where an axis stands in memory, as an argument.
pub(super) fn position_of(order: &[u8], axis: usize) -> i64 {
    order.iter().position(|at| usize::from(*at) == axis).unwrap_or(axis) as i64
}

/// A list of integers, which may have been given as one; `None` when it is absent.
pub(super) fn ints(node: &Node, name: &str) -> Option<Vec<i64>> {
    match node.argument(name)? {
        Argument::Ints(items) => Some(items.clone()),
        Argument::Int(item) => Some(vec![*item]),
        _ => None,
    }
}

/// Whether a tensor lies in this order; axes of extent 1 may stand anywhere.
pub(super) fn lies_in(tensor: &LoweredTensor, order: &[u8]) -> bool {
    tensor.is_ordered_as(order.iter().map(|axis| usize::from(*axis)))
}
