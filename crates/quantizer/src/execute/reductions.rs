//! Means, sums and extremes over axes, softmax, and normalization.

use super::{Call, Kernel, Results, axis};
use crate::tensor::{Tensor, strides};
use cortado_compiler::functions::base_name;
use cortado_compiler::graph::Node;

pub(super) fn kernel(node: &Node) -> Option<Kernel> {
    let (name, _) = base_name(node)?;
    Some(match name {
        "mean" => |call| reduce(call, |row| row.sum::<f64>() / row.count().max(1) as f64),
        "sum" => |call| reduce(call, |row| row.sum()),
        "amax" => |call| reduce(call, |row| row.fold(f64::NEG_INFINITY, f64::max)),
        "amin" => |call| reduce(call, |row| row.fold(f64::INFINITY, f64::min)),
        "softmax" | "_softmax" => |call| softmax(call, false),
        "log_softmax" | "_log_softmax" => |call| softmax(call, true),
        "layer_norm" | "native_layer_norm" => layer_norm,
        "rms_norm" => rms_norm,
        "group_norm" => group_norm,
        "instance_norm" => instance_norm,
        "batch_norm" | "_native_batch_norm_legit_no_training" | "_batch_norm_no_update" => {
            batch_norm
        }
        _ => return None,
    })
}

/// Numbers of one row that is reduced.
struct Row<'a>(&'a [f64]);

impl Row<'_> {
    fn sum<T: std::iter::Sum<f64>>(&self) -> T {
        self.0.iter().copied().sum()
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn fold(&self, start: f64, with: fn(f64, f64) -> f64) -> f64 {
        self.0.iter().copied().fold(start, with)
    }
}

fn reduce(call: &Call<'_>, of: fn(&Row<'_>) -> f64) -> Results {
    let input = call.input(&["self", "input"])?;
    let rank = input.shape().len();
    let dims = call.ints("dim").filter(|dims| !dims.is_empty());
    let dims = dims.unwrap_or_else(|| (0..rank as i64).collect());
    let dims: Vec<usize> = dims.into_iter().map(|dim| axis(dim, rank)).collect::<Result<_, _>>()?;
    let steps = strides(input.shape());
    let (mut kept, mut reduced) = (Vec::new(), Vec::new());
    for (axis, place) in input.shape().iter().copied().zip(steps).enumerate() {
        let list = if dims.contains(&axis) { &mut reduced } else { &mut kept };
        list.push(place);
    }
    let positions = |axes: &[(usize, usize)]| {
        let mut positions = vec![0usize];
        for (extent, step) in axes {
            let along = |at: usize| (0..*extent).map(move |index| at + index * step);
            positions = positions.into_iter().flat_map(along).collect();
        }
        positions
    };
    let inner = positions(&reduced);
    let mut row = vec![0.0; inner.len()];
    let mut out = Vec::new();
    for start in positions(&kept) {
        let places = row.iter_mut().zip(&inner);
        places.for_each(|(it, place)| *it = f64::from(input.data()[start + place]));
        out.push(of(&Row(&row)) as f32);
    }
    Ok(vec![Tensor::new(call.out_shape()?, out)])
}

fn softmax(call: &Call<'_>, is_log: bool) -> Results {
    let input = call.input(&["self", "input"])?;
    let axis = call.axis("dim", -1, input.shape().len())?;
    let extent = input.shape().get(axis).copied().unwrap_or(1);
    let inner: usize = input.shape().get(axis + 1..).unwrap_or_default().iter().product();
    let mut out = input.clone();
    for block in out.data_mut().chunks_exact_mut((extent * inner).max(1)) {
        for lane in 0..inner {
            let place = |index: usize| index * inner + lane;
            let max = (0..extent).map(|at| block[place(at)]).fold(f32::NEG_INFINITY, f32::max);
            // A row of which everything is masked is not a number, as in PyTorch.
            let power = |it: f32| f64::from(it - max).exp();
            let sum: f64 = (0..extent).map(|at| power(block[place(at)])).sum();
            for at in 0..extent {
                let it = &mut block[place(at)];
                *it = match is_log {
                    true => (f64::from(*it - max) - sum.ln()) as f32,
                    false => (power(*it) / sum) as f32,
                };
            }
        }
    }
    Ok(vec![out])
}

/// Mean, and one over the standard deviation.
fn statistics(row: &[f32], eps: f64) -> (f64, f64) {
    let count = row.len().max(1) as f64;
    let mean = row.iter().map(|it| f64::from(*it)).sum::<f64>() / count;
    let variance = row.iter().map(|it| (f64::from(*it) - mean).powi(2)).sum::<f64>() / count;
    (mean, 1.0 / (variance + eps).sqrt())
}

fn layer_norm(call: &Call<'_>) -> Results {
    let input = call.input(&["input"])?;
    let normalized = call.ints("normalized_shape").ok_or("its extents are not known")?;
    let inner: usize = normalized.iter().map(|extent| *extent as usize).product();
    let eps = call.node.float("eps").unwrap_or(1e-5);
    let (weight, bias) = (call.optional("weight")?, call.optional("bias")?);
    let mut out = input.clone();
    let (mut means, mut factors) = (Vec::new(), Vec::new());
    for row in out.data_mut().chunks_exact_mut(inner.max(1)) {
        let (mean, factor) = statistics(row, eps);
        means.push(mean as f32);
        factors.push(factor as f32);
        for (index, it) in row.iter_mut().enumerate() {
            let weight = weight.map_or(1.0, |weight| f64::from(weight.data()[index]));
            let bias = bias.map_or(0.0, |bias| f64::from(bias.data()[index]));
            *it = ((f64::from(*it) - mean) * factor * weight + bias) as f32;
        }
    }
    let mut results = vec![out];
    for (id, numbers) in call.node.outputs.iter().skip(1).zip([means, factors]) {
        let shape = call.graph.value(*id).shape.iter().map(|extent| *extent as usize).collect();
        results.push(Tensor::new(shape, numbers));
    }
    Ok(results)
}

fn rms_norm(call: &Call<'_>) -> Results {
    let normalized = call.ints("normalized_shape").ok_or("its extents are not known")?;
    let inner: usize = normalized.iter().map(|extent| *extent as usize).product();
    let eps = call.node.float("eps").unwrap_or(f64::from(f32::EPSILON));
    let weight = call.optional("weight")?;
    let mut out = call.input(&["input"])?.clone();
    for row in out.data_mut().chunks_exact_mut(inner.max(1)) {
        let sum: f64 = row.iter().map(|it| f64::from(*it).powi(2)).sum();
        let factor = 1.0 / (sum / inner.max(1) as f64 + eps).sqrt();
        for (index, it) in row.iter_mut().enumerate() {
            let weight = weight.map_or(1.0, |weight| f64::from(weight.data()[index]));
            *it = (f64::from(*it) * factor * weight) as f32;
        }
    }
    Ok(vec![out])
}

fn group_norm(call: &Call<'_>) -> Results {
    let groups = call.node.int("num_groups").filter(|it| *it > 0);
    normalize_groups(call, groups.ok_or("its groups are not known")? as usize)
}

fn instance_norm(call: &Call<'_>) -> Results {
    if !call.flag("use_input_stats", true) {
        return batch_norm(call);
    }
    let channels = call.input(&["input"])?.shape().get(1).copied().unwrap_or(1);
    normalize_groups(call, channels)
}

/// Normalizes groups of channels, axis 1, each over its own numbers.
fn normalize_groups(call: &Call<'_>, groups: usize) -> Results {
    let mut out = call.input(&["input"])?.clone();
    let [batches, channels, rest @ ..] = out.shape() else {
        return Err("its input has no channels".to_owned());
    };
    let (batches, channels) = (*batches, *channels);
    let inner: usize = rest.iter().product();
    let eps = call.node.float("eps").unwrap_or(1e-5);
    let (weight, bias) = (call.optional("weight")?, call.optional("bias")?);
    let size = out.data().len() / (batches * groups).max(1);
    for (group, row) in out.data_mut().chunks_exact_mut(size.max(1)).enumerate() {
        let (mean, factor) = statistics(row, eps);
        for (index, it) in row.iter_mut().enumerate() {
            let channel = (group % groups) * (channels / groups) + index / inner.max(1);
            let weight = weight.map_or(1.0, |weight| f64::from(weight.data()[channel]));
            let bias = bias.map_or(0.0, |bias| f64::from(bias.data()[channel]));
            *it = ((f64::from(*it) - mean) * factor * weight + bias) as f32;
        }
    }
    Ok(vec![out])
}

fn batch_norm(call: &Call<'_>) -> Results {
    if call.flag("training", false) {
        return Err("it normalizes by the batch, as in training".to_owned());
    }
    let mut out = call.input(&["input"])?.clone();
    let channels = out.shape().get(1).copied().unwrap_or(1);
    let inner: usize = out.shape().get(2..).unwrap_or_default().iter().product();
    let mean = call.optional("running_mean")?.ok_or("it has no running mean")?;
    let variance = call.optional("running_var")?.ok_or("it has no running variance")?;
    let eps = call.node.float("eps").unwrap_or(1e-5);
    let (weight, bias) = (call.optional("weight")?, call.optional("bias")?);
    for (index, plane) in out.data_mut().chunks_exact_mut(inner.max(1)).enumerate() {
        let channel = index % channels;
        let number = |tensor: Option<&Tensor>, default: f64| {
            tensor.map_or(default, |tensor| f64::from(tensor.data()[channel]))
        };
        let factor = number(weight, 1.0) / (number(Some(variance), 1.0) + eps).sqrt();
        let offset = number(bias, 0.0) - number(Some(mean), 0.0) * factor;
        plane.iter_mut().for_each(|it| *it = (f64::from(*it) * factor + offset) as f32);
    }
    let mut results = vec![out];
    // Statistics that nobody asked for.
    results.resize(call.node.outputs.len(), Tensor::new(vec![0], Vec::new()));
    Ok(results)
}
