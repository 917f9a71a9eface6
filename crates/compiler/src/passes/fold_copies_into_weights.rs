//! Folds a copy before a linear layer into the layer's weights.
//!
//! A convolution's result lies channels-last; flattening it in logical order would take a copy. Where the flattened tensor is
//! only read by linear layers, the copy is spared: the image is flattened as it lies, and the columns of the layers' weights
//! are put into that order at compile time.

use super::{CLONE_DIM_ORDER, PassContext};
use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, Value, ValueId};

/// Operators that flatten when their result has two axes, the first as before.
const FLATTENS: &[&str] = &[
    "aten.view.default",
    "aten._unsafe_view.default",
    "aten.reshape.default",
    "aten.flatten.using_ints",
];

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    for index in 0..graph.nodes.len() {
        if let Some(fold) = Fold::find(graph, index) {
            fold.apply(graph, index);
        }
    }
    Ok(())
}

/// A copy that can be spared.
struct Fold {
    /// The image, in whatever order it lies.
    image: ValueId,
    /// The linear layers that read the flattened image.
    layers: Vec<usize>,
}

impl Fold {
    /// Whether the node at `index` is a copy whose only reader flattens, for linear layers only.
    fn find(graph: &Graph, index: usize) -> Option<Fold> {
        let copy = &graph.nodes[index];
        if copy.target != CLONE_DIM_ORDER {
            return None;
        }
        let image = copy.value("self")?;
        let [copied] = copy.outputs[..] else { return None };
        let [flatten] = graph.users(copied)[..] else { return None };
        let flatten = &graph.nodes[flatten];
        let [flat] = flatten.outputs[..] else { return None };
        let (from, to) = (&graph.value(copied).shape, &graph.value(flat).shape);
        let keeps_batch = to.len() == 2 && from.len() > 2 && from.first() == to.first();
        let moves_within_samples = graph.value(image).dim_order.first() == Some(&0);
        let is_output = graph.outputs.contains(&copied) || graph.outputs.contains(&flat);
        if !FLATTENS.contains(&flatten.target.as_str())
            || !keeps_batch
            || !moves_within_samples
            || is_output
        {
            return None;
        }
        let sample = from.iter().skip(1).fold(1u64, |count, it| count.saturating_mul((*it).into()));
        let layers = graph.users(flat);
        let reads_as_input = |layer: &usize| {
            let node = &graph.nodes[*layer];
            let weights = node.value("weight").map(|id| graph.value(id));
            node.target == "aten.linear.default"
                && node.value("input") == Some(flat)
                && weights.is_some_and(|weights| {
                    // A damaged file may say anything of the image's shape.
                    weights.data.is_some()
                        && matches!(weights.shape[..], [_, columns] if u64::from(columns) == sample)
                })
        };
        (!layers.is_empty() && layers.iter().all(reads_as_input)).then_some(Fold { image, layers })
    }

    /// Turns the copy into a renaming of axes, and reorders the weights.
    fn apply(self, graph: &mut Graph, index: usize) {
        let order = graph.value(self.image).dim_order.clone();
        let shape = graph.value(self.image).shape.clone();
        for layer in self.layers {
            let Some(weights) = graph.nodes[layer].value("weight") else { continue };
            let reordered = reordered_columns(graph.value(weights), &shape, &order);
            let reordered = graph.add_value(reordered);
            graph.nodes[layer].replace_operand(weights, reordered);
        }
        let copied = graph.nodes[index].outputs[0];
        let renamed = &mut graph.values[copied.0];
        renamed.shape = order.iter().map(|axis| shape[usize::from(*axis)]).collect();
        renamed.dim_order = (0..order.len() as u8).collect();
        let dims = order.iter().map(|axis| i64::from(*axis)).collect();
        let copy = &graph.nodes[index];
        graph.nodes[index] = Node {
            target: "aten.permute.default".to_owned(),
            arguments: vec![
                ("self".to_owned(), Argument::Value(self.image)),
                ("dims".to_owned(), Argument::Ints(dims)),
            ],
            ..copy.clone()
        };
    }
}

/// The weights with their columns, which count the elements of a sample in logical order, in memory order.
fn reordered_columns(weights: &Value, shape: &[u32], order: &[u8]) -> Value {
    // Of one sample: the batch axis, which lies outermost, counts as one.
    let mut sample = shape.to_vec();
    sample[0] = 1;
    let columns = crate::order::logical_positions(&sample, order);
    let size = weights.dtype.size_bytes() as usize;
    let data = weights.data.as_deref().unwrap_or(&[]);
    let rows = data.chunks_exact(columns.len() * size);
    let reordered =
        rows.flat_map(|row| columns.iter().flat_map(|column| &row[column * size..][..size]));
    Value {
        name: format!("{}_reordered", weights.name),
        data: Some(reordered.copied().collect()),
        ..weights.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortado_contract::DType;

    #[test]
    fn columns_follow_the_image() {
        // Two channels of one row of three pixels: logical c0 c1 become pixel by pixel.
        let weights = Value {
            name: "w".to_owned(),
            dtype: DType::I8,
            shape: vec![1, 6],
            dim_order: vec![0, 1],
            quantization: None,
            data: Some([0u8, 1, 2, 10, 11, 12].into()),
        };
        let reordered = reordered_columns(&weights, &[1, 2, 1, 3], &[0, 2, 3, 1]);
        assert_eq!(reordered.data.as_deref(), Some(&[0u8, 10, 1, 11, 2, 12][..]));
    }
}
