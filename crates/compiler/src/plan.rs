//! The memory plan: in which order calls run, and where in the arena each activation lives.
//!
//! A buffer is live from the call that writes it to the last call that reads it; inputs from before the first call, outputs until
//! after the last; scratch during its call only. Views share the memory of what they view. A result is written over an operand
//! that nobody needs any more where the operator allows it. Constants are in the file.
//!
//! ```text
//! order      an order of calls whose peak of live bytes is lowest                          schedule.rs
//! blocks     storages that share memory in that order, as shapes in time and memory        block.rs
//! offsets    greedy, then an exact search, until the peak is met or steps run out          pack.rs, allocate.rs
//! banks      several regions of memory, each with offsets of its own                       banks.rs
//! ```
//!
//! All searches count steps, not seconds: a program has one plan, on any machine. [`check`] judges a plan without regard to how
//! it came about, and the runtime does so once more when it loads the file.

mod banks;
mod block;
mod check;
mod flow;
mod pack;
mod schedule;
#[cfg(test)]
mod tests;

use crate::allocate::Budget;
use crate::lowered::{BufferId, BufferKind, Lowered};
use block::{Block, Life};
pub use check::check;
use flow::Flow;
pub(crate) use flow::operands;
pub use flow::operands_and_results;
pub(crate) use schedule::canonical_order;

/// The alignment of every buffer in the arena, in bytes.
pub const ALIGNMENT: u64 = 16;

/// The most banks that a plan may have: the runtime keeps as many regions.
pub const BANKS_MAX: usize = cortado_kernels::memory::MAX_REGIONS;

/// The most bytes that a bank may have: the runtime's locations reach no further.
pub const BANK_BYTES_MAX: u64 = cortado_kernels::Location::REGION_BYTES_MAX as u64;

/// A region of the device's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bank {
    /// The name, for people.
    pub name: String,
    /// The bytes that it has for the arena.
    pub capacity_bytes: u64,
}

/// How a program's border and its memory are planned.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanOptions {
    /// Whether inputs and outputs are `int8` where they can be, with conversions left to the caller.
    pub int8_border: bool,
    /// The banks, the fastest first. None: one arena of whatever size it takes.
    pub banks: Vec<Bank>,
    /// Whether inputs are in the caller's memory, where they can be.
    pub lend_inputs: bool,
    /// Whether outputs are in the caller's memory, where they can be.
    pub lend_outputs: bool,
    /// Roughly how long the searches may take, in seconds. It is a number of steps all the same.
    pub seconds: f64,
}

impl Default for PlanOptions {
    fn default() -> Self {
        PlanOptions {
            int8_border: false,
            banks: Vec::new(),
            lend_inputs: false,
            lend_outputs: false,
            seconds: 2.0,
        }
    }
}

/// Calls that are ready which the search for an order looks at in what [`PlanOptions::seconds`] calls a second.
const SCHEDULE_STEPS_PER_SECOND: f64 = 100_000.0;

/// Where each buffer lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The buffers that have memory of their own or of an operand, with their lifetime and offset.
    pub placements: Vec<Placement>,
    /// The inputs and outputs that are in the caller's memory.
    pub lent: Vec<BufferId>,
    /// The banks, at least one.
    pub banks: Vec<PlannedBank>,
    /// The size of the arena: all banks together.
    pub arena_bytes: u64,
    /// No plan of this schedule can need less: the most bytes that are live at one time.
    pub lower_bound_bytes: u64,
    /// Whether it is certain that no plan of this schedule needs less, in however many banks.
    pub proven: bool,
    /// Whether it is certain that no order of calls has a lower peak of live bytes; `None` where nobody looked for one.
    pub schedule_proven: Option<bool>,
}

/// A bank with what the plan takes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBank {
    /// The name; empty where there are no banks but one arena.
    pub name: String,
    /// The bytes that it has, `None` where no limit was given.
    pub capacity_bytes: Option<u64>,
    /// The bytes that the plan takes.
    pub bytes: u64,
}

/// A buffer in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The buffer.
    pub buffer: BufferId,
    /// The first time at which it is live: 0 is before the first call, `n` is during the `n`th call.
    pub first: usize,
    /// The last time at which it is live.
    pub last: usize,
    /// The size, rounded up to [`ALIGNMENT`].
    pub size_bytes: u64,
    /// The position of its bank in [`MemoryPlan::banks`].
    pub bank: usize,
    /// The offset into the bank.
    pub offset_bytes: u64,
    /// The operand over which it is written.
    pub over: Option<BufferId>,
}

impl Placement {
    fn lives_with(&self, other: &Placement) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn end(&self) -> u64 {
        self.offset_bytes + self.size_bytes
    }
}

/// By how much banks are too small for a program, and what is live when they are fullest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The bank that is short: the largest.
    pub bank: String,
    /// The bytes that it would need, with all other banks used as well as they could be.
    pub needed_bytes: u64,
    /// The bytes that it has.
    pub given_bytes: u64,
    /// The call at which most bytes are live, `None` before the first one.
    pub call: Option<String>,
    /// The bytes that are live then.
    pub peak_bytes: u64,
    /// What is live then, the largest first, with bytes.
    pub live: Vec<(String, u64)>,
}

/// [`Shortage`] as the placing sees it.
#[derive(Clone, Copy, Debug)]
struct Shortfall {
    bank: usize,
    needed_bytes: u64,
    given_bytes: u64,
}

impl Shortfall {
    fn bytes(&self) -> u64 {
        self.needed_bytes.saturating_sub(self.given_bytes)
    }
}

impl MemoryPlan {
    /// Where a buffer's storage is; `None` for constants and lent buffers.
    pub fn placement(&self, program: &Lowered, buffer: BufferId) -> Option<&Placement> {
        let storage = program.storage(buffer);
        self.placements.iter().find(|placement| placement.buffer == storage)
    }

    /// The bytes that are live at each time: 0 is before the first call, `n` is during the `n`th call.
    pub fn live_bytes(&self, calls: usize) -> Vec<u64> {
        let mut spans: Vec<Vec<(usize, u64, u64)>> = vec![Vec::new(); calls + 1];
        for it in &self.placements {
            for live in spans.iter_mut().take(it.last + 1).skip(it.first) {
                live.push((it.bank, it.offset_bytes, it.end()));
            }
        }
        // What shares memory counts once.
        let count = |mut spans: Vec<(usize, u64, u64)>| {
            spans.sort_unstable();
            let (mut bytes, mut bank, mut covered) = (0, 0, 0);
            for (at, start, end) in spans {
                if at != bank {
                    (bank, covered) = (at, 0);
                }
                bytes += end.saturating_sub(start.max(covered));
                covered = covered.max(end);
            }
            bytes
        };
        spans.into_iter().map(count).collect()
    }

    /// The time at which most bytes are live, the first if there are several.
    pub fn peak_time(&self, calls: usize) -> usize {
        first_peak(&self.live_bytes(calls))
    }
}

/// The first time at which most bytes are live.
fn first_peak(live: &[u64]) -> usize {
    (0..live.len()).rev().max_by_key(|time| live[*time]).unwrap_or(0)
}

/// An order of a program's calls with a low peak of live bytes, as positions in the program, and whether it is certain that no
/// order has a lower one.
pub fn schedule(program: &Lowered, options: &PlanOptions) -> (Vec<usize>, bool) {
    let flow = Flow::of(program, &lent(program, options));
    let steps = (options.seconds * SCHEDULE_STEPS_PER_SECOND) as u64;
    let schedule = schedule::schedule(&flow, steps);
    (schedule.order, schedule.proven)
}

/// Plans the memory of a program whose calls are in the order in which they will run.
///
/// # Errors
/// By how much the banks are too small.
pub fn plan(program: &Lowered, options: &PlanOptions) -> Result<MemoryPlan, Shortage> {
    let lent = lent(program, options);
    let flow = Flow::of(program, &lent);
    let calls = program.calls.len();
    let order: Vec<usize> = (0..calls).collect();
    let budget = Budget::seconds(options.seconds);
    let whole = Bank { name: String::new(), capacity_bytes: u64::MAX };
    let banks = if options.banks.is_empty() { vec![whole] } else { options.banks.clone() };

    let all = block::blocks(&flow, &order, |_| true);
    let lower_bound_bytes = block::live_bytes(&all, calls).into_iter().max().unwrap_or(0);
    let place = |blocks: &[Block]| banks::place(&flow, blocks, &banks, calls, budget);
    // In several banks less is live in each, so what lies together may well stay so.
    let first = if banks.len() > 1 { place(&all).ok() } else { None };
    let (blocks, placed) = match first {
        Some(placed) => (all, Ok(placed)),
        None => {
            let shared = share(&flow, all, lower_bound_bytes, budget);
            let placed = place(&shared);
            (shared, placed)
        }
    };
    let placed = placed.map_err(|shortfall| shortage(program, &flow, &banks, shortfall))?;
    // Whether other results in place, or other buffers in each bank, would do better is only known where the bound is met, or where
    // there are none.
    let is_certain = placed.heights.iter().sum::<u64>() <= lower_bound_bytes
        || banks.len() == 1 && flow.calls.iter().all(|call| call.may_replace.is_empty());
    let lives = block::lives(&flow, &order);
    let mut placements = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        for member in &block.members {
            let Some(Life { first, last }) = lives[member.storage] else { continue };
            let storage = &flow.storages[member.storage];
            placements.push(Placement {
                buffer: storage.buffer,
                first,
                last,
                size_bytes: storage.bytes,
                bank: placed.banks[index],
                offset_bytes: placed.offsets[index] + member.offset,
                over: member.over.map(|over| flow.storages[over].buffer),
            });
        }
    }
    // Buffers without elements still need a place to point to.
    for storage in flow.storages.iter().filter(|it| it.bytes == 0 && !it.is_lent) {
        placements.push(Placement {
            buffer: storage.buffer,
            first: 0,
            last: calls,
            size_bytes: 0,
            bank: 0,
            offset_bytes: 0,
            over: None,
        });
    }
    placements.sort_by_key(|placement| placement.buffer);
    let planned = banks.iter().zip(&placed.heights).map(|(bank, bytes)| PlannedBank {
        name: bank.name.clone(),
        capacity_bytes: (!options.banks.is_empty()).then_some(bank.capacity_bytes),
        bytes: *bytes,
    });
    let arena_bytes = placed.heights.iter().sum();
    Ok(MemoryPlan {
        placements,
        lent,
        banks: planned.collect(),
        arena_bytes,
        lower_bound_bytes,
        proven: placed.proven && is_certain,
        schedule_proven: None,
    })
}

/// Chooses the results that are written over operands. Memory that is shared lies together, which is not always the best: so where
/// the bound is not met, calls are taken out one after the other as long as that helps. Often it only does for two or three together
/// of which none helps alone; where the bound is still not met, all of those are tried.
fn share(flow: &Flow, all: Vec<Block>, bound: u64, budget: Budget) -> Vec<Block> {
    let order: Vec<usize> = (0..flow.calls.len()).collect();
    let mut trials = budget.steps / pack::quick_steps(flow.storages.len()).max(1);
    // The blocks without some results in place, if they are lower than that.
    let lower = |than: u64, apart: &[usize]| -> Option<(u64, Vec<Block>)> {
        let blocks = block::blocks(flow, &order, |call| !apart.contains(&call));
        let height = pack::quick(&blocks.iter().collect::<Vec<_>>(), bound, budget);
        (height < than).then_some((height, blocks))
    };
    let is_shared =
        |call: &usize| all.iter().any(|block| is_result_in_place(block, &flow.calls[*call].outs));
    let shared: Vec<usize> = order.iter().copied().filter(is_shared).collect();
    let whole: Vec<&Block> = all.iter().collect();
    let mut best = (pack::quick(&whole, bound, budget), all);
    let mut apart = Vec::new();
    while best.0 > bound {
        let mut next = None;
        let left: Vec<usize> = shared.iter().copied().filter(|it| !apart.contains(it)).collect();
        for call in left {
            if trials == 0 {
                break;
            }
            trials -= 1;
            let than = next.as_ref().map_or(best.0, |(_, (height, _))| *height);
            apart.push(call);
            next = lower(than, &apart).map(|found| (call, found)).or(next);
            apart.pop();
        }
        let Some((call, found)) = next else { break };
        apart.push(call);
        best = found;
    }
    for calls in pairs(&shared).chain(triples(&shared)).take(trials as usize) {
        if best.0 <= bound {
            break;
        }
        best = lower(best.0, &calls).unwrap_or(best);
    }
    best.1
}

fn pairs(calls: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let after = |index: usize| calls[index + 1..].iter();
    (0..calls.len()).flat_map(move |first| after(first).map(move |it| vec![calls[first], *it]))
}

fn triples(calls: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let after = |first: usize| pairs(&calls[first + 1..]);
    (0..calls.len())
        .flat_map(move |first| after(first).map(move |pair| [&[calls[first]], &pair[..]].concat()))
}

fn is_result_in_place(block: &Block, results: &[flow::StorageId]) -> bool {
    block.members.iter().any(|member| results.contains(&member.storage) && member.over.is_some())
}

/// The inputs and outputs that the caller lends. Not those that are seen through views: a file cannot say that two tensors share
/// memory that it has no place for. Nor what is both.
fn lent(program: &Lowered, options: &PlanOptions) -> Vec<BufferId> {
    let has_views = |id: &BufferId| {
        let mut buffers = program.buffers.iter();
        buffers.any(|buffer| matches!(buffer.kind, BufferKind::View(of) if of == *id))
    };
    let count = |id: &BufferId| {
        program.inputs.iter().chain(&program.outputs).filter(|other| *other == id).count()
    };
    let wanted = |list: &[BufferId], wanted: bool| -> Vec<BufferId> {
        let is_own = |id: &BufferId| matches!(program.buffer(*id).kind, BufferKind::Activation);
        let may = |id: &&BufferId| wanted && is_own(id) && !has_views(id) && count(id) == 1;
        list.iter().filter(may).copied().collect()
    };
    let mut lent = wanted(&program.inputs, options.lend_inputs);
    lent.extend(wanted(&program.outputs, options.lend_outputs));
    // Regions are few.
    lent.truncate(BANKS_MAX.saturating_sub(options.banks.len().max(1)));
    lent
}

fn shortage(program: &Lowered, flow: &Flow, banks: &[Bank], shortfall: Shortfall) -> Shortage {
    let order: Vec<usize> = (0..program.calls.len()).collect();
    let blocks = block::blocks(flow, &order, |_| true);
    let live = block::live_bytes(&blocks, program.calls.len());
    let peak = first_peak(&live);
    let lives = block::lives(flow, &order);
    let at_peak = (0..flow.storages.len())
        .filter(|id| lives[*id].is_some_and(|life| life.first <= peak && peak <= life.last));
    let mut at_peak: Vec<(String, u64)> = at_peak
        .map(|id| &flow.storages[id])
        .map(|storage| (program.buffer(storage.buffer).name.clone(), storage.bytes))
        .collect();
    at_peak.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Shortage {
        bank: banks.get(shortfall.bank).map_or(String::new(), |bank| bank.name.clone()),
        needed_bytes: shortfall.needed_bytes,
        given_bytes: shortfall.given_bytes,
        call: peak.checked_sub(1).map(|call| program.calls[call].name.clone()),
        peak_bytes: live.get(peak).copied().unwrap_or(0),
        live: at_peak,
    }
}
