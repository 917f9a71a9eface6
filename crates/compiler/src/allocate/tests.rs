//! The search against exhaustive search, the checker against defects, and the odd cases.

use super::*;
use cortado_testkit::random::Random;

const BUDGET: Budget = Budget { steps: 20_000_000 };

fn below(random: &mut Random, end: u64) -> u64 {
    random.between(0, end as i32 - 1) as u64
}

fn scattered(random: &mut Random, count: u64, times: u64, sizes: u64) -> Vec<Item> {
    let mut item = |_| {
        let lower = below(random, times) as u32;
        let upper = lower + 1 + below(random, times - u64::from(lower)) as u32;
        Item { lower, upper, size: 1 + below(random, sizes) }
    };
    (0..count).map(&mut item).collect()
}

/// Items that all but fill a memory of `load` bytes at all times, if they can be laid out in it, which is not certain.
fn crowded(random: &mut Random, times: u64, load: u64) -> Vec<Item> {
    let mut live = vec![0; times as usize];
    let mut items = Vec::new();
    for _ in 0..400 {
        let lower = below(random, times) as usize;
        let upper = (lower + 1 + below(random, 4) as usize).min(times as usize);
        let size = 1 + below(random, load / 2);
        if live[lower..upper].iter().all(|it| it + size <= load) {
            live[lower..upper].iter_mut().for_each(|it| *it += size);
            items.push(Item { lower: lower as u32, upper: upper as u32, size });
        }
    }
    items
}

const fn item(lower: u32, upper: u32, size: u64) -> Item {
    Item { lower, upper, size }
}

/// Whether there is an allocation of a height, by trying every item next on top of all before it that live with it, in the
/// order of their offsets: every allocation in which items rest on one another comes about so.
fn exists(items: &[Item], height: u64) -> bool {
    fn go(items: &[Item], placed: &mut Vec<(usize, u64)>, last: u64, height: u64) -> bool {
        if placed.len() == items.len() {
            return true;
        }
        let mut candidates = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if placed.iter().any(|(other, _)| *other == index) {
                continue;
            }
            let beneath = placed.iter().filter(|it| {
                let other = items[it.0];
                other.lower < item.upper && item.lower < other.upper
            });
            let offset = beneath.map(|it| it.1).max().unwrap_or(0);
            if offset + item.size > height {
                return false;
            }
            if offset >= last {
                candidates.push((index, offset));
            }
        }
        for (index, offset) in candidates {
            placed.push((index, offset + items[index].size));
            let found = go(items, placed, offset, height);
            placed.pop();
            if found {
                return true;
            }
        }
        false
    }
    go(items, &mut Vec::new(), 0, height)
}

fn assert_sound(items: &[Item], allocation: &Allocation) {
    assert_eq!(check(items, &allocation.offsets, allocation.height), []);
    assert!(allocation.height >= allocation.lower_bound);
}

/// Minimizes, and has exhaustive search confirm it. Whether the height is above the lower bound.
fn confirm(items: &[Item]) -> bool {
    let allocation = minimize(items, BUDGET);
    assert_sound(items, &allocation);
    assert!(allocation.proven, "{items:?}");
    let height = allocation.height;
    let problem = Problem::new(items);
    let mut exact = problem.exact().expect("the numbers are small");
    for strategy in Strategy::round(0).into_iter().chain(Strategy::round(2)) {
        let mut attempt = |capacity: u64| {
            // What another strategy refuted is forgotten, so that each is seen to search the whole tree.
            exact.refuted = Refuted::new();
            exact.attempt(capacity / problem.unit, strategy, u64::MAX).0
        };
        let Outcome::Found(units) = attempt(height) else { panic!("{strategy:?}: {items:?}") };
        let offsets = problem.spread(&problem.scale(&units));
        assert_eq!(check(items, &offsets, height), [], "{strategy:?}: {items:?}");
        assert_eq!(attempt(height - 1), Outcome::Infeasible, "{strategy:?}: {items:?}");
    }
    let above = height > allocation.lower_bound;
    assert!(!above || !exists(items, height - 1), "{items:?}");
    above
}

#[test]
fn least_heights_of_random_items() {
    let mut random = Random::new(1);
    for _ in 0..500 {
        let count = 1 + below(&mut random, 9);
        let (times, sizes) = (3 + below(&mut random, 5), 1 + below(&mut random, 6));
        confirm(&scattered(&mut random, count, times, sizes));
    }
}

#[test]
fn least_heights_of_crowded_items() {
    let mut random = Random::new(2);
    for _ in 0..1200 {
        let (times, load) =
            (5 + below(&mut random, 3), [4, 20, 40][below(&mut random, 3) as usize]);
        let items = crowded(&mut random, times, load);
        // For the sake of exhaustive search.
        if items.len() <= 12 {
            confirm(&items);
        }
    }
}

/// Four bytes live at every time, but no stacking suits all times at once.
const STUBBORN: [Item; 8] = [
    item(0, 1, 2),
    item(0, 2, 2),
    item(1, 3, 1),
    item(1, 4, 1),
    item(2, 3, 1),
    item(2, 4, 1),
    item(3, 5, 2),
    item(4, 5, 2),
];

#[test]
fn some_least_heights_are_above_the_bound() {
    assert!(confirm(&STUBBORN));
    assert_eq!(minimize(&STUBBORN, BUDGET).height, 5);
    assert_eq!(fit(&STUBBORN, 4, BUDGET), Fit::Infeasible);
    assert!(matches!(fit(&STUBBORN, 5, BUDGET), Fit::Found(_)));
}

/// Heights above the bound are rare among random items. They are frequent around an instance that has one.
#[test]
fn least_heights_around_a_stubborn_instance() {
    let mut random = Random::new(9);
    let mut above = 0;
    for _ in 0..150 {
        let scale = 3 + below(&mut random, 6);
        let mut items: Vec<Item> =
            STUBBORN.iter().map(|it| Item { size: it.size * scale, ..*it }).collect();
        for _ in 0..below(&mut random, 4) {
            let index = below(&mut random, 8) as usize;
            items[index].size = items[index].size + 1 - below(&mut random, 3);
        }
        let more = below(&mut random, 3);
        items.extend(scattered(&mut random, more, 5, 2));
        for index in 0..items.len() {
            items.swap(index, below(&mut random, 8) as usize);
        }
        above += usize::from(confirm(&items));
    }
    assert!(above > 30, "{above} instances need more than what is live at once");
}

#[test]
fn nothing_takes_nothing() {
    let nothing = [item(0, 9, 0), item(4, 4, 8), item(7, 3, 8), item(5, 5, u64::MAX)];
    for items in [&nothing[..0], &nothing[..]] {
        let allocation = minimize(items, Budget { steps: 0 });
        assert_eq!(allocation.offsets, vec![0; items.len()]);
        assert_eq!((allocation.height, allocation.lower_bound, allocation.proven), (0, 0, true));
        assert_eq!(fit(items, 0, Budget { steps: 0 }), Fit::Found(vec![0; items.len()]));
        assert_eq!(check(items, &allocation.offsets, 0), []);
    }
    let mixed = [nothing[0], item(0, 1, 3), nothing[1], item(0, 1, 4), nothing[2]];
    assert_sound(&mixed, &minimize(&mixed, BUDGET));
    assert_eq!(minimize(&mixed, BUDGET).height, 7);
}

#[test]
fn one_item() {
    let items = [item(3, 4, 48)];
    let allocation = minimize(&items, Budget { steps: 0 });
    assert_eq!((allocation.offsets, allocation.height, allocation.proven), (vec![0], 48, true));
    assert_eq!(fit(&items, 48, BUDGET), Fit::Found(vec![0]));
    assert_eq!(fit(&items, 47, BUDGET), Fit::Infeasible);
    assert_eq!(fit(&items, 0, BUDGET), Fit::Infeasible);
}

#[test]
fn sizes_near_the_end_of_the_numbers() {
    // Two that exclude one another fit, and fill all that there is.
    let apart = [item(0, 1, u64::MAX), item(1, 2, u64::MAX)];
    let allocation = minimize(&apart, BUDGET);
    assert_sound(&apart, &allocation);
    assert!(allocation.proven);
    assert_eq!(allocation.height, u64::MAX);
    assert_eq!(fit(&apart, u64::MAX, BUDGET), Fit::Found(vec![0, 0]));
    assert_eq!(fit(&apart, u64::MAX - 1, BUDGET), Fit::Infeasible);
    // Two that live together do not.
    let together = [item(0, 2, u64::MAX), item(1, 3, u64::MAX - 1), item(0, u32::MAX, 1)];
    let allocation = minimize(&together, BUDGET);
    assert!(!allocation.proven);
    assert_eq!((allocation.height, allocation.lower_bound), (u64::MAX, u64::MAX));
    assert_ne!(check(&together, &allocation.offsets, allocation.height), []);
    assert_eq!(fit(&together, u64::MAX, BUDGET), Fit::Infeasible);
    // What greedy heuristics miss is not searched for in numbers so large, and nothing is claimed about it.
    let mut random = Random::new(3);
    for _ in 0..200 {
        let mut items = crowded(&mut random, 8, 12);
        items.iter_mut().for_each(|it| it.size = it.size * (u64::MAX / 16) + 1);
        let allocation = minimize(&items, BUDGET);
        assert_sound(&items, &allocation);
        assert!(!allocation.proven || allocation.height == allocation.lower_bound);
    }
}

#[test]
fn large_units_cost_nothing() {
    let mut random = Random::new(4);
    for _ in 0..100 {
        let small = crowded(&mut random, 8, 12);
        let large: Vec<Item> = small.iter().map(|it| Item { size: it.size << 58, ..*it }).collect();
        let (small, large) = (minimize(&small, BUDGET), minimize(&large, BUDGET));
        assert_eq!(small.offsets.iter().map(|it| it << 58).collect::<Vec<_>>(), large.offsets);
        assert_eq!((small.proven, small.steps), (large.proven, large.steps));
    }
}

/// Not timed: steps are the same everywhere.
#[test]
fn hard_instances_take_few_steps() {
    let texts = [
        include_str!("../../../../testdata/planner/B.1048576.csv"),
        include_str!("../../../../testdata/planner/F.1048576.csv"),
        include_str!("../../../../testdata/planner/G.1048576.csv"),
    ];
    for text in texts {
        let item = |line: &str| {
            let mut numbers = line.split(',').map(|it| it.parse().expect("a number"));
            let mut next = || numbers.next().expect("four numbers");
            (next(), Item { lower: next() as u32, upper: next() as u32, size: next() }).1
        };
        let items: Vec<Item> = text.lines().skip(1).map(item).collect();
        let allocation = minimize(&items, Budget { steps: 4_000_000 });
        assert_sound(&items, &allocation);
        assert_eq!((allocation.height, allocation.proven), (1 << 20, true));
        let Fit::Found(offsets) = fit(&items, 1 << 20, BUDGET) else { panic!("not solved") };
        assert_eq!(check(&items, &offsets, 1 << 20), []);
        assert_eq!(fit(&items, (1 << 20) - 1, BUDGET), Fit::Infeasible);
    }
}

#[test]
fn the_same_answer_every_time() {
    let mut random = Random::new(5);
    for _ in 0..50 {
        let items = crowded(&mut random, 12, 20);
        let allocation = minimize(&items, Budget { steps: 1_000_000 });
        assert_eq!(allocation, minimize(&items, Budget { steps: 1_000_000 }));
        assert_sound(&items, &allocation);
    }
}

/// Which of several equal items comes first does not matter to the height, and equal items swap their offsets at most.
#[test]
fn equal_items_in_any_order() {
    let mut random = Random::new(6);
    for _ in 0..100 {
        let half = crowded(&mut random, 6, 8);
        let items: Vec<Item> = half.iter().flat_map(|it| [*it, *it]).collect();
        let reversed: Vec<Item> = items.iter().rev().copied().collect();
        let shuffled: Vec<Item> = half.iter().chain(&half).copied().collect();
        let allocations = [&items, &reversed, &shuffled].map(|it| minimize(it, BUDGET));
        assert!(allocations.iter().all(|it| it.proven && it.height == allocations[0].height));
    }
    let equal = vec![item(2, 5, 16); 40];
    let allocation = minimize(&equal, BUDGET);
    assert_sound(&equal, &allocation);
    assert_eq!((allocation.height, allocation.proven), (640, true));
}

#[test]
fn offsets_are_aligned_as_the_sizes_are() {
    let mut random = Random::new(7);
    for _ in 0..100 {
        let items: Vec<Item> = crowded(&mut random, 8, 12)
            .iter()
            .map(|it| Item { size: it.size * 16, ..*it })
            .collect();
        assert!(minimize(&items, BUDGET).offsets.iter().all(|it| it % 16 == 0));
    }
}

#[test]
fn a_budget_is_kept_and_nothing_claimed_beyond_it() {
    let mut random = Random::new(8);
    let crowds: Vec<Vec<Item>> = (0..200).map(|_| crowded(&mut random, 16, 40)).collect();
    for items in &crowds {
        for steps in [0, 1, 100, 10_000] {
            let allocation = minimize(items, Budget { steps });
            assert_sound(items, &allocation);
            // A run ends at the first choice after its last step.
            assert!(allocation.steps <= steps + 10_000, "{} of {steps}", allocation.steps);
            let (fit, taken) = fit_counting(items, allocation.lower_bound, Budget { steps });
            assert!(taken <= steps + 10_000);
            match fit {
                Fit::Found(offsets) => {
                    assert_eq!(check(items, &offsets, allocation.lower_bound), []);
                }
                Fit::Infeasible => assert!(allocation.height > allocation.lower_bound),
                Fit::OutOfBudget => assert!(taken >= steps),
            }
        }
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let items = [item(0, 4, 10), item(3, 6, 10), item(4, 8, 10), item(0, 9, 0)];
    assert_eq!(check(&items, &[0, 10, 0, 5], 20), []);
    // Items 0 and 2 never meet.
    assert_eq!(check(&items, &[5, 15, 5, 5], 25), []);
    assert_eq!(
        check(&items, &[0, 9, 0, 0], 20),
        [Defect::Overlap { first: 0, second: 1 }, Defect::Overlap { first: 1, second: 2 }]
    );
    assert_eq!(
        check(&items, &[0, 10, 0, 0], 19),
        [Defect::Outside { item: 1, end: 20, height: 19 }]
    );
    let end = u128::from(u64::MAX) + 10;
    assert_eq!(
        check(&items, &[0, u64::MAX, 0, 0], u64::MAX),
        [Defect::Outside { item: 1, end, height: u64::MAX }]
    );
    assert_eq!(check(&items, &[0, 10], 20), [Defect::Count { items: 4, offsets: 2 }]);
    // One inside of the other, and the same place.
    let nested = [item(0, 2, 30), item(1, 2, 10), item(1, 3, 10)];
    assert_eq!(check(&nested, &[0, 10, 40], 50), [Defect::Overlap { first: 0, second: 1 }]);
    assert_eq!(check(&nested, &[0, 30, 30], 50), [Defect::Overlap { first: 1, second: 2 }]);
}

#[test]
fn budgets_in_seconds() {
    assert_eq!(Budget::seconds(2.0).steps, 2 * Budget::seconds(1.0).steps);
    assert_eq!(Budget::seconds(-1.0).steps, 0);
    assert_eq!(Budget::seconds(f64::NAN).steps, 0);
    assert_eq!(Budget::seconds(f64::INFINITY).steps, u64::MAX);
}
