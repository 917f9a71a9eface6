//! A file's planned memory against what its tensors need.

use crate::finish::canonical;
use crate::lift::Lifted;
use crate::plan::{PlanOptions, plan};
use crate::report::{BankReport, MemoryReport};
use serde::Serialize;

/// Planned memory, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What the file plans.
    pub planned_bytes: u64,
    /// No plan of the calls in their order can need less: what is alive at one time, each tensor rounded up to 16 bytes, and results
    /// written over operands where they can be.
    pub lower_bound_bytes: u64,
    /// What is planned above the bound.
    pub gap_bytes: u64,
    /// Whether it is certain that no plan of the calls in their order needs less than the file's.
    pub proven: bool,
    /// What Cortado plans for the same calls in the same order.
    pub cortado_bytes: u64,
    /// The planned buffers: one arena, or banks.
    pub banks: Vec<BankReport>,
    /// The call during which most is alive, `null` in a program without calls.
    pub peak_instruction: Option<usize>,
    /// The tensors that are alive then, the largest first.
    pub alive_at_peak: Vec<Alive>,
}

/// A tensor that is alive when most is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alive {
    /// Its name: that of an input, else `value` and the number that the file has for it, or who makes it.
    pub name: String,
    /// Its size, rounded up to 16 bytes.
    pub bytes: u64,
}

/// Judges a file's memory, with about so many seconds to look for a better plan.
pub fn memory(lifted: &Lifted, seconds: f64) -> Memory {
    let program = canonical(&lifted.program);
    // The banks do not matter for what the tensors need.
    let options = PlanOptions { banks: Vec::new(), seconds, ..lifted.plan_options() };
    let Ok(plan) = plan(&program, &options) else {
        unreachable!("an arena without a limit holds any program")
    };
    let report = MemoryReport::new(&program, &plan);
    let planned_bytes = lifted.arena_bytes();
    let bytes = |name: &String| {
        let buffer = report.buffers.iter().find(|buffer| buffer.name == *name);
        buffer.map_or(0, |buffer| buffer.size_bytes)
    };
    let alive =
        report.peak.live.iter().map(|name| Alive { name: name.clone(), bytes: bytes(name) });
    Memory {
        planned_bytes,
        lower_bound_bytes: plan.lower_bound_bytes,
        gap_bytes: planned_bytes.saturating_sub(plan.lower_bound_bytes),
        proven: planned_bytes <= plan.lower_bound_bytes
            || plan.proven && planned_bytes <= plan.arena_bytes,
        cortado_bytes: plan.arena_bytes,
        banks: lifted.banks(),
        peak_instruction: report.peak.call,
        alive_at_peak: alive.filter(|it| it.bytes > 0).collect(),
    }
}
