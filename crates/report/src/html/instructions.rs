//! Instructions of each layer, for each target that was measured.

use super::bar;
use crate::model::Report;
use crate::text::{bytes, count};
use maud::{Markup, html};

/// The section; how to come by one where nothing was measured.
pub(super) fn section(report: &Report) -> Option<Markup> {
    if report.profiles.is_empty() {
        return Some(html! {
            p.lead {
                "Not measured. " code { "cortado report MODEL --inputs SAMPLES.npz --on cortex-m4,cortex-m55" }
                " runs the program on emulated boards and shows here what each layer costs; profiles that "
                code { "cortado profile --json" } " wrote are taken with " code { "--profile" } "."
            }
        });
    }
    let all = report.profiles.iter().flat_map(|profile| &profile.operators);
    let longest = all.map(|operator| operator.instructions).max().unwrap_or(0);
    Some(html! {
        p.lead {
            "Counted by an emulator for one inference; counts are no cycles. All bars have the same scale, so targets compare too."
        }
        div.scroll {
            table.instructions {
                thead { tr {
                    th scope="col" { "Layer" }
                    @for profile in &report.profiles {
                        th.num scope="col" { (profile.cpu) br; small { (profile.isa) " kernels" } }
                        th.wide scope="col" { span.label { "bar" } }
                        th.num.minor scope="col" { small { "per MAC" } }
                    }
                } }
                tbody {
                    @for (index, layer) in report.layers.iter().enumerate() {
                        tr {
                            th scope="row" { a href={ "#layer-" (index) } { span.index { (index) } " " (layer.title) } }
                            @for profile in &report.profiles {
                                @if let Some(operator) = profile.operators.get(index) {
                                    td.num title={ (format!("{:.1}", 100.0 * operator.share)) " % of all" } { (count(operator.instructions)) }
                                    td.wide { (bar(operator.instructions, longest, layer.family)) }
                                    td.num.minor {
                                        @match operator.instructions_per_mac {
                                            Some(ratio) => (format!("{ratio:.2}")),
                                            None => span.none { "–" },
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                tfoot {
                    tr {
                        th scope="row" { "all layers" }
                        @for profile in &report.profiles {
                            @let sum: u64 = profile.operators.iter().map(|it| it.instructions).sum();
                            td.num { (count(sum)) } td.wide {}
                            td.num.minor { @if profile.macs > 0 { (format!("{:.2}", sum as f64 / profile.macs as f64)) } }
                        }
                    }
                    tr.minor {
                        th scope="row" { "an execution as a whole" }
                        @for profile in &report.profiles { td.num { (count(profile.instructions)) } td.wide {} td.minor {} }
                    }
                    tr.minor {
                        th scope="row" { "loading, once" }
                        @for profile in &report.profiles { td.num { (count(profile.load_instructions)) } td.wide {} td.minor {} }
                    }
                    tr.minor {
                        th scope="row" { "stack" }
                        @for profile in &report.profiles { td.num { (bytes(profile.stack_bytes)) } td.wide {} td.minor {} }
                    }
                    tr.minor {
                        th scope="row" { "emulated board" }
                        @for profile in &report.profiles { td.num { (profile.board) } td.wide {} td.minor {} }
                    }
                }
            }
        }
    })
}
