//! Where the taps of a window fall on an axis of the input.

use core::num::NonZeroUsize;
use core::ops::Range;

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
    pub(super) stride: NonZeroUsize,
    pub(super) padding: usize,
    pub(super) dilation: NonZeroUsize,
}

impl Axis {
    /// The taps of a convolution at an output position: tap `k` reads position `output · stride − padding + k · dilation`.
    #[inline(never)]
    pub(super) fn taps(&self, output: usize) -> Taps {
        let start = output * self.stride.get();
        let reach = self.kernel.saturating_sub(1) * self.dilation.get();
        let (tap, count) = if start >= self.padding && start - self.padding + reach < self.input {
            (0, self.kernel)
        } else {
            let before = self.padding.saturating_sub(start).div_ceil(self.dilation.get());
            let end =
                (self.input + self.padding).saturating_sub(start).div_ceil(self.dilation.get());
            (before, end.min(self.kernel).saturating_sub(before))
        };
        let position = (start + tap * self.dilation.get()).wrapping_sub(self.padding);
        Taps { tap, tap_step: 1, position, position_step: self.dilation.get(), count }
    }

    /// The first `outputs` positions all of whose taps fall on the input, which are consecutive.
    pub(super) fn inner(&self, outputs: usize) -> Range<usize> {
        let reach = self.kernel.saturating_sub(1) * self.dilation.get();
        let first = self.padding.div_ceil(self.stride.get());
        // Taps start at most here.
        let last = (self.input + self.padding).checked_sub(reach + 1);
        let end = last.map_or(0, |last| last / self.stride.get() + 1).min(outputs);
        first..end
    }

    /// What the windows of so many output positions, one at least, and the input with the padding before it reach.
    pub(super) fn framed(&self, outputs: usize) -> Option<usize> {
        let windows = outputs.checked_sub(1)?.checked_mul(self.stride.get())?;
        let taps = self.kernel.checked_sub(1)?.checked_mul(self.dilation.get())?;
        let reach = windows.checked_add(taps)?.checked_add(1)?;
        Some(reach.max(self.input.checked_add(self.padding)?))
    }

    /// The taps at an output position, and the number of positions from there on, up to `end`, that have the same ones on the input.
    #[inline(never)]
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
        let meets = |tap: &usize| {
            let reached = tap * self.dilation.get();
            reached <= target
                && (target - reached).is_multiple_of(self.stride.get())
                && (target - reached) / self.stride.get() < self.input
        };
        let nothing = Taps { tap: 0, tap_step: 1, position: 0, position_step: 0, count: 0 };
        let mut meeting = (0..self.kernel).filter(meets);
        let Some(first) = meeting.next() else { return nothing };
        let position = (target - first * self.dilation.get()) / self.stride.get();
        let Some(second) = meeting.next() else {
            return Taps { tap: first, position, count: 1, ..nothing };
        };
        // Taps repeat with the period of their remainders, and those that meet the input are consecutive among them.
        let tap_step = second - first;
        let position_step = (tap_step * self.dilation.get() / self.stride.get()).wrapping_neg();
        Taps { tap: first, tap_step, position, position_step, count: 2 + meeting.count() }
    }
}

/// The output positions of a transposed convolution that differ by the stride, from one on: all have the same taps, those for which
/// [`Axis::transposed_taps`] has a position, on the input or not. They are counted from the one with the lowest position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Phase {
    /// The first output position, and how many there are.
    pub(super) output: usize,
    pub(super) outputs: usize,
    /// The last tap, whose position is the lowest one, and how much less each other tap is.
    pub(super) tap: usize,
    pub(super) tap_step: usize,
    pub(super) count: usize,
    /// The lowest position at the first output, and how much greater that of each other tap is.
    pub(super) position: isize,
    pub(super) position_step: usize,
}

impl Axis {
    /// The phase that starts at an output position less than the stride.
    pub(super) fn phase(&self, output: usize, outputs: usize) -> Phase {
        let target = output + self.padding;
        let meets = |tap: &usize| {
            (tap * self.dilation.get()) % self.stride.get() == target % self.stride.get()
        };
        let mut meeting = (0..self.kernel).rev().filter(meets);
        let (last, next) = (meeting.next(), meeting.next());
        let tap = last.unwrap_or(0);
        let tap_step = next.map_or(0, |next| tap - next);
        Phase {
            output,
            outputs: outputs.saturating_sub(output).div_ceil(self.stride.get()),
            tap,
            tap_step,
            count: usize::from(last.is_some()) + usize::from(next.is_some()) + meeting.count(),
            position: (target as isize - (tap * self.dilation.get()) as isize)
                .checked_div(self.stride.get() as isize)
                .unwrap_or(0),
            position_step: tap_step * self.dilation.get() / self.stride.get(),
        }
    }
}

impl Phase {
    /// The taps whose positions fall on an input of this extent, at one of the outputs, and the first one's position.
    pub(super) fn on_input(&self, index: usize, input: usize) -> (Range<usize>, usize) {
        let lowest = self.position + index as isize;
        let step = self.position_step.max(1);
        let before = lowest.min(0).unsigned_abs().div_ceil(step);
        let reach = (input as isize - lowest).max(0) as usize;
        let end = reach.div_ceil(step).min(self.count);
        let first = before.min(end);
        (first..end, (lowest + (first * step) as isize).max(0) as usize)
    }

    /// The number of outputs from an index on, at least one, that have the same taps on the input.
    pub(super) fn alike(&self, index: usize, input: usize) -> usize {
        let (first, _) = self.on_input(index, input);
        let same = |next: &usize| self.on_input(*next, input).0 == first;
        1 + (index + 1..self.outputs).take_while(same).count()
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
            stride: NonZeroUsize::new(1 + index / 42 % 4).unwrap(),
            padding: index / 168 % 5,
            dilation: NonZeroUsize::new(1 + index / 840).unwrap(),
        })
    }

    #[test]
    fn taps_are_those_on_the_input() {
        for axis in axes() {
            for output in 0..9 {
                let expected: Vec<_> = (0..axis.kernel)
                    .filter_map(|tap| {
                        let position = (output * axis.stride.get() + tap * axis.dilation.get())
                            .checked_sub(axis.padding)?;
                        (position < axis.input).then_some((tap, position))
                    })
                    .collect();
                assert_eq!(axis.taps(output).iter().collect::<Vec<_>>(), expected, "{axis:?}");
            }
        }
    }

    #[test]
    fn inner_positions_have_all_taps() {
        for axis in axes().filter(|axis| axis.kernel > 0) {
            let inner = axis.inner(9);
            for output in 0..9 {
                let has_all = axis.taps(output).count == axis.kernel;
                assert_eq!(inner.contains(&output), has_all, "{axis:?} at {output}");
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
                    let step = index * axis.stride.get();
                    let expected: Vec<_> =
                        taps.iter().map(|(tap, position)| (tap, position + step)).collect();
                    assert_eq!(found, expected, "{axis:?} at {output} + {index}");
                }
                output += count;
            }
        }
    }

    #[test]
    fn phases_have_the_transposed_taps() {
        for axis in axes() {
            for first in 0..axis.stride.get() {
                let phase = axis.phase(first, 9);
                for index in 0..phase.outputs {
                    let output = first + index * axis.stride.get();
                    let (taps, position) = phase.on_input(index, axis.input);
                    let mut found: Vec<_> = taps
                        .clone()
                        .map(|tap| {
                            let after = (tap - taps.start) * phase.position_step;
                            (phase.tap - tap * phase.tap_step, position + after)
                        })
                        .collect();
                    found.reverse();
                    let expected: Vec<_> = axis.transposed_taps(output).iter().collect();
                    assert_eq!(found, expected, "{axis:?} at {output}");
                    assert!(index + phase.alike(index, axis.input) <= phase.outputs);
                }
            }
        }
    }

    #[test]
    fn transposed_taps_are_those_that_meet_the_input() {
        for axis in axes() {
            for output in 0..9 {
                let expected: Vec<_> = (0..axis.kernel)
                    .filter_map(|tap| {
                        let distance =
                            (output + axis.padding).checked_sub(tap * axis.dilation.get())?;
                        let position = distance / axis.stride.get();
                        let meets = distance % axis.stride.get() == 0 && position < axis.input;
                        meets.then_some((tap, position))
                    })
                    .collect();
                let found: Vec<_> = axis.transposed_taps(output).iter().collect();
                assert_eq!(found, expected, "{axis:?} at {output}");
            }
        }
    }
}
