//! The layers as a list with their arrows beside them.

use super::bar;
use crate::lanes::{Edge, Flow, Row};
use crate::model::{Access, Family, Layer, Operand, Report, Tensor, TensorId};
use crate::text::{bytes, count, memory_order, real, shape, short_bytes, short_count, signed};
use maud::{Markup, html};
use std::collections::HashMap;

/// The distance of two lanes, and from the edge to the first step's middle, in pixels.
const PITCH: usize = 12;
const EDGE: usize = 14;
/// From the top of a row to the middle of its dot, in pixels.
const DOT: usize = 23;

/// The most targets whose instructions stand beside each layer; the section on instructions has all.
const TARGETS_MAX: usize = 2;

/// The section.
pub(super) fn section(report: &Report) -> Option<Markup> {
    let flow = flow(report);
    let inputs = report.inputs.len();
    let longest = Longest::of(report);
    let width = 2 * EDGE + PITCH * flow.lanes;
    let targets = report.profiles.len().min(TARGETS_MAX);
    Some(html! {
        p.lead {
            "In the order in which they run. An arrow beside the list is a result that a later layer reads, such as a residual branch. "
            "Each layer opens: arguments, quantization, where its tensors are."
        }
        ol.flow style={ "--gutter:" (width) "px;--targets:" (targets) } {
            li.heads aria-hidden="true" {
                span {} span { "Layer" } span { "Result" }
                span.cost { "MACs" } span.cost { "Flash" }
                @for profile in report.profiles.iter().take(TARGETS_MAX) {
                    span.cost { "Instructions, " (core(&profile.cpu)) }
                }
            }
            @for (index, id) in report.inputs.iter().enumerate() {
                (border_row(report, &flow.rows[index], width, *id, "input"))
            }
            @for (index, layer) in report.layers.iter().enumerate() {
                (layer_row(report, &flow.rows[inputs + index], width, index, layer, &longest))
            }
            @for (index, id) in report.outputs.iter().enumerate() {
                (border_row(report, &flow.rows[inputs + report.layers.len() + index], width, *id, "output"))
            }
        }
    })
}

/// The arrows: rows are the inputs, the layers and the outputs.
fn flow(report: &Report) -> Flow {
    let inputs = report.inputs.len();
    let layers = report.layers.len();
    let storage = |tensor: TensorId| report.tensors[tensor].storage;
    let mut edges: Vec<Edge> = Vec::new();
    // The value that is in a storage now.
    let mut current: HashMap<TensorId, usize> = HashMap::new();
    let write = |edges: &mut Vec<Edge>, current: &mut HashMap<_, _>, tensor, row| {
        edges.push(Edge { from: row, to: Vec::new() });
        current.insert(storage(tensor), edges.len() - 1);
    };
    for (row, id) in report.inputs.iter().enumerate() {
        write(&mut edges, &mut current, *id, row);
    }
    for (index, layer) in report.layers.iter().enumerate() {
        let row = inputs + index;
        for operand in layer.operands.iter().filter(|it| it.access == Access::Read) {
            if let Some(edge) = current.get(&storage(operand.tensor)) {
                edges[*edge].to.push(row);
            }
        }
        for operand in layer.operands.iter().filter(|it| it.access == Access::Write) {
            write(&mut edges, &mut current, operand.tensor, row);
        }
    }
    for (index, id) in report.outputs.iter().enumerate() {
        if let Some(edge) = current.get(&storage(*id)) {
            edges[*edge].to.push(inputs + layers + index);
        }
    }
    Flow::of(inputs + layers + report.outputs.len(), edges)
}

/// The greatest numbers of all layers, which bars are drawn against.
struct Longest {
    macs: u64,
    flash: u64,
    instructions: u64,
}

impl Longest {
    fn of(report: &Report) -> Longest {
        let profiled = report.profiles.iter().take(TARGETS_MAX).flat_map(|it| &it.operators);
        Longest {
            macs: report.layers.iter().filter_map(|layer| layer.macs).max().unwrap_or(0),
            flash: report.flash.layers.iter().map(|it| it.total()).max().unwrap_or(0),
            instructions: profiled.map(|it| it.instructions).max().unwrap_or(0),
        }
    }
}

fn border_row(report: &Report, row: &Row, width: usize, id: TensorId, side: &str) -> Markup {
    let tensor = &report.tensors[id];
    html! {
        li.row.border {
            (gutter(row, width, Family::Input))
            div.card {
                span.index { (if side == "input" { "in" } else { "out" }) }
                span.what { strong { bdi { (tensor.name) } } " " span.operator { (side) } }
                span.shape { (tensor_text(tensor)) }
            }
        }
    }
}

fn layer_row(
    report: &Report,
    row: &Row,
    width: usize,
    index: usize,
    layer: &Layer,
    longest: &Longest,
) -> Markup {
    let results = layer.operands.iter().filter(|it| it.access == Access::Write);
    let results: Vec<&Tensor> = results.map(|it| &report.tensors[it.tensor]).collect();
    let flash = report.flash.layers.get(index).map_or(0, |it| it.total());
    let is_warning = layer.family == Family::Float || layer.is_transpose;
    html! {
        li.row.is-warning[is_warning] id={ "layer-" (index) } {
            (gutter(row, width, layer.family))
            details.card {
                summary {
                    span.index { (index) }
                    span.what {
                        strong { (layer.title) } " "
                        span.operator { bdi { (layer.node.as_ref().unwrap_or(&layer.operator)) } }
                        (tags(report, index, layer))
                    }
                    span.shape {
                        @for (index, tensor) in results.iter().enumerate() {
                            @if index > 0 { ", " }
                            (tensor_text(tensor))
                        }
                    }
                    (cost("MACs", layer.macs, longest.macs, layer.family, short_count))
                    (cost("flash", Some(flash), longest.flash, layer.family, short_bytes))
                    @for profile in report.profiles.iter().take(TARGETS_MAX) {
                        @let instructions = profile.operators.get(index).map(|it| it.instructions);
                        @let label = format!("{} instr.", core(&profile.cpu));
                        (cost(&label, instructions, longest.instructions, layer.family, short_count))
                    }
                }
                (body(report, index, layer))
            }
        }
    }
}

fn cost(
    label: &str,
    value: Option<u64>,
    longest: u64,
    family: Family,
    text: fn(u64) -> (String, &'static str),
) -> Markup {
    html! {
        span.cost.is-none[value.unwrap_or(0) == 0] {
            @match value {
                None | Some(0) => { span.none { span.label { (label) " " } "–" } }
                Some(value) => {
                    @let (number, unit) = text(value);
                    span.label { (label) " " }
                    span.value title=(count(value)) { (number) @if !unit.is_empty() { " " small { (unit) } } }
                    (bar(value, longest, family))
                }
            }
        }
    }
}

/// A core's short name: `M55`.
fn core(cpu: &str) -> String {
    cpu.trim_start_matches("cortex-").to_uppercase()
}

/// What is special about a layer.
fn tags(report: &Report, index: usize, layer: &Layer) -> Markup {
    let buffers = report.memory.buffers.iter();
    let in_place = buffers.clone().any(|it| it.writer == Some(index) && it.over.is_some());
    let scratch: u64 = buffers
        .filter(|it| it.writer == Some(index) && it.is_scratch)
        .map(|it| it.size_bytes)
        .sum();
    let term = layer.constant_term.as_ref().filter(|it| !it.starts_with("neither"));
    let term = term.and_then(|it| it.split(',').next());
    html! {
        @if layer.family == Family::Float { span.tag.is-warning { "float" } }
        @if layer.is_transpose { span.tag.is-warning { "moves only" } }
        @if layer.family == Family::Unknown { span.tag.is-warning { "unknown" } }
        @if let Some(term) = term {
            span.tag title=(layer.constant_term.as_deref().unwrap_or_default()) { (term) }
        }
        @if in_place { span.tag title="its result is written over an operand that nobody needs any more" { "in place" } }
        @if scratch > 0 { span.tag title="memory to work in while the layer runs" { "scratch " (bytes(scratch)) } }
        @if index + 1 == report.memory.peak { span.tag.is-peak title="most memory is live during this layer" { "peak" } }
    }
}

/// What a layer opens to.
fn body(report: &Report, index: usize, layer: &Layer) -> Markup {
    html! {
        div.body {
            div.scroll {
                table.operands {
                    thead { tr {
                        th scope="col" { "Argument" } th scope="col" { "Tensor" } th scope="col" { "Shape" }
                        th scope="col" { "Integers" } th.num scope="col" { "Bytes" } th scope="col" { "Where" }
                    } }
                    tbody { @for operand in &layer.operands { (operand_row(report, operand)) } }
                }
            }
            dl.arguments {
                div { dt { "operator" } dd { code { bdi { (layer.operator) } } } }
                @if let Some(source) = &layer.source { div { dt { "source" } dd { code { bdi { (source) } } } } }
                @if let Some(rescale) = layer.rescale {
                    div {
                        dt { "rescales by" }
                        dd {
                            @if rescale.factors == 1 || rescale.min == rescale.max { (real(rescale.max)) }
                            @else { (real(rescale.min)) " to " (real(rescale.max)) ", " (rescale.factors) " channels" }
                        }
                    }
                }
                @if let Some(term) = &layer.constant_term { div { dt { "constant term" } dd { (term) } } }
                @if let Some(flash) = report.flash.layers.get(index).filter(|it| it.shared > 0) {
                    div { dt { "shared constants" } dd { (bytes(flash.shared)) ", counted where they are read first" } }
                }
                @for (name, value) in &layer.arguments { div { dt { (name) } dd { bdi { (value) } } } }
            }
        }
    }
}

fn operand_row(report: &Report, operand: &Operand) -> Markup {
    let tensor = &report.tensors[operand.tensor];
    let order = memory_order(&tensor.dim_order);
    let at = report.memory.buffers.iter().position(|it| it.tensor == tensor.storage);
    html! {
        tr {
            th scope="row" {
                (operand.role)
                @if operand.access == Access::Scratch { span.tag { "scratch" } }
            }
            td { bdi { (tensor.name) } @if tensor.storage != operand.tensor { " " span.tag { "view" } } }
            td { (shape(&tensor.shape)) " " span.dtype { (tensor.dtype) } @if let Some(order) = order { ", " (order) } }
            td { (integers(tensor)) }
            td.num { (count(tensor.size_bytes)) }
            td {
                @if tensor.is_constant { "flash" }
                @else if let Some(at) = at {
                    @let buffer = &report.memory.buffers[at];
                    a href={ "#buffer-" (at) } { "arena, " (count(buffer.offset_bytes)) }
                } @else if tensor.size_bytes == 0 { "–" }
                @else { "the caller’s" }
            }
        }
    }
}

/// What a tensor's integers stand for.
pub(super) fn integers(tensor: &Tensor) -> Markup {
    html! {
        @match (tensor.scale, tensor.zero_point) {
            (Some(scale), Some(zero)) => { "scale " (real(scale)) ", zero point " (signed(zero)) }
            (Some(scale), None) => { "scale " (real(scale)) }
            (None, Some(zero)) => { "zero point " (signed(zero)) }
            (None, None) => { span.none { "–" } }
        }
    }
}

/// Extents and type of a tensor.
pub(super) fn tensor_text(tensor: &Tensor) -> Markup {
    let order = memory_order(&tensor.dim_order);
    html! { span title=[order] { (shape(&tensor.shape)) " " span.dtype { (tensor.dtype) } } }
}

/// The arrows beside a row: above its dot, below it, and as far down as the row is high.
fn gutter(row: &Row, width: usize, family: Family) -> Markup {
    let dot = width - EDGE;
    let lane = |lane: &usize| dot - PITCH * (lane + 1);
    let upright = |x: usize| format!("M{x} 0V{DOT}");
    let mut above: Vec<(bool, String)> = Vec::new();
    let mut below: Vec<(bool, String)> = Vec::new();
    let mut rest: Vec<(bool, usize)> = Vec::new();
    if row.from_above {
        above.push((false, upright(dot)));
    }
    if row.to_below {
        below.push((false, upright(dot)));
        rest.push((false, dot));
    }
    for x in row.through.iter().map(lane) {
        above.push((true, upright(x)));
        below.push((true, upright(x)));
        rest.push((true, x));
    }
    for x in row.into.iter().map(lane) {
        above.push((true, format!("M{x} 0C{x} 16 {} {DOT} {dot} {DOT}", x + 4)));
    }
    for x in row.out.iter().map(lane) {
        below.push((true, format!("M{dot} 0C{} 0 {x} 7 {x} {DOT}", x + 4)));
        rest.push((true, x));
    }
    html! {
        div.gutter aria-hidden="true" {
            svg width=(width) height=(DOT) viewBox={ "0 0 " (width) " " (DOT) } {
                @for (is_branch, path) in &above { path.is-branch[*is_branch] d=(path) {} }
            }
            svg width=(width) height=(DOT) viewBox={ "0 0 " (width) " " (DOT) } {
                @for (is_branch, path) in &below { path.is-branch[*is_branch] d=(path) {} }
            }
            svg.rest width=(width) viewBox={ "0 0 " (width) " 1" } preserveAspectRatio="none" {
                @for (is_branch, x) in &rest { path.is-branch[*is_branch] d={ "M" (x) " 0V1" } {} }
            }
            i class={ "dot " (family.class()) } {}
        }
    }
}
