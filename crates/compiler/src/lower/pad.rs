//! Padding with a constant.

use super::movement::{ints, lies_in};
use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Argument, Node, ValueId};
use crate::lowered::{Ints, LoweredDomain, LoweredTensor};
use cortado_contract::DType;
use cortado_contract::ops::pad::MAX_AXES;
use cortado_contract::ops::{ConstantPadNd, Operator, Pad, Rules};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    let is_pad =
        matches!(node.target.as_str(), "aten.pad.default" | "aten.constant_pad_nd.default");
    is_pad.then(|| lower_pad(lowerer, node))
}

fn lower_pad(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (input, output) = lowerer.moved_ends(node)?;
    if let Some(Argument::Text(mode)) = node.argument("mode")
        && mode != "constant"
    {
        return Err(Unsupported::new(node, format!("its mode is {mode:?}"))
            .with_remedy("pad with a constant"));
    }
    let written = ints(node, "pad").unwrap_or_default();
    if written.iter().any(|count| !(0..=i64::from(u16::MAX)).contains(count)) {
        return Err(Unsupported::new(node, "it pads by a negative or a very large number")
            .with_remedy("crop with a slice"));
    }
    // PyTorch counts axes from the last.
    let (from, out) = (lowerer.tensor(input), lowerer.tensor(output));
    let rank = from.shape.len();
    let mut borders = vec![(0, 0); rank];
    for (pair, border) in written.as_chunks::<2>().0.iter().zip(borders.iter_mut().rev()) {
        *border = (pair[0], pair[1]);
    }
    if borders.iter().all(|border| *border == (0, 0)) {
        lowerer.view(output, input);
        return Ok(());
    }
    let value = stored_value(lowerer, node, output)?;
    if from.dtype == DType::I8 {
        return pad(lowerer, node, &from, &borders, value as i32, &out);
    }
    pad_any(lowerer, node, &from, &borders, value, &out)
}

/// The value that is put around the input, as its elements are stored.
fn stored_value(lowerer: &Lowerer<'_>, node: &Node, output: ValueId) -> Result<f64, Unsupported> {
    let value = node.float("value").unwrap_or(0.0);
    let Some(quantization) = &lowerer.graph.value(output).quantization else { return Ok(value) };
    let Some((scale, zero_point)) = quantization.per_tensor() else {
        return Err(Unsupported::new(node, "its input has more than one scale")
            .with_remedy("quantize activations per tensor"));
    };
    // In binary32, as ExecuTorch has it.
    let quantized = ((value / scale + f64::from(zero_point)) as f32).round_ties_even();
    let (min, max) = (f64::from(quantization.quant_min), f64::from(quantization.quant_max));
    Ok(f64::from(quantized).clamp(min, max))
}

/// Adds the call for element types other than `int8`.
fn pad_any(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    from: &LoweredTensor,
    borders: &[(i64, i64)],
    value: f64,
    out: &LoweredTensor,
) -> Result<(), Unsupported> {
    let order = from.dim_order.clone();
    if !lies_in(out, &order) {
        return Err(Unsupported::new(node, "its input and its result lie in memory differently"));
    }
    // Axes without a border in front of all others are left out of the list.
    let stored = order.iter().map(|at| borders[usize::from(*at)]);
    let framed: Vec<(i64, i64)> = stored.skip_while(|border| *border == (0, 0)).collect();
    let operator = ConstantPadNd {
        input: lowerer.in_memory(from, &order),
        pad: Ints(framed.iter().rev().flat_map(|border| [border.0, border.1]).collect()),
        value,
        out: lowerer.in_memory(out, &order),
    };
    if operator.check().is_err() {
        return Err(Unsupported::new(node, format!("it pads more than {MAX_AXES} axes"))
            .with_remedy("pad a few axes at a time"));
    }
    lowerer.call(node, Operator::ConstantPadNd(operator));
    Ok(())
}

/// Adds the call that surrounds `from` with `borders`, which are by logical axis.
pub(super) fn pad(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    from: &LoweredTensor,
    borders: &[(i64, i64)],
    value: i32,
    out: &LoweredTensor,
) -> Result<(), Unsupported> {
    let operator = operator(from, borders, value, out);
    if let Some(operator) = operator.filter(|operator| operator.check().is_ok()) {
        lowerer.call(node, Operator::Pad(operator));
        return Ok(());
    }
    let order = from.dim_order.clone();
    if !lies_in(out, &order) {
        return Err(Unsupported::new(node, "its input and its result lie in memory differently"));
    }
    // Fewer axes of the same memory: one without a border joins the one outside of it.
    let mut axes: Vec<Axis> = Vec::new();
    for at in order.iter().map(|at| usize::from(*at)) {
        let axis = Axis { before: from.shape[at], after: out.shape[at], border: borders[at] };
        match axes.last_mut().filter(|_| axis.border == (0, 0)) {
            Some(outer) => {
                let step = i64::from(axis.before);
                outer.border = (outer.border.0 * step, outer.border.1 * step);
                (outer.before, outer.after) =
                    (outer.before * axis.before, outer.after * axis.before);
            }
            None if axis.before == 1 && axis.border == (0, 0) => {}
            None => axes.push(axis),
        }
    }
    let from = lowerer.row_major(from, axes.iter().map(|axis| axis.before).collect());
    let out = lowerer.row_major(out, axes.iter().map(|axis| axis.after).collect());
    let borders: Vec<(i64, i64)> = axes.iter().map(|axis| axis.border).collect();
    match self::operator(&from, &borders, value, &out).filter(|operator| operator.check().is_ok()) {
        Some(operator) => {
            lowerer.call(node, Operator::Pad(operator));
            Ok(())
        }
        None => Err(Unsupported::new(node, format!("it pads more than {MAX_AXES} axes"))
            .with_remedy("pad a few axes at a time")),
    }
}

/// An axis: its extents before and after, and what is put before and behind it.
struct Axis {
    before: u32,
    after: u32,
    border: (i64, i64),
}

/// The operator with its lists in the order of memory; `None` for too many axes.
fn operator(
    from: &LoweredTensor,
    borders: &[(i64, i64)],
    value: i32,
    out: &LoweredTensor,
) -> Option<Pad<LoweredDomain>> {
    let unused = MAX_AXES.checked_sub(from.shape.len())?;
    // An image with one channel or one pixel counts as channels-last.
    let order: &[u8] = match from.shape.as_slice() {
        [_, 1, _, _] | [_, _, 1, 1] => &[0, 2, 3, 1],
        _ => &from.dim_order,
    };
    let list = |side: fn(&(i64, i64)) -> i64| {
        let stored = order.iter().map(|at| side(&borders[usize::from(*at)]));
        Ints(std::iter::repeat_n(0, unused).chain(stored).collect())
    };
    Some(Pad {
        input: from.clone(),
        pre_pad: list(|border| border.0),
        post_pad: list(|border| border.1),
        pad_value: value,
        out: out.clone(),
    })
}
