//! Placing blocks in several banks of memory, the fast ones first.
//!
//! Blocks are taken in the order of their traffic for each byte that they occupy, and each goes to the first bank in which all of
//! its blocks still find offsets. A large block that is left until the end may then fit nowhere, so if that happens it is tried
//! again with the largest blocks taken first: one, two, four and so on, and last all of them together in the roomiest bank.

use super::block::{Block, live_bytes};
use super::flow::Flow;
use super::pack::{self, Packed};
use super::{Bank, Shortfall};
use crate::allocate::Budget;
use std::cmp::Reverse;

/// Where blocks are.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// The bank of each block.
    pub(super) banks: Vec<usize>,
    /// The offset of each block into its bank.
    pub(super) offsets: Vec<u64>,
    /// The bytes of each bank that are used.
    pub(super) heights: Vec<u64>,
    /// Whether it is certain that no bank could end lower with the blocks that it has.
    pub(super) proven: bool,
}

/// Places all blocks.
///
/// # Errors
/// By how much the banks are too small.
pub(super) fn place(
    flow: &Flow,
    blocks: &[Block],
    banks: &[Bank],
    calls: usize,
    budget: Budget,
) -> Result<Placed, Shortfall> {
    let mut by_size: Vec<usize> = (0..blocks.len()).collect();
    by_size.sort_by_key(|index| (Reverse(blocks[*index].bytes), *index));
    let density = |index: usize| {
        let traffic: u64 =
            blocks[index].members.iter().map(|member| flow.traffic(member.storage)).sum();
        // In 1/256, so that it is an integer.
        u128::from(traffic) * 256 / u128::from(blocks[index].bytes.max(1))
    };
    let mut by_density = by_size.clone();
    by_density.sort_by_key(|index| (Reverse(density(*index)), *index));

    let trial = Budget { steps: budget.steps / 64 };
    let mut least_shortfall: Option<Shortfall> = None;
    // With one bank there is nothing to choose.
    let most = if banks.len() > 1 { blocks.len() } else { 0 };
    let tries = [0].into_iter().chain((0..).map(|power| 1usize << power));
    for largest in tries.take_while(|largest| *largest <= most) {
        let first = &by_size[..largest];
        // The largest go where there is most room.
        let roomiest = (0..banks.len()).max_by_key(|bank| (banks[*bank].capacity_bytes, *bank));
        let rest = by_density.iter().filter(|index| !first.contains(index));
        let mut assigned: Vec<Vec<usize>> = vec![Vec::new(); banks.len()];
        let mut left = Vec::new();
        for (position, index) in first.iter().chain(rest).enumerate() {
            let preferred = roomiest.filter(|_| position < largest);
            let candidates = preferred.into_iter().chain(0..banks.len());
            let bank = candidates.into_iter().find(|bank| {
                let mut inside: Vec<&Block> =
                    assigned[*bank].iter().map(|index| &blocks[*index]).collect();
                inside.push(&blocks[*index]);
                pack::fit(&inside, banks[*bank].capacity_bytes, trial).is_some()
            });
            match bank {
                Some(bank) => assigned[bank].push(*index),
                None => left.push(*index),
            }
        }
        if left.is_empty() {
            return Ok(pack_all(blocks, banks, &assigned, calls, budget));
        }
        let Some(bank) = roomiest else { break };
        assigned[bank].extend(left);
        let inside: Vec<&Block> = assigned[bank].iter().map(|index| &blocks[*index]).collect();
        let needed_bytes = pack_one(&inside, calls, trial).height;
        let given_bytes = banks[bank].capacity_bytes;
        let shortfall = Shortfall { bank, needed_bytes, given_bytes };
        if least_shortfall.is_none_or(|least| shortfall.bytes() < least.bytes()) {
            least_shortfall = Some(shortfall);
        }
    }
    if let Some(bank) = (0..banks.len()).max_by_key(|bank| (banks[*bank].capacity_bytes, *bank)) {
        let mut assigned: Vec<Vec<usize>> = vec![Vec::new(); banks.len()];
        assigned[bank] = (0..blocks.len()).collect();
        let placed = pack_all(blocks, banks, &assigned, calls, budget);
        if placed.heights[bank] <= banks[bank].capacity_bytes {
            return Ok(placed);
        }
        let (needed_bytes, given_bytes) = (placed.heights[bank], banks[bank].capacity_bytes);
        let shortfall = Shortfall { bank, needed_bytes, given_bytes };
        if least_shortfall.is_none_or(|least| shortfall.bytes() < least.bytes()) {
            least_shortfall = Some(shortfall);
        }
    }
    Err(least_shortfall.unwrap_or(Shortfall { bank: 0, needed_bytes: 0, given_bytes: 0 }))
}

/// The lowest packing of blocks in one bank.
pub(super) fn pack_one(blocks: &[&Block], calls: usize, budget: Budget) -> Packed {
    let owned: Vec<Block> = blocks.iter().map(|block| (*block).clone()).collect();
    let bound = live_bytes(&owned, calls).into_iter().max().unwrap_or(0);
    pack::pack(blocks, bound, budget)
}

fn pack_all(
    blocks: &[Block],
    banks: &[Bank],
    assigned: &[Vec<usize>],
    calls: usize,
    budget: Budget,
) -> Placed {
    let mut placed = Placed {
        banks: vec![0; blocks.len()],
        offsets: vec![0; blocks.len()],
        heights: vec![0; banks.len()],
        proven: true,
    };
    for (bank, indices) in assigned.iter().enumerate() {
        let inside: Vec<&Block> = indices.iter().map(|index| &blocks[*index]).collect();
        let mut packed = pack_one(&inside, calls, budget);
        let capacity = banks[bank].capacity_bytes;
        if packed.height > capacity
            && let Some(offsets) = pack::fit(&inside, capacity, budget)
        {
            // It was found with fewer steps, by another way.
            let ends = offsets.iter().zip(&inside).map(|(offset, block)| offset + block.bytes);
            let height = ends.max().unwrap_or(0);
            packed = Packed { offsets, height, proven: false };
        }
        for (index, offset) in indices.iter().zip(packed.offsets) {
            (placed.banks[*index], placed.offsets[*index]) = (bank, offset);
        }
        placed.heights[bank] = packed.height;
        placed.proven &= packed.proven;
    }
    placed
}
