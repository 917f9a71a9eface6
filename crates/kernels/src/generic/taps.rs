//! Where the taps of a window fall on an axis of the input.

/// The taps of one axis that fall on the input, for one output position: `count` of them from `tap` on, each `tap_step` further, at
/// positions from `position` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taps {
    pub(super) tap: usize,
    pub(super) tap_step: usize,
    pub(super) position: usize,
    /// Added per tap, wrapping; a transposed convolution walks backwards.
    pub(super) position_step: usize,
    pub(super) count: usize,
}

/// An axis of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) input: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) dilation: usize,
}

impl Axis {
    /// The taps of a convolution at an output position: tap `k` reads position `output · stride − padding + k · dilation`.
    #[inline]
    pub(super) fn taps(&self, output: usize) -> Taps {
        let start = output * self.stride;
        let reach = self.kernel.saturating_sub(1) * self.dilation;
        let (tap, count) = if start >= self.padding && start - self.padding + reach < self.input {
            (0, self.kernel)
        } else {
            // At least 1, as a kernel's shape has it; said so that no division by 0 is looked out for.
            let dilation = self.dilation.max(1);
            let before = self.padding.saturating_sub(start).div_ceil(dilation);
            let end = (self.input + self.padding).saturating_sub(start).div_ceil(dilation);
            (before, end.min(self.kernel).saturating_sub(before))
        };
        let position = (start + tap * self.dilation).wrapping_sub(self.padding);
        Taps { tap, tap_step: 1, position, position_step: self.dilation, count }
    }

    /// What the windows of so many output positions, one at least, and the input with the padding before it reach.
    pub(super) fn framed(&self, outputs: usize) -> Option<usize> {
        let windows = outputs.checked_sub(1)?.checked_mul(self.stride)?;
        let taps = self.kernel.checked_sub(1)?.checked_mul(self.dilation)?;
        let reach = windows.checked_add(taps)?.checked_add(1)?;
        Some(reach.max(self.input.checked_add(self.padding)?))
    }

    /// The taps at an output position, and the number of positions from there on, up to `end`, that have the same ones on the input.
    pub(super) fn alike(&self, output: usize, end: usize) -> (Taps, usize) {
        let first = self.taps(output);
        let same = |next: &usize| {
            let taps = self.taps(*next);
            (taps.count, taps.tap) == (first.count, first.tap)
        };
        (first, 1 + (output + 1..end).take_while(same).count())
    }

    /// The taps of a transposed convolution at an output position: tap `k` reads the position `p` for which `p · stride − padding +
    /// k · dilation = output`, where there is one.
    #[inline]
    pub(super) fn transposed_taps(&self, output: usize) -> Taps {
        let target = output + self.padding;
        let stride = self.stride.max(1);
        let meets = |tap: &usize| {
            let reached = tap * self.dilation;
            reached <= target
                && (target - reached).is_multiple_of(stride)
                && (target - reached) / stride < self.input
        };
        let nothing = Taps { tap: 0, tap_step: 1, position: 0, position_step: 0, count: 0 };
        let mut meeting = (0..self.kernel).filter(meets);
        let Some(first) = meeting.next() else { return nothing };
        let position = (target - first * self.dilation) / stride;
        let Some(second) = meeting.next() else {
            return Taps { tap: first, position, count: 1, ..nothing };
        };
        // Taps repeat with the period of their remainders, and those that meet the input are consecutive among them.
        let tap_step = second - first;
        let position_step = (tap_step * self.dilation / stride).wrapping_neg();
        Taps { tap: first, tap_step, position, position_step, count: 2 + meeting.count() }
    }
}

impl Taps {
    /// Each tap with its position.
    #[inline(always)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Taps { tap, tap_step, position, position_step, count } = *self;
        (0..count).map(move |index| {
            (tap + index * tap_step, position.wrapping_add(index.wrapping_mul(position_step)))
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// Every axis of small extents.
    fn axes() -> impl Iterator<Item = Axis> {
        (0..7 * 6 * 4 * 5 * 4).map(|index: usize| Axis {
            input: index % 7,
            kernel: index / 7 % 6,
            stride: 1 + index / 42 % 4,
            padding: index / 168 % 5,
            dilation: 1 + index / 840,
        })
    }

    #[test]
    fn taps_are_those_on_the_input() {
        for axis in axes() {
            for output in 0..9 {
                let expected: Vec<_> = (0..axis.kernel)
                    .filter_map(|tap| {
                        let position = (output * axis.stride + tap * axis.dilation)
                            .checked_sub(axis.padding)?;
                        (position < axis.input).then_some((tap, position))
                    })
                    .collect();
                assert_eq!(axis.taps(output).iter().collect::<Vec<_>>(), expected, "{axis:?}");
            }
        }
    }

    #[test]
    fn alike_positions_step_by_the_stride() {
        for axis in axes() {
            let (mut output, end) = (0, 9);
            while output < end {
                let (taps, count) = axis.alike(output, end);
                assert!(count > 0 && output + count <= end);
                for index in 0..count {
                    let found: Vec<_> = axis.taps(output + index).iter().collect();
                    let step = index * axis.stride;
                    let expected: Vec<_> =
                        taps.iter().map(|(tap, position)| (tap, position + step)).collect();
                    assert_eq!(found, expected, "{axis:?} at {output} + {index}");
                }
                output += count;
            }
        }
    }

    #[test]
    fn transposed_taps_are_those_that_meet_the_input() {
        for axis in axes() {
            for output in 0..9 {
                let expected: Vec<_> = (0..axis.kernel)
                    .filter_map(|tap| {
                        let distance = (output + axis.padding).checked_sub(tap * axis.dilation)?;
                        let position = distance / axis.stride;
                        let meets = distance % axis.stride == 0 && position < axis.input;
                        meets.then_some((tap, position))
                    })
                    .collect();
                let found: Vec<_> = axis.transposed_taps(output).iter().collect();
                assert_eq!(found, expected, "{axis:?} at {output}");
            }
        }
    }
}
