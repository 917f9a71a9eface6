//! The model's input: the frames of the last second, as a ring.

use crate::mfcc::COEFFICIENTS;

/// The last `FRAMES` frames.
#[derive(Clone, Debug)]
pub struct Window<const FRAMES: usize> {
    frames: [[i8; COEFFICIENTS]; FRAMES],
    /// Where the oldest frame is, and the next one goes.
    oldest: usize,
}

impl<const FRAMES: usize> Window<FRAMES> {
    /// A window that is all one frame, such as silence.
    pub const fn new(frame: [i8; COEFFICIENTS]) -> Self {
        Window { frames: [frame; FRAMES], oldest: 0 }
    }

    /// Puts a frame in the place of the oldest one.
    pub fn push(&mut self, frame: [i8; COEFFICIENTS]) {
        self.frames[self.oldest] = frame;
        self.oldest = if self.oldest + 1 == FRAMES { 0 } else { self.oldest + 1 };
    }

    /// Writes the frames, oldest first.
    ///
    /// # Panics
    /// `input` is not as long as all frames together.
    pub fn copy_to(&self, input: &mut [i8]) {
        let (newer, older) = self.frames.split_at(self.oldest);
        let (first, second) = input.split_at_mut(older.as_flattened().len());
        first.copy_from_slice(older.as_flattened());
        second.copy_from_slice(newer.as_flattened());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_oldest_first() {
        let mut window = Window::<3>::new([0; COEFFICIENTS]);
        let mut input = [99; 3 * COEFFICIENTS];
        let firsts = |input: &[i8]| [input[0], input[COEFFICIENTS], input[2 * COEFFICIENTS]];
        window.copy_to(&mut input);
        assert_eq!(firsts(&input), [0, 0, 0]);
        for newest in 1..=7 {
            window.push([newest; COEFFICIENTS]);
            window.copy_to(&mut input);
            let expected = [newest - 2, newest - 1, newest].map(|frame: i8| frame.max(0));
            assert_eq!(firsts(&input), expected);
        }
    }
}
