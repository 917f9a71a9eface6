//! From the model's scores to events: shares of 1, smoothed over time, held against a threshold, and each word but once.

/// How a detector judges.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The smoothed share from which on a word counts as said.
    pub threshold: f32,
    /// For how many steps after a detection there is no other: the window still holds the word.
    pub quiet_steps: u32,
}

/// A word was said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// The word's class.
    pub class: usize,
    /// Its smoothed share, from 0 to 1.
    pub share: f32,
}

/// Watches the scores of `CLASSES` classes, of which the first `OTHERS` are no words to be detected, and takes the mean of the last
/// `SMOOTHED`.
#[derive(Clone, Debug)]
pub struct Detector<const CLASSES: usize, const OTHERS: usize, const SMOOTHED: usize> {
    settings: Settings,
    shares: [[f32; CLASSES]; SMOOTHED],
    oldest: usize,
    /// Steps for which nothing is detected.
    quiet: u32,
    /// The word that was detected last and has not gone since.
    present: Option<usize>,
}

impl<const CLASSES: usize, const OTHERS: usize, const SMOOTHED: usize>
    Detector<CLASSES, OTHERS, SMOOTHED>
{
    /// A detector that has heard nothing.
    pub const fn new(settings: Settings) -> Self {
        Detector {
            settings,
            shares: [[0.0; CLASSES]; SMOOTHED],
            oldest: 0,
            quiet: 0,
            present: None,
        }
    }

    /// Takes the next scores, before any softmax. Says whether a word was just said.
    pub fn push(&mut self, scores: &[f32; CLASSES]) -> Option<Detection> {
        self.shares[self.oldest] = softmax(scores);
        self.oldest = if self.oldest + 1 == SMOOTHED { 0 } else { self.oldest + 1 };
        let mean = |class: usize| {
            self.shares.iter().map(|shares| shares[class]).sum::<f32>() / SMOOTHED as f32
        };

        if self.present.is_some_and(|class| mean(class) < self.settings.threshold / 2.0) {
            self.present = None;
        }
        self.quiet = self.quiet.saturating_sub(1);
        let words = (OTHERS..CLASSES).map(|class| Detection { class, share: mean(class) });
        let best = words.max_by(|a, b| a.share.total_cmp(&b.share))?;
        if best.share < self.settings.threshold
            || self.quiet > 0
            || self.present == Some(best.class)
        {
            return None;
        }
        self.quiet = self.settings.quiet_steps;
        self.present = Some(best.class);
        Some(best)
    }
}

/// Scores as shares of 1.
fn softmax<const CLASSES: usize>(scores: &[f32; CLASSES]) -> [f32; CLASSES] {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials = scores.map(|score| libm::expf(score - most));
    let sum: f32 = exponentials.iter().sum();
    exponentials.map(|exponential| exponential / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: [f32; 4] = [9.0, 0.0, 0.0, 0.0];
    const A: [f32; 4] = [0.0, 0.0, 9.0, 0.0];
    const B: [f32; 4] = [0.0, 0.0, 0.0, 9.0];
    const OTHER: [f32; 4] = [0.0, 9.0, 0.0, 0.0];

    /// The classes that are detected, by step.
    fn detected<const N: usize>(steps: [[f32; 4]; N]) -> [Option<usize>; N] {
        let settings = Settings { threshold: 0.6, quiet_steps: 3 };
        let mut detector = Detector::<4, 2, 3>::new(settings);
        steps.map(|scores| detector.push(&scores).map(|detection| detection.class))
    }

    #[test]
    fn a_word_that_stays_is_detected_once() {
        assert_eq!(
            detected([SILENCE, A, A, A, A, A, A]),
            [None, None, Some(2), None, None, None, None]
        );
    }

    #[test]
    fn one_step_is_not_enough() {
        assert_eq!(detected([SILENCE, A, SILENCE, OTHER, B, OTHER]), [None; 6]);
    }

    #[test]
    fn a_word_may_come_again_once_it_has_gone() {
        let steps = [A, A, A, SILENCE, SILENCE, SILENCE, A, A];
        assert_eq!(detected(steps), [None, Some(2), None, None, None, None, None, Some(2)]);
    }

    #[test]
    fn another_word_waits_until_the_window_has_moved_on() {
        let steps = [A, A, B, B, B, B];
        assert_eq!(detected(steps), [None, Some(2), None, None, Some(3), None]);
    }

    #[test]
    fn what_is_no_word_is_not_detected() {
        assert_eq!(detected([OTHER, OTHER, OTHER, SILENCE, SILENCE, SILENCE]), [None; 6]);
    }

    #[test]
    fn softmax_bears_great_scores() {
        assert_eq!(softmax(&[1e30, 0.0]), [1.0, 0.0]);
        let shares = softmax(&[1.0, 2.0, 3.0]);
        assert!((shares.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((shares[2] / shares[1] - core::f32::consts::E).abs() < 1e-5);
    }
}
