//! Where the arrows of a list of steps run: straight to the next step, or in a lane beside the steps to a later one.
//!
//! ```text
//! ●        a value that only the next step reads runs straight down
//! ├─╮      one that is read later too leaves for a lane,
//! ●  │
//! ●  │
//! ●◄─╯     and comes back to the steps that read it
//! ```

/// The most lanes; what finds none free shares the last.
const LANES_MAX: usize = 12;

/// The arrows of all rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    /// The arrows at each row.
    pub(crate) rows: Vec<Row>,
    /// The number of lanes.
    pub(crate) lanes: usize,
}

/// The arrows at a row. Lanes count from 0, next to the steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Whether one comes from the row above.
    pub(crate) from_above: bool,
    /// Whether one goes to the row below.
    pub(crate) to_below: bool,
    /// The lanes that come in.
    pub(crate) into: Vec<usize>,
    /// The lanes that begin here.
    pub(crate) out: Vec<usize>,
    /// The lanes that pass, those that come in and go on among them.
    pub(crate) through: Vec<usize>,
}

/// A value: the row that makes it and the rows that read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: Vec<usize>,
}

impl Flow {
    /// The arrows of values between so many rows.
    pub(crate) fn of(rows: usize, mut edges: Vec<Edge>) -> Flow {
        let mut flow = Flow { rows: vec![Row::default(); rows], lanes: 0 };
        edges.sort_by_key(|edge| edge.from);
        // By lane, the row at which it is free again.
        let mut free_at: Vec<usize> = Vec::new();
        for Edge { from, to } in edges {
            let mut to: Vec<usize> =
                to.into_iter().filter(|row| *row > from && *row < rows).collect();
            to.sort_unstable();
            to.dedup();
            if to.first() == Some(&(from + 1)) {
                flow.rows[from].to_below = true;
                flow.rows[from + 1].from_above = true;
                to.remove(0);
            }
            let Some(&last) = to.last() else { continue };
            let lane = free_at.iter().position(|free| *free <= from).unwrap_or_else(|| {
                if free_at.len() < LANES_MAX {
                    free_at.push(0);
                }
                free_at.len() - 1
            });
            free_at[lane] = free_at[lane].max(last);
            add(&mut flow.rows[from].out, lane);
            to.iter().for_each(|row| add(&mut flow.rows[*row].into, lane));
            flow.rows[from + 1..last].iter_mut().for_each(|row| add(&mut row.through, lane));
        }
        flow.lanes = free_at.len();
        flow
    }
}

fn add(lanes: &mut Vec<usize>, lane: usize) {
    if !lanes.contains(&lane) {
        lanes.push(lane);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: usize, to: &[usize]) -> Edge {
        Edge { from, to: to.to_vec() }
    }

    #[test]
    fn a_chain_takes_no_lane() {
        let flow = Flow::of(3, vec![edge(0, &[1]), edge(1, &[2])]);
        assert_eq!(flow.lanes, 0);
        assert!(flow.rows[1].from_above && flow.rows[1].to_below && !flow.rows[2].to_below);
    }

    #[test]
    fn a_residual_branch_runs_beside_and_its_lane_is_free_again() {
        let flow = Flow::of(
            6,
            vec![edge(0, &[1, 3]), edge(1, &[2]), edge(2, &[3]), edge(3, &[4, 5]), edge(4, &[5])],
        );
        assert_eq!(flow.lanes, 1);
        assert_eq!((&flow.rows[0].out[..], &flow.rows[3].into[..]), (&[0][..], &[0][..]));
        assert_eq!(flow.rows[1].through, [0]);
        assert_eq!(flow.rows[2].through, [0]);
        assert_eq!((&flow.rows[3].out[..], &flow.rows[5].into[..]), (&[0][..], &[0][..]));
        assert!(flow.rows[3].through.is_empty());
    }

    #[test]
    fn nested_branches_have_lanes_of_their_own() {
        let flow = Flow::of(5, vec![edge(0, &[1, 4]), edge(1, &[2, 3]), edge(2, &[3])]);
        assert_eq!(flow.lanes, 2);
        assert_eq!(flow.rows[2].through, [0, 1]);
        assert_eq!(flow.rows[3].into, [1]);
    }

    #[test]
    fn more_values_than_lanes_share_the_last() {
        let edges = (0..40).map(|from| edge(from, &[80 + from])).collect();
        assert_eq!(Flow::of(130, edges).lanes, LANES_MAX);
    }
}
