//! Convolutions of one and two axes, plain, grouped, depthwise and transposed.
//!
//! An image is `[batch, channels, height, width]`, a sequence an image of height 1. Groups of channels are products of the weights
//! with the image unfolded (a column for each position, a row for each weight); depthwise convolutions are sums of shifted rows.

use super::{Call, Kernel, Results};
use crate::tensor::Tensor;
use cortado_compiler::graph::Node;
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

pub(super) fn kernel(node: &Node) -> Option<Kernel> {
    Some(match node.target.as_str() {
        "aten.conv1d.default" | "aten.conv1d.padding" => |call| run(call, 1, false),
        "aten.conv2d.default" | "aten.conv2d.padding" => |call| run(call, 2, false),
        "aten.conv_transpose1d.default" => |call| run(call, 1, true),
        "aten.conv_transpose2d.input" => |call| run(call, 2, true),
        "aten.convolution.default" => |call| {
            let axes = call.input(&["weight"])?.shape().len().saturating_sub(2);
            run(call, axes, call.flag("transposed", false))
        },
        _ => return None,
    })
}

/// What both kinds have: height first, then width.
struct Geometry {
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    /// Padding before the first row and column.
    before: [usize; 2],
    groups: usize,
    input: [usize; 2],
    output: [usize; 2],
}

fn run(call: &Call<'_>, axes: usize, is_transposed: bool) -> Results {
    if !(1..=2).contains(&axes) {
        return Err(format!("it convolves over {axes} axes; 1 and 2 are supported"));
    }
    let (input, weight) = (call.input(&["input"])?, call.input(&["weight"])?);
    let out_shape = call.out_shape()?;
    let is_batched = input.shape().len() == axes + 2;
    if (!is_batched && input.shape().len() != axes + 1) || weight.shape().len() != axes + 2 {
        return Err("its input or its weight has an unexpected number of axes".to_owned());
    }
    // A sequence is an image of height 1; an image without an axis for the batch is a batch of one.
    let image = |shape: &[usize]| -> [usize; 4] {
        let batched = if is_batched { shape.to_vec() } else { [&[1], shape].concat() };
        match batched[..] {
            [n, c, w] => [n, c, 1, w],
            _ => [batched[0], batched[1], batched[2], batched[3]],
        }
    };
    let [batches, channels, in_h, in_w] = image(input.shape());
    let [_, out_channels, out_h, out_w] = image(&out_shape);
    let pair = |name: &str, default: usize, missing: usize| -> Result<[usize; 2], String> {
        let given = call.ints(name).unwrap_or_default();
        let given: Result<Vec<usize>, _> = given.into_iter().map(usize::try_from).collect();
        let given = given.map_err(|_| format!("its `{name}` is negative"))?;
        Ok(match (axes, &given[..]) {
            (_, []) => [if axes == 1 { missing } else { default }, default],
            (1, [w, ..]) => [missing, *w],
            (_, [both]) => [*both, *both],
            (_, [h, w, ..]) => [*h, *w],
        })
    };
    let kernel = match weight.shape()[2..] {
        [w] => [1, w],
        [h, w] => [h, w],
        _ => return Err("its weight has an unexpected number of axes".to_owned()),
    };
    let stride = pair("stride", 1, 1)?;
    let dilation = pair("dilation", 1, 1)?;
    let before = match call.text("padding") {
        None => pair("padding", 0, 0)?,
        Some("valid") => [0, 0],
        Some("same") => std::array::from_fn(|side| dilation[side] * (kernel[side] - 1) / 2),
        Some(other) => return Err(format!("its padding is `{other}`")),
    };
    let groups = call.node.int("groups").and_then(|it| usize::try_from(it).ok()).unwrap_or(1);
    if groups == 0 || channels % groups != 0 || out_channels % groups != 0 {
        return Err(format!("{channels} → {out_channels} channels in {groups} groups"));
    }
    let geometry = Geometry {
        kernel,
        stride,
        dilation,
        before,
        groups,
        input: [in_h, in_w],
        output: [out_h, out_w],
    };
    let area = out_h * out_w;
    let mut out = vec![0.0f32; batches * out_channels * area];
    let in_size = channels * in_h * in_w;
    for batch in 0..batches {
        let image = &input.data()[batch * in_size..][..in_size];
        let result = &mut out[batch * out_channels * area..][..out_channels * area];
        match (is_transposed, channels == groups) {
            (true, _) => transposed(image, weight.data(), result, &geometry),
            (false, true) => depthwise(image, weight.data(), result, &geometry),
            (false, false) => grouped(image, weight.data(), result, &geometry)?,
        }
    }
    if let Some(bias) = call.optional("bias")? {
        for (channel, plane) in out.chunks_exact_mut(area.max(1)).enumerate() {
            let bias = bias.data()[channel % out_channels];
            plane.iter_mut().for_each(|it| *it += bias);
        }
    }
    Ok(vec![Tensor::new(out_shape, out)])
}

/// `out += lhs · rhs` over row-major matrices.
fn multiply(
    [rows, depth, cols]: [usize; 3],
    lhs: &[f32],
    rhs: &[f32],
    out: &mut [f32],
) -> Result<(), String> {
    let shape = |error: ndarray::ShapeError| error.to_string();
    let lhs = ArrayView2::from_shape((rows, depth), lhs).map_err(shape)?;
    let rhs = ArrayView2::from_shape((depth, cols), rhs).map_err(shape)?;
    let mut out = ArrayViewMut2::from_shape((rows, cols), out).map_err(shape)?;
    general_mat_mul(1.0, &lhs, &rhs, 1.0, &mut out);
    Ok(())
}

fn grouped(
    image: &[f32],
    weight: &[f32],
    out: &mut [f32],
    geometry: &Geometry,
) -> Result<(), String> {
    let Geometry { kernel, groups, input, output, .. } = geometry;
    let in_plane = input[0] * input[1];
    let area = output[0] * output[1];
    let channels = image.len() / in_plane / groups;
    let out_channels = out.len() / area.max(1) / groups;
    let depth = channels * kernel[0] * kernel[1];
    let is_plain = *kernel == [1, 1]
        && geometry.stride == [1, 1]
        && geometry.before == [0, 0]
        && input == output;
    let mut unfolded = if is_plain { Vec::new() } else { vec![0.0; depth * area] };
    for group in 0..*groups {
        let image = &image[group * channels * in_plane..][..channels * in_plane];
        let weight = &weight[group * out_channels * depth..][..out_channels * depth];
        let out = &mut out[group * out_channels * area..][..out_channels * area];
        if !is_plain {
            unfold(image, &mut unfolded, geometry);
        }
        let columns = if is_plain { image } else { &unfolded };
        multiply([out_channels, depth, area], weight, columns, out)?;
    }
    Ok(())
}

/// For each row of a result, the row of the image that a row of the kernel meets there; `None` in the padding.
fn source(out: usize, tap: usize, side: usize, geometry: &Geometry) -> Option<usize> {
    let Geometry { stride, dilation, before, input, .. } = geometry;
    let at = (out * stride[side] + tap * dilation[side]).checked_sub(before[side])?;
    (at < input[side]).then_some(at)
}

/// The columns of a result at which a column of the kernel meets the image, and the image's column at the first of them.
fn span(tap: usize, geometry: &Geometry) -> (std::ops::Range<usize>, usize) {
    let (stride, before) = (geometry.stride[1], geometry.before[1]);
    let offset = tap * geometry.dilation[1];
    let first = before.saturating_sub(offset).div_ceil(stride);
    // The last column of the result that still meets the image.
    let reach = (geometry.input[1] + before).saturating_sub(offset);
    let end = reach.div_ceil(stride).min(geometry.output[1]);
    let first = first.min(end);
    (first..end, (first * stride + offset).saturating_sub(before))
}

fn unfold(image: &[f32], columns: &mut [f32], geometry: &Geometry) {
    let Geometry { kernel, input, output, .. } = geometry;
    let in_plane = input[0] * input[1];
    let area = output[0] * output[1];
    let taps = kernel[0] * kernel[1];
    for (row, target) in columns.chunks_exact_mut(area.max(1)).enumerate() {
        let (plane, tap) = (&image[row / taps * in_plane..][..in_plane], row % taps);
        let (tap_h, tap_w) = (tap / kernel[1], tap % kernel[1]);
        let (span, first) = span(tap_w, geometry);
        for (y, target) in target.chunks_exact_mut(output[1]).enumerate() {
            target.fill(0.0);
            let Some(from) = source(y, tap_h, 0, geometry) else { continue };
            let from = &plane[from * input[1]..][..input[1]];
            let target = &mut target[span.clone()];
            if target.is_empty() {
                continue;
            }
            if geometry.stride[1] == 1 {
                target.copy_from_slice(&from[first..first + target.len()]);
            } else {
                let from = from[first..].iter().step_by(geometry.stride[1]);
                target.iter_mut().zip(from).for_each(|(target, from)| *target = *from);
            }
        }
    }
}

fn depthwise(image: &[f32], weight: &[f32], out: &mut [f32], geometry: &Geometry) {
    let Geometry { kernel, groups, input, output, .. } = geometry;
    let in_plane = input[0] * input[1];
    let area = output[0] * output[1];
    let taps = kernel[0] * kernel[1];
    let multiplier = out.len() / area.max(1) / groups;
    for (channel, target) in out.chunks_exact_mut(area.max(1)).enumerate() {
        let plane = &image[channel / multiplier * in_plane..][..in_plane];
        let weight = &weight[channel * taps..][..taps];
        for (tap, weight) in weight.iter().enumerate() {
            let (tap_h, tap_w) = (tap / kernel[1], tap % kernel[1]);
            let (span, first) = span(tap_w, geometry);
            for (y, target) in target.chunks_exact_mut(output[1]).enumerate() {
                let Some(from) = source(y, tap_h, 0, geometry) else { continue };
                let from = &plane[from * input[1]..][..input[1]];
                let target = &mut target[span.clone()];
                if target.is_empty() {
                    continue;
                }
                let from = &from[first..];
                if geometry.stride[1] == 1 {
                    target.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
                } else {
                    let from = from.iter().step_by(geometry.stride[1]);
                    target.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
                }
            }
        }
    }
}

/// Scatters each pixel of the image, times the weights, over the result. Weights are `[channels, out_channels / groups, h, w]`.
fn transposed(image: &[f32], weight: &[f32], out: &mut [f32], geometry: &Geometry) {
    let Geometry { kernel, stride, dilation, before, groups, input, output } = geometry;
    let in_plane = input[0] * input[1];
    let area = output[0] * output[1];
    let taps = kernel[0] * kernel[1];
    let channels = image.len() / in_plane.max(1) / groups;
    let out_channels = out.len() / area.max(1) / groups;
    for (channel, plane) in image.chunks_exact(in_plane.max(1)).enumerate() {
        let group = channel / channels;
        for own in 0..out_channels {
            let weight = &weight[(channel * out_channels + own) * taps..][..taps];
            let target = &mut out[(group * out_channels + own) * area..][..area];
            for (tap, weight) in weight.iter().enumerate() {
                for y in 0..input[0] {
                    let row =
                        (y * stride[0] + tap / kernel[1] * dilation[0]).checked_sub(before[0]);
                    let Some(row) = row.filter(|row| *row < output[0]) else { continue };
                    for x in 0..input[1] {
                        let col =
                            (x * stride[1] + tap % kernel[1] * dilation[1]).checked_sub(before[1]);
                        let Some(col) = col.filter(|col| *col < output[1]) else { continue };
                        target[row * output[1] + col] += weight * plane[y * input[1] + x];
                    }
                }
            }
        }
    }
}
