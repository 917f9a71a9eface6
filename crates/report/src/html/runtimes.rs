//! What the runtimes do with the file on each instruction set.

use crate::model::Report;
use maud::{Markup, html};

/// The reasons that are written out; of more the rest is only counted.
const REASONS_MAX: usize = 3;

/// The section.
pub(super) fn section(report: &Report) -> Option<Markup> {
    if report.verdicts.is_empty() {
        return None;
    }
    Some(html! {
        p.lead { "What happens when this file is run with the kernels for each instruction set, judged from the file alone." }
        table.verdicts {
            thead { tr { th scope="col" { "Runtime" } th scope="col" { "Kernels" } th scope="col" { "Outcome" } } }
            tbody {
                @for verdict in &report.verdicts {
                    tr {
                        th scope="row" { (verdict.runtime) }
                        td { (verdict.isa) }
                        td {
                            span.verdict.is-right[verdict.is_right] { (verdict.outcome) }
                            @for reason in verdict.reasons.iter().take(REASONS_MAX) { p.why { (reason) } }
                            @if verdict.reasons.len() > REASONS_MAX { p.why { "and " (verdict.reasons.len() - REASONS_MAX) " more like these" } }
                        }
                    }
                }
            }
        }
    })
}
