//! Memory over time: every buffer to scale, what is live at each step, and the peak.

use super::flow::tensor_text;
use crate::model::{Buffer, Family, Memory, Report};
use crate::text::{bytes, count, counted, list};
use maud::{Markup, PreEscaped, html};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The section.
pub(super) fn section(report: &Report) -> Option<Markup> {
    let memory = &report.memory;
    if memory.buffers.is_empty() && memory.banks.is_empty() {
        return None;
    }
    Some(html! {
        p.lead {
            "Time runs to the right, one column for each layer; memory runs upwards, to scale. A buffer is there from the layer that writes it "
            "to the last one that reads it. A result that is written over its operand begins where that one ends, within the column."
        }
        (chart(report))
        (legend(report))
        (peak(report))
        (table(report))
    })
}

/// What a buffer is called.
fn name(report: &Report, buffer: &Buffer) -> String {
    let tensor = &report.tensors[buffer.tensor];
    match buffer.writer {
        None => tensor.name.clone(),
        Some(layer) if buffer.is_scratch => format!("{layer} scratch"),
        Some(layer) => {
            let title = report.layers.get(layer).map_or("", |it| it.title.as_str());
            format!("{layer} {title}")
        }
    }
}

fn family(report: &Report, buffer: &Buffer) -> Family {
    buffer.writer.and_then(|layer| report.layers.get(layer)).map_or(Family::Input, |it| it.family)
}

/// The class of a buffer's colour.
fn class(report: &Report, buffer: &Buffer) -> &'static str {
    if buffer.is_scratch { "f-scratch" } else { family(report, buffer).class() }
}

/// One sentence about a buffer.
fn story(report: &Report, buffer: &Buffer) -> String {
    let tensor = &report.tensors[buffer.tensor];
    let mut text = format!("{}: {}", name(report, buffer), bytes(buffer.size_bytes));
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        ", {} {}, at offset {}",
        crate::text::shape(&tensor.shape),
        tensor.dtype,
        count(buffer.offset_bytes)
    );
    match buffer.writer {
        None => text.push_str("; there before the first layer"),
        Some(layer) if buffer.is_scratch => {
            let _ = write!(text, "; memory to work in during layer {layer}");
        }
        Some(layer) => {
            let _ = write!(text, "; written by layer {layer}");
        }
    }
    if let Some(over) = buffer.over.and_then(|over| report.memory.buffers.get(over)) {
        let _ = write!(text, " over {}", name(report, over));
    }
    if let Some(last) = buffer.readers.last().filter(|_| !buffer.is_scratch) {
        let _ = write!(text, ", read last by layer {last}");
    }
    if buffer.is_output {
        text.push_str(", an output of the program");
    }
    text
}

/// The measures of the chart, in pixels.
struct Measures {
    column: f64,
    bytes: f64,
    width: f64,
    /// The top of each bank.
    tops: Vec<f64>,
    /// The top of the bars of live bytes.
    strip: f64,
    height: f64,
}

const LEFT: f64 = 62.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 30.0;
const PLOT: f64 = 340.0;
const BANK_GAP: f64 = 26.0;
const TICKS: f64 = 22.0;
const STRIP: f64 = 56.0;
const WIDTH: f64 = 1040.0;

impl Measures {
    fn of(memory: &Memory) -> Measures {
        let columns = memory.live_bytes.len().max(1) as f64;
        let column = ((WIDTH - LEFT - RIGHT) / columns).clamp(9.0, 120.0);
        let total = memory.arena_bytes().max(1) as f64;
        let bytes = PLOT / total;
        let mut tops = Vec::new();
        let mut y = TOP;
        for bank in &memory.banks {
            tops.push(y);
            y += bank.bytes as f64 * bytes + BANK_GAP;
        }
        let strip = y - BANK_GAP + TICKS + 18.0;
        Measures {
            column,
            bytes,
            width: LEFT + columns * column + RIGHT,
            tops,
            strip,
            height: strip + STRIP + 6.0,
        }
    }

    fn x(&self, time: f64) -> f64 {
        LEFT + time * self.column
    }
}

/// A number of pixels.
fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn chart(report: &Report) -> Markup {
    let it = Measures::of(&report.memory);
    // Narrow windows scroll before the labels get too small to read.
    let min_width = if it.width > WIDTH { it.width } else { 0.72 * it.width };
    html! {
        figure.chart {
            div.scroll tabindex="0" role="region" aria-label="Chart of memory over time" {
                svg role="group" aria-label=(summary(report)) width=(px(it.width)) height=(px(it.height))
                    viewBox={ "0 0 " (px(it.width)) " " (px(it.height)) } style={ "min-width:" (px(min_width)) "px" } {
                    (drawing(report, &it))
                }
            }
        }
    }
}

/// The chart as a file of its own.
pub(super) fn alone(report: &Report) -> Option<Markup> {
    if report.memory.buffers.is_empty() {
        return None;
    }
    let it = Measures::of(&report.memory);
    Some(html! {
        svg.chart xmlns="http://www.w3.org/2000/svg" role="img" aria-label=(summary(report))
            width=(px(it.width)) height=(px(it.height)) viewBox={ "0 0 " (px(it.width)) " " (px(it.height)) } {
            style { (PreEscaped(super::COLOURS)) (PreEscaped(super::CHART)) }
            rect.ground width=(px(it.width)) height=(px(it.height)) {}
            (drawing(report, &it))
        }
    })
}

/// The chart in a sentence, for who does not see it.
fn summary(report: &Report) -> String {
    let memory = &report.memory;
    format!(
        "{} in {}. At the peak, {}, {} are live.",
        counted(memory.buffers.len(), "buffer"),
        bytes(memory.arena_bytes()),
        when(report, memory.peak),
        bytes(memory.live_bytes.get(memory.peak).copied().unwrap_or(0))
    )
}

/// What is drawn.
fn drawing(report: &Report, it: &Measures) -> Markup {
    let memory = &report.memory;
    let bottom = it.strip - TICKS - 18.0;
    let replaced: BTreeSet<usize> = memory.buffers.iter().filter_map(|it| it.over).collect();
    let peak = it.x(memory.peak as f64 + 0.5).clamp(LEFT + 14.0, it.width - 24.0);
    html! {
        rect.peak-column x=(px(it.x(memory.peak as f64))) y=(px(TOP - 14.0))
            width=(px(it.column)) height=(px(bottom - TOP + 14.0)) {}
        text.peak-label x=(px(peak)) y=(px(TOP - 16.0)) { "peak" }
        @for (index, bank) in memory.banks.iter().enumerate() {
            (axis(it, memory, index, bank.bytes))
        }
        @for (index, buffer) in memory.buffers.iter().enumerate() {
            (shape(report, it, index, buffer, replaced.contains(&index)))
        }
        @if let (Some(bound), [bank]) = (memory.lower_bound_bytes, &memory.banks[..]) && bound < bank.bytes {
            @let y = px(it.tops[0] + (bank.bytes - bound) as f64 * it.bytes);
            path.bound d={ "M" (px(LEFT)) " " (y) "H" (px(it.width - RIGHT)) } {}
            text.bound-label x=(px(it.width - RIGHT - 4.0)) y=(y) dy="-4" { "bound " (count(bound)) }
        }
        (ticks(it, memory, bottom))
        (strip(report, it))
    }
}

/// A bank's frame with lines at round numbers of bytes.
fn axis(it: &Measures, memory: &Memory, bank: usize, size: u64) -> Markup {
    let top = it.tops[bank];
    let y = |offset: u64| top + (size - offset) as f64 * it.bytes;
    // Lines at a power of two, at most six of them.
    let mut step = 16u64;
    while size / step > 6 {
        step *= 2;
    }
    let mut marks: Vec<u64> = (0..=size / step).map(|index| index * step).collect();
    marks.retain(|mark| y(*mark) - y(size) > 13.0 || *mark == 0);
    let unit = |mark: u64| match mark {
        0 => "0".to_owned(),
        _ if mark.is_multiple_of(1 << 20) => format!("{} MiB", mark >> 20),
        _ if mark.is_multiple_of(1 << 10) => format!("{} KiB", count(mark >> 10)),
        _ => count(mark),
    };
    let title = match (&memory.banks[bank], memory.banks.len()) {
        (_, 1) => None,
        (named, _) if named.name.is_empty() => Some(format!("bank {}", bank + 1)),
        (named, _) => Some(match named.capacity_bytes {
            Some(capacity) => format!("{}, {} of {}", named.name, bytes(size), bytes(capacity)),
            None => format!("{}, {}", named.name, bytes(size)),
        }),
    };
    html! {
        @if let Some(title) = title {
            text.bank x=(px(LEFT)) y=(px(top - 6.0)) { (title) }
        }
        @for mark in marks {
            path.grid d={ "M" (px(LEFT)) " " (px(y(mark))) "H" (px(it.width - RIGHT)) } {}
            text.tick.is-y x=(px(LEFT - 6.0)) y=(px(y(mark))) dy="4" { (unit(mark)) }
        }
        path.roof d={ "M" (px(LEFT)) " " (px(top)) "H" (px(it.width - RIGHT)) } {}
        text.tick.is-y.is-roof x=(px(LEFT - 6.0)) y=(px(top)) dy="4" { (count(size)) }
    }
}

/// A buffer as a rectangle, with as much of its name as there is room for.
fn shape(
    report: &Report,
    it: &Measures,
    index: usize,
    buffer: &Buffer,
    is_replaced: bool,
) -> Markup {
    let Some(bank) = report.memory.banks.get(buffer.bank) else { return html! {} };
    if buffer.size_bytes == 0 {
        return html! {};
    }
    let start = it.x(buffer.first as f64 + if buffer.over.is_some() { 0.5 } else { 0.0 });
    let end = it.x(buffer.last as f64 + if is_replaced { 0.5 } else { 1.0 });
    let width = (end - start).max(1.0);
    let height = (buffer.size_bytes as f64 * it.bytes).max(1.0);
    let top =
        it.tops[buffer.bank] + bank.bytes.saturating_sub(buffer.end_bytes()) as f64 * it.bytes;
    let name = name(report, buffer);
    let sized = format!("{name} · {}", count(buffer.size_bytes));
    let number = buffer.writer.map_or("in".to_owned(), |layer| layer.to_string());
    let fits = |text: &&String| text.chars().count() as f64 * 6.1 + 10.0 < width && height >= 13.0;
    let label = [&sized, &name, &number].into_iter().find(fits);
    html! {
        a href={ "#buffer-" (index) } {
            title { (story(report, buffer)) }
            rect class={ "buffer " (class(report, buffer)) } data-buffer=(index) x=(px(start)) y=(px(top)) width=(px(width)) height=(px(height)) {}
            @if let Some(label) = label {
                text.label x=(px(start + width / 2.0)) y=(px(top + height / 2.0)) dy="4" { (label) }
            }
        }
    }
}

/// The numbers of the layers under their columns.
fn ticks(it: &Measures, memory: &Memory, bottom: f64) -> Markup {
    let columns = memory.live_bytes.len();
    let every =
        [1, 2, 5, 10, 20, 50, 100].into_iter().find(|every| *every as f64 * it.column >= 18.0);
    let every = every.unwrap_or(100);
    html! {
        @for time in 0..columns {
            @if time == 0 { text.tick x=(px(it.x(0.5))) y=(px(bottom + 15.0)) { "in" } }
            @else if (time - 1) % every == 0 && (time > 1 || it.column >= 18.0) {
                text.tick x=(px(it.x(time as f64 + 0.5))) y=(px(bottom + 15.0)) { (time - 1) }
            }
        }
    }
}

/// The bytes that are live at each step, as bars.
fn strip(report: &Report, it: &Measures) -> Markup {
    let memory = &report.memory;
    let most = memory.live_bytes.iter().copied().max().unwrap_or(0).max(1);
    html! {
        text.tick.is-y x=(px(LEFT - 6.0)) y=(px(it.strip + STRIP / 2.0)) dy="0" { "live" }
        text.tick.is-y x=(px(LEFT - 6.0)) y=(px(it.strip + STRIP / 2.0)) dy="13" { "bytes" }
        @for (time, live) in memory.live_bytes.iter().enumerate() {
            @let height = STRIP * *live as f64 / most as f64;
            @let target = match time { 0 => "layers".to_owned(), _ => format!("layer-{}", time - 1) };
            a href={ "#" (target) } {
                title { (step_story(report, time)) }
                rect.live.is-peak[time == memory.peak] x=(px(it.x(time as f64) + 0.5)) y=(px(it.strip + STRIP - height))
                    width=(px(it.column - 1.0)) height=(px(height.max(0.5))) {}
            }
        }
        path.roof d={ "M" (px(LEFT)) " " (px(it.strip + STRIP)) "H" (px(it.width - RIGHT)) } {}
    }
}

/// During which layer a time is.
fn when(report: &Report, time: usize) -> String {
    match time.checked_sub(1).and_then(|index| Some((index, report.layers.get(index)?))) {
        Some((index, layer)) => format!("during layer {index} ({})", layer.title),
        None => "before the first layer".to_owned(),
    }
}

fn step_story(report: &Report, time: usize) -> String {
    let live = report.memory.live_at(time);
    let names: Vec<String> =
        live.iter().map(|at| name(report, &report.memory.buffers[*at])).collect();
    let bytes = bytes(report.memory.live_bytes[time]);
    let when = when(report, time);
    match names.is_empty() {
        true => format!("{bytes} live {when}"),
        false => format!("{bytes} live {when}: {}", list(&names, 6)),
    }
}

fn legend(report: &Report) -> Markup {
    let buffers = || report.memory.buffers.iter().filter(|it| it.size_bytes > 0);
    let families: BTreeSet<Family> =
        buffers().filter(|it| !it.is_scratch).map(|it| family(report, it)).collect();
    let has_scratch = buffers().any(|it| it.is_scratch);
    html! {
        ul.legend aria-label="Colours: what wrote the buffer" {
            @for family in Family::ALL.into_iter().filter(|family| families.contains(family)) {
                li { i class=(family.class()) {} (family.name()) }
            }
            @if has_scratch { li { i.f-scratch {} "scratch" } }
        }
    }
}

/// Which buffers make the peak, and why they are there.
fn peak(report: &Report) -> Markup {
    let memory = &report.memory;
    let live = memory.live_at(memory.peak);
    let most = memory.live_bytes.get(memory.peak).copied().unwrap_or(0);
    let arena = memory.arena_bytes();
    let largest = live.first().map_or(0, |at| memory.buffers[*at].size_bytes);
    html! {
        div.peak {
            h3 { "The peak: " (bytes(most)) ", " (when(report, memory.peak)) }
            p {
                @if live.is_empty() { "No memory is planned." }
                @else {
                    (counted(live.len(), "buffer")) " live at once. "
                    @match memory.lower_bound_bytes {
                        Some(bound) if arena <= bound => {
                            "The arena is exactly as large: no plan of this order of layers can need less."
                        }
                        Some(bound) => {
                            "The arena has " (bytes(arena)) ", " (bytes(arena - bound)) " more than the least that must be live"
                            @if memory.is_proven { "; it is proven that no plan of this order of layers does with less." }
                            @else { "; whether a plan does with less is not proven." }
                        }
                        None => { "The arena has " (bytes(arena)) "." }
                    }
                    @if memory.lower_bound_bytes.is_some_and(|bound| bound < most) {
                        " Fewer would do where a result were written over an operand."
                    }
                }
            }
            @if !live.is_empty() {
                table {
                    thead { tr {
                        th scope="col" { "Live at the peak" } th.num scope="col" { "Bytes" } th.wide scope="col" { span.label { "share" } }
                        th scope="col" { "Why it is there" }
                    } }
                    tbody {
                        @for at in &live {
                            @let buffer = &memory.buffers[*at];
                            tr {
                                th scope="row" { a href={ "#buffer-" (at) } { bdi { (name(report, buffer)) } } }
                                td.num { (count(buffer.size_bytes)) }
                                td.wide { span.bar aria-hidden="true" {
                                    span class=(class(report, buffer)) style={ "width:" (px(100.0 * buffer.size_bytes as f64 / largest.max(1) as f64)) "%" } {}
                                } }
                                td { (reason(report, buffer)) }
                            }
                        }
                    }
                    tfoot { tr { th scope="row" { "together" } td.num { (count(most)) } td.wide {} td {
                        @if live.iter().map(|at| memory.buffers[*at].size_bytes).sum::<u64>() > most { "what shares memory counts once" }
                    } } }
                }
            }
        }
    }
}

/// Why a buffer is live at the peak.
fn reason(report: &Report, buffer: &Buffer) -> String {
    let peak = report.memory.peak;
    let layer = peak.checked_sub(1);
    let reads_it = layer.is_some_and(|layer| buffer.readers.contains(&layer));
    if buffer.is_scratch {
        return "memory for the layer to work in".to_owned();
    }
    if buffer.writer.is_some() && buffer.writer == layer {
        return match buffer.over {
            Some(_) => "the layer writes it, over an operand".to_owned(),
            None => "the layer writes it".to_owned(),
        };
    }
    let later = buffer.readers.iter().find(|reader| Some(**reader) > layer);
    let waits = later.and_then(|later| {
        let layer = report.layers.get(*later)?;
        Some(format!("waits for layer {later} ({})", layer.title))
    });
    match (reads_it, waits) {
        (true, Some(waits)) => format!("the layer reads it; then it {waits}"),
        (true, None) if buffer.is_output => "the layer reads it, and it is an output".to_owned(),
        (true, None) => "the layer reads it".to_owned(),
        (false, Some(waits)) => waits,
        (false, None) if buffer.is_output => "it is an output, which stays to the end".to_owned(),
        (false, None) => "it is kept".to_owned(),
    }
}

/// Every buffer, for who cannot see or hover.
fn table(report: &Report) -> Markup {
    let memory = &report.memory;
    let has_banks = memory.banks.len() > 1;
    html! {
        @if !memory.lent.is_empty() {
            p {
                "In the caller’s memory, not in the arena: "
                @for (index, id) in memory.lent.iter().enumerate() {
                    @if index > 0 { ", " }
                    bdi { (report.tensors[*id].name) }
                }
                "."
            }
        }
        details.more {
            summary { "All " (counted(memory.buffers.len(), "buffer")) }
            div.scroll {
                table.buffers {
                    thead { tr {
                        th scope="col" { "Buffer" } th scope="col" { "Shape" } th.num scope="col" { "Bytes" }
                        @if has_banks { th scope="col" { "Bank" } }
                        th.num scope="col" { "Offset" } th scope="col" { "Written by" } th scope="col" { "Read by" }
                    } }
                    tbody {
                        @for (index, buffer) in memory.buffers.iter().enumerate() {
                            tr id={ "buffer-" (index) } {
                                th scope="row" {
                                    i class={ "key " (class(report, buffer)) } aria-hidden="true" {}
                                    bdi { (name(report, buffer)) }
                                    @if buffer.is_output { span.tag { "output" } }
                                    @if buffer.over.is_some() { span.tag { "in place" } }
                                }
                                td { (tensor_text(&report.tensors[buffer.tensor])) }
                                td.num { (count(buffer.size_bytes)) }
                                @if has_banks { td { bdi { (memory.banks.get(buffer.bank).map_or("", |it| it.name.as_str())) } } }
                                td.num { (count(buffer.offset_bytes)) }
                                td {
                                    @match buffer.writer {
                                        Some(layer) => a href={ "#layer-" (layer) } { (layer) },
                                        None => "the caller",
                                    }
                                }
                                td {
                                    @for (at, reader) in buffer.readers.iter().take(12).enumerate() {
                                        @if at > 0 { ", " }
                                        a href={ "#layer-" (reader) } { (reader) }
                                    }
                                    @if buffer.readers.len() > 12 { " …" }
                                    @if buffer.readers.is_empty() { span.none { "–" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
