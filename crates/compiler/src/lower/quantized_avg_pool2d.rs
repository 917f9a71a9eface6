//! Average pooling over images and sequences, adaptive pooling into equal windows, and means over axes.
//!
//! The pooling kernel averages the integers as they are, so input and result have the same scale. Where they do not, an average is
//! a depthwise convolution with equal weights, whose rescaling divides by the number of positions as well: one rounding
//! instead of two. Only where windows differ in the number of positions that count, the pooled integers are requantized.

use super::movement::{axis_of, have_same_meaning, ints, lies_in};
use super::requantize::requantize;
use super::{Lowerer, Outcome, pad};
use crate::error::Unsupported;
use crate::graph::{Argument, Node, ValueId};
use crate::lowered::{Ints, LoweredTensor};
use cortado_contract::DType;
use cortado_contract::ops::quantized_avg_pool2d::MAX_EXTENT;
use cortado_contract::ops::{Operator, QuantizedAvgPool2d, QuantizedDepthwiseConv2d, Rules};
use cortado_contract::quant::{Requantize, ZeroPoint};
use std::sync::Arc;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    let is_int8 =
        node.outputs.first().is_some_and(|id| lowerer.graph.value(*id).dtype == DType::I8);
    if !is_int8 {
        return None;
    }
    match node.target.as_str() {
        "aten.avg_pool2d.default" => Some(lower_pool(lowerer, node, 2)),
        "aten.avg_pool1d.default" => Some(lower_pool(lowerer, node, 1)),
        "aten.adaptive_avg_pool2d.default" | "aten._adaptive_avg_pool2d.default" => {
            Some(lower_adaptive(lowerer, node, 2))
        }
        "aten.adaptive_avg_pool1d.default" => Some(lower_adaptive(lowerer, node, 1)),
        "aten.mean.dim" | "aten.mean.default" => Some(lower_mean(lowerer, node)),
        _ => None,
    }
}

/// `avg_pool2d` and `avg_pool1d`, which have `axes` pooled axes.
fn lower_pool(lowerer: &mut Lowerer<'_>, node: &Node, axes: usize) -> Result<(), Unsupported> {
    let (input, output) = pooled_ends(lowerer, node)?;
    let geometry = Geometry::read(node, axes)?;
    let [kernel_h, kernel_w] = geometry.kernel;
    let counts_padding = !matches!(node.argument("count_include_pad"), Some(Argument::Bool(false)));
    let counts_padding = match node.int("divisor_override") {
        None => counts_padding,
        // Dividing by the window's extent is what counting the padding comes to, but for windows that are cut off.
        Some(divisor) if divisor == kernel_h * kernel_w && !geometry.ceil_mode => true,
        Some(divisor) => {
            let why = format!("it divides by {divisor} instead of by the window's extent");
            return Err(Unsupported::new(node, why)
                .with_remedy("leave divisor_override out and scale the result"));
        }
    };
    let (image, out) = images(lowerer, node, input, output, axes)?;
    let ends = Ends { input, output, image, out };
    if counts_padding && geometry.padding != [0, 0] {
        return pool_with_counted_padding(lowerer, node, ends, &geometry);
    }
    pool(lowerer, node, ends, &geometry)
}

/// Pads with the number that stands for zero first, so that every position of a window counts.
fn pool_with_counted_padding(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    ends: Ends,
    geometry: &Geometry,
) -> Result<(), Unsupported> {
    if !ends.have_same_meaning(lowerer) && geometry.has_whole_windows(&ends) {
        return convolve(lowerer, node, ends, geometry);
    }
    let Ends { input, output, image, out } = ends;
    let (_, zero_point) = lowerer.int8_activation(node, input)?;
    let mut shape = image.shape.clone();
    let mut borders = vec![(0, 0); 4];
    for side in 0..2 {
        let padding = geometry.padding[side];
        let extent = i64::from(shape[2 + side]);
        let windows = i64::from(out.shape[2 + side]);
        let far_edge = (windows - 1) * geometry.stride[side] + geometry.kernel[side];
        let begins_outside =
            geometry.ceil_mode && windows * geometry.stride[side] >= extent + padding;
        // PyTorch has no window that begins in the far padding. Of a padded image it would, so such an image ends where the
        // last window does.
        let behind =
            if begins_outside { (far_edge - padding - extent).clamp(0, padding) } else { padding };
        borders[2 + side] = (padding, behind);
        shape[2 + side] = (extent + padding + behind) as u32;
    }
    let name = format!("{}_padded", node.name);
    let padded = lowerer.temporary(name, DType::I8, shape, image.dim_order.clone());
    pad::pad(lowerer, node, &image, &borders, zero_point, &padded)?;
    let geometry = Geometry { padding: [0, 0], ..*geometry };
    pool(lowerer, node, Ends { input, output, image: padded, out }, &geometry)
}

/// Adaptive pooling where all windows have the same extents.
fn lower_adaptive(lowerer: &mut Lowerer<'_>, node: &Node, axes: usize) -> Result<(), Unsupported> {
    let (input, output) = pooled_ends(lowerer, node)?;
    let (image, out) = images(lowerer, node, input, output, axes)?;
    let mut geometry =
        Geometry { kernel: [1, 1], stride: [1, 1], padding: [0, 0], ceil_mode: false };
    for side in 0..2 {
        let (from, to) = (image.shape[2 + side], out.shape[2 + side]);
        if to == 0 || from % to != 0 {
            let why = format!("its windows differ in extent: {from} positions make {to}");
            return Err(Unsupported::new(node, why)
                .with_remedy("pool to a divisor of the extent, or use avg_pool2d"));
        }
        geometry.kernel[side] = i64::from(from / to);
    }
    if out.shape[2..] != [1, 1] {
        geometry.stride = geometry.kernel;
    }
    pool(lowerer, node, Ends { input, output, image, out }, &geometry)
}

/// The mean over axes that are neighbours in memory: one window that covers them.
fn lower_mean(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = pooled_ends(lowerer, node)?;
    let (from, out) = (lowerer.tensor(input), lowerer.tensor(output));
    let rank = from.shape.len();
    let written = ints(node, "dim").unwrap_or_default();
    let mut is_mean = vec![written.is_empty(); rank];
    for axis in written {
        is_mean[axis_of(node, axis, rank)?] = true;
    }
    // By position in memory: outside of the mean, in it, inside of it.
    let mut extents: [Vec<u32>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for at in from.dim_order.iter().map(|at| usize::from(*at)).filter(|at| from.shape[*at] != 1) {
        let part = match is_mean[at] {
            true => 1,
            false if extents[1].is_empty() => 0,
            false => 2,
        };
        if part == 1 && !extents[2].is_empty() {
            return Err(Unsupported::new(node, "its axes are not neighbours in memory")
                .with_remedy("take the mean over one group of neighbouring axes at a time"));
        }
        extents[part].push(from.shape[at]);
    }
    let keeps_axes = node.flag("keepdim");
    let kept = |at: usize| is_mean[..at].iter().filter(|is_mean| !**is_mean).count() as u8;
    let order: Vec<u8> = match keeps_axes {
        true => from.dim_order.clone(),
        false => from
            .dim_order
            .iter()
            .filter(|at| !is_mean[usize::from(**at)])
            .map(|at| kept(usize::from(*at)))
            .collect(),
    };
    if !lies_in(&out, &order) {
        return Err(Unsupported::new(node, "its input and its result lie in memory differently"));
    }
    let product = |extents: &[u32]| extents.iter().product::<u32>();
    let [outer, window, inner] = &extents;
    // An image's height and width stay apart, as do those of two axes anywhere.
    let (height, width) = match window.as_slice() {
        [height, rest @ ..] => (*height, product(rest)),
        [] => (1, 1),
    };
    let (outer, inner) = (product(outer), product(inner));
    let image = lowerer.seen_as(&from, vec![outer, inner, height, width], vec![0, 2, 3, 1]);
    let out = lowerer.seen_as(&out, vec![outer, inner, 1, 1], vec![0, 2, 3, 1]);
    let kernel = [i64::from(height), i64::from(width)];
    let geometry = Geometry { kernel, stride: [1, 1], padding: [0, 0], ceil_mode: false };
    pool(lowerer, node, Ends { input, output, image, out }, &geometry)
}

/// The windows of a pooling node: height, width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) kernel: [i64; 2],
    pub(super) stride: [i64; 2],
    pub(super) padding: [i64; 2],
    pub(super) ceil_mode: bool,
}

impl Geometry {
    /// Whether every window lies within the image and its padding.
    fn has_whole_windows(&self, ends: &Ends) -> bool {
        (0..2).all(|side| {
            let windows = i64::from(ends.out.shape[2 + side]);
            let reach = (windows - 1) * self.stride[side] + self.kernel[side];
            reach <= i64::from(ends.image.shape[2 + side]) + 2 * self.padding[side]
        })
    }

    /// Reads the arguments with ATen's defaults. With one pooled axis, windows have one row.
    pub(super) fn read(node: &Node, axes: usize) -> Result<Geometry, Unsupported> {
        let pair = |name: &str, height| match ints(node, name).as_deref() {
            Some([both]) if axes == 2 => Ok(Some([*both, *both])),
            Some([width]) if axes == 1 => Ok(Some([height, *width])),
            Some([height, width]) if axes == 2 => Ok(Some([*height, *width])),
            Some([]) | None => Ok(None),
            Some(_) => Err(Unsupported::new(node, format!("its {name} is no pair of numbers"))),
        };
        let kernel = pair("kernel_size", 1)?
            .ok_or_else(|| Unsupported::new(node, "its window has no extent"))?;
        Ok(Geometry {
            kernel,
            stride: pair("stride", 1)?.unwrap_or(kernel),
            padding: pair("padding", 0)?.unwrap_or([0, 0]),
            ceil_mode: node.flag("ceil_mode"),
        })
    }
}

/// Input and result, both of which are `int8`.
pub(super) fn pooled_ends(
    lowerer: &Lowerer<'_>,
    node: &Node,
) -> Result<(ValueId, ValueId), Unsupported> {
    let (input, output) = lowerer.ends(node)?;
    lowerer.int8_activation(node, input)?;
    lowerer.int8_activation(node, output)?;
    Ok((input, output))
}

/// Input and result of a pooling node, and both as images.
struct Ends {
    input: ValueId,
    output: ValueId,
    image: LoweredTensor,
    out: LoweredTensor,
}

impl Ends {
    fn have_same_meaning(&self, lowerer: &Lowerer<'_>) -> bool {
        let quantization = |id| &lowerer.graph.value(id).quantization;
        have_same_meaning(quantization(self.input), quantization(self.output))
    }
}

/// Input and result as images that are channels-last in memory. Where they are row-major, each channel is an image of its
/// own.
pub(super) fn images(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    input: ValueId,
    output: ValueId,
    axes: usize,
) -> Result<(LoweredTensor, LoweredTensor), Unsupported> {
    let (from, out) = (lowerer.tensor(input), lowerer.tensor(output));
    let rank = from.shape.len();
    if rank < axes || rank > axes + 2 || out.shape.len() != rank {
        return Err(Unsupported::new(node, format!("it pools a tensor with {rank} axes")));
    }
    let channels_last: &[u8] = if axes == 2 { &[0, 2, 3, 1] } else { &[0, 2, 1] };
    let is_channels_last =
        rank == axes + 2 && lies_in(&from, channels_last) && lies_in(&out, channels_last);
    let rows: Vec<u8> = (0..rank as u8).collect();
    let is_row_major = lies_in(&from, &rows) && lies_in(&out, &rows);
    if !is_channels_last && !is_row_major {
        return Err(Unsupported::new(node, "its input and its result lie in memory differently"));
    }
    let mut image = |tensor: &LoweredTensor| {
        let (outside, pooled) = tensor.shape.split_at(rank - axes);
        let mut shape = match (is_channels_last, outside) {
            (true, outside) => outside.to_vec(),
            (false, outside) => vec![outside.iter().product(), 1],
        };
        shape.extend(std::iter::repeat_n(1, 2 - axes));
        shape.extend(pooled);
        lowerer.seen_as(tensor, shape, vec![0, 2, 3, 1])
    };
    Ok((image(&from), image(&out)))
}

/// Adds the calls that pool an image whose padding does not count.
fn pool(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    ends: Ends,
    geometry: &Geometry,
) -> Result<(), Unsupported> {
    if ends.have_same_meaning(lowerer) {
        return average(lowerer, node, &ends, geometry);
    }
    if geometry.padding == [0, 0] && geometry.has_whole_windows(&ends) {
        return convolve(lowerer, node, ends, geometry);
    }
    let Ends { input, output, image, out } = ends;
    let name = format!("{}_integers", node.name);
    let (shape, order) = (out.shape.clone(), out.dim_order.clone());
    let averages = lowerer.temporary(name, DType::I8, shape, order);
    let pooled = Ends { input, output, image, out: averages.clone() };
    average(lowerer, node, &pooled, geometry)?;
    requantize(lowerer, node, (input, averages), (output, out))
}

/// The average of the integers themselves.
fn average(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    ends: &Ends,
    geometry: &Geometry,
) -> Result<(), Unsupported> {
    let (scale, zero_point) = lowerer.int8_activation(node, ends.input)?;
    let factor = Requantize::from_real(scale).map_err(|error| unusable_scales(node, error))?;
    let mut operator = QuantizedAvgPool2d {
        input: ends.image.clone(),
        kernel_size: Ints(geometry.kernel.to_vec()),
        stride: Ints(geometry.stride.to_vec()),
        padding: Ints(geometry.padding.to_vec()),
        ceil_mode: geometry.ceil_mode,
        zero_point: i64::from(zero_point),
        multiplier: i64::from(factor.multiplier),
        shift: i64::from(factor.shift),
        scratch: ends.image.clone(),
        out: ends.out.clone(),
    };
    require_windows(node, operator.check().is_ok())?;
    let [bytes, _] = operator.scratch_bytes(lowerer.target.isa());
    operator.scratch = lowerer.scratch(node, bytes);
    lowerer.call(node, Operator::QuantizedAvgPool2d(operator));
    Ok(())
}

/// The weight of each position in an average that is a convolution. The kernels' rescaling rounds the sum times a factor between
/// 1/2 and 1 first, then its quotient by a power of two; a great sum makes the first rounding insignificant.
const WEIGHT: u8 = 64;
/// The channels that ExecuTorch's Helium kernel for depthwise convolutions takes at a time.
const HELIUM_CHANNELS: u32 = 124;

/// The average as a depthwise convolution with equal weights.
fn convolve(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    ends: Ends,
    geometry: &Geometry,
) -> Result<(), Unsupported> {
    let (scale, zero_point) = lowerer.int8_activation(node, ends.input)?;
    let (out_scale, out_zero_point) = lowerer.int8_activation(node, ends.output)?;
    let quantization = lowerer.quantization(node, ends.output)?;
    let activation = super::quantized_activation(node, quantization);
    let Ends { mut image, mut out, .. } = ends;
    let [height, width] = geometry.kernel;
    let mut stride = geometry.stride;
    if let ([batch, channels, rows, columns], [_, _, 1, 1]) = (&image.shape[..], &out.shape[..])
        && *batch != 1
        && geometry.padding == [0, 0]
    {
        // ExecuTorch's kernel takes one image only: the batch's images one below the other.
        let stacked = vec![1, *channels, batch * rows, *columns];
        stride = [i64::from(*rows), 1];
        let out_shape = vec![1, *channels, *batch, 1];
        image = lowerer.seen_as(&image, stacked, vec![0, 2, 3, 1]);
        out = lowerer.seen_as(&out, out_shape, vec![0, 2, 3, 1]);
    }
    let weights = f64::from(WEIGHT) * (height * width) as f64;
    if weights * 255.0 > f64::from(i32::MAX) {
        return require_windows(node, false);
    }
    let factor = Requantize::from_real(scale / (out_scale * weights))
        .map_err(|error| unusable_scales(node, error))?;
    let channels = image.shape[1];
    let weight_shape = vec![1, height as u32, width as u32, channels];
    let equal: Arc<[u8]> = vec![WEIGHT; (height * width) as usize * channels as usize].into();
    let name = |what| format!("{}_{what}", node.name);
    let weight = lowerer.constant(&name("weight"), DType::I8, weight_shape, equal);
    let row = |lowerer: &mut Lowerer<'_>, what, value| {
        lowerer.int32_row(&name(what), vec![channels], &vec![value; channels as usize])
    };
    // Without a bias, ExecuTorch's Helium kernel reads those of further channels from near address 0.
    let bias = (channels > HELIUM_CHANNELS).then(|| row(lowerer, "zero_bias", 0));
    let mut operator = QuantizedDepthwiseConv2d {
        weight: lowerer.program.tensor(weight),
        bias,
        stride: Ints(stride.to_vec()),
        padding: Ints(geometry.padding.to_vec()),
        dilation: Ints(vec![1, 1]),
        depth_multiplier: 1,
        input_offset: ZeroPoint(zero_point).input_offset(),
        output_offset: ZeroPoint(out_zero_point).output_offset(),
        requantize_multipliers: row(lowerer, "multiplier", factor.multiplier),
        requantize_shifts: row(lowerer, "shift", factor.shift),
        activation_min: activation.min,
        activation_max: activation.max,
        scratch: image.clone(),
        input: image,
        out,
    };
    require_windows(node, operator.check().is_ok())?;
    let [bytes, _] = operator.scratch_bytes(lowerer.target.isa());
    operator.scratch = lowerer.scratch(node, bytes);
    lowerer.call(node, Operator::QuantizedDepthwiseConv2d(operator));
    Ok(())
}

fn unusable_scales(node: &Node, error: impl std::fmt::Display) -> Unsupported {
    Unsupported::new(node, format!("the scales of input and result do not go together: {error}"))
        .with_remedy("calibrate with representative data")
}

/// Fails unless the kernels can count the windows, every one of which must cover a position of the image.
pub(super) fn require_windows(node: &Node, holds: bool) -> Result<(), Unsupported> {
    if holds {
        return Ok(());
    }
    let why = format!(
        "its windows are larger than the kernels can count ({MAX_EXTENT} along an axis), or one of them lies in the padding altogether"
    );
    Err(Unsupported::new(node, why).with_remedy("use smaller windows or less padding"))
}

#[cfg(test)]
mod tests {
    use crate::graph::Argument;
    use crate::testing::GraphBuilder;
    use cortado_contract::ops::Operator;
    use cortado_contract::{Cpu, Target};

    /// ExecuTorch's Helium kernel takes 124 channels at a time and looks at the bias pointer only for the first of them.
    #[test]
    fn an_average_over_many_channels_has_a_bias() {
        for (channels, has_bias) in [(8, false), (124, false), (125, true)] {
            let mut builder = GraphBuilder::default();
            let image = builder.int8_input("image", &[1, channels, 4, 4], 0.1, 0);
            let out = builder.int8("out", &[1, channels, 2, 2], 0.3, 5);
            for id in [image, out] {
                builder.0.values[id.0].dim_order = vec![0, 2, 3, 1];
            }
            let window = ("kernel_size", Argument::Ints(vec![2, 2]));
            builder.node("aten.avg_pool2d.default", &[image], &[window], out);
            builder.0.outputs.push(out);
            let program = crate::lower::lower(&builder.0, Target::new(Cpu::M55)).unwrap();
            let [call] = &program.calls[..] else { panic!("one call: {:?}", program.calls) };
            let Operator::QuantizedDepthwiseConv2d(convolution) = &call.operator else {
                panic!("{:?}", call.operator)
            };
            assert_eq!(convolution.bias.is_some(), has_bias, "{channels}");
        }
    }
}
