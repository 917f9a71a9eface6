//! The exact search behind [`fit`](super::fit).
//!
//! # Sections, floors and niches
//!
//! Time is cut into *sections*: the maximal sets of items that live together. An item covers a contiguous range of sections, and two
//! items overlap in time exactly if they share a section. While items are placed from the bottom up, each section has a *floor*: no
//! item that is still to be placed can have a lower offset there. A *niche* is a maximal run of sections of equal floor with
//! higher floors (or nothing left to place) on either side. Nothing that is unplaced can come to lie beneath an item that rests on the
//! bottom of a niche, because whatever reaches beyond the niche has to clear a wall.
//!
//! ```text
//! search(component):
//!     s = the most constrained section at the bottom of a niche of the component
//!     f = floor(s)
//!     for each unplaced item i that covers s, lies within the niche and rests on something at f:
//!         place i at f; split the component where no unplaced item crosses; search each part on its own
//!     waste s: whatever covers s lies above f; raise the bounds of those items, and with them the floors
//!         search(component)
//! ```
//!
//! Every solution in which each item rests on the bottom or on another item takes exactly one of the branches, so that nothing is
//! visited twice. What cuts the tree down:
//!
//! 1. *Resting.* Of all solutions one with the least sum of offsets exists; in it every item rests on something. Other solutions
//!    need not be found.
//! 2. *Bounds.* An item lies above what is placed beneath it, and above what was wasted: that is its bound. `floor(s)` is the least
//!    bound of an unplaced item that covers `s`. `floor(s) + unplaced bytes of s > capacity` refutes a node.
//! 3. *Dominance.* If an unplaced item would fit beneath the floors of all its sections, it could be moved down: a solution with a
//!    lesser sum exists elsewhere.
//! 4. *Twins.* Items equal in lifetime and size are placed in the order in which they are given.
//! 5. *Parts.* Where no unplaced item crosses from one section to the next, the two sides are independent. A part that is solved
//!    stays solved when another one turns out to be impossible: it is the split that is undone, not the first part's choices.
//! 6. *Memory.* What was refuted once, by whichever strategy, is not searched again ([`Refuted`]).
//! 7. *Restarts.* A bad choice near the root can cost any number of steps. Several strategies get a few steps each, in turns, and
//!    more in every round ([`Strategy`]).
//!
//! Sections, canonical solutions, inference on floors and preorderings tried in turns are ideas of M. D. Moffitt, "MiniMalloc: A
//! Lightweight Memory Allocator for Hardware-Accelerated Machine Learning", ASPLOS 2023. Branching on what comes next in one niche,
//! in place of what comes next by offset anywhere, is this module's.

use super::{Item, events};
use std::cmp::Reverse;

/// What one run of the search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// An offset for each item.
    Found(Vec<u64>),
    /// The whole tree was searched.
    Infeasible,
    /// The steps ran out.
    OutOfSteps,
}

/// The bound of an item that is placed.
const PLACED: u64 = u64::MAX;

/// Lists of indices, one after the other.
#[derive(Clone, Debug, Default)]
struct Lists {
    starts: Vec<u32>,
    entries: Vec<u32>,
}

impl Lists {
    fn of(lists: &[Vec<u32>]) -> Lists {
        let mut starts = vec![0];
        let mut entries = Vec::new();
        for list in lists {
            entries.extend_from_slice(list);
            starts.push(entries.len() as u32);
        }
        Lists { starts, entries }
    }

    fn get(&self, index: usize) -> &[u32] {
        &self.entries[self.starts[index] as usize..self.starts[index + 1] as usize]
    }
}

/// The unchanging part of a problem: sections and what overlaps.
#[derive(Clone, Debug)]
pub(super) struct Sections {
    /// First section of each item.
    first: Vec<u32>,
    /// One past the last section of each item.
    end: Vec<u32>,
    size: Vec<u64>,
    width: Vec<u64>,
    /// The items of each section.
    members: Lists,
    /// The items that share a section with an item.
    overlaps: Lists,
    /// The next item before this one that is equal to it.
    twin: Vec<Option<u32>>,
    /// The sum of the sizes in each section.
    load: Vec<u64>,
    /// The greatest load of an item's sections.
    peak: Vec<u64>,
    count: usize,
}

impl Sections {
    /// Sweeps over the items, each of which has a size and a lifetime that are not empty. They are ordered by
    /// [`order`](Self::order).
    pub(super) fn new(items: &[Item]) -> Sections {
        debug_assert!(items.is_sorted_by_key(Self::order));
        let mut first = vec![0; items.len()];
        let mut end = vec![0; items.len()];
        let mut overlaps = vec![Vec::new(); items.len()];
        let mut members: Vec<Vec<u32>> = Vec::new();
        let mut live: Vec<u32> = Vec::new();
        let mut grown = false;
        for (_, starts, item) in events(items) {
            let index = item as u32;
            if starts {
                for other in &live {
                    overlaps[item].push(*other);
                    overlaps[*other as usize].push(index);
                }
                first[item] = members.len() as u32;
                live.push(index);
                grown = true;
            } else {
                if grown {
                    members.push(live.clone());
                    grown = false;
                }
                end[item] = members.len() as u32;
                live.retain(|it| *it != index);
            }
        }
        let twin =
            |item: usize| (item > 0 && items[item - 1] == items[item]).then(|| item as u32 - 1);
        let sum = |list: &Vec<u32>| list.iter().map(|it| items[*it as usize].size).sum();
        let load: Vec<u64> = members.iter().map(sum).collect();
        let peak = |item: usize| {
            load[first[item] as usize..end[item] as usize].iter().copied().max().unwrap_or(0)
        };
        Sections {
            peak: (0..items.len()).map(peak).collect(),
            load,
            first,
            end,
            size: items.iter().map(|it| it.size).collect(),
            width: items.iter().map(|it| u64::from(it.upper - it.lower)).collect(),
            count: members.len(),
            members: Lists::of(&members),
            overlaps: Lists::of(&overlaps),
            twin: (0..items.len()).map(twin).collect(),
        }
    }

    /// What items are ordered by: those of a component are then next to each other, and so are equal ones.
    pub(super) fn order(item: &Item) -> (u32, u32, u64) {
        (item.lower, item.upper, item.size)
    }

    /// Where the highest item ends.
    pub(super) fn height(&self, offsets: &[u64]) -> u64 {
        offsets.iter().zip(&self.size).map(|(offset, size)| offset + size).max().unwrap_or(0)
    }

    fn range(&self, item: u32) -> std::ops::Range<usize> {
        self.first[item as usize] as usize..self.end[item as usize] as usize
    }
}

/// In which order the items for a niche are tried. The greatest goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Longest.
    Width,
    /// Most bytes.
    Size,
    /// Most bytes that live at one time of its life.
    Total,
    /// Most bytes squared times time.
    Flat,
    /// By chance.
    Chance,
}

impl Order {
    /// The rank of each item: the lowest is tried first. From the second round on, chance makes an item count for up to half as
    /// much again, and ranks differ from round to round.
    fn ranks(self, sections: &Sections, round: u64) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..sections.size.len() as u32).collect();
        let key = |item: &u32| {
            let index = *item as usize;
            let (size, width) = (u128::from(sections.size[index]), sections.width[index].into());
            let area = size * width;
            let total = sections.peak[index].into();
            let keys = match self {
                Order::Width => [width, area, total],
                Order::Size => [size, width, total],
                Order::Total => [total, area, width],
                Order::Flat => [area.saturating_mul(size), width, total],
                Order::Chance => [mix(u64::from(*item), !round).into(), width, total],
            };
            let factor = match round {
                0 => 256,
                _ => 256 + u128::from(mix(u64::from(*item), round) % 128),
            };
            (keys.map(|it: u128| Reverse(it.saturating_mul(factor))), *item)
        };
        sorted.sort_by_cached_key(key);
        let mut ranks = vec![0; sorted.len()];
        for (rank, item) in sorted.into_iter().enumerate() {
            ranks[item as usize] = rank as u32;
        }
        ranks
    }
}

/// Which section is decided next, of those at the bottom of a niche. The least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pick {
    /// Fewest items for it, then least slack: what its capacity exceeds its floor and unplaced bytes by.
    Fewest,
    /// Fewest items times slack.
    Tightest,
    /// Lowest floor, then fewest items.
    Lowest,
    /// Fewest items, then lowest floor.
    FewestLowest,
}

/// How a run decides what the algorithm leaves open. Every strategy is complete, but they differ widely in how soon they find
/// something in a given instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strategy {
    order: Order,
    pick: Pick,
    round: u64,
}

impl Strategy {
    /// The strategies of a round. Those that found most in variants of hard instances (mirrored, shuffled, some buffers shrunk or
    /// left out) come first.
    pub(super) fn round(round: u64) -> [Strategy; 10] {
        [
            (Order::Width, Pick::Fewest),
            (Order::Flat, Pick::Tightest),
            (Order::Width, Pick::FewestLowest),
            (Order::Total, Pick::Tightest),
            (Order::Size, Pick::Lowest),
            (Order::Chance, Pick::Fewest),
            (Order::Size, Pick::FewestLowest),
            (Order::Width, Pick::Tightest),
            (Order::Total, Pick::Lowest),
            (Order::Chance, Pick::FewestLowest),
        ]
        .map(|(order, pick)| Strategy { order, pick, round })
    }
}

/// Two numbers made one that looks like chance.
fn mix(a: u64, b: u64) -> u64 {
    let mut mixed = (a.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) ^ b.rotate_left(32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// States of components that are known to have no solution. It outlasts a run: what one strategy refutes none need look at
/// again. A state is known by 128 bits of hash, and displaces an older one in the same slot.
#[derive(Clone, Debug)]
pub(super) struct Refuted(Vec<u128>);

impl Refuted {
    const SLOTS: usize = 1 << 16;

    pub(super) fn new() -> Refuted {
        Refuted(vec![0; Self::SLOTS])
    }

    fn insert(&mut self, state: u128) {
        self.0[state as usize % Self::SLOTS] = state;
    }

    fn contains(&self, state: u128) -> bool {
        self.0[state as usize % Self::SLOTS] == state
    }
}

/// A change to take back.
#[derive(Clone, Copy, Debug)]
enum Change {
    Placed { item: u32, bound: u64 },
    Floor { section: u32, floor: u64, options: u32 },
    Bound { item: u32, bound: u64 },
    Rest { item: u32, rest: u64 },
}

/// A choice: the items for a section at the bottom of a niche, then leaving it empty.
#[derive(Clone, Copy, Debug)]
struct Frame {
    section: u32,
    /// The part of `Search::pool` with the items that are still to be tried.
    next: u32,
    end: u32,
    /// Whether the last branch, to leave the section empty, was taken.
    wasted: bool,
    /// Lengths to go back to.
    changes: u32,
    goals: u32,
    goal: Goal,
    /// What is refuted when no branch is left.
    state: u128,
}

/// A component to be solved, and where to go from there.
#[derive(Clone, Copy, Debug)]
struct Goal {
    first: u32,
    end: u32,
    /// The choices that were open when the component came about. Later ones belong to components that are solved.
    frames: u32,
    /// Index into `Search::goals` plus one, 0 for none.
    next: u32,
}

/// What came of taking a branch.
#[derive(Clone, Copy, Debug)]
enum Branch {
    /// A component is left to be solved, as far as there is something left in it.
    Open(Goal),
    /// It leads nowhere.
    Refuted,
    /// There are no more.
    None,
}

/// One run.
#[derive(Debug)]
pub(super) struct Search<'a> {
    sections: &'a Sections,
    capacity: u64,
    pick: Pick,
    ranks: Vec<u32>,
    refuted: &'a mut Refuted,
    /// The offset of each item, once it is placed.
    offset: Vec<u64>,
    /// The least offset that an item can have, [`PLACED`] once it is placed.
    bound: Vec<u64>,
    /// The offset at which an item would rest on what is placed.
    rest: Vec<u64>,
    /// The least bound of a section's unplaced items.
    floor: Vec<u64>,
    /// How many items can be placed at the floor of a section.
    options: Vec<u32>,
    /// The unplaced bytes of each section.
    total: Vec<u64>,
    /// How many unplaced items cover both a section and the next.
    crossing: Vec<u32>,
    /// Sections whose floor or options may have changed, each once.
    stale: Vec<u32>,
    is_stale: Vec<bool>,
    changes: Vec<Change>,
    frames: Vec<Frame>,
    pool: Vec<u32>,
    goals: Vec<Goal>,
    steps: u64,
}

impl<'a> Search<'a> {
    /// The sum of the sizes and the capacity are below 2⁶³.
    pub(super) fn new(
        sections: &'a Sections,
        capacity: u64,
        strategy: Strategy,
        refuted: &'a mut Refuted,
    ) -> Search<'a> {
        let items = sections.size.len();
        let mut crossing = vec![0; sections.count];
        for item in 0..items as u32 {
            let range = sections.range(item);
            crossing[range.start..range.end - 1].iter_mut().for_each(|it| *it += 1);
        }
        Search {
            sections,
            capacity,
            pick: strategy.pick,
            ranks: strategy.order.ranks(sections, strategy.round),
            refuted,
            offset: vec![0; items],
            bound: vec![0; items],
            rest: vec![0; items],
            floor: vec![0; sections.count],
            options: (0..sections.count).map(|it| sections.members.get(it).len() as u32).collect(),
            total: sections.load.clone(),
            crossing,
            stale: Vec::new(),
            is_stale: vec![false; sections.count],
            changes: Vec::new(),
            frames: Vec::new(),
            pool: Vec::new(),
            goals: Vec::new(),
            steps: 0,
        }
    }

    /// Searches until something is found, nothing is left or `limit` steps are done.
    pub(super) fn run(&mut self, limit: u64) -> Outcome {
        if self.total.iter().any(|it| *it > self.capacity) {
            return Outcome::Infeasible;
        }
        let mut goal = Goal { first: 0, end: self.sections.count as u32, frames: 0, next: 0 };
        match self.split(goal) {
            Some(first) => goal = first,
            None => return Outcome::Found(self.offset.clone()),
        }
        loop {
            if self.steps > limit {
                return Outcome::OutOfSteps;
            }
            self.choose(goal);
            let component = loop {
                match self.advance() {
                    Branch::Open(component) => break component,
                    Branch::Refuted => {}
                    Branch::None => return Outcome::Infeasible,
                }
            };
            match self.split(component) {
                Some(component) => goal = component,
                None => return Outcome::Found(self.offset.clone()),
            }
        }
    }

    /// The steps taken.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Opens a choice for a component: what to do about the section that is picked. There is none if the component is known to be
    /// impossible.
    fn choose(&mut self, goal: Goal) {
        let (first, end) = (goal.first as usize, goal.end as usize);
        self.steps += (end - first) as u64;
        let state = self.state(first, end);
        if self.refuted.contains(state) {
            return;
        }
        let mut best = (u64::MAX, u64::MAX, first);
        let mut start = first;
        while start < end {
            let floor = self.floor[start];
            let mut stop = start + 1;
            while stop < end && self.floor[stop] == floor {
                stop += 1;
            }
            let walled_left = start == first || self.floor[start - 1] > floor;
            let walled_right = stop == end || self.floor[stop] > floor;
            if walled_left && walled_right {
                for section in start..stop {
                    let slack = self.capacity - floor - self.total[section];
                    let options = u64::from(self.options[section]);
                    let key = match self.pick {
                        Pick::Fewest => (options, slack, section),
                        Pick::Tightest => (options.saturating_mul(slack + 1), slack, section),
                        Pick::Lowest => (floor, options, section),
                        Pick::FewestLowest => (options, floor, section),
                    };
                    best = best.min(key);
                }
            }
            start = stop;
        }
        let section = best.2;
        let floor = self.floor[section];
        let start = self.pool.len();
        let sections = self.sections;
        for item in sections.members.get(section) {
            let index = *item as usize;
            let twin_is_placed =
                sections.twin[index].is_none_or(|twin| self.bound[twin as usize] == PLACED);
            if self.bound[index] == floor && self.rest[index] == floor && twin_is_placed {
                self.pool.push(*item);
            }
        }
        let ranks = &self.ranks;
        self.pool[start..].sort_unstable_by_key(|it| ranks[*it as usize]);
        self.frames.push(Frame {
            section: section as u32,
            next: start as u32,
            end: self.pool.len() as u32,
            wasted: false,
            changes: self.changes.len() as u32,
            goals: self.goals.len() as u32,
            goal,
            state,
        });
    }

    /// A hash of all that decides whether a component can be solved: the capacity, and of each unplaced item its bound and
    /// where it rests. Floors follow from these.
    fn state(&mut self, first: usize, end: usize) -> u128 {
        let from = self.sections.first.partition_point(|it| (*it as usize) < first);
        let to = self.sections.first.partition_point(|it| (*it as usize) < end);
        self.steps += (to - from) as u64;
        let mut low = self.capacity;
        let mut high = self.capacity;
        for item in from..to {
            if self.bound[item] != PLACED {
                let mixed = mix(mix(item as u64, self.bound[item]), self.rest[item]);
                low = low.wrapping_add(mixed);
                high = high.wrapping_add(mixed.rotate_left(32).wrapping_mul(mixed | 1));
            }
        }
        (u128::from(high) << 64) | u128::from(mix(low, high))
    }

    /// Takes the next branch of the last choice.
    fn advance(&mut self) -> Branch {
        let Some(frame) = self.frames.last_mut() else { return Branch::None };
        let Frame { section, next, end, wasted, changes, goals, goal, state } = *frame;
        if wasted {
            self.refuted.insert(state);
            self.frames.pop();
            self.pool.truncate(self.frames.last().map_or(0, |it| it.end as usize));
            return Branch::Refuted;
        }
        if next < end {
            frame.next += 1;
        } else {
            frame.wasted = true;
        }
        self.undo(changes as usize);
        self.goals.truncate(goals as usize);
        let possible = if next < end {
            self.place(self.pool[next as usize])
        } else {
            self.waste(section as usize)
        };
        if possible { Branch::Open(goal) } else { Branch::Refuted }
    }

    /// Splits what is left of a component and gives the first part; takes the next component where nothing is left. `None` if
    /// everything is placed.
    fn split(&mut self, component: Goal) -> Option<Goal> {
        let mut next = component.next;
        let mut parts = 0;
        let frames = self.frames.len() as u32;
        let mut end = component.end;
        let mut last = component;
        // From the right, so that the leftmost part comes first.
        for section in (component.first..component.end).rev() {
            let at = section as usize;
            if section > component.first && self.crossing[at - 1] > 0 {
                continue;
            }
            if self.total[at] > 0 {
                if parts > 0 {
                    self.goals.push(last);
                    next = self.goals.len() as u32;
                }
                last = Goal { first: section, end, frames, next };
                parts += 1;
            }
            end = section;
        }
        if parts > 0 {
            return Some(last);
        }
        if component.next == 0 {
            return None;
        }
        let goal = self.goals[component.next as usize - 1];
        self.frames.truncate(goal.frames as usize);
        self.pool.truncate(self.frames.last().map_or(0, |it| it.end as usize));
        Some(goal)
    }

    /// Places an item at its bound.
    fn place(&mut self, item: u32) -> bool {
        let sections = self.sections;
        let index = item as usize;
        let offset = self.bound[index];
        let size = sections.size[index];
        let top = offset + size;
        self.changes.push(Change::Placed { item, bound: offset });
        self.offset[index] = offset;
        self.bound[index] = PLACED;
        let range = sections.range(item);
        for section in range.clone() {
            self.total[section] -= size;
        }
        self.crossing[range.start..range.end - 1].iter_mut().for_each(|it| *it -= 1);
        self.mark_stale(item, offset);
        for other in sections.overlaps.get(index) {
            let at = *other as usize;
            let bound = self.bound[at];
            if bound == PLACED || self.rest[at] >= top {
                continue;
            }
            self.changes.push(Change::Rest { item: *other, rest: self.rest[at] });
            self.rest[at] = top;
            if bound < top {
                self.changes.push(Change::Bound { item: *other, bound });
                self.bound[at] = top;
                self.mark_stale(*other, bound);
            } else if bound == top {
                // It rests on something now.
                self.mark_stale(*other, bound);
            }
        }
        self.steps += sections.overlaps.get(index).len() as u64;
        self.raise_floors()
    }

    /// Decides that nothing lies at the floor of a section.
    fn waste(&mut self, section: usize) -> bool {
        let sections = self.sections;
        let floor = self.floor[section];
        if floor + self.total[section] >= self.capacity {
            return false;
        }
        for item in sections.members.get(section) {
            let index = *item as usize;
            if self.bound[index] != floor {
                continue;
            }
            // It can rest only on something that is not placed yet and does not itself cover this section at its floor.
            let mut bound = u64::MAX - 1;
            for other in sections.overlaps.get(index) {
                let at = *other as usize;
                if self.bound[at] != PLACED {
                    let raised = self.bound[at].max(if sections.range(*other).contains(&section) {
                        floor + 1
                    } else {
                        0
                    });
                    bound = bound.min(raised + sections.size[at]);
                }
            }
            self.steps += sections.overlaps.get(index).len() as u64;
            if bound > self.capacity - sections.size[index] {
                self.forget_stale();
                return false;
            }
            self.changes.push(Change::Bound { item: *item, bound: floor });
            self.bound[index] = bound;
            self.mark_stale(*item, floor);
        }
        self.raise_floors()
    }

    /// An item's bound was raised from `bound`, or its support changed: where that was the floor, the floor is to be found anew.
    fn mark_stale(&mut self, item: u32, bound: u64) {
        let range = self.sections.range(item);
        self.steps += range.len() as u64;
        for section in range {
            if self.floor[section] == bound && !self.is_stale[section] {
                self.is_stale[section] = true;
                self.stale.push(section as u32);
            }
        }
    }

    fn forget_stale(&mut self) {
        for section in self.stale.drain(..) {
            self.is_stale[section as usize] = false;
        }
    }

    /// Brings the floors of the stale sections up to date. `false` if there is no solution, or a better one elsewhere.
    fn raise_floors(&mut self) -> bool {
        let possible = self.find_floors() && !self.is_dominated();
        self.forget_stale();
        possible
    }

    fn find_floors(&mut self) -> bool {
        let sections = self.sections;
        for stale in 0..self.stale.len() {
            let section = self.stale[stale] as usize;
            if self.total[section] == 0 {
                continue;
            }
            let members = sections.members.get(section);
            self.steps += members.len() as u64;
            let mut least = PLACED;
            let mut options = 0;
            for item in members {
                let index = *item as usize;
                let bound = self.bound[index];
                if bound < least {
                    least = bound;
                    options = 0;
                }
                options += u32::from(bound == least && self.rest[index] == bound);
            }
            let (floor, old) = (self.floor[section], self.options[section]);
            if least != floor || options != old {
                self.changes.push(Change::Floor { section: section as u32, floor, options: old });
                self.floor[section] = least;
                self.options[section] = options;
            }
            if least + self.total[section] > self.capacity {
                return false;
            }
        }
        true
    }

    /// Whether an unplaced item of a stale section would fit beneath the floors of all its sections.
    fn is_dominated(&mut self) -> bool {
        let sections = self.sections;
        for section in &self.stale {
            let members = sections.members.get(*section as usize);
            self.steps += members.len() as u64;
            for item in members {
                let index = *item as usize;
                let bound = self.bound[index];
                let top = self.rest[index] + sections.size[index];
                if top <= bound
                    && bound != PLACED
                    && sections.range(*item).all(|at| self.floor[at] >= top)
                {
                    return true;
                }
            }
        }
        false
    }

    fn undo(&mut self, length: usize) {
        while self.changes.len() > length {
            match self.changes.pop().expect("longer than the length") {
                Change::Placed { item, bound } => {
                    let size = self.sections.size[item as usize];
                    self.bound[item as usize] = bound;
                    let range = self.sections.range(item);
                    self.total[range.clone()].iter_mut().for_each(|it| *it += size);
                    self.crossing[range.start..range.end - 1].iter_mut().for_each(|it| *it += 1);
                }
                Change::Floor { section, floor, options } => {
                    self.floor[section as usize] = floor;
                    self.options[section as usize] = options;
                }
                Change::Bound { item, bound } => self.bound[item as usize] = bound,
                Change::Rest { item, rest } => self.rest[item as usize] = rest,
            }
        }
    }
}
