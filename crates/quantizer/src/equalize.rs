//! Moving factors from one layer to the next.
//!
//! Between two layers with nothing but a rectifier in between, a channel can be divided by a factor in the first and multiplied by it
//! in the second: the model stays the same, and the ranges of the channels become alike, which have one scale. With the greatest
//! weights `a` of a channel in the first and `b` in the second layer, the factor is `sqrt(a / b)`.
//!
//! Source: M. Nagel et al., *Data-Free Quantization Through Weight Equalization and Bias Correction*, 2019.

use cortado_compiler::functions::base_name;
use cortado_compiler::graph::{Graph, ValueId};

/// Factors beyond this, up or down, are of dead channels.
const FACTOR_MAX: f32 = 8.0;

/// Equalizes all pairs of layers and returns how many there are.
pub(crate) fn equalize(graph: &mut Graph) -> usize {
    let mut pairs = 0;
    for second in 0..graph.nodes.len() {
        pairs += usize::from(equalize_pair(graph, second).is_some());
    }
    pairs
}

/// Equalizes a layer and the one before it.
fn equalize_pair(graph: &mut Graph, second: usize) -> Option<()> {
    let node = &graph.nodes[second];
    let is_layer = |target: &str| {
        matches!(target, "aten.linear.default" | "aten.conv2d.default" | "aten.conv1d.default")
    };
    if !is_layer(&node.target) {
        return None;
    }
    let mut between = node.value("input")?;
    let mut first = graph.producer(between)?;
    let alone = |graph: &Graph, id: ValueId, user: usize| {
        graph.users(id) == [user] && !graph.outputs.contains(&id)
    };
    if !alone(graph, between, second) {
        return None;
    }
    if base_name(&graph.nodes[first]).is_some_and(|(name, _)| name == "relu") {
        let rectifier = first;
        between = graph.nodes[rectifier].value("self")?;
        first = graph.producer(between)?;
        if !alone(graph, between, rectifier) {
            return None;
        }
    }
    let (before, after) = (graph.nodes[first].clone(), graph.nodes[second].clone());
    if before.target != after.target {
        return None;
    }
    let groups = |node: &cortado_compiler::graph::Node| node.int("groups").unwrap_or(1);
    let (weight, next) = (before.value("weight")?, after.value("weight")?);
    let reads = |id: ValueId| graph.users(id).len() == 1;
    let bias = before.value("bias");
    if !reads(weight) || !reads(next) || bias.is_some_and(|bias| !reads(bias)) {
        return None;
    }
    let mut rows = floats(graph, weight)?;
    let mut columns = floats(graph, next)?;
    let mut offsets: Option<Vec<f32>> = match bias {
        Some(bias) => Some(floats(graph, bias)?),
        None => None,
    };
    let channels = *graph.value(weight).shape.first()? as usize;
    let per_row = rows.len() / channels.max(1);
    let shape = &graph.value(next).shape;
    let inner: usize = shape[2..].iter().map(|extent| *extent as usize).product();
    let inputs = shape[1] as usize;
    // Which channel an element of the second layer's weights reads.
    let is_depthwise = groups(&after) as usize == channels && inputs == 1;
    if groups(&after) != 1 && !is_depthwise {
        return None;
    }
    let multiplier = (shape[0] as usize / channels.max(1)).max(1);
    let channel_of = |at: usize| match is_depthwise {
        true => at / (inner * multiplier),
        false => at / inner % inputs,
    };
    if !is_depthwise && inputs != channels {
        return None;
    }
    let mut greatest = vec![(0.0f32, 0.0f32); channels];
    for (at, weight) in rows.iter().enumerate() {
        greatest[at / per_row].0 = greatest[at / per_row].0.max(weight.abs());
    }
    for (at, weight) in columns.iter().enumerate() {
        let own = &mut greatest[channel_of(at)].1;
        *own = own.max(weight.abs());
    }
    let factor = |(a, b): &(f32, f32)| match *a > 0.0 && *b > 0.0 {
        true => (a / b).sqrt().clamp(1.0 / FACTOR_MAX, FACTOR_MAX),
        false => 1.0,
    };
    let mut factors: Vec<f32> = greatest.iter().map(factor).collect();
    // Only differences between channels matter; the tensor keeps its magnitude.
    let mean = factors.iter().map(|factor| factor.ln()).sum::<f32>() / channels.max(1) as f32;
    factors.iter_mut().for_each(|factor| *factor /= mean.exp());
    rows.iter_mut().enumerate().for_each(|(at, weight)| *weight /= factors[at / per_row]);
    columns.iter_mut().enumerate().for_each(|(at, weight)| *weight *= factors[channel_of(at)]);
    if let Some(offsets) = &mut offsets {
        offsets.iter_mut().zip(&factors).for_each(|(offset, factor)| *offset /= factor);
    }
    set(graph, weight, &rows);
    set(graph, next, &columns);
    if let (Some(bias), Some(offsets)) = (bias, offsets) {
        set(graph, bias, &offsets);
    }
    Some(())
}

fn floats(graph: &Graph, id: ValueId) -> Option<Vec<f32>> {
    Some(crate::tensor::Tensor::of_constant(graph.value(id))?.data().to_vec())
}

fn set(graph: &mut Graph, id: ValueId, numbers: &[f32]) {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    graph.values[id.0].data = Some(bytes.into());
}
