//! Blocks: storages that share memory because a result is written over an operand, as one shape in time and memory.

use super::flow::{Flow, StorageId};
use super::schedule::takeover_of;

/// The first and the last time at which something is live. Time 0 is before the first call, time `n` is the `n`th call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) first: usize,
    pub(super) last: usize,
}

/// Storages whose places depend on each other.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The storages with their offsets into the block; each but the first is written over one before it.
    pub(super) members: Vec<Member>,
    /// What the block takes at each time of its life, as few parts as possible, in the order of time.
    pub(super) parts: Vec<Part>,
    /// From the lowest byte that is ever used to the highest.
    pub(super) bytes: u64,
}

/// A storage in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) storage: StorageId,
    pub(super) offset: u64,
    /// The member over which it is written.
    pub(super) over: Option<StorageId>,
}

/// The bytes of a block that are live during some calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) life: Life,
    pub(super) low: u64,
    pub(super) high: u64,
}

impl Life {
    pub(super) fn meets(&self, other: &Life) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl Block {
    /// The block's whole life.
    pub(super) fn life(&self) -> Life {
        let first = self.parts.first().map_or(0, |part| part.life.first);
        Life { first, last: self.parts.last().map_or(first, |part| part.life.last) }
    }

    /// Whether the block takes the same bytes all its life.
    pub(super) fn is_rectangle(&self) -> bool {
        self.parts.len() == 1
    }
}

/// When each storage is live, with the calls in this order. Lent ones are not.
pub(super) fn lives(flow: &Flow, order: &[usize]) -> Vec<Option<Life>> {
    let mut times = vec![0; flow.calls.len()];
    order.iter().enumerate().for_each(|(position, call)| times[*call] = position + 1);
    let mut scratch_of = vec![None; flow.storages.len()];
    for (call, flow) in flow.calls.iter().enumerate() {
        flow.scratch.iter().for_each(|id| scratch_of[*id] = Some(times[call]));
    }
    let life = |(id, storage): (usize, &super::flow::Storage)| {
        if storage.is_lent || storage.bytes == 0 {
            return None;
        }
        let written = storage.writer.map(|writer| times[writer]).or(scratch_of[id]);
        let first = if storage.is_input { 0 } else { written.unwrap_or(0) };
        let read = storage.readers.iter().map(|reader| times[*reader]).max().unwrap_or(first);
        let last = if storage.is_output { order.len() } else { read.max(first) };
        Some(Life { first, last })
    };
    flow.storages.iter().enumerate().map(life).collect()
}

/// The blocks of a program: the results of those calls that `in_place` chooses are written over an operand, where they may be and
/// nobody needs it any more.
pub(super) fn blocks(flow: &Flow, order: &[usize], in_place: impl Fn(usize) -> bool) -> Vec<Block> {
    let lives = lives(flow, order);
    // Offsets may become negative until the block is complete.
    let mut members: Vec<Vec<(StorageId, i64, Option<StorageId>)>> = Vec::new();
    let mut block_of: Vec<Option<usize>> = vec![None; flow.storages.len()];
    let add = |members: &mut Vec<Vec<_>>, block_of: &mut Vec<Option<usize>>, id: StorageId| {
        if lives[id].is_some() && block_of[id].is_none() {
            block_of[id] = Some(members.len());
            members.push(vec![(id, 0, None)]);
        }
    };
    (0..flow.storages.len())
        .filter(|id| flow.storages[*id].is_input)
        .for_each(|id| add(&mut members, &mut block_of, id));
    let mut done = vec![false; flow.calls.len()];
    for call in order {
        let outs = &flow.calls[*call].outs;
        let takeover = takeover_of(flow, *call, |reader| done[reader]).filter(|_| in_place(*call));
        // Only calls of one result write over an operand.
        if let (Some(takeover), [out]) = (takeover, &outs[..])
            && lives[*out].is_some()
            && let Some(block) = block_of[takeover.of]
            && let Some((_, at, _)) = members[block].iter().find(|it| it.0 == takeover.of)
        {
            let offset = at - takeover.operand_offset as i64;
            block_of[*out] = Some(block);
            members[block].push((*out, offset, Some(takeover.of)));
        }
        for id in outs.iter().chain(&flow.calls[*call].scratch) {
            add(&mut members, &mut block_of, *id);
        }
        done[*call] = true;
    }
    members
        .into_iter()
        .map(|members| {
            let lowest = members.iter().map(|it| it.1).min().unwrap_or(0);
            let members: Vec<Member> = members
                .into_iter()
                .map(|(storage, offset, over)| Member {
                    storage,
                    offset: (offset - lowest) as u64,
                    over,
                })
                .collect();
            let parts = parts(flow, &lives, &members);
            let bytes = parts.iter().map(|part| part.high).max().unwrap_or(0);
            Block { members, parts, bytes }
        })
        .collect()
}

fn parts(flow: &Flow, lives: &[Option<Life>], members: &[Member]) -> Vec<Part> {
    let spans: Vec<Part> = members
        .iter()
        .filter_map(|member| {
            let life = lives[member.storage]?;
            let high = member.offset + flow.storages[member.storage].bytes;
            Some(Part { life, low: member.offset, high })
        })
        .collect();
    let mut borders: Vec<usize> =
        spans.iter().flat_map(|span| [span.life.first, span.life.last + 1]).collect();
    borders.sort_unstable();
    borders.dedup();
    let mut parts: Vec<Part> = Vec::new();
    for border in borders.windows(2) {
        let life = Life { first: border[0], last: border[1] - 1 };
        let live = || spans.iter().filter(|span| span.life.meets(&life));
        let low = live().map(|span| span.low).min();
        let high = live().map(|span| span.high).max();
        let (Some(low), Some(high)) = (low, high) else { continue };
        match parts.last_mut() {
            Some(last) if (last.low, last.high) == (low, high) => last.life.last = life.last,
            _ => parts.push(Part { life, low, high }),
        }
    }
    parts
}

/// The bytes that are live at each time up to `calls`.
pub(super) fn live_bytes(blocks: &[Block], calls: usize) -> Vec<u64> {
    let mut live = vec![0; calls + 1];
    for part in blocks.iter().flat_map(|block| &block.parts) {
        for live in &mut live[part.life.first..=part.life.last] {
            *live += part.high - part.low;
        }
    }
    live
}
