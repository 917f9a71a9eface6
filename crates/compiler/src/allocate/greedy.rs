//! Heuristics: items in some order, each at the lowest offset that is free for all of its life.

use super::Item;
use std::cmp::Reverse;

/// The offsets of the lowest of several heuristic allocations, and its height.
pub(super) fn lowest(items: &[Item]) -> (Vec<u128>, u128) {
    orders(items)
        .into_iter()
        .map(|order| place(items, &order))
        .min_by_key(|(_, height)| *height)
        .unwrap_or_default()
}

type Key = (Reverse<u128>, Reverse<u128>);

/// Orders in which to place: large, long, early and crowded items first, in several mixtures.
fn orders(items: &[Item]) -> Vec<Vec<usize>> {
    let width = |it: &Item| u128::from(it.upper - it.lower);
    let area = |it: &Item| width(it) * u128::from(it.size);
    let by = |key: &dyn Fn(&Item) -> Key| {
        let mut order: Vec<usize> = (0..items.len()).collect();
        // Stable: what is equal stays as given.
        order.sort_by_key(|it| key(&items[*it]));
        order
    };
    let early = |it: &Item| Reverse(u128::from(u32::MAX - it.lower));
    let late = |it: &Item| Reverse(u128::from(it.upper));
    vec![
        by(&|it| (Reverse(u128::from(it.size)), Reverse(width(it)))),
        by(&|it| (Reverse(area(it)), Reverse(u128::from(it.size)))),
        by(&|it| (Reverse(width(it)), Reverse(u128::from(it.size)))),
        by(&|it| (early(it), Reverse(u128::from(it.size)))),
        by(&|it| (early(it), Reverse(width(it)))),
        by(&|it| (late(it), Reverse(u128::from(it.size)))),
        by(&|it| (late(it), Reverse(width(it)))),
    ]
}

/// First fit.
fn place(items: &[Item], order: &[usize]) -> (Vec<u128>, u128) {
    let mut offsets = vec![0; items.len()];
    let mut height = 0;
    // Ordered by offset.
    let mut placed: Vec<(u128, u128, usize)> = Vec::with_capacity(items.len());
    for index in order {
        let item = &items[*index];
        let size = u128::from(item.size);
        let mut offset = 0;
        for (start, end, other) in &placed {
            if !items[*other].lives_with(item) {
                continue;
            }
            if offset + size <= *start {
                break;
            }
            offset = offset.max(*end);
        }
        let at = placed.partition_point(|it| it.0 <= offset);
        placed.insert(at, (offset, offset + size, *index));
        offsets[*index] = offset;
        height = height.max(offset + size);
    }
    (offsets, height)
}
