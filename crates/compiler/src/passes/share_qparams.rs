//! Quantizes and dequantizes every tensor once, and not at all where the one undoes the other.
//!
//! PT2E gives each reader of a tensor a dequantize node of its own, and may quantize a tensor once for each reader. Nodes that do the
//! same to the same tensor become one. A quantize node behind a dequantize node with the same parameters returns the same
//! integers, so whoever reads it may read those; that does not hold for 32 bits, which binary32 cannot tell apart, nor
//! for integers beyond the limits that the quantize node sets.

use super::{DEQUANTIZE, PassContext, QUANTIZE};
use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, ValueId};
use cortado_contract::DType;
use cortado_contract::quant::inverse_scale;

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    for index in 0..graph.nodes.len() {
        if !matches!(graph.nodes[index].target.as_str(), QUANTIZE | DEQUANTIZE) {
            continue;
        }
        let Some(same) = earlier(graph, index).or_else(|| undone(graph, index)) else { continue };
        let [output] = graph.nodes[index].outputs[..] else { continue };
        // Two results of the model, or an input and a result, stay two tensors.
        let is_border = graph.inputs.contains(&same) || graph.outputs.contains(&same);
        if !(graph.outputs.contains(&output) && (is_border || graph.value(same).data.is_some())) {
            graph.replace_uses(output, same);
        }
    }
    graph.remove_dead_nodes();
    Ok(())
}

/// The result of an earlier node that does the same.
fn earlier(graph: &Graph, index: usize) -> Option<ValueId> {
    let node = &graph.nodes[index];
    let same = graph.nodes[..index]
        .iter()
        .find(|other| other.target == node.target && other.arguments == node.arguments)?;
    same.outputs.first().copied()
}

/// For a quantize node, the integers that its input was dequantized from, if it returns them.
fn undone(graph: &Graph, index: usize) -> Option<ValueId> {
    let quantize = &graph.nodes[index];
    if quantize.target != QUANTIZE {
        return None;
    }
    let dequantize = &graph.nodes[graph.producer(quantize.value("input")?)?];
    let integers = dequantize.value("input")?;
    let is_alike = |name: &str| quantize.argument(name) == dequantize.argument(name);
    let inverse = f64::from(inverse_scale(quantize.float("scale")?));
    let keeps_all = inverse.is_normal() && (quantize.float("scale")? as f32).is_normal();
    if dequantize.target != DEQUANTIZE
        || !["scale", "zero_point", "dtype"].into_iter().all(is_alike)
        || !keeps_all
    {
        return None;
    }
    let (min, max) = limits(graph, integers, quantize)?;
    let (quant_min, quant_max) = (quantize.int("quant_min")?, quantize.int("quant_max")?);
    (quant_min <= min && max <= quant_max).then_some(integers)
}

/// The limits within which the integers are known to be.
fn limits(graph: &Graph, integers: ValueId, reader: &Node) -> Option<(i64, i64)> {
    let of_type = match reader.argument("dtype")? {
        Argument::DType(DType::I8) => (-128, 127),
        Argument::DType(DType::U8) => (0, 255),
        Argument::DType(DType::I16) => (-32768, 32767),
        _ => return None,
    };
    let producer = graph.producer(integers).map(|index| &graph.nodes[index]);
    match producer.filter(|producer| producer.target == QUANTIZE) {
        Some(producer) => Some((producer.int("quant_min")?, producer.int("quant_max")?)),
        None => Some(of_type),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;

    fn parameters(input: ValueId, scale: f64, min: i64) -> Vec<(&'static str, Argument)> {
        vec![
            ("input", input.into()),
            ("scale", Argument::Float(scale)),
            ("zero_point", Argument::Int(3)),
            ("quant_min", Argument::Int(min)),
            ("quant_max", Argument::Int(127)),
            ("dtype", Argument::DType(DType::I8)),
        ]
    }

    fn quantize(sample: &mut Sample, name: &str, input: ValueId, scale: f64, min: i64) -> ValueId {
        let arguments = parameters(input, scale, min);
        sample.results(name, QUANTIZE, &arguments, &[(DType::I8, &[4])])[0]
    }

    fn dequantize(sample: &mut Sample, name: &str, input: ValueId) -> ValueId {
        sample.node(name, DEQUANTIZE, &parameters(input, 0.5, -128), &[4])
    }

    #[test]
    fn the_same_is_done_once() {
        let mut sample = Sample::default();
        let input = sample.input("x", &[4]);
        let a = quantize(&mut sample, "a", input, 0.5, -128);
        let b = quantize(&mut sample, "b", input, 0.5, -128);
        let a = dequantize(&mut sample, "c", a);
        let b = dequantize(&mut sample, "d", b);
        let arguments = [("self", a.into()), ("other", b.into())];
        let sum = sample.node("sum", "aten.add.Tensor", &arguments, &[4]);
        assert_eq!(sample.run(&[sum], run), [QUANTIZE, DEQUANTIZE, "aten.add.Tensor"]);
    }

    /// Quantizes, dequantizes, and quantizes again with this scale and lower limit.
    fn again(scale: f64, min: i64) -> usize {
        let mut sample = Sample::default();
        let input = sample.input("x", &[4]);
        let integers = quantize(&mut sample, "a", input, 0.5, -128);
        let numbers = dequantize(&mut sample, "b", integers);
        let again = quantize(&mut sample, "c", numbers, scale, min);
        let output = dequantize(&mut sample, "d", again);
        sample.run(&[output], run).len()
    }

    #[test]
    fn what_is_undone_goes() {
        assert_eq!(again(0.5, -128), 2);
        // Another scale, or a limit that may bite.
        assert_eq!(again(0.25, -128), 4);
        assert_eq!(again(0.5, -127), 4);
    }
}
