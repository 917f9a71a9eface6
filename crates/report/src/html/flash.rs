//! What the file's bytes are for.

use super::bar;
use crate::model::{Constants, Family, Report};
use crate::text::{bytes, count};
use maud::{Markup, html};

/// The section.
pub(super) fn section(report: &Report) -> Option<Markup> {
    let flash = &report.flash;
    let constants: u64 = flash.layers.iter().map(Constants::total).sum();
    let whole = (constants + flash.program_bytes + flash.dead_bytes).max(1);
    let longest = flash.layers.iter().map(Constants::total).max().unwrap_or(0);
    let longest = longest.max(flash.program_bytes).max(flash.dead_bytes);
    let layers = || report.layers.iter().zip(&flash.layers).enumerate();
    let percent = |part: u64| format!("{:.1} %", 100.0 * part as f64 / whole as f64);
    Some(html! {
        p.lead {
            (bytes(report.file_bytes)) ": " (bytes(constants)) " of constants (" (percent(constants)) "), "
            (bytes(flash.program_bytes)) " of instructions, tensor descriptions, names and padding (" (percent(flash.program_bytes)) ")"
            @if flash.dead_bytes > 0 { ", " strong.warn { (bytes(flash.dead_bytes)) " that nothing can reach (" (percent(flash.dead_bytes)) ")" } }
            "."
            @if whole > report.file_bytes { " Constants share bytes of the file, so they sum up to more than it has." }
        }
        div.stack role="img" aria-label={ "Shares of the file: constants " (percent(constants)) ", program " (percent(flash.program_bytes)) } {
            @for (index, (layer, constants)) in layers().filter(|(_, (_, it))| it.total() > 0) {
                span class=(layer.family.class()) style={ "flex-grow:" (constants.total()) }
                    title={ "layer " (index) ", " (layer.title) ": " (bytes(constants.total())) ", " (percent(constants.total())) } {}
            }
            span.f-program style={ "flex-grow:" (flash.program_bytes) }
                title={ "instructions, tensor descriptions, names, padding: " (bytes(flash.program_bytes)) } {}
            @if flash.dead_bytes > 0 {
                span.f-dead style={ "flex-grow:" (flash.dead_bytes) } title={ "dead: " (bytes(flash.dead_bytes)) } {}
            }
        }
        div.scroll {
            table.flash {
                thead { tr {
                    th scope="col" { "Layer" } th.num scope="col" { "Bytes" } th.wide scope="col" { span.label { "bar" } }
                    th.num.minor scope="col" { "Weights" } th.num.minor scope="col" { "Bias, kernel sum" }
                    th.num.minor scope="col" { "Rescaling" } th.num.minor scope="col" { "Other" }
                } }
                tbody {
                    @for (index, (layer, constants)) in layers().filter(|(_, (_, it))| it.total() > 0) {
                        tr {
                            th scope="row" { a href={ "#layer-" (index) } { span.index { (index) } " " (layer.title) } }
                            td.num { (count(constants.total())) }
                            td.wide { (bar(constants.total(), longest, layer.family)) }
                            @for part in [constants.weights, constants.terms, constants.rescale, constants.other] {
                                td.num.minor { @if part == 0 { span.none { "–" } } @else { (count(part)) } }
                            }
                        }
                    }
                    tr {
                        th scope="row" { "the program itself" }
                        td.num { (count(flash.program_bytes)) }
                        td.wide { (bar(flash.program_bytes, longest, Family::Input)) }
                        td.minor colspan="4" {}
                    }
                    @if flash.dead_bytes > 0 {
                        tr.is-warning {
                            th scope="row" { "dead" }
                            td.num { (count(flash.dead_bytes)) }
                            td.wide { (bar(flash.dead_bytes, longest, Family::Float)) }
                            td.minor colspan="4" {}
                        }
                    }
                }
                tfoot { tr { th scope="row" { "together" } td.num { (count(constants + flash.program_bytes + flash.dead_bytes)) } td.wide {} td.minor colspan="4" {} } }
            }
        }
    })
}
