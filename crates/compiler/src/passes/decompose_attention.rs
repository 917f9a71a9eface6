//! Writes scaled dot product attention as the products, the mask and the softmax that it stands for.
//!
//! With queries `[…, L, E]`, keys `[…, S, E]` and values `[…, S, V]`:
//!
//! ```text
//! softmax((query · scale) keyᵀ + mask, over the last axis) value
//! ```
//!
//! The scale goes to the queries, which are fewer numbers than the scores. A mask of truth values becomes one of zeros and
//! negative infinities; it must be a constant. Quantized or not, the operator computes with real numbers in between, and so do its
//! parts: nobody has quantized them.

use super::rewriter::{Rewriter, replace_each};
use super::{PassContext, constant_numbers};
use crate::error::CompileError;
use crate::graph::{Argument, Graph, ValueId};
use cortado_contract::DType;

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    replace_each(graph, decompose);
    Ok(())
}

/// `None` for other nodes, and for attention that drops values at random or masks what is not known yet.
fn decompose(rewriter: &mut Rewriter<'_>) -> Option<()> {
    let node = rewriter.origin;
    if node.target != "aten.scaled_dot_product_attention.default"
        || node.float("dropout_p").unwrap_or(0.0) != 0.0
    {
        return None;
    }
    let [output] = node.outputs[..] else { return None };
    let (query, key, value) = (node.value("query")?, node.value("key")?, node.value("value")?);
    if [query, key, value, output].iter().any(|id| !rewriter.is_f32(*id)) {
        return None;
    }
    let [query_batch @ .., queries, depth] = rewriter.shape(query) else { return None };
    let [.., keys, _] = rewriter.shape(key) else { return None };
    let (queries, keys) = (*queries, *keys);
    let heads = query_batch.last().copied();
    let scale = node.float("scale").unwrap_or_else(|| 1.0 / f64::from(*depth).sqrt());
    let mask = mask(rewriter, queries, keys)?;

    let (key, value) = match node.argument("enable_gqa") {
        Some(Argument::Bool(true)) => {
            (for_all_heads(rewriter, key, heads?)?, for_all_heads(rewriter, value, heads?)?)
        }
        _ => (key, value),
    };
    let query = scaled(rewriter, query, scale);
    let transposed = transposed(rewriter, key)?;
    let mut shape = rewriter.shape(output).to_vec();
    // The result's batches are those of all operands; its matrix is `[L, V]`, and that of the scores `[L, S]`.
    *shape.last_mut()? = keys;
    let product = [("self", query.into()), ("other", transposed.into())];
    let scores = rewriter.call("scores", "aten.matmul.default", product, shape.clone());
    let scores = match mask {
        Some(mask) => {
            let arguments = [("self", scores.into()), ("other", mask.into())];
            rewriter.call("masked", "aten.add.Tensor", arguments, shape.clone())
        }
        None => scores,
    };
    let arguments = [("self", scores.into()), ("dim", Argument::Int(-1))];
    let weights = rewriter.call("weights", "aten.softmax.int", arguments, shape);
    let product = [("self", weights.into()), ("other", value.into())];
    rewriter.call_into("aten.matmul.default", product, output);
    Some(())
}

fn scaled(rewriter: &mut Rewriter<'_>, query: ValueId, scale: f64) -> ValueId {
    if scale == 1.0 {
        return query;
    }
    let shape = rewriter.shape(query).to_vec();
    let factor = rewriter.constant("scale", Vec::new(), &[scale as f32]);
    let arguments = [("self", query.into()), ("other", factor.into())];
    rewriter.call("scaled", "aten.mul.Tensor", arguments, shape)
}

fn transposed(rewriter: &mut Rewriter<'_>, key: ValueId) -> Option<ValueId> {
    let mut shape = rewriter.shape(key).to_vec();
    let last = shape.len().checked_sub(1)?;
    shape.swap(last - 1, last);
    let dims = [("dim0", Argument::Int(last as i64 - 1)), ("dim1", Argument::Int(last as i64))];
    let [dim0, dim1] = dims;
    let arguments = [("self", key.into()), dim0, dim1];
    Some(rewriter.call("transposed", "aten.transpose.int", arguments, shape))
}

/// Keys or values that several heads of queries share, once for each of them.
fn for_all_heads(rewriter: &mut Rewriter<'_>, id: ValueId, heads: u32) -> Option<ValueId> {
    let mut shape = rewriter.shape(id).to_vec();
    let axis = shape.len().checked_sub(3)?;
    let own = shape[axis];
    if own == heads {
        return Some(id);
    }
    if own == 0 || !heads.is_multiple_of(own) {
        return None;
    }
    shape[axis] = heads;
    let arguments = [
        ("self", id.into()),
        ("repeats", Argument::Int(i64::from(heads / own))),
        ("dim", Argument::Int(axis as i64)),
    ];
    Some(rewriter.call("heads", "aten.repeat_interleave.self_int", arguments, shape))
}

/// What is added to the scores: `Some(None)` for nothing, `None` when it is not known.
fn mask(rewriter: &mut Rewriter<'_>, queries: u32, keys: u32) -> Option<Option<ValueId>> {
    let node = rewriter.origin;
    if node.flag("is_causal") {
        let sees = (0..queries).flat_map(|query| (0..keys).map(move |key| key <= query));
        return additive(rewriter, vec![queries, keys], &sees.collect::<Vec<_>>()).map(Some);
    }
    let Some(mask) = node.value("attn_mask") else { return Some(None) };
    match rewriter.graph.value(mask).dtype {
        DType::F32 => Some(Some(mask)),
        DType::Bool => {
            let sees: Vec<bool> =
                constant_numbers(rewriter.graph, mask)?.iter().map(|it| *it != 0.0).collect();
            let shape = rewriter.shape(mask).to_vec();
            additive(rewriter, shape, &sees).map(Some)
        }
        _ => None,
    }
}

/// Zero for a key that a query sees, negative infinity for one that it does not; `None` where a query sees nothing at all, for
/// which softmax is undefined.
fn additive(rewriter: &mut Rewriter<'_>, shape: Vec<u32>, sees: &[bool]) -> Option<ValueId> {
    let keys = *shape.last()? as usize;
    if sees.chunks(keys.max(1)).any(|row| !row.contains(&true)) {
        return None;
    }
    let elements: Vec<f32> =
        sees.iter().map(|sees| if *sees { 0.0 } else { f32::NEG_INFINITY }).collect();
    Some(rewriter.constant("mask", shape, &elements))
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;

    fn attention(arguments: &[(&str, Argument)], key_heads: u32) -> (Sample, Vec<String>) {
        let mut sample = Sample::default();
        let query = sample.input("query", &[1, 4, 3, 16]);
        let key = sample.input("key", &[1, key_heads, 2, 16]);
        let value = sample.input("value", &[1, key_heads, 2, 5]);
        let mut all = vec![("query", query.into()), ("key", key.into()), ("value", value.into())];
        all.extend_from_slice(arguments);
        let target = "aten.scaled_dot_product_attention.default";
        let output = sample.node("attention", target, &all, &[1, 4, 3, 5]);
        let targets = sample.run(&[output], run);
        (sample, targets)
    }

    #[test]
    fn attention_becomes_its_parts() {
        let (sample, targets) = attention(&[], 4);
        let expected = [
            "aten.mul.Tensor",
            "aten.transpose.int",
            "aten.matmul.default",
            "aten.softmax.int",
            "aten.matmul.default",
        ];
        assert_eq!(targets, expected);
        let nodes = &sample.graph.nodes;
        let factor = nodes[0].value("other").unwrap();
        assert_eq!(sample.elements(factor), Some(vec![0.25]));
        assert_eq!(sample.graph.value(nodes[2].outputs[0]).shape, [1, 4, 3, 2]);
        assert_eq!(nodes[4].outputs, sample.graph.outputs);
        assert_eq!(nodes[4].name, "attention");
    }

    #[test]
    fn a_causal_mask_hides_later_keys() {
        let arguments = [("is_causal", Argument::Bool(true)), ("scale", Argument::Float(1.0))];
        let (sample, targets) = attention(&arguments, 4);
        assert_eq!(targets[2], "aten.add.Tensor");
        let mask = sample.graph.nodes[2].value("other").unwrap();
        let hidden = f32::NEG_INFINITY;
        assert_eq!(sample.elements(mask), Some(vec![0.0, hidden, 0.0, 0.0, 0.0, 0.0]));
    }

    #[test]
    fn shared_heads_are_repeated() {
        let (sample, targets) = attention(&[("enable_gqa", Argument::Bool(true))], 2);
        assert_eq!(targets[..2], ["aten.repeat_interleave.self_int"; 2]);
        assert_eq!(sample.graph.value(sample.graph.nodes[0].outputs[0]).shape, [1, 4, 2, 16]);
        assert_eq!(sample.graph.nodes[0].int("repeats"), Some(2));
    }

    #[test]
    fn what_is_not_known_stays() {
        let (_, targets) = attention(&[("dropout_p", Argument::Float(0.5))], 4);
        assert_eq!(targets, ["aten.scaled_dot_product_attention.default"]);
    }
}
