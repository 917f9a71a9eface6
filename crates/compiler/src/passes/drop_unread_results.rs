//! Replaces operators of which only the first result is read by the ones that have no other.
//!
//! The statistics that normalization also returns are for training.

use super::PassContext;
use super::rewriter::{Rewriter, replace_each};
use crate::error::CompileError;
use crate::graph::Graph;

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    replace_each(graph, drop_statistics);
    Ok(())
}

fn drop_statistics(rewriter: &mut Rewriter<'_>) -> Option<()> {
    let node = rewriter.origin;
    let target = match node.target.as_str() {
        "aten.native_layer_norm.default" => "aten.layer_norm.default",
        same @ ("aten._native_batch_norm_legit_no_training.default"
        | "aten._batch_norm_no_update.default") => same,
        _ => return None,
    };
    let [first, others @ ..] = &node.outputs[..] else { return None };
    if others.is_empty() || others.iter().any(|other| rewriter.is_read(*other)) {
        return None;
    }
    rewriter.call_into(target, [], *first);
    rewriter.set_arguments(node.arguments.clone());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;
    use crate::graph::Argument;
    use cortado_contract::DType;

    #[test]
    fn statistics_go_unless_they_are_read() {
        let (native, plain) = ("aten.native_layer_norm.default", "aten.layer_norm.default");
        for (count, target) in [(1, plain), (2, native)] {
            let mut sample = Sample::default();
            let input = sample.input("x", &[2, 4]);
            let arguments =
                [("input", input.into()), ("normalized_shape", Argument::Ints(vec![4]))];
            let results = [(DType::F32, &[2, 4][..]), (DType::F32, &[2, 1]), (DType::F32, &[2, 1])];
            let normalized = sample.results("norm", native, &arguments, &results);
            assert_eq!(sample.run(&normalized[..count], run), [target]);
            assert_eq!(sample.graph.nodes[0].arguments.len(), 2);
        }
    }
}
