//! Folds batch normalization at inference into the convolution or the linear layer before it, or writes it as a product and a sum.
//!
//! With the running mean `m` and variance `v` of a channel, `factor = weight / sqrt(v + eps)`:
//!
//! ```text
//! y = (x − m) · factor + bias = x · factor + (bias − m · factor)
//! ```
//!
//! A layer in binary32 whose result nobody else reads takes the factor into its weights and the sum into its bias. PT2E
//! does so itself where it quantizes; what is left was not quantized.

use super::PassContext;
use super::rewriter::{Rewriter, replace_each};
use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, ValueId};

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    replace_each(graph, |rewriter| {
        let affine = Affine::of(rewriter)?;
        if fold_into_layer(rewriter, &affine).is_none() {
            affine.write(rewriter);
        }
        Some(())
    });
    Ok(())
}

/// `x · factor + offset`, channel by channel.
struct Affine {
    input: ValueId,
    output: ValueId,
    factors: Vec<f64>,
    offsets: Vec<f64>,
}

impl Affine {
    /// What a batch normalization at inference computes, if its statistics are constants.
    fn of(rewriter: &Rewriter<'_>) -> Option<Affine> {
        let node = rewriter.origin;
        let is_training = node.flag("training");
        let is_norm = matches!(
            node.target.as_str(),
            "aten.batch_norm.default"
                | "aten._native_batch_norm_legit_no_training.default"
                | "aten._batch_norm_no_update.default"
        );
        let (input, [output]) = (node.value("input")?, &node.outputs[..]) else { return None };
        if !is_norm || is_training || !rewriter.is_f32(input) || !rewriter.is_f32(*output) {
            return None;
        }
        let channels = *rewriter.shape(input).get(1)? as usize;
        let per_channel = |name: &str, default: f64| match node.value(name) {
            Some(id) => {
                let numbers = rewriter.f32_constant(id)?;
                (numbers.len() == channels).then(|| numbers.into_iter().map(f64::from).collect())
            }
            None => Some(vec![default; channels]),
        };
        let mean: Vec<f64> = node.value("running_mean").and(per_channel("running_mean", 0.0))?;
        let variance: Vec<f64> = node.value("running_var").and(per_channel("running_var", 1.0))?;
        let (weight, bias) = (per_channel("weight", 1.0)?, per_channel("bias", 0.0)?);
        let eps = node.float("eps")?;
        let factors: Vec<f64> =
            weight.iter().zip(&variance).map(|(weight, v)| weight / (v + eps).sqrt()).collect();
        let offsets = (0..channels).map(|c| bias[c] - mean[c] * factors[c]).collect();
        Some(Affine { input, output: *output, factors, offsets })
    }

    fn write(&self, rewriter: &mut Rewriter<'_>) {
        let shape = rewriter.shape(self.input).to_vec();
        // Channels are axis 1: one extent of their own, and 1 for each axis behind.
        let mut of_channels = vec![1; shape.len() - 1];
        of_channels[0] = shape[1];
        let to_f32 = |numbers: &[f64]| numbers.iter().map(|it| *it as f32).collect::<Vec<_>>();
        let factors = rewriter.constant("factor", of_channels.clone(), &to_f32(&self.factors));
        let offsets = rewriter.constant("offset", of_channels, &to_f32(&self.offsets));
        let arguments = [("self", self.input.into()), ("other", factors.into())];
        let scaled = rewriter.call("scaled", "aten.mul.Tensor", arguments, shape);
        let arguments = [("self", scaled.into()), ("other", offsets.into())];
        rewriter.call_into("aten.add.Tensor", arguments, self.output);
    }
}

/// Where a layer's weight has the channels of its result.
#[derive(Clone, Copy)]
enum Channels {
    /// Along the first axis.
    First,
    /// Along the second axis of each group's share of the first one, as transposed convolutions have it.
    SecondOfGroups(usize),
}

/// How a layer's weight is laid out, if the layer can take a factor for each channel, axis 1 of its result.
fn channels(rewriter: &Rewriter<'_>, layer: &Node, output: ValueId) -> Option<Channels> {
    let groups = || usize::try_from(layer.int("groups").unwrap_or(1)).ok();
    match layer.target.as_str() {
        "aten.conv1d.default"
        | "aten.conv1d.padding"
        | "aten.conv2d.default"
        | "aten.conv2d.padding" => Some(Channels::First),
        // Features are the last axis, which only of a matrix is the channels' one.
        "aten.linear.default" => (rewriter.shape(output).len() == 2).then_some(Channels::First),
        "aten.conv_transpose1d.default" | "aten.conv_transpose2d.input" => {
            Some(Channels::SecondOfGroups(groups()?))
        }
        _ => None,
    }
}

fn fold_into_layer(rewriter: &mut Rewriter<'_>, affine: &Affine) -> Option<()> {
    let index = rewriter.graph.producer(affine.input)?;
    let layer = rewriter.graph.nodes[index].clone();
    let channels = channels(rewriter, &layer, affine.input)?;
    if layer.activation.is_some() || rewriter.read_count(affine.input) != 1 {
        return None;
    }
    let input = layer.value("input").filter(|id| rewriter.is_f32(*id))?;
    let weight = layer.value("weight")?;
    let shape = rewriter.shape(weight).to_vec();
    let elements = rewriter.f32_constant(weight)?;
    let bias = match layer.value("bias") {
        Some(bias) => rewriter.f32_constant(bias)?,
        None => vec![0.0; affine.factors.len()],
    };
    let count = bias.len();
    let extent = |axes: std::ops::Range<usize>| {
        let axes = shape.get(axes).unwrap_or_default().iter();
        axes.map(|extent| *extent as usize).product::<usize>().max(1)
    };
    let channel_of: Box<dyn Fn(usize) -> usize> = match channels {
        Channels::First => {
            let inner = extent(1..shape.len());
            Box::new(move |at| at / inner)
        }
        Channels::SecondOfGroups(groups) => {
            let inner = extent(2..shape.len());
            let own = extent(1..2);
            let share = (extent(0..1) / groups.max(1)).max(1);
            Box::new(move |at| at / (inner * own) / share * own + at / inner % own)
        }
    };
    let last = elements.len().checked_sub(1).map(&channel_of);
    if count != affine.factors.len() || last.is_some_and(|last| last + 1 != count) {
        return None;
    }
    let scaled = elements.iter().enumerate();
    let scaled: Vec<f32> =
        scaled.map(|(at, it)| (f64::from(*it) * affine.factors[channel_of(at)]) as f32).collect();
    let biases = bias.iter().zip(&affine.factors).zip(&affine.offsets);
    let moved: Vec<f32> = biases
        .map(|((bias, factor), offset)| (f64::from(*bias) * factor + offset) as f32)
        .collect();
    let weight = rewriter.constant("weight", shape, &scaled);
    let bias = rewriter.constant("bias", vec![moved.len() as u32], &moved);
    rewriter.call_into(&layer.target, [], affine.output);
    let mut arguments: Vec<(String, Argument)> = layer.arguments;
    arguments.retain(|(name, _)| !matches!(name.as_str(), "input" | "weight" | "bias"));
    let tensors = [("input", input), ("weight", weight), ("bias", bias)];
    let tensors = tensors.map(|(name, id)| (name.to_owned(), id.into()));
    rewriter.set_arguments(tensors.into_iter().chain(arguments).collect());
    rewriter.set_source(layer.source);
    rewriter.graph.nodes.remove(index);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;

    /// A normalization of two channels of [`convolved`] or of the input itself.
    fn normalized(with_convolution: bool, is_read_twice: bool) -> (Sample, Vec<String>) {
        let mut sample = Sample::default();
        let mut image = sample.input("x", &[1, 2, 3, 3]);
        if with_convolution {
            let weight = sample.constant("w", &[2, 2, 1, 1], &[1.0, 2.0, 3.0, 4.0]);
            let arguments = [("input", image.into()), ("weight", weight.into())];
            image = sample.node("conv", "aten.conv2d.default", &arguments, &[1, 2, 3, 3]);
        }
        let mean = sample.constant("mean", &[2], &[1.0, 2.0]);
        let variance = sample.constant("variance", &[2], &[3.0, 15.0]);
        let weight = sample.constant("weight", &[2], &[4.0, 2.0]);
        let arguments = [
            ("input", image.into()),
            ("weight", weight.into()),
            ("bias", Argument::None),
            ("running_mean", mean.into()),
            ("running_var", variance.into()),
            ("training", Argument::Bool(false)),
            ("eps", Argument::Float(1.0)),
        ];
        let output = sample.node("norm", "aten.batch_norm.default", &arguments, &[1, 2, 3, 3]);
        let outputs = if is_read_twice { vec![output, image] } else { vec![output] };
        let targets = sample.run(&outputs, run);
        (sample, targets)
    }

    #[test]
    fn a_convolution_takes_it_in() {
        let (sample, targets) = normalized(true, false);
        assert_eq!(targets, ["aten.conv2d.default"]);
        let node = &sample.graph.nodes[0];
        let elements = |name: &str| sample.elements(node.value(name).unwrap()).unwrap();
        assert_eq!(elements("weight"), [2.0, 4.0, 1.5, 2.0]);
        assert_eq!(elements("bias"), [-2.0, -1.0]);
    }

    /// A layer of `[1, 2, …]` with this weight, normalized to `x · [2, 1/2] + [0, 1]`.
    fn layer(target: &str, weight: &[u32], others: &[(&str, Argument)]) -> (Sample, Vec<String>) {
        let mut sample = Sample::default();
        let extents: &[u32] = if weight.len() == 2 { &[1, 2] } else { &[1, 2, 3, 3] };
        let input = sample.input("x", extents);
        let count = weight.iter().product::<u32>();
        let elements: Vec<f32> = (1..=count).map(|element| element as f32).collect();
        let weight = sample.constant("w", weight, &elements);
        let mut arguments = vec![("input", input.into()), ("weight", weight.into())];
        arguments.extend_from_slice(others);
        let image = sample.node("layer", target, &arguments, extents);
        let factors = sample.constant("factors", &[2], &[2.0, 0.5]);
        let offsets = sample.constant("offsets", &[2], &[0.0, 1.0]);
        let (zero, one) =
            (sample.constant("zero", &[2], &[0.0; 2]), sample.constant("one", &[2], &[1.0; 2]));
        let arguments = [
            ("input", image.into()),
            ("weight", factors.into()),
            ("bias", offsets.into()),
            ("running_mean", zero.into()),
            ("running_var", one.into()),
            ("eps", Argument::Float(0.0)),
        ];
        let output = sample.node("norm", "aten.batch_norm.default", &arguments, extents);
        let targets = sample.run(&[output], run);
        (sample, targets)
    }

    #[test]
    fn linear_and_transposed_layers_take_it_in() {
        let transposed = "aten.conv_transpose2d.input";
        let groups = [("groups", Argument::Int(2))];
        for (target, weight, others, expected) in [
            ("aten.linear.default", &[2, 2][..], &[][..], [2.0, 4.0, 1.5, 2.0]),
            (transposed, &[2, 2, 1, 1], &[], [2.0, 1.0, 6.0, 2.0]),
            (transposed, &[2, 1, 1, 2], &groups, [2.0, 4.0, 1.5, 2.0]),
        ] {
            let (sample, targets) = layer(target, weight, others);
            assert_eq!(targets, [target]);
            let node = &sample.graph.nodes[0];
            let elements = |name: &str| sample.elements(node.value(name).unwrap()).unwrap();
            assert_eq!(elements("weight"), expected, "{target} {weight:?}");
            assert_eq!(elements("bias"), [0.0, 1.0]);
        }
    }

    #[test]
    fn without_one_it_is_a_product_and_a_sum() {
        let (sample, targets) = normalized(false, false);
        assert_eq!(targets, ["aten.mul.Tensor", "aten.add.Tensor"]);
        let factors = sample.graph.nodes[0].value("other").unwrap();
        assert_eq!(sample.graph.value(factors).shape, [2, 1, 1]);
        assert_eq!(sample.elements(factors), Some(vec![2.0, 0.5]));
        let (_, targets) = normalized(true, true);
        assert_eq!(targets, ["aten.conv2d.default", "aten.mul.Tensor", "aten.add.Tensor"]);
    }
}
