//! The order of calls.
//!
//! Where a graph branches, several orders are valid, and they differ in how much is live at once. First the calls are brought into an
//! order that follows from the graph alone ([`canonical_order`]), so that a program has one plan however its calls were listed; then
//! an order with the lowest peak is looked for:
//!
//! ```text
//! state: the set of calls that are done; what is live then follows from the set
//! cost of a path: the most bytes that were live at a time along it
//! take the state of least cost, among equals that with most calls done              (1)
//!     if a call that is ready leaves no more live than before, and needs no more meanwhile than the cost so far,
//!         do it now                                                                   (2)
//!     else try each call that is ready
//! ```
//!
//! 1. So the first path that reaches the end has the lowest peak of all. Where the steps run out before, the best order known is
//!    taken, and the plan says that a better one may exist.
//! 2. Whatever order is best afterwards, having done it can only lower what is live in each of its states.
//!
//! The canonical order is kept unless another one has a lower peak.

use super::flow::{CallFlow, Flow, StorageId, Takeover};
use super::operands_and_results;
use crate::lowered::{BufferId, BufferKind, Lowered};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The order that follows from the graph alone: what the first output needs, then what the second one needs besides, and so on, a
/// call's operands in the order of its arguments. Calls that no output needs are left out.
pub(crate) fn canonical_order(program: &Lowered) -> Vec<usize> {
    let mut writers: HashMap<BufferId, usize> = HashMap::new();
    let mut reads: Vec<Vec<BufferId>> = Vec::new();
    for (index, call) in program.calls.iter().enumerate() {
        let mut read = Vec::new();
        for (id, is_result) in operands_and_results(&call.operator) {
            let storage = program.storage(id);
            if is_result {
                writers.insert(storage, index);
            } else if matches!(program.buffer(storage).kind, BufferKind::Activation) {
                read.push(storage);
            }
        }
        reads.push(read);
    }
    let mut order = Vec::new();
    let mut entered = vec![false; program.calls.len()];
    for output in &program.outputs {
        let Some(call) = writers.get(&program.storage(*output)) else { continue };
        // A call with the number of its operands that were followed already.
        let mut stack = vec![(*call, 0)];
        if std::mem::replace(&mut entered[*call], true) {
            continue;
        }
        while let Some((call, followed)) = stack.last_mut() {
            let Some(operand) = reads[*call].get(*followed) else {
                order.push(*call);
                stack.pop();
                continue;
            };
            *followed += 1;
            if let Some(writer) = writers.get(operand)
                && !std::mem::replace(&mut entered[*writer], true)
            {
                stack.push((*writer, 0));
            }
        }
    }
    order
}

/// An order of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// The calls' positions in the flow.
    pub(super) order: Vec<usize>,
    /// The most bytes that are live at one time.
    pub(super) peak_bytes: u64,
    /// Whether it is certain that no valid order has a lower peak.
    pub(super) proven: bool,
}

/// An order with the lowest peak that `steps` suffice to find. A step is a look at one call that is ready.
pub(super) fn schedule(flow: &Flow, steps: u64) -> Schedule {
    let given: Vec<usize> = (0..flow.calls.len()).collect();
    let peak_bytes = peak_of(flow, &given);
    if peak_bytes <= lower_bound(flow) {
        return Schedule { order: given, peak_bytes, proven: true };
    }
    let (best, proven) = search(flow, peak_bytes, steps);
    match best {
        Some((order, peak_bytes)) => Schedule { order, peak_bytes, proven },
        None => Schedule { order: given, peak_bytes, proven },
    }
}

/// No order needs less: what some call needs by itself, all inputs together, or all outputs.
fn lower_bound(flow: &Flow) -> u64 {
    let sum = |of: fn(&super::flow::Storage) -> bool| -> u64 {
        let storages = (0..flow.storages.len()).filter(|id| of(&flow.storages[*id]));
        storages.map(|id| flow.bytes(id)).sum()
    };
    let by_itself = flow.calls.iter().map(|call| {
        let used = call.reads.iter().chain(&call.scratch).chain(&call.outs);
        let all: u64 = used.map(|id| flow.bytes(*id)).sum();
        let saved = call.may_replace.iter().map(|it| saving(flow, &call.outs, it)).max();
        all - saved.unwrap_or(0)
    });
    by_itself.chain([sum(|it| it.is_input), sum(|it| it.is_output)]).max().unwrap_or(0)
}

/// The bytes that a result takes less because it lies on an operand.
fn saving(flow: &Flow, outs: &[StorageId], takeover: &Takeover) -> u64 {
    let out: u64 = outs.iter().map(|id| flow.bytes(*id)).sum();
    (out + flow.bytes(takeover.of)).saturating_sub(takeover.bytes)
}

/// The operand over which `call` writes, if it is the last to read it.
pub(super) fn takeover_of(
    flow: &Flow,
    call: usize,
    is_done: impl Fn(usize) -> bool,
) -> Option<&Takeover> {
    let CallFlow { may_replace, outs, .. } = &flow.calls[call];
    let is_last = |id: StorageId| {
        flow.storages[id].readers.iter().all(|reader| *reader == call || is_done(*reader))
    };
    let free = may_replace.iter().filter(|takeover| is_last(takeover.of));
    // The first of those that save most.
    free.min_by_key(|takeover| Reverse(saving(flow, outs, takeover)))
}

/// Which calls are done, and what that leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn new(calls: usize) -> Done {
        Done(vec![0; calls.div_ceil(64)])
    }
    fn has(&self, call: usize) -> bool {
        self.0[call / 64] >> (call % 64) & 1 != 0
    }
    fn with(&self, call: usize) -> Done {
        let mut done = self.clone();
        done.0[call / 64] |= 1 << (call % 64);
        done
    }
    fn is_ready(&self, flow: &Flow, call: usize) -> bool {
        !self.has(call)
            && flow.calls[call]
                .reads
                .iter()
                .all(|id| flow.storages[*id].writer.is_none_or(|writer| self.has(writer)))
    }
}

/// The bytes live while a call runs, and after it.
fn costs(flow: &Flow, done: &Done, live: u64, call: usize) -> (u64, u64) {
    let CallFlow { reads, scratch, outs, .. } = &flow.calls[call];
    let takeover = takeover_of(flow, call, |reader| done.has(reader));
    let saved = takeover.map_or(0, |takeover| saving(flow, outs, takeover));
    let used: u64 = scratch.iter().chain(outs).map(|id| flow.bytes(*id)).sum();
    let during = live + used - saved;
    let is_freed = |id: &&StorageId| {
        let storage = &flow.storages[**id];
        !storage.is_output
            && storage.readers.iter().all(|reader| *reader == call || done.has(*reader))
    };
    let freed: u64 = reads.iter().filter(is_freed).map(|id| flow.bytes(*id)).sum();
    let is_kept = |id: &&StorageId| {
        let storage = &flow.storages[**id];
        storage.is_output || !storage.readers.is_empty()
    };
    let added: u64 = outs.iter().filter(is_kept).map(|id| flow.bytes(*id)).sum();
    (during, live + added - freed)
}

/// What is live before the first call: all inputs, since they are all set before.
fn live_at_start(flow: &Flow) -> u64 {
    let inputs = (0..flow.storages.len()).filter(|id| flow.storages[*id].is_input);
    inputs.map(|id| flow.bytes(id)).sum()
}

fn peak_of(flow: &Flow, order: &[usize]) -> u64 {
    let mut done = Done::new(flow.calls.len());
    // An input that nobody reads takes its memory before the first call only.
    let mut peak = live_at_start(flow);
    let mut live = live_once_started(flow);
    for call in order {
        let (during, after) = costs(flow, &done, live, *call);
        (peak, live) = (peak.max(during).max(after), after);
        done = done.with(*call);
    }
    peak
}

fn live_once_started(flow: &Flow) -> u64 {
    let is_kept = |id: &usize| {
        let storage = &flow.storages[*id];
        storage.is_input && (storage.is_output || !storage.readers.is_empty())
    };
    (0..flow.storages.len()).filter(is_kept).map(|id| flow.bytes(id)).sum()
}

/// An order with a peak below `known`, the lowest if the second result says so.
fn search(flow: &Flow, known: u64, steps: u64) -> (Option<(Vec<usize>, u64)>, bool) {
    struct State {
        done: Done,
        count: usize,
        live: u64,
        cost: u64,
        /// The state before, and the call that led here.
        from: Option<(usize, usize)>,
    }
    let count = flow.calls.len();
    let start = State {
        done: Done::new(count),
        count: 0,
        live: live_once_started(flow),
        cost: live_at_start(flow),
        from: None,
    };
    let order_to = |states: &[State], mut at: usize| {
        let mut order = Vec::new();
        while let Some((before, call)) = states[at].from {
            order.push(call);
            at = before;
        }
        order.reverse();
        order
    };
    let mut costs_of: HashMap<Done, u64> = HashMap::from([(start.done.clone(), start.cost)]);
    let mut queue = BinaryHeap::from([(Reverse(start.cost), 0, Reverse(0))]);
    let mut states = vec![start];
    let mut taken = 0;
    // The furthest state, from which the rest is done greedily when the steps run out.
    let mut furthest = 0;
    while let Some((Reverse(cost), _, Reverse(at))) = queue.pop() {
        if cost >= known {
            return (None, true);
        }
        if costs_of.get(&states[at].done).is_some_and(|best| *best < cost) {
            continue;
        }
        if states[at].count == count {
            return (Some((order_to(&states, at), cost)), true);
        }
        if states[at].count > states[furthest].count {
            furthest = at;
        }
        if taken >= steps {
            let start = order_to(&states, furthest);
            let order = finish_greedily(flow, start);
            let peak = peak_of(flow, &order);
            return ((peak < known).then_some((order, peak)), false);
        }
        let (done, live) = (states[at].done.clone(), states[at].live);
        let mut next: Vec<(usize, u64, u64)> = Vec::new();
        // Looking for those that are ready takes its time in large programs.
        taken += count as u64 / 64;
        for call in (0..count).filter(|call| done.is_ready(flow, *call)) {
            taken += 1;
            let (during, after) = costs(flow, &done, live, call);
            let is_free = after <= live && during <= cost;
            if is_free {
                next = vec![(call, during, after)];
                break;
            }
            next.push((call, during, after));
        }
        for (call, during, after) in next {
            let done = done.with(call);
            let cost = cost.max(during).max(after);
            let best = costs_of.entry(done.clone()).or_insert(u64::MAX);
            if cost >= known || cost >= *best {
                continue;
            }
            *best = cost;
            let count = states[at].count + 1;
            states.push(State { done, count, live: after, cost, from: Some((at, call)) });
            queue.push((Reverse(cost), count, Reverse(states.len() - 1)));
        }
    }
    (None, true)
}

/// Goes on with the call that leaves least live, of several the one that needs least meanwhile.
fn finish_greedily(flow: &Flow, mut order: Vec<usize>) -> Vec<usize> {
    let mut done = Done::new(flow.calls.len());
    let mut live = live_once_started(flow);
    for call in &order {
        live = costs(flow, &done, live, *call).1;
        done = done.with(*call);
    }
    while order.len() < flow.calls.len() {
        let ready = (0..flow.calls.len()).filter(|call| done.is_ready(flow, *call));
        let best = ready
            .map(|call| (costs(flow, &done, live, call), call))
            .min_by_key(|((during, after), call)| (*after, *during, *call));
        let Some(((_, after), call)) = best else { break };
        live = after;
        done = done.with(call);
        order.push(call);
    }
    order
}
