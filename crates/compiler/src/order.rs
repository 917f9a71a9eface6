//! How the order of axes in memory follows through operators that only rename, join or drop axes.
//!
//! An order lists the axes of a tensor as they lie in memory, outermost first: `[0, 2, 3, 1]` is an image (logical order NCHW)
//! stored as NHWC. Axes of extent 1 may stand anywhere.

/// The order of a row-major tensor.
pub(crate) fn row_major(rank: usize) -> Vec<u8> {
    (0..rank as u8).collect()
}

/// For each element in the order of memory, its position in logical order.
pub(crate) fn logical_positions(shape: &[u32], order: &[u8]) -> Vec<usize> {
    let mut positions = vec![0];
    for axis in order.iter().map(|axis| usize::from(*axis)) {
        let stride: usize = shape[axis + 1..].iter().map(|extent| *extent as usize).product();
        let steps = |start: usize| (0..shape[axis] as usize).map(move |step| start + step * stride);
        positions = positions.into_iter().flat_map(steps).collect();
    }
    positions
}

/// Whether a tensor's bytes are the same in both orders.
pub(crate) fn is_same(shape: &[u32], a: &[u8], b: &[u8]) -> bool {
    let counts = |axis: &&u8| shape.get(usize::from(**axis)).is_some_and(|extent| *extent != 1);
    a.iter().filter(counts).eq(b.iter().filter(counts))
}

/// The order in which the result of a permutation lies when nothing moves; `axes` has, for each axis of the result, the axis
/// of the operand.
pub(crate) fn permuted(order: &[u8], axes: &[usize]) -> Vec<u8> {
    let renamed = |axis: &u8| axes.iter().position(|from| *from == usize::from(*axis));
    order.iter().filter_map(renamed).map(|axis| axis as u8).collect()
}

/// The order of a tensor without one of its axes.
pub(crate) fn without(order: &[u8], dropped: usize) -> Vec<u8> {
    let kept = order.iter().filter(|axis| usize::from(**axis) != dropped);
    kept.map(|axis| if usize::from(*axis) > dropped { axis - 1 } else { *axis }).collect()
}

/// The order of a tensor with `new` more axes in front.
pub(crate) fn with_leading(order: &[u8], new: usize) -> Vec<u8> {
    (0..new as u8).chain(order.iter().map(|axis| axis + new as u8)).collect()
}

/// The order in which a tensor lies when its memory is seen under other extents, or `None` when that is not possible without
/// moving elements.
///
/// Both shapes are cut into the least groups of axes that hold the same number of elements. Nothing moves when each group's axes are
/// neighbours in memory and in their logical order; the groups themselves may lie in any order. So `[1, C, H, W]` stored as
/// NHWC can be seen as `[1, C, H·W]`, but not as `[1, C·H·W]`.
pub(crate) fn viewed(shape: &[u32], order: &[u8], seen_as: &[u32]) -> Option<Vec<u8>> {
    if shape.contains(&0) {
        return is_same(shape, order, &row_major(shape.len())).then(|| row_major(seen_as.len()));
    }
    let groups = groups(shape, seen_as)?;
    let group_of = |axis: u8| groups.iter().position(|(from, _)| from.contains(&usize::from(axis)));
    let mut result: Vec<u8> = Vec::with_capacity(seen_as.len());
    let mut counted = order.iter().filter(|axis| shape[usize::from(**axis)] != 1).peekable();
    while let Some(first) = counted.peek() {
        let (from, to) = &groups[group_of(**first)?];
        for axis in from {
            if counted.next().map(|found| usize::from(*found)) != Some(*axis) {
                return None;
            }
        }
        result.extend(to.iter().map(|axis| *axis as u8));
    }
    // Axes of extent 1 follow their logical predecessor.
    for axis in (0..seen_as.len()).filter(|axis| seen_as[*axis] == 1) {
        let before = axis.checked_sub(1);
        let place =
            before.and_then(|before| result.iter().position(|it| usize::from(*it) == before));
        result.insert(place.map_or(0, |place| place + 1), axis as u8);
    }
    Some(result)
}

/// Whether some axes of a tensor are neighbours in memory.
pub(crate) fn are_neighbours(shape: &[u32], order: &[u8], axes: &[usize]) -> bool {
    let counted = order.iter().map(|axis| usize::from(*axis)).filter(|axis| shape[*axis] != 1);
    let mut members = counted.map(|axis| axes.contains(&axis)).skip_while(|is_member| !is_member);
    members.by_ref().take_while(|is_member| *is_member).count();
    members.all(|is_member| !is_member)
}

/// The least groups of axes that hold the same number of elements on both sides, without axes of extent 1.
fn groups(a: &[u32], b: &[u32]) -> Option<Vec<(Vec<usize>, Vec<usize>)>> {
    let counted = |shape: &[u32]| {
        let axes: Vec<usize> = (0..shape.len()).filter(|axis| shape[*axis] != 1).collect();
        axes.into_iter().peekable()
    };
    let (mut from, mut to) = (counted(a), counted(b));
    let mut groups = Vec::new();
    while from.peek().is_some() || to.peek().is_some() {
        let (first, second) = (from.next()?, to.next()?);
        let (mut left, mut right) = (u64::from(a[first]), u64::from(b[second]));
        let mut group = (vec![first], vec![second]);
        while left != right {
            if left < right {
                let axis = from.next()?;
                left *= u64::from(a[axis]);
                group.0.push(axis);
            } else {
                let axis = to.next()?;
                right *= u64::from(b[axis]);
                group.1.push(axis);
            }
        }
        groups.push(group);
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_seen_without_moving_where_their_pixels_stay_together() {
        let nhwc = [0, 2, 3, 1];
        assert_eq!(viewed(&[2, 3, 4, 5], &nhwc, &[2, 3, 20]), Some(vec![0, 2, 1]));
        assert_eq!(viewed(&[2, 3, 4, 5], &nhwc, &[2, 60]), None);
        assert_eq!(viewed(&[2, 3, 4, 5], &nhwc, &[2, 3, 2, 2, 5]), Some(vec![0, 2, 3, 4, 1]));
        assert_eq!(viewed(&[2, 6, 4, 5], &nhwc, &[2, 2, 3, 4, 5]), Some(vec![0, 3, 4, 1, 2]));
        // One pixel or one channel.
        assert_eq!(viewed(&[2, 3, 1, 1], &nhwc, &[2, 3]), Some(vec![0, 1]));
        assert_eq!(viewed(&[2, 1, 4, 5], &nhwc, &[2, 20]), Some(vec![0, 1]));
        assert_eq!(viewed(&[2, 3], &[0, 1], &[2, 3, 1, 1]), Some(vec![0, 1, 2, 3]));
        assert_eq!(viewed(&[2, 3, 4, 5], &nhwc, &[1, 2, 3, 4, 5]), Some(vec![0, 1, 3, 4, 2]));
        // Rows first, then batch and channels together: the batch moves.
        assert_eq!(viewed(&[2, 3, 4, 5], &nhwc, &[6, 4, 5]), None);
        assert_eq!(viewed(&[1, 3, 4, 5], &nhwc, &[3, 4, 5]), Some(vec![1, 2, 0]));
    }

    #[test]
    fn anything_row_major_can_be_seen_otherwise() {
        assert_eq!(viewed(&[4, 6], &[0, 1], &[8, 3]), Some(vec![0, 1]));
        assert_eq!(viewed(&[4, 6], &[1, 0], &[8, 3]), None);
        assert_eq!(viewed(&[], &[], &[1, 1]), Some(vec![0, 1]));
        assert_eq!(viewed(&[1], &[0], &[]), Some(vec![]));
        assert_eq!(viewed(&[0, 3], &[0, 1], &[3, 0]), Some(vec![0, 1]));
        assert_eq!(viewed(&[4], &[0], &[5]), None);
    }

    #[test]
    fn neighbours_are_found_in_memory() {
        let shape = [2, 3, 4, 5];
        assert!(are_neighbours(&shape, &[0, 2, 3, 1], &[2, 3]));
        assert!(are_neighbours(&shape, &[0, 2, 3, 1], &[1, 3]));
        assert!(!are_neighbours(&shape, &[0, 2, 3, 1], &[1, 2]));
        assert!(are_neighbours(&shape, &[0, 1, 2, 3], &[1, 2]));
        assert!(are_neighbours(&[2, 3, 1, 5], &[0, 1, 2, 3], &[1, 3]));
        assert!(are_neighbours(&shape, &[0, 1, 2, 3], &[]));
    }

    #[test]
    fn axes_are_renamed() {
        assert_eq!(permuted(&[0, 2, 3, 1], &[0, 2, 3, 1]), [0, 1, 2, 3]);
        assert_eq!(without(&[0, 2, 3, 1], 2), [0, 2, 1]);
        assert_eq!(with_leading(&[1, 0], 2), [0, 1, 3, 2]);
    }
}
