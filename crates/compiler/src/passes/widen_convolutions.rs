//! Makes convolutions over sequences, and those over a single image without a batch axis, convolutions over images.
//!
//! A sequence `[N, C, L]` becomes an image of height 1, `[N, C, 1, L]`: an axis of extent 1 is added to input and weights and taken
//! off the result again, which moves nothing. Later stages know two-dimensional convolutions only.

use super::PassContext;
use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, Quantization, Scale, Value, ValueId};

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    for node in std::mem::take(&mut graph.nodes) {
        let widened = widen(graph, &node);
        match widened {
            Some(nodes) => graph.nodes.extend(nodes),
            None => graph.nodes.push(node),
        }
    }
    Ok(())
}

/// The target of the two-dimensional convolution for each of the others, and the number of axes of an image or a sequence
/// without a batch.
fn image_target(graph: &Graph, node: &Node) -> Option<(&'static str, usize)> {
    let weight = node.value("weight").map(|id| graph.value(id).shape.len())?;
    let target = match node.target.as_str() {
        "aten.conv1d.default" | "aten.conv2d.default" => "aten.conv2d.default",
        "aten.conv1d.padding" | "aten.conv2d.padding" => "aten.conv2d.padding",
        "aten.conv_transpose1d.default" | "aten.conv_transpose2d.input" => {
            "aten.conv_transpose2d.input"
        }
        "aten.convolution.default" => "aten.convolution.default",
        _ => return None,
    };
    matches!(weight, 3 | 4).then_some((target, weight - 1))
}

/// The nodes that a convolution becomes, `None` when it stays.
fn widen(graph: &mut Graph, node: &Node) -> Option<Vec<Node>> {
    let (target, unbatched) = image_target(graph, node)?;
    let (input, weight) = (node.value("input")?, node.value("weight")?);
    let [output] = node.outputs[..] else { return None };
    let is_sequence = unbatched == 2;
    let has_batch = match graph.value(input).shape.len().checked_sub(unbatched)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    // The axes to add, in terms of the result.
    let axes: &[usize] = match (has_batch, is_sequence) {
        (true, false) => return None,
        (true, true) => &[2],
        (false, false) => &[0],
        (false, true) => &[0, 2],
    };
    let weight = if is_sequence { widened_weight(graph, weight)? } else { weight };
    let mut nodes = Vec::new();
    let mut image = input;
    for axis in axes {
        let widened = with_unit_axis(graph, image, *axis, &format!("{}_input", node.name));
        nodes.push(rename(node, "aten.unsqueeze.default", image, *axis, widened));
        image = widened;
    }
    // From the result backwards, so that the last node has it.
    let mut narrowing = Vec::new();
    let mut wide_output = output;
    for axis in axes {
        let wider = with_unit_axis(graph, wide_output, *axis, &format!("{}_output", node.name));
        narrowing.push(rename(node, "aten.squeeze.dim", wider, *axis, wide_output));
        wide_output = wider;
    }
    nodes.push(Node {
        target: target.to_owned(),
        arguments: arguments(node, image, weight, is_sequence),
        outputs: vec![wide_output],
        ..node.clone()
    });
    nodes.extend(narrowing.into_iter().rev());
    Some(nodes)
}

/// The arguments of the convolution over images.
fn arguments(
    node: &Node,
    image: ValueId,
    weight: ValueId,
    is_sequence: bool,
) -> Vec<(String, Argument)> {
    let widen = |(name, argument): &(String, Argument)| {
        let with = |number: i64, numbers: &[i64]| match numbers {
            [length] if is_sequence => Argument::Ints(vec![number, *length]),
            numbers => Argument::Ints(numbers.to_vec()),
        };
        let number = i64::from(matches!(name.as_str(), "stride" | "dilation"));
        let argument = match (name.as_str(), argument) {
            ("input", _) => Argument::Value(image),
            ("weight", _) => Argument::Value(weight),
            ("stride" | "dilation" | "padding" | "output_padding", Argument::Ints(numbers)) => {
                with(number, numbers)
            }
            (_, argument) => argument.clone(),
        };
        (name.clone(), argument)
    };
    node.arguments.iter().map(widen).collect()
}

/// The constant weights of a convolution over sequences, with a height of 1.
fn widened_weight(graph: &mut Graph, weight: ValueId) -> Option<ValueId> {
    let value = graph.value(weight);
    let ([outer, inner, length], Some(_)) = (&value.shape[..], &value.data) else { return None };
    let quantization = value.quantization.clone();
    // Channels are axes 0 and 1, before the one that is added.
    let is_before = |quantization: &Quantization| match quantization.scale {
        Scale::PerTensor(_) => true,
        Scale::PerChannel { axis, .. } => axis < 2,
    };
    if !quantization.as_ref().is_none_or(is_before) {
        return None;
    }
    let widened = Value {
        shape: vec![*outer, *inner, 1, *length],
        dim_order: vec![0, 1, 2, 3],
        quantization,
        ..value.clone()
    };
    Some(graph.add_value(widened))
}

/// A value with the elements of another one and an axis of extent 1 more.
fn with_unit_axis(graph: &mut Graph, id: ValueId, axis: usize, name: &str) -> ValueId {
    let value = graph.value(id);
    let mut shape = value.shape.clone();
    shape.insert(axis, 1);
    let dim_order = (0..shape.len() as u8).collect();
    let widened = Value { name: name.to_owned(), shape, dim_order, data: None, ..value.clone() };
    graph.add_value(widened)
}

/// A node that adds or takes off an axis of extent 1.
fn rename(node: &Node, target: &str, from: ValueId, axis: usize, to: ValueId) -> Node {
    Node {
        name: format!("{}_axis{axis}", node.name),
        target: target.to_owned(),
        arguments: vec![
            ("self".to_owned(), Argument::Value(from)),
            ("dim".to_owned(), Argument::Int(axis as i64)),
        ],
        outputs: vec![to],
        activation: None,
        source: node.source.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::verify;
    use cortado_contract::{Cpu, DType, Target};

    fn value(graph: &mut Graph, name: &str, shape: &[u32], quantization: Quantization) -> ValueId {
        graph.add_value(Value {
            name: name.to_owned(),
            dtype: DType::I8,
            shape: shape.to_vec(),
            dim_order: (0..shape.len() as u8).collect(),
            quantization: Some(quantization),
            data: None,
        })
    }

    fn quantization(scale: Scale, channels: usize) -> Quantization {
        let zero_points = vec![0; channels];
        Quantization { scale, zero_points, quant_min: -128, quant_max: 127, dtype: DType::I8 }
    }

    /// A convolution from `input` to `output`, with two output channels, three input channels and a window of two.
    fn graph(target: &str, input: &[u32], output: &[u32]) -> Graph {
        let mut graph = Graph::default();
        let activation = quantization(Scale::PerTensor(0.5), 1);
        let input = value(&mut graph, "input", input, activation.clone());
        let output = value(&mut graph, "output", output, activation);
        let per_channel = Scale::PerChannel { axis: 0, scales: vec![0.1, 0.2] };
        let weight = value(&mut graph, "weight", &[2, 3, 2], quantization(per_channel, 2));
        graph.values[weight.0].data = Some(vec![1; 12].into());
        (graph.inputs, graph.outputs) = (vec![input], vec![output]);
        graph.nodes.push(Node {
            name: "conv".to_owned(),
            target: target.to_owned(),
            arguments: vec![
                ("input".to_owned(), Argument::Value(input)),
                ("weight".to_owned(), Argument::Value(weight)),
                ("stride".to_owned(), Argument::Ints(vec![3])),
                ("padding".to_owned(), Argument::Ints(vec![1])),
            ],
            outputs: vec![output],
            activation: None,
            source: Default::default(),
        });
        let context = PassContext { target: Target::new(Cpu::M55) };
        run(&context, &mut graph).unwrap();
        assert_eq!(verify(&graph), []);
        graph
    }

    fn targets(graph: &Graph) -> Vec<&str> {
        graph.nodes.iter().map(|node| node.target.as_str()).collect()
    }

    #[test]
    fn a_sequence_becomes_an_image_of_height_one() {
        let graph = graph("aten.conv1d.default", &[4, 3, 9], &[4, 2, 4]);
        assert_eq!(
            targets(&graph),
            ["aten.unsqueeze.default", "aten.conv2d.default", "aten.squeeze.dim"]
        );
        let node = &graph.nodes[1];
        assert_eq!(graph.value(node.value("input").unwrap()).shape, [4, 3, 1, 9]);
        assert_eq!(graph.value(node.value("weight").unwrap()).shape, [2, 3, 1, 2]);
        assert_eq!(graph.value(node.outputs[0]).shape, [4, 2, 1, 4]);
        assert_eq!(node.argument("stride"), Some(&Argument::Ints(vec![1, 3])));
        assert_eq!(node.argument("padding"), Some(&Argument::Ints(vec![0, 1])));
    }

    #[test]
    fn a_batch_axis_is_added_where_there_is_none() {
        let graph = graph("aten.conv1d.default", &[3, 9], &[2, 4]);
        let axes = |index: usize| graph.nodes[index].int("dim");
        assert_eq!([axes(0), axes(1), axes(3), axes(4)], [Some(0), Some(2), Some(2), Some(0)]);
        assert_eq!(graph.value(graph.nodes[2].outputs[0]).shape, [1, 2, 1, 4]);
        assert_eq!(graph.nodes[4].outputs, graph.outputs);
    }

    #[test]
    fn other_nodes_stay() {
        assert_eq!(targets(&graph("aten.conv3d.default", &[4, 3, 9], &[4, 2, 4])).len(), 1);
    }
}
