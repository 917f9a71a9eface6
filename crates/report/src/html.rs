//! The page. Everything that comes from a file goes through the templates, which escape it.

mod flash;
mod flow;
mod instructions;
mod memory;
mod runtimes;

use crate::model::{Family, Finding, Report, Severity};
use crate::text::{bytes, count, counted, short_bytes, short_count};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The colours, in the light and in the dark.
const COLOURS: &str = include_str!("html/colours.css");
/// What the chart of memory looks like, on the page and alone.
const CHART: &str = include_str!("html/chart.css");
const PAGE: &str = include_str!("html/page.css");

/// No scripts and nothing from elsewhere: what slipped through as markup could still do nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page of a report.
pub(crate) fn page(report: &Report) -> String {
    let sections: Vec<(&str, &str, Markup)> = [
        ("layers", "Layers", flow::section(report)),
        ("memory", "Memory", memory::section(report)),
        ("instructions", "Instructions", instructions::section(report)),
        ("flash", "Flash", flash::section(report)),
        ("runtimes", "Runtimes", runtimes::section(report)),
    ]
    .into_iter()
    .filter_map(|(id, name, markup)| Some((id, name, markup?)))
    .collect();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "Cortado " (env!("CARGO_PKG_VERSION")) };
                title { (report.title) " · Cortado" }
                style { (PreEscaped(COLOURS)) (PreEscaped(CHART)) (PreEscaped(PAGE)) }
            }
            body {
                (header(report))
                main {
                    (findings(report))
                    nav aria-label="Sections" {
                        @for (id, name, _) in &sections { a href={ "#" (id) } { (name) } }
                    }
                    @for (id, name, content) in &sections {
                        section id=(id) aria-labelledby={ (id) "-heading" } {
                            h2 id={ (id) "-heading" } { (name) }
                            (content)
                        }
                    }
                }
                footer {
                    p {
                        "Made by Cortado " (env!("CARGO_PKG_VERSION")) ". "
                        "This page is one file: it needs no network and has no scripts. "
                        "Instruction counts are an emulator’s, and no cycles."
                    }
                }
            }
        }
    };
    let mut page = markup.into_string();
    page.push('\n');
    page
}

/// The chart of memory over time as an SVG file of its own; `None` where no memory is planned.
pub(crate) fn memory_chart(report: &Report) -> Option<String> {
    memory::alone(report).map(Markup::into_string)
}

fn header(report: &Report) -> Markup {
    let origin = &report.origin;
    let isas = match &origin.isas[..] {
        [] => None,
        [isa] => Some(format!("{isa} kernels")),
        isas => Some(format!("{} kernels", crate::text::list(isas, 3))),
    };
    html! {
        header {
            div.mark aria-hidden="true" { (cup()) }
            div.heading {
                p.eyebrow { "Program report" }
                h1 { bdi { (report.title) } }
                ul.facts {
                    li { "made by " strong { (origin.made_by) } }
                    @if let Some(cpu) = &origin.cpu { li { "for " strong { (cpu) } } }
                    @else { li { "names no target" } }
                    @if let Some(isas) = isas {
                        li { @if origin.cpu.is_none() { "suits " } strong { (isas) } }
                    }
                    @if let Some(form) = &origin.constant_form {
                        li title="the constant term that linear layers have: the mve kernels read a kernel_sum, all others a bias" {
                            "constant form " strong { (form) }
                        }
                    }
                    li { (counted(report.layers.len(), "layer")) }
                }
                @for (side, ids) in [("in", &report.inputs), ("out", &report.outputs)] {
                    @for id in ids {
                        p.border-line {
                            span.side { (side) } " "
                            bdi { (report.tensors[*id].name) } " "
                            span.shape { (flow::tensor_text(&report.tensors[*id])) }
                        }
                    }
                }
            }
            (tiles(report))
        }
    }
}

/// The numbers that decide whether a program fits.
fn tiles(report: &Report) -> Markup {
    let memory = &report.memory;
    let arena = memory.arena_bytes();
    let gap = memory.lower_bound_bytes.map(|bound| arena.saturating_sub(bound));
    let arena_note = match gap {
        Some(0) => "no plan of this order of layers needs less".to_owned(),
        Some(gap) if memory.is_proven => {
            format!("{} above the bound; proven, no plan needs less", bytes(gap))
        }
        Some(gap) => format!("{} above the bound, not proven", bytes(gap)),
        None => "as the file plans it".to_owned(),
    };
    let macs: Option<u64> = report.layers.iter().map(|layer| layer.macs).sum();
    let float: u64 =
        report.layers.iter().filter(|it| it.computes_float).filter_map(|it| it.macs).sum();
    let floats = report.layers.iter().filter(|layer| layer.computes_float).count();
    html! {
        dl.tiles {
            (tile("Flash", short_bytes(report.file_bytes), html! {
                (bytes(report.file_bytes)) ": the file, read in place"
            }, false))
            (tile("Arena", short_bytes(arena), html! {
                (bytes(arena)) "; " (arena_note)
            }, gap.is_some_and(|gap| gap > 0) && !memory.is_proven))
            @if let Some(macs) = macs {
                (tile("Multiply-accumulates", short_count(macs), html! {
                    @if floats == 0 { "all layers in int8" }
                    @else if macs == 0 { (counted(floats, "layer")) " in float" }
                    @else {
                        (format!("{:.1}", 100.0 * (1.0 - float as f64 / macs as f64))) " % in int8, "
                        (counted(floats, "layer")) " in float"
                    }
                }, floats > 0))
            }
            @for profile in &report.profiles {
                (tile(&format!("Instructions, {}", profile.cpu), short_count(profile.instructions), html! {
                    (count(profile.instructions)) " with " (profile.isa) " kernels on " (profile.board)
                }, false))
            }
            @if report.state_bytes.is_some() || report.stack_bytes.is_some() {
                @let state = report.state_bytes.unwrap_or(0);
                @let stack = report.stack_bytes.unwrap_or(0);
                (tile("State and stack", short_bytes(state + stack), html! {
                    @if report.state_bytes.is_some() { (bytes(state)) " of method state" }
                    @if report.stack_bytes.is_some() {
                        @if report.state_bytes.is_some() { ", " }
                        (bytes(stack)) " of stack, measured"
                    } @else { "; stack not measured for these operators" }
                }, false))
            }
        }
    }
}

fn tile(name: &str, (number, unit): (String, &str), note: Markup, is_warning: bool) -> Markup {
    html! {
        div.tile.is-warning[is_warning] {
            dt { (name) }
            dd {
                span.number { (number) @if !unit.is_empty() { " " small { (unit) } } }
                span.note { (note) }
            }
        }
    }
}

fn findings(report: &Report) -> Markup {
    html! {
        section.findings id="findings" aria-labelledby="findings-heading" {
            h2 id="findings-heading" { "What to look at" }
            @if report.findings.is_empty() {
                p.all-well {
                    "Nothing to mend: every layer computes in int8, no transposes are left over, the plan is as small as this order of \
                     layers allows, and every byte of the file is used."
                }
            } @else {
                ul { @for finding in &report.findings { (finding_item(report, finding)) } }
            }
        }
    }
}

fn finding_item(report: &Report, finding: &Finding) -> Markup {
    let (class, word) = match finding.severity {
        Severity::Problem => ("problem", "Problem"),
        Severity::Warning => ("warning", "Costs"),
        Severity::Note => ("remark", "Note"),
    };
    const LAYERS_MAX: usize = 24;
    html! {
        li class={ "finding " (class) } {
            h3 { span.badge { (word) } " " (finding.title) }
            p { (finding.text) }
            @if let Some(remedy) = &finding.remedy { p.remedy { (code_spans(remedy)) } }
            @if !finding.layers.is_empty() {
                p.where-list {
                    "Layers "
                    @for layer in finding.layers.iter().take(LAYERS_MAX) {
                        a href={ "#layer-" (layer) } {
                            (layer) " "
                            @if let Some(layer) = report.layers.get(*layer) { span { (layer.title) } }
                        }
                        " "
                    }
                    @if finding.layers.len() > LAYERS_MAX { "and " (finding.layers.len() - LAYERS_MAX) " more" }
                }
            }
        }
    }
}

/// A text in which what stands between backticks is code.
fn code_spans(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A bar as long as its share of the longest.
fn bar(value: u64, longest: u64, family: Family) -> Markup {
    let share = if longest == 0 { 0.0 } else { 100.0 * value as f64 / longest as f64 };
    html! {
        span.bar aria-hidden="true" {
            span class=(family.class()) style={ "width:" (format!("{share:.2}")) "%" } {}
        }
    }
}

/// A small cup: the project's mark.
fn cup() -> Markup {
    html! {
        svg viewBox="0 0 48 48" width="48" height="48" {
            path class="cup-glass" d="M11 8h26l-3.2 30.2A4 4 0 0 1 29.8 42H18.2a4 4 0 0 1-4-3.8z" {}
            path class="cup-milk" d="M12.1 15h23.8l-.9 8.5q-11 4-22 0z" {}
            path class="cup-coffee" d="M13 23.5q11 4 22 0L33.7 37.7a3 3 0 0 1-3 2.7H17.3a3 3 0 0 1-3-2.7z" {}
        }
    }
}
