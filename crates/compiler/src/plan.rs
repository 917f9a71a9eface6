//! The memory plan: where in the arena each activation lives.
//!
//! A buffer is live from the call that writes it to the last call that reads it; inputs from before the first call, outputs until
//! after the last. Views share the memory of what they view. Buffers that are live together must not overlap. Several greedy
//! orders are tried and the smallest result is kept.

use crate::lowered::{BufferId, BufferKind, Lowered, LoweredDomain, LoweredTensor};
use cortado_contract::ops::Operator;
use cortado_contract::value::ArgumentWriter;

/// The alignment of every buffer in the arena, in bytes.
pub const ALIGNMENT: u64 = 16;

/// Where each buffer lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The buffers that have memory of their own, with their lifetime and offset.
    pub placements: Vec<Placement>,
    /// The size of the arena.
    pub arena_bytes: u64,
    /// No plan of this schedule can need less: the most bytes that are live at one time.
    pub lower_bound_bytes: u64,
}

/// A buffer in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The buffer.
    pub buffer: BufferId,
    /// The first call during which it is live.
    pub first: usize,
    /// The last call during which it is live.
    pub last: usize,
    /// The size, rounded up to [`ALIGNMENT`].
    pub size_bytes: u64,
    /// The offset into the arena.
    pub offset_bytes: u64,
}

impl Placement {
    fn lives_with(&self, other: &Placement) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn end(&self) -> u64 {
        self.offset_bytes + self.size_bytes
    }
}

impl MemoryPlan {
    /// The offset of a buffer's storage, `None` for constants.
    pub fn offset_bytes(&self, program: &Lowered, buffer: BufferId) -> Option<u64> {
        let storage = program.storage(buffer);
        self.placements
            .iter()
            .find(|placement| placement.buffer == storage)
            .map(|it| it.offset_bytes)
    }
}

/// What buffers are sorted by before they are placed one after the other.
type Order = fn(&Placement) -> (u64, u64);

/// Plans the memory of a program.
pub fn plan(program: &Lowered) -> MemoryPlan {
    let lifetimes = lifetimes(program);
    let lower_bound_bytes = (0..=program.calls.len())
        .map(|time| {
            lifetimes
                .iter()
                .filter(|it| it.first <= time && time <= it.last)
                .map(|it| it.size_bytes)
                .sum()
        })
        .max()
        .unwrap_or(0);
    let orders: [Order; 3] = [
        |it| (u64::MAX - it.size_bytes, it.first as u64),
        |it| (u64::MAX - it.size_bytes * (it.last - it.first + 1) as u64, it.first as u64),
        |it| (it.first as u64, u64::MAX - it.size_bytes),
    ];
    let plans = orders.into_iter().map(|order| {
        let mut sorted = lifetimes.clone();
        sorted.sort_by_key(order);
        let placements = place(&sorted);
        let arena_bytes = placements.iter().map(Placement::end).max().unwrap_or(0);
        MemoryPlan { placements, arena_bytes, lower_bound_bytes }
    });
    let mut best = plans.min_by_key(|plan| plan.arena_bytes).expect("there are several orders");
    best.placements.sort_by_key(|placement| placement.buffer);
    best
}

/// Puts one buffer after the other at the lowest offset that is free for all of its life.
fn place(order: &[Placement]) -> Vec<Placement> {
    let mut placed: Vec<Placement> = Vec::with_capacity(order.len());
    for buffer in order {
        let mut neighbours: Vec<&Placement> =
            placed.iter().filter(|other| other.lives_with(buffer)).collect();
        neighbours.sort_by_key(|other| other.offset_bytes);
        let mut offset_bytes = 0;
        for other in neighbours {
            if offset_bytes + buffer.size_bytes <= other.offset_bytes {
                break;
            }
            offset_bytes = offset_bytes.max(other.end());
        }
        placed.push(Placement { offset_bytes, ..*buffer });
    }
    placed
}

/// Every buffer with memory of its own and the calls during which it is live; offsets are 0. Time 0 is before the first
/// call, time `n` is call `n − 1`.
fn lifetimes(program: &Lowered) -> Vec<Placement> {
    let mut live: Vec<Option<(usize, usize)>> = vec![None; program.buffers.len()];
    let mut touch = |buffer: BufferId, time: usize| {
        let storage = program.storage(buffer);
        if matches!(program.buffer(storage).kind, BufferKind::Activation) {
            let (first, last) = live[storage.0].unwrap_or((time, time));
            live[storage.0] = Some((first.min(time), last.max(time)));
        }
    };
    program.inputs.iter().for_each(|input| touch(*input, 0));
    for (index, call) in program.calls.iter().enumerate() {
        operands(&call.operator).into_iter().for_each(|buffer| touch(buffer, index + 1));
    }
    program.outputs.iter().for_each(|output| touch(*output, program.calls.len()));
    let placement = |(index, life): (usize, &Option<(usize, usize)>)| {
        let (first, last) = (*life)?;
        let size_bytes = program.buffers[index].size_bytes().next_multiple_of(ALIGNMENT);
        Some(Placement { buffer: BufferId(index), first, last, size_bytes, offset_bytes: 0 })
    };
    live.iter().enumerate().filter_map(placement).collect()
}

/// Every tensor argument of an operator.
pub(crate) fn operands(operator: &Operator<LoweredDomain>) -> Vec<BufferId> {
    let mut collector = Collector(Vec::new());
    operator.encode(&mut collector);
    collector.0
}

struct Collector(Vec<BufferId>);

impl ArgumentWriter<LoweredDomain> for Collector {
    fn tensor(&mut self, _: &'static str, value: &LoweredTensor) {
        self.0.push(value.id);
    }
    fn optional_tensor(&mut self, _: &'static str, value: Option<&LoweredTensor>) {
        self.0.extend(value.map(|tensor| tensor.id));
    }
    fn int(&mut self, _: &'static str, _: i64) {}
    fn float(&mut self, _: &'static str, _: f64) {}
    fn text(&mut self, _: &'static str, _: &'static str) {}
    fn optional_int(&mut self, _: &'static str, _: Option<i64>) {}
    fn tensor_list(&mut self, _: &'static str, value: &crate::lowered::Tensors) {
        self.0.extend(value.0.iter().map(|tensor| tensor.id));
    }
    fn bool(&mut self, _: &'static str, _: bool) {}
    fn int_list(&mut self, _: &'static str, _: &crate::lowered::Ints) {}
}

/// Checks a plan against its program, independently of how it was made. Returns what is wrong.
pub fn check(program: &Lowered, plan: &MemoryPlan) -> Vec<String> {
    let mut defects = Vec::new();
    let name = |placement: &Placement| program.buffer(placement.buffer).name.clone();
    for (index, a) in plan.placements.iter().enumerate() {
        if a.offset_bytes % ALIGNMENT != 0 || a.end() > plan.arena_bytes {
            defects.push(format!("`{}` is misaligned or ends outside of the arena", name(a)));
        }
        if a.size_bytes < program.buffer(a.buffer).size_bytes() {
            defects.push(format!("`{}` has too little memory", name(a)));
        }
        for b in &plan.placements[index + 1..] {
            if a.lives_with(b) && a.offset_bytes < b.end() && b.offset_bytes < a.end() {
                defects.push(format!(
                    "`{}` and `{}` are live together and overlap",
                    name(a),
                    name(b)
                ));
            }
        }
    }
    for (time, call) in program.calls.iter().enumerate() {
        for buffer in operands(&call.operator) {
            let storage = program.storage(buffer);
            if matches!(program.buffer(storage).kind, BufferKind::Constant(_)) {
                continue;
            }
            let covers =
                |it: &Placement| it.buffer == storage && it.first <= time + 1 && time < it.last;
            if !plan.placements.iter().any(covers) {
                defects.push(format!(
                    "`{}` has no memory during `{}`",
                    program.buffer(buffer).name,
                    call.name
                ));
            }
        }
    }
    defects
}
