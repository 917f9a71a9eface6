//! A file's planned memory against what its tensors need.

use crate::finish::canonical;
use crate::lift::Lifted;
use crate::plan::{MemoryPlan, Placement, plan};
use serde::Serialize;

/// Planned memory, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What the file plans.
    pub planned_bytes: u64,
    /// No plan of the calls can need less: what is alive at one time, each tensor rounded up to 16 bytes.
    pub lower_bound_bytes: u64,
    /// What Cortado plans for the same calls.
    pub cortado_bytes: u64,
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

/// Judges a file's memory.
pub fn memory(lifted: &Lifted) -> Memory {
    let program = canonical(&lifted.program);
    let plan = plan(&program);
    let is_alive =
        |placement: &&Placement, time: usize| placement.first <= time && time <= placement.last;
    let alive = |time: usize| plan.placements.iter().filter(move |it| is_alive(it, time));
    let peak = (0..=program.calls.len())
        .max_by_key(|time| (alive(*time).map(|it| it.size_bytes).sum::<u64>(), usize::MAX - time));
    let mut alive_at_peak: Vec<Alive> = peak
        .into_iter()
        .flat_map(alive)
        .map(|it| Alive { name: program.buffer(it.buffer).name.clone(), bytes: it.size_bytes })
        .filter(|it| it.bytes > 0)
        .collect();
    alive_at_peak.sort_by(|a, b| b.bytes.cmp(&a.bytes));
    let MemoryPlan { arena_bytes, lower_bound_bytes, .. } = plan;
    Memory {
        planned_bytes: lifted.arena_bytes(),
        lower_bound_bytes,
        cortado_bytes: arena_bytes,
        peak_instruction: peak.and_then(|time| time.checked_sub(1)),
        alive_at_peak,
    }
}
