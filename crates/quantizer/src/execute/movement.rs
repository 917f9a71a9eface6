//! Operators that only move elements.

use super::elementwise::{broadcast, gather};
use super::{Call, Kernel, Results, axis};
use crate::tensor::{Tensor, strides};
use cortado_compiler::functions::base_name;
use cortado_compiler::graph::{Argument, Node};

pub(super) fn kernel(node: &Node) -> Option<Kernel> {
    let (name, _) = base_name(node)?;
    Some(match name {
        "view" | "_unsafe_view" | "view_as" | "reshape" | "reshape_as" | "flatten"
        | "unflatten" | "squeeze" | "unsqueeze" | "ravel" | "clone" | "contiguous" | "alias"
        | "detach" | "lift_fresh_copy" | "lift_fresh" | "dropout" | "feature_dropout"
        | "alpha_dropout" | "positive" => same_elements,
        "permute" | "transpose" | "t" | "swapaxes" | "swapdims" | "movedim" | "moveaxis" | "mT"
        | "numpy_T" | "adjoint" => permuted,
        "expand" | "expand_as" | "broadcast_to" => |call| {
            let shape = call.out_shape()?;
            let out = broadcast(call.input(&["self"])?, &shape)?.into_owned();
            Ok(vec![Tensor::new(shape, out)])
        },
        "repeat" | "tile" => repeated,
        "repeat_interleave" => interleaved,
        "slice" | "narrow" | "narrow_copy" | "select" => |call| {
            let input = call.input(&["self"])?;
            let shape = call.out_shape()?;
            Ok(vec![part(call, input, shape)?])
        },
        "split" | "split_with_sizes" | "chunk" | "unsafe_chunk" | "unsafe_split"
        | "tensor_split" | "unbind" => divided,
        "cat" | "concat" | "concatenate" | "stack" => joined,
        "pad" | "constant_pad_nd" | "reflection_pad1d" | "reflection_pad2d"
        | "replication_pad1d" | "replication_pad2d" | "zero_pad2d" => padded,
        "flip" => flipped,
        "roll" => rolled,
        "pixel_shuffle" | "pixel_unshuffle" | "channel_shuffle" => shuffled,
        "upsample_nearest1d" | "upsample_nearest2d" => nearest,
        "index_select" | "embedding" => rows,
        _ => return None,
    })
}

/// The elements stay where they are.
fn same_elements(call: &Call<'_>) -> Results {
    if call.flag("train", false) || call.flag("training", false) {
        return Err("it drops elements at random, as in training".to_owned());
    }
    let shape = call.out_shape()?;
    let moved = call.input(&["self", "input"])?.reshaped(shape);
    Ok(vec![moved.ok_or("its result has another number of elements")?])
}

fn permuted(call: &Call<'_>) -> Results {
    let input = call.input(&["self", "input"])?;
    let rank = input.shape().len();
    let (name, _) = base_name(call.node).ok_or("it is not known")?;
    let mut axes: Vec<usize> = (0..rank).collect();
    match name {
        "permute" => {
            let dims = call.ints("dims").ok_or("its axes are not known")?;
            axes = dims.into_iter().map(|dim| axis(dim, rank)).collect::<Result<_, _>>()?;
        }
        "transpose" | "swapaxes" | "swapdims" => {
            let either = |a: &str, b: &str| call.node.int(a).or_else(|| call.node.int(b));
            let first = either("dim0", "axis0").ok_or("its axes are not known")?;
            let second = either("dim1", "axis1").ok_or("its axes are not known")?;
            axes.swap(axis(first, rank)?, axis(second, rank)?);
        }
        "movedim" | "moveaxis" => {
            let list = |name: &str| -> Result<Vec<usize>, String> {
                let dims = call.ints(name).ok_or("its axes are not known")?;
                dims.into_iter().map(|dim| axis(dim, rank)).collect()
            };
            let (from, to) = (list("source")?, list("destination")?);
            axes.retain(|axis| !from.contains(axis));
            let mut moves: Vec<(usize, usize)> = to.into_iter().zip(from).collect();
            moves.sort_unstable();
            for (to, from) in moves {
                axes.insert(to.min(axes.len()), from);
            }
        }
        "numpy_T" => axes.reverse(),
        _ if rank >= 2 => axes.swap(rank - 2, rank - 1),
        _ => {}
    }
    if axes.len() != rank {
        return Err("its axes are no permutation".to_owned());
    }
    let steps = strides(input.shape());
    let steps: Vec<usize> = axes.iter().map(|axis| steps[*axis]).collect();
    let shape: Vec<usize> = axes.iter().map(|axis| input.shape()[*axis]).collect();
    let out = gather(input.data(), &shape, &steps, 0);
    Ok(vec![Tensor::new(shape, out)])
}

/// The element at each place of the result, by a function of the place.
fn by_place(shape: &[usize], mut element: impl FnMut(&[usize]) -> f32) -> Tensor {
    let count: usize = shape.iter().product();
    let mut out = Vec::with_capacity(count);
    let mut at = vec![0; shape.len()];
    for _ in 0..count {
        out.push(element(&at));
        for axis in (0..shape.len()).rev() {
            at[axis] += 1;
            if at[axis] < shape[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    Tensor::new(shape.to_vec(), out)
}

fn repeated(call: &Call<'_>) -> Results {
    let (input, shape) = (call.input(&["self"])?, call.out_shape()?);
    let own = input.shape();
    let missing = shape.len().checked_sub(own.len()).ok_or("its result has fewer axes")?;
    let steps = strides(own);
    let element = |at: &[usize]| {
        let places = at[missing..].iter().zip(own).zip(&steps);
        input.data()[places.map(|((at, own), step)| at % own * step).sum::<usize>()]
    };
    Ok(vec![by_place(&shape, element)])
}

fn interleaved(call: &Call<'_>) -> Results {
    let (input, shape) = (call.input(&["self"])?, call.out_shape()?);
    let repeats = call.node.int("repeats").filter(|it| *it > 0);
    let repeats = repeats.ok_or("its number of repetitions is not known")? as usize;
    if call.node.int("dim").is_none() {
        let repeat = |it: &f32| std::iter::repeat_n(*it, repeats);
        return Ok(vec![Tensor::new(shape, input.data().iter().flat_map(repeat).collect())]);
    }
    let axis = call.axis("dim", 0, input.shape().len())?;
    let steps = strides(input.shape());
    let element = |at: &[usize]| {
        let step = |(index, at): (usize, &usize)| {
            steps[index] * if index == axis { at / repeats } else { *at }
        };
        input.data()[at.iter().enumerate().map(step).sum::<usize>()]
    };
    Ok(vec![by_place(&shape, element)])
}

/// A slice or a selection.
fn part(call: &Call<'_>, input: &Tensor, shape: Vec<usize>) -> Result<Tensor, String> {
    let axis = call.axis("dim", 0, input.shape().len())?;
    let extent = *input.shape().get(axis).ok_or("it takes a part of a single number")? as i64;
    let from_end = |at: i64| if at < 0 { at + extent } else { at }.clamp(0, extent) as usize;
    let mut steps = strides(input.shape());
    let start = match call.node.int("index") {
        Some(index) => {
            let start = from_end(index);
            let offset = start * steps.remove(axis);
            if start as i64 >= extent {
                return Err(format!("there is no index {index}"));
            }
            let out = gather(input.data(), &shape, &steps, offset);
            return Ok(Tensor::new(shape, out));
        }
        None => from_end(call.node.int("start").unwrap_or(0)),
    };
    let step = call.node.int("step").unwrap_or(1).max(1) as usize;
    let reach = start + shape.get(axis).map_or(0, |extent| extent.saturating_sub(1) * step);
    if shape.len() != steps.len() || (reach as i64 >= extent && !shape.contains(&0)) {
        return Err("its result reaches beyond its input".to_owned());
    }
    let offset = start * steps[axis];
    steps[axis] *= step;
    let out =
        if shape.contains(&0) { Vec::new() } else { gather(input.data(), &shape, &steps, offset) };
    Ok(Tensor::new(shape, out))
}

fn divided(call: &Call<'_>) -> Results {
    let input = call.input(&["self"])?;
    let axis = call.axis("dim", 0, input.shape().len())?;
    let steps = strides(input.shape());
    let is_unbound = base_name(call.node).is_some_and(|(name, _)| name == "unbind");
    let mut start = 0;
    let mut parts = Vec::new();
    for id in &call.node.outputs {
        let shape: Vec<usize> =
            call.graph.value(*id).shape.iter().map(|extent| *extent as usize).collect();
        let mut own_steps = steps.clone();
        let extent =
            if is_unbound { 1 } else { *shape.get(axis).ok_or("a result has no such axis")? };
        if is_unbound {
            own_steps.remove(axis);
        }
        if start + extent > input.shape()[axis] {
            return Err("its results reach beyond its input".to_owned());
        }
        let out = gather(input.data(), &shape, &own_steps, start * steps[axis]);
        parts.push(Tensor::new(shape, out));
        start += extent;
    }
    Ok(parts)
}

fn joined(call: &Call<'_>) -> Results {
    let Some(Argument::Values(ids)) = call.node.argument("tensors") else {
        return Err("its tensors are not known".to_owned());
    };
    let shape = call.out_shape()?;
    let axis = call.axis("dim", 0, shape.len())?;
    let is_stack = base_name(call.node).is_some_and(|(name, _)| name == "stack");
    let mut parts = Vec::new();
    for id in ids.iter().flatten() {
        let tensor = call.tensor(*id)?;
        // PyTorch takes an empty list among the tensors for nothing.
        if tensor.shape() == [0] {
            continue;
        }
        let own = if is_stack { axis } else { axis + 1 };
        let inner: usize = shape[axis + 1..].iter().product();
        let extent = if is_stack {
            1
        } else {
            *tensor.shape().get(axis).ok_or("a tensor lacks the axis")?
        };
        if tensor.shape().get(own..).is_none_or(|rest| rest.iter().product::<usize>() != inner) {
            return Err("its tensors do not fit each other".to_owned());
        }
        parts.push((tensor, extent * inner));
    }
    let outer: usize = shape[..axis].iter().product();
    let mut out = Vec::with_capacity(shape.iter().product());
    for row in 0..outer {
        for (tensor, run) in &parts {
            let part = tensor.data().get(row * run..(row + 1) * run);
            out.extend_from_slice(part.ok_or("its tensors do not fit each other")?);
        }
    }
    if out.len() != shape.iter().product::<usize>() {
        return Err("its tensors do not fit its result".to_owned());
    }
    Ok(vec![Tensor::new(shape, out)])
}

fn padded(call: &Call<'_>) -> Results {
    let input = call.input(&["self", "input"])?;
    let shape = call.out_shape()?;
    let rank = input.shape().len();
    let pad =
        call.ints("pad").or_else(|| call.ints("padding")).ok_or("its padding is not known")?;
    let mut before = vec![0i64; rank];
    for (pair, before) in pad.as_chunks::<2>().0.iter().zip(before.iter_mut().rev()) {
        *before = pair[0];
    }
    let (name, _) = base_name(call.node).ok_or("it is not known")?;
    let mode = match name {
        "reflection_pad1d" | "reflection_pad2d" => "reflect",
        "replication_pad1d" | "replication_pad2d" => "replicate",
        _ => call.text("mode").unwrap_or("constant"),
    };
    let value = call.node.float("value").unwrap_or(0.0) as f32;
    let place: fn(i64, i64) -> Option<i64> = match mode {
        "constant" => |at, extent| (0..extent).contains(&at).then_some(at),
        "reflect" => |at, extent| {
            let at = at.abs();
            Some(if at >= extent { 2 * (extent - 1) - at } else { at })
        },
        "replicate" => |at, extent| Some(at.clamp(0, extent - 1)),
        "circular" => |at, extent| Some(at.rem_euclid(extent)),
        other => return Err(format!("its mode is `{other}`")),
    };
    let steps = strides(input.shape());
    let element = |at: &[usize]| {
        let mut position = 0;
        for axis in 0..rank {
            let at = at[axis] as i64 - before[axis];
            match place(at, input.shape()[axis] as i64) {
                Some(at) => position += at as usize * steps[axis],
                None => return value,
            }
        }
        input.data()[position]
    };
    Ok(vec![by_place(&shape, element)])
}

fn flipped(call: &Call<'_>) -> Results {
    let input = call.input(&["self"])?;
    let rank = input.shape().len();
    let dims = call.ints("dims").ok_or("its axes are not known")?;
    let dims: Vec<usize> = dims.into_iter().map(|dim| axis(dim, rank)).collect::<Result<_, _>>()?;
    let steps = strides(input.shape());
    let element = |at: &[usize]| {
        let place = |axis: usize| {
            let at =
                if dims.contains(&axis) { input.shape()[axis] - 1 - at[axis] } else { at[axis] };
            at * steps[axis]
        };
        input.data()[(0..rank).map(place).sum::<usize>()]
    };
    Ok(vec![by_place(input.shape(), element)])
}

fn rolled(call: &Call<'_>) -> Results {
    let input = call.input(&["self"])?;
    let shifts = call.ints("shifts").ok_or("its shifts are not known")?;
    let dims = call.ints("dims").unwrap_or_default();
    if dims.is_empty() {
        let mut out = input.clone();
        let count = out.data().len().max(1) as i64;
        let shift = shifts.first().map_or(0, |shift| shift.rem_euclid(count));
        out.data_mut().rotate_right(shift as usize);
        return Ok(vec![out]);
    }
    let rank = input.shape().len();
    let mut by_axis = vec![0i64; rank];
    for (dim, shift) in dims.into_iter().zip(shifts) {
        by_axis[axis(dim, rank)?] += shift;
    }
    let steps = strides(input.shape());
    let element = |at: &[usize]| {
        let place = |axis: usize| {
            let from = (at[axis] as i64 - by_axis[axis]).rem_euclid(input.shape()[axis] as i64);
            from as usize * steps[axis]
        };
        input.data()[(0..rank).map(place).sum::<usize>()]
    };
    Ok(vec![by_place(input.shape(), element)])
}

fn shuffled(call: &Call<'_>) -> Results {
    let (input, shape) = (call.input(&["self"])?, call.out_shape()?);
    let (name, _) = base_name(call.node).ok_or("it is not known")?;
    let number = |name: &str| call.node.int(name).filter(|it| *it > 0).map(|it| it as usize);
    let Some(first) = input.shape().len().checked_sub(3) else {
        return Err("its input is no image".to_owned());
    };
    let steps = strides(input.shape());
    let own = |at: &[usize], last: [usize; 3]| {
        let outer: usize = (0..first).map(|axis| at[axis] * steps[axis]).sum();
        outer + (0..3).map(|axis| last[axis] * steps[first + axis]).sum::<usize>()
    };
    let data = input.data();
    Ok(vec![match name {
        "pixel_shuffle" => {
            let r = number("upscale_factor").ok_or("its factor is not known")?;
            by_place(&shape, |at| {
                let [c, h, w] = [at[first], at[first + 1], at[first + 2]];
                data[own(at, [c * r * r + h % r * r + w % r, h / r, w / r])]
            })
        }
        "pixel_unshuffle" => {
            let r = number("downscale_factor").ok_or("its factor is not known")?;
            by_place(&shape, |at| {
                let [c, h, w] = [at[first], at[first + 1], at[first + 2]];
                data[own(at, [c / (r * r), h * r + c / r % r, w * r + c % r])]
            })
        }
        _ => {
            let groups = number("groups").ok_or("its groups are not known")?;
            let each = shape[1] / groups;
            let steps = strides(&shape);
            by_place(&shape, |at| {
                let mut at = at.to_vec();
                at[1] = at[1] % groups * each + at[1] / groups;
                data[at.iter().zip(&steps).map(|(at, step)| at * step).sum::<usize>()]
            })
        }
    }])
}

fn nearest(call: &Call<'_>) -> Results {
    let (input, shape) = (call.input(&["self", "input"])?, call.out_shape()?);
    let steps = strides(input.shape());
    let element = |at: &[usize]| {
        let place = |axis: usize| {
            let from = match axis {
                0 | 1 => at[axis],
                _ => at[axis] * input.shape()[axis] / shape[axis],
            };
            from * steps[axis]
        };
        input.data()[(0..shape.len()).map(place).sum::<usize>()]
    };
    Ok(vec![by_place(&shape, element)])
}

/// Items of an axis by their indices.
fn rows(call: &Call<'_>) -> Results {
    let is_embedding = base_name(call.node).is_some_and(|(name, _)| name == "embedding");
    let (table, indices) = match is_embedding {
        true => (call.input(&["weight"])?, call.input(&["indices"])?),
        false => (call.input(&["self"])?, call.input(&["index"])?),
    };
    let axis = if is_embedding { 0 } else { call.axis("dim", 0, table.shape().len())? };
    let extent = table.shape().get(axis).copied().unwrap_or(0);
    let inner: usize = table.shape()[axis + 1..].iter().product();
    let outer: usize = table.shape()[..axis].iter().product();
    let mut out = Vec::new();
    for block in 0..outer {
        for index in indices.data() {
            let index = *index as usize;
            if index >= extent {
                return Err(format!("there is no item {index} among {extent}"));
            }
            out.extend_from_slice(&table.data()[(block * extent + index) * inner..][..inner]);
        }
    }
    Ok(vec![Tensor::new(call.out_shape()?, out)])
}
