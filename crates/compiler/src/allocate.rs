//! Offline memory allocation: offsets for buffers whose lifetimes and sizes are known.
//!
//! Two questions: the least memory that holds all of the buffers ([`minimize`]), and whether a given memory does ([`fit`]). Both
//! are answered exactly where the budget allows it, and say whether they are. [`check`] judges an answer without regard to how it
//! came about.
//!
//! Answers depend on the items, their order and the budget alone: a budget counts steps of the search, not time, and there are
//! neither threads nor hashes. What is live when, what may share memory and how banks are filled is for others to decide.
//!
//! Sizes have no unit here. Every offset is a sum of sizes: a caller that needs alignment rounds the sizes up to it, and the offsets
//! come out aligned.

mod greedy;
mod search;
#[cfg(test)]
mod tests;

use search::{Outcome, Refuted, Search, Sections, Strategy};

/// A buffer: live in the half-open interval [`lower`, `upper`), `size` bytes long.
///
/// One of no size or with an empty interval takes no memory, and is given the offset 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// The first time at which it is live.
    pub lower: u32,
    /// The first time after that at which it is not.
    pub upper: u32,
    /// Bytes.
    pub size: u64,
}

impl Item {
    fn takes_memory(&self) -> bool {
        self.size > 0 && self.lower < self.upper
    }

    fn lives_with(&self, other: &Item) -> bool {
        self.lower.max(other.lower) < self.upper.min(other.upper)
    }
}

/// How much an exact search may do. The heuristics that come before it are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Steps: how often the search looks at one item or one section.
    pub steps: u64,
}

impl Budget {
    /// About as many steps as a server core does in a second, by `cargo xtask bench plan`: 1 to 4 × 10⁸.
    pub const STEPS_PER_SECOND: f64 = 2e8;

    /// What takes about so many seconds. It is a number of steps all the same, so that the answer does not depend on the machine.
    pub fn seconds(seconds: f64) -> Budget {
        // The cast saturates, and makes 0 of NaN.
        Budget { steps: (seconds * Self::STEPS_PER_SECOND) as u64 }
    }
}

/// The answer of [`minimize`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// An offset for each item.
    pub offsets: Vec<u64>,
    /// Where the highest item ends.
    pub height: u64,
    /// The most bytes that are live at one time: no allocation is lower.
    pub lower_bound: u64,
    /// Whether it is certain that no allocation is lower than `height`.
    pub proven: bool,
    /// The steps that the search took.
    pub steps: u64,
}

/// The answer of [`fit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// An offset for each item.
    Found(Vec<u64>),
    /// It is certain that there is no allocation.
    Infeasible,
    /// None was found within the budget. There may be one.
    OutOfBudget,
}

/// The lowest allocation that the budget finds.
///
/// Several greedy heuristics come first. If none of them meets the lower bound, an exact search looks for lower heights until it
/// meets the bound, has shown that there is none, or runs out of steps.
///
/// If no allocation was found that ends below 2⁶⁴, offsets and height saturate at `u64::MAX`, and [`check`] objects to them.
pub fn minimize(items: &[Item], budget: Budget) -> Allocation {
    let problem = Problem::new(items);
    let lower_bound = to_u64(problem.lower_bound);
    let (mut offsets, mut height) = greedy::lowest(&problem.items);
    let mut steps = 0;
    let mut proven = height == problem.lower_bound;
    if !proven && let Some(mut exact) = problem.exact() {
        // In units. Everything below `refuted` is impossible.
        let mut refuted = (problem.lower_bound / u128::from(problem.unit)) as u64;
        let mut found = (height / u128::from(problem.unit)) as u64;
        let mut limit = FIRST_LIMIT;
        let mut round = 0;
        'search: while refuted < found && steps < budget.steps {
            // Bisect, beginning at the bound, which can be reached as a rule; where the limit does not suffice, look higher up.
            let mut capacity = refuted;
            let mut tried = refuted;
            while tried < found {
                for strategy in Strategy::round(round) {
                    let limit = limit.min(budget.steps - steps);
                    let (outcome, taken) = exact.attempt(capacity, strategy, limit);
                    steps += taken;
                    match outcome {
                        Outcome::Found(units) => {
                            offsets = problem.scale(&units);
                            found = exact.sections.height(&units);
                            break;
                        }
                        Outcome::Infeasible => {
                            refuted = capacity + 1;
                            tried = refuted;
                            break;
                        }
                        Outcome::OutOfSteps if steps >= budget.steps => break 'search,
                        Outcome::OutOfSteps => tried = tried.max(capacity + 1),
                    }
                }
                capacity = tried + found.saturating_sub(tried) / 2;
            }
            round += 1;
            limit = limit.saturating_mul(LIMIT_GROWTH);
        }
        height = u128::from(found) * u128::from(problem.unit);
        proven = refuted >= found;
    }
    Allocation {
        offsets: problem.spread(&offsets),
        height: to_u64(height),
        lower_bound,
        proven: proven && height <= u128::from(u64::MAX),
        steps,
    }
}

/// Any allocation not higher than `capacity`.
pub fn fit(items: &[Item], capacity: u64, budget: Budget) -> Fit {
    fit_counting(items, capacity, budget).0
}

/// [`fit`], with the steps that the search took.
pub fn fit_counting(items: &[Item], capacity: u64, budget: Budget) -> (Fit, u64) {
    let problem = Problem::new(items);
    if problem.lower_bound > u128::from(capacity) {
        return (Fit::Infeasible, 0);
    }
    let (offsets, height) = greedy::lowest(&problem.items);
    if height <= u128::from(capacity) {
        return (Fit::Found(problem.spread(&offsets)), 0);
    }
    let Some(mut exact) = problem.exact() else { return (Fit::OutOfBudget, 0) };
    let mut steps = 0;
    let mut limit = FIRST_LIMIT;
    let mut round = 0;
    while steps < budget.steps {
        for strategy in Strategy::round(round) {
            let limit = limit.min(budget.steps - steps);
            let (outcome, taken) = exact.attempt(capacity / problem.unit, strategy, limit);
            steps += taken;
            match outcome {
                Outcome::Found(units) => {
                    return (Fit::Found(problem.spread(&problem.scale(&units))), steps);
                }
                Outcome::Infeasible => return (Fit::Infeasible, steps),
                Outcome::OutOfSteps if steps >= budget.steps => break,
                Outcome::OutOfSteps => {}
            }
        }
        round += 1;
        limit = limit.saturating_mul(LIMIT_GROWTH);
    }
    (Fit::OutOfBudget, steps)
}

/// What is wrong with an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// There is not one offset for each item.
    #[error("{items} items have {offsets} offsets")]
    Count {
        /// How many items there are.
        items: usize,
        /// How many offsets there are.
        offsets: usize,
    },
    /// An item reaches past the end of the memory.
    #[error("item {item} ends at {end}, past {height}")]
    Outside {
        /// Index of the item.
        item: usize,
        /// Where it ends.
        end: u128,
        /// Where the memory ends.
        height: u64,
    },
    /// Two items that live together share memory.
    #[error("items {first} and {second} live together and overlap")]
    Overlap {
        /// Index of one.
        first: usize,
        /// Index of the other.
        second: usize,
    },
}

/// Everything that is wrong with an allocation: items that end past `height`, items that live together and overlap.
pub fn check(items: &[Item], offsets: &[u64], height: u64) -> Vec<Defect> {
    if items.len() != offsets.len() {
        return vec![Defect::Count { items: items.len(), offsets: offsets.len() }];
    }
    let mut defects = Vec::new();
    let end = |item: usize| u128::from(offsets[item]) + u128::from(items[item].size);
    for (first, item) in items.iter().enumerate() {
        if !item.takes_memory() {
            continue;
        }
        if end(first) > u128::from(height) {
            defects.push(Defect::Outside { item: first, end: end(first), height });
        }
        for (second, other) in items.iter().enumerate().skip(first + 1) {
            let apart = u128::from(offsets[first]) >= end(second)
                || u128::from(offsets[second]) >= end(first);
            if other.takes_memory() && item.lives_with(other) && !apart {
                defects.push(Defect::Overlap { first, second });
            }
        }
    }
    defects
}

/// The steps that the first run of the search with each order may take. A run that has made a bad choice early seldom recovers:
/// several short ones find more than a long one.
const FIRST_LIMIT: u64 = 400_000;

/// By how much the limit grows once every order was tried in vain.
const LIMIT_GROWTH: u64 = 2;

/// An exact search is not made where items and those that live with them make more pairs than this: its tables would not fit.
const PAIRS_MAX: u64 = 1 << 23;

/// The items that take memory.
struct Problem {
    /// By [`Sections::order`]; equal ones in the caller's order.
    items: Vec<Item>,
    /// Where each is in the caller's list.
    places: Vec<usize>,
    /// Length of the caller's list.
    count: usize,
    /// The greatest common divisor of the sizes. Some lowest allocation has multiples of it alone.
    unit: u64,
    lower_bound: u128,
}

impl Problem {
    fn new(all: &[Item]) -> Problem {
        let mut kept: Vec<(usize, Item)> =
            all.iter().copied().enumerate().filter(|(_, it)| it.takes_memory()).collect();
        kept.sort_by_key(|(_, it)| Sections::order(it));
        let (places, items): (Vec<usize>, Vec<Item>) = kept.into_iter().unzip();
        let unit = items.iter().fold(0, |unit, it| greatest_common_divisor(it.size, unit));
        let lower_bound = most_live(&items);
        Problem { items, places, count: all.len(), unit: unit.max(1), lower_bound }
    }

    /// The search, unless the numbers or the tables are too large for it.
    fn exact(&self) -> Option<Exact> {
        let scaled: Vec<Item> =
            self.items.iter().map(|it| Item { size: it.size / self.unit, ..*it }).collect();
        let sum: u128 = scaled.iter().map(|it| u128::from(it.size)).sum();
        if sum >= 1 << 62 || pairs(&scaled) > PAIRS_MAX {
            return None;
        }
        Some(Exact { sections: Sections::new(&scaled), refuted: Refuted::new() })
    }

    /// Offsets in bytes from offsets in units.
    fn scale(&self, units: &[u64]) -> Vec<u128> {
        units.iter().map(|it| u128::from(*it) * u128::from(self.unit)).collect()
    }

    /// Offsets for the caller's list.
    fn spread(&self, offsets: &[u128]) -> Vec<u64> {
        let mut all = vec![0; self.count];
        for (place, offset) in self.places.iter().zip(offsets) {
            all[*place] = to_u64(*offset);
        }
        all
    }
}

/// The exact search over one problem, in units.
struct Exact {
    sections: Sections,
    refuted: Refuted,
}

impl Exact {
    fn attempt(&mut self, capacity: u64, strategy: Strategy, limit: u64) -> (Outcome, u64) {
        let mut search = Search::new(&self.sections, capacity, strategy, &mut self.refuted);
        let outcome = search.run(limit);
        (outcome, search.steps())
    }
}

fn to_u64(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Starts and ends in the order of time. At one time ends (`false`) come first: the intervals are half-open.
fn events(items: &[Item]) -> Vec<(u32, bool, usize)> {
    let mut events: Vec<(u32, bool, usize)> = items
        .iter()
        .enumerate()
        .flat_map(|(index, it)| [(it.lower, true, index), (it.upper, false, index)])
        .collect();
    events.sort_unstable();
    events
}

/// The most bytes that are live at one time.
fn most_live(items: &[Item]) -> u128 {
    let mut live = 0;
    let mut most = 0;
    for (_, starts, index) in events(items) {
        let size = u128::from(items[index].size);
        live = if starts { live + size } else { live - size };
        most = most.max(live);
    }
    most
}

/// How many pairs of items live together.
fn pairs(items: &[Item]) -> u64 {
    let mut live = 0_u64;
    let mut pairs = 0_u64;
    for (_, starts, _) in events(items) {
        if starts {
            pairs += live;
            live += 1;
        } else {
            live -= 1;
        }
    }
    pairs
}
