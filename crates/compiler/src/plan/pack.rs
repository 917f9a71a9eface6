//! Offsets for blocks in one bank.
//!
//! Greedy orders come first, then small changes to the best of them, then an exact search ([`crate::allocate`]), each only while the
//! bound is not met. The exact search knows rectangles: a block that takes different bytes at different times is one around
//! all of it there.

use super::block::Block;
use crate::allocate::{self, Budget, Fit, Item};
use std::cmp::Reverse;

/// Offsets for blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// One per block.
    pub(super) offsets: Vec<u64>,
    /// Where the highest one ends.
    pub(super) height: u64,
    /// Whether it is certain that none is lower.
    pub(super) proven: bool,
}

/// How often the best order is changed in search of a better one.
const CHANGES: u64 = 2000;
/// The same where many packings are compared.
const QUICK_CHANGES: u64 = 20;

/// The lowest packing that is found. `bound` is the most bytes that are live at one time.
pub(super) fn pack(blocks: &[&Block], bound: u64, budget: Budget) -> Packed {
    let greedy = greedy(blocks, bound, changes(blocks.len(), CHANGES, budget));
    if greedy.height <= bound {
        return Packed { proven: true, ..greedy };
    }
    let items = rectangles(blocks);
    let exact = allocate::minimize(&items, budget);
    let is_exact = blocks.iter().all(|block| block.is_rectangle());
    if exact.height < greedy.height {
        let proven = exact.height <= bound || exact.proven && is_exact;
        return Packed { offsets: exact.offsets, height: exact.height, proven };
    }
    let proven = is_exact && exact.proven && exact.height == greedy.height;
    Packed { proven, ..greedy }
}

/// The height of a packing that takes little time to find. Stops at `goal`.
pub(super) fn quick(blocks: &[&Block], goal: u64, budget: Budget) -> u64 {
    greedy(blocks, goal, changes(blocks.len(), QUICK_CHANGES, budget)).height
}

/// The steps that [`quick`] takes at most: each placing looks at pairs of blocks.
pub(super) fn quick_steps(blocks: usize) -> u64 {
    (blocks as u64).saturating_mul(blocks as u64).saturating_mul(QUICK_CHANGES)
}

/// How many changes a budget allows of those that are wanted.
fn changes(blocks: usize, wanted: u64, budget: Budget) -> u64 {
    let pairs = (blocks as u64).saturating_mul(blocks as u64).max(1);
    wanted.min(budget.steps / pairs)
}

/// Offsets with which the blocks end at `capacity` or below, if any are found.
pub(super) fn fit(blocks: &[&Block], capacity: u64, budget: Budget) -> Option<Vec<u64>> {
    let greedy = greedy(blocks, capacity, changes(blocks.len(), QUICK_CHANGES, budget));
    if greedy.height <= capacity {
        return Some(greedy.offsets);
    }
    match allocate::fit(&rectangles(blocks), capacity, budget) {
        Fit::Found(offsets) => Some(offsets),
        Fit::Infeasible | Fit::OutOfBudget => None,
    }
}

fn rectangles(blocks: &[&Block]) -> Vec<Item> {
    let item = |block: &&Block| {
        let life = block.life();
        Item { lower: life.first as u32, upper: life.last as u32 + 1, size: block.bytes }
    };
    blocks.iter().map(item).collect()
}

/// The lowest of several greedy packings; stops at `goal`.
fn greedy(blocks: &[&Block], goal: u64, changes: u64) -> Packed {
    let mut best = Attempt::default();
    for key in [by_size, by_area, by_length, by_time] {
        let mut order: Vec<usize> = (0..blocks.len()).collect();
        order.sort_by_key(|index| (key(blocks[*index]), *index));
        best.improve(blocks, order);
    }
    let mut random = Random(1);
    let mut changes = if blocks.len() > 1 { changes } else { 0 };
    while best.height > goal && changes > 0 {
        changes -= 1;
        let mut order = best.order.clone();
        let block = order.remove(random.below(blocks.len()));
        order.insert(random.below(blocks.len()), block);
        best.improve(blocks, order);
    }
    Packed { offsets: best.offsets, height: best.height, proven: false }
}

/// What blocks are sorted by before they are placed one after the other.
type Key = (Reverse<u64>, Reverse<u64>, usize);

fn length(block: &Block) -> u64 {
    let life = block.life();
    (life.last - life.first + 1) as u64
}

fn by_size(block: &Block) -> Key {
    (Reverse(block.bytes), Reverse(length(block)), block.life().first)
}

fn by_area(block: &Block) -> Key {
    (Reverse(block.bytes.saturating_mul(length(block))), Reverse(block.bytes), block.life().first)
}

fn by_length(block: &Block) -> Key {
    (Reverse(length(block)), Reverse(block.bytes), block.life().first)
}

fn by_time(block: &Block) -> Key {
    (Reverse(u64::MAX - block.life().first as u64), Reverse(block.bytes), 0)
}

/// An order with the packing that comes of it.
#[derive(Default)]
struct Attempt {
    order: Vec<usize>,
    offsets: Vec<u64>,
    height: u64,
}

impl Attempt {
    /// Takes another order if there is none yet, or if that one is no higher.
    fn improve(&mut self, blocks: &[&Block], order: Vec<usize>) {
        let offsets = place(blocks, &order);
        let ends = offsets.iter().zip(blocks).map(|(offset, block)| offset + block.bytes);
        let height = ends.max().unwrap_or(0);
        if self.offsets.is_empty() || height <= self.height {
            *self = Attempt { order, offsets, height };
        }
    }
}

/// Puts one block after the other at the lowest offset that is free for all of its life.
fn place(blocks: &[&Block], order: &[usize]) -> Vec<u64> {
    let mut offsets = vec![0; blocks.len()];
    for (count, index) in order.iter().enumerate() {
        let block = blocks[*index];
        // Offsets at which the block would meet one that is placed: from one past the first to the second.
        let mut taken: Vec<(i64, i64)> = Vec::new();
        for placed in &order[..count] {
            for other in &blocks[*placed].parts {
                for part in block.parts.iter().filter(|part| part.life.meets(&other.life)) {
                    let below = (offsets[*placed] + other.low) as i64 - part.high as i64;
                    let above = (offsets[*placed] + other.high) as i64 - part.low as i64;
                    if above > 0 {
                        taken.push((below, above));
                    }
                }
            }
        }
        taken.sort_unstable();
        let mut offset = 0;
        for (below, above) in taken {
            if offset <= below {
                break;
            }
            offset = offset.max(above);
        }
        offsets[*index] = offset as u64;
    }
    offsets
}

/// Numbers that look random and are the same each time: Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
