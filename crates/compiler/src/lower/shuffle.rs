//! Pixel and channel shuffles: permutations of the same memory under more axes.
//!
//! `pixel_shuffle` by `r` takes `[…, C·r·r, H, W]` to `[…, C, H·r, W·r]`: of a row-major tensor, the axes `C, r, r', H, W` become
//! `C, H, r, W, r'`; of a channels-last one, `H, W, C, r, r'` become `H, r, W, r', C`.

use super::movement::lies_in;
use super::transpose::permute;
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::Node;
use crate::lowered::LoweredTensor;

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    match node.target.as_str() {
        "aten.pixel_shuffle.default" => Some(lower_pixels(lowerer, node, "upscale_factor")),
        "aten.pixel_unshuffle.default" => Some(lower_pixels(lowerer, node, "downscale_factor")),
        "aten.channel_shuffle.default" => Some(lower_channels(lowerer, node)),
        _ => None,
    }
}

fn lower_pixels(lowerer: &mut Lowerer<'_>, node: &Node, factor: &str) -> Result<(), Unsupported> {
    let (input, output) = lowerer.moved_ends(node)?;
    let is_unshuffle = factor == "downscale_factor";
    let factor = node.int(factor).and_then(|factor| u32::try_from(factor).ok()).unwrap_or(1);
    let (from, out) = (lowerer.tensor(input), lowerer.tensor(output));
    let is_image = is_channels_last(node, &from, &out)?;
    // The side with many channels and small images.
    let deep = if is_unshuffle { &out } else { &from };
    let (outer, [channels, height, width]) = split_shape(node, deep)?;
    let channels = channels / (factor * factor).max(1);
    let (deep_shape, wide_shape, axes) = if is_image {
        (
            vec![outer, height, width, channels, factor, factor],
            vec![outer, height, factor, width, factor, channels],
            [0, 1, 4, 2, 5, 3],
        )
    } else {
        (
            vec![outer, channels, factor, factor, height, width],
            vec![outer, channels, height, factor, width, factor],
            [0, 1, 4, 2, 5, 3],
        )
    };
    let (from_shape, out_shape, axes) = if is_unshuffle {
        let inverse = |axis: usize| axes.iter().position(|from| *from == axis).unwrap_or(axis);
        (wide_shape, deep_shape, (0..axes.len()).map(inverse).collect())
    } else {
        (deep_shape, wide_shape, axes.to_vec())
    };
    let from = lowerer.row_major(&from, from_shape);
    let out = lowerer.row_major(&out, out_shape);
    permute(lowerer, node, from, axes, out);
    Ok(())
}

/// `[N, g·C, …]`: the axes `g` and `C` change places.
fn lower_channels(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = lowerer.moved_ends(node)?;
    let groups = node.int("groups").and_then(|groups| u32::try_from(groups).ok()).unwrap_or(1);
    let (from, out) = (lowerer.tensor(input), lowerer.tensor(output));
    let is_image = is_channels_last(node, &from, &out)?;
    let [batch, channels, inner @ ..] = from.shape.as_slice() else {
        return Err(Unsupported::new(node, "its input has no channels"));
    };
    let per_group = channels / groups.max(1);
    let inner = inner.iter().product::<u32>();
    let (outer, inner) = if is_image { (batch * inner, 1) } else { (*batch, inner) };
    let from = lowerer.row_major(&from, vec![outer, groups, per_group, inner]);
    let out = lowerer.row_major(&out, vec![outer, per_group, groups, inner]);
    permute(lowerer, node, from, vec![0, 2, 1, 3], out);
    Ok(())
}

/// Whether input and result are channels-last images; otherwise both are row-major.
fn is_channels_last(
    node: &Node,
    from: &LoweredTensor,
    out: &LoweredTensor,
) -> Result<bool, Unsupported> {
    let lie_in = |order: &[u8]| {
        order.len() == from.shape.len() && lies_in(from, order) && lies_in(out, order)
    };
    let rows: Vec<u8> = (0..from.shape.len() as u8).collect();
    match (lie_in(&rows), lie_in(&[0, 2, 3, 1])) {
        (true, _) => Ok(false),
        (false, true) => Ok(true),
        _ => Err(Unsupported::new(node, "its input and its result lie in memory differently")),
    }
}

/// The extents of the last three axes, and the product of those in front.
fn split_shape(node: &Node, tensor: &LoweredTensor) -> Result<(u32, [u32; 3]), Unsupported> {
    match tensor.shape.split_last_chunk() {
        Some((outer, image)) => Ok((outer.iter().product(), *image)),
        None => Err(Unsupported::new(node, "its input is no image")),
    }
}
