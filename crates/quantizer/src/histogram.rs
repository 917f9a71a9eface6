//! The range that a running histogram asks for, by norm minimization, as PT2E's histogram observer has it.
//!
//! Every tensor is counted in bins of equal width between the extremes of all that was seen so far; when the extremes move, what was
//! counted is spread over the new bins. From the ends of the histogram the quantiles are cut that hold the most bins for their share,
//! as long as the error falls that 256 steps over the rest would leave, with numbers taken to lie evenly within a bin.
//!
//! Arithmetic is in binary32 where the observer's is, so that the same samples give the same range: a program quantized here then
//! differs from PT2E's where that was measured to be better, and not by chance. The search is caffe2's
//! `NonlinearQuantizationParamsSearch`.

use crate::ranges::Parameters;

const BINS: usize = 2048;
const STEPS: f32 = 256.0;
/// Parts that a bin is split into when it is spread over other bins.
const PARTS: usize = 16;
/// The share of the numbers that is cut in one step of the search.
const CUT: f64 = 1e-5;

/// Counts of numbers in bins between the extremes.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    min: f32,
    max: f32,
    counts: Vec<f32>,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Histogram { min: f32::INFINITY, max: f32::NEG_INFINITY, counts: Vec::new() }
    }

    /// Counts a tensor whose extremes are known.
    pub(crate) fn observe(&mut self, numbers: impl Iterator<Item = f32>, min: f32, max: f32) {
        if min > max {
            return;
        }
        let (min, max) = (self.min.min(min), self.max.max(max));
        let mut counts = counted(numbers, min, max);
        if !self.counts.is_empty() {
            if (min, max) == (self.min, self.max) {
                add(&mut counts, &self.counts);
            } else if self.min == self.max {
                let all: f32 = self.counts.iter().sum();
                counts[bin(self.min, min, max)] += all;
            } else {
                add(&mut counts, &self.spread(min, max));
            }
        }
        *self = Histogram { min, max, counts };
    }

    /// The counts over bins between other extremes.
    fn spread(&self, min: f32, max: f32) -> Vec<f32> {
        let parts = BINS * PARTS;
        let part = (self.max - self.min) / parts as f32;
        let width = (max - min) / BINS as f32;
        let mut counts = vec![0.0f64; BINS];
        let mut place = 0;
        for index in 0..parts {
            let middle = point(self.min, self.max, index, parts) + 0.5 * part;
            // Middles rise, so the bin of one is that of the one before or a later one.
            place = place.max((((middle - min) / width) as usize).saturating_sub(1).min(BINS - 1));
            while place + 1 < BINS && point(min, max, place + 1, BINS) <= middle {
                place += 1;
            }
            counts[place] += f64::from(self.counts[index / PARTS] / PARTS as f32);
        }
        counts.into_iter().map(|count| count as f32).collect()
    }

    /// Scale and zero point of the range that is found.
    pub(crate) fn parameters(&self) -> Option<Parameters> {
        if self.counts.is_empty() || self.min == self.max {
            return None;
        }
        let (first, last) = self.search();
        let width = (self.max - self.min) / BINS as f32;
        let at = |bin: usize| self.min + width * bin as f32;
        Some(Parameters::of_range(at(first), at(last + 1)))
    }

    /// The first and the last bin of the range.
    fn search(&self) -> (usize, usize) {
        let total: f64 = self.counts.iter().map(|count| f64::from(*count)).sum();
        let mut sum = 0.0f64;
        let sums: Vec<f32> = self
            .counts
            .iter()
            .map(|count| {
                sum += f64::from(*count);
                sum as f32
            })
            .collect();
        let (mut low, mut high) = (0.0f64, 1.0f64);
        let (mut first, mut last) = (0, BINS - 1);
        let mut least = f64::INFINITY;
        while low < high {
            let (next_low, next_high) = (low + CUT, high - CUT);
            let (mut left, mut right) = (first, last);
            while left < last && sums[left] < (next_low * total) as f32 {
                left += 1;
            }
            while right > first && sums[right] > (next_high * total) as f32 {
                right -= 1;
            }
            let (mut next_first, mut next_last) = (first, last);
            if left - first > last - right {
                (next_first, low) = (left, next_low);
            } else {
                (next_last, high) = (right, next_high);
            }
            if (next_first, next_last) == (first, last) {
                continue;
            }
            let error = self.error(next_first, next_last);
            if error > least {
                break;
            }
            (least, first, last) = (error, next_first, next_last);
        }
        (first, last)
    }

    /// The squared error that steps over a range of bins leave, up to a factor.
    fn error(&self, first: usize, last: usize) -> f64 {
        let width = (f64::from(self.max) - f64::from(self.min)) / BINS as f64;
        let step = (width * (last + 1 - first) as f64 / f64::from(STEPS)) as f32;
        let width = width as f32;
        // The integral of the squared distance from the middle of a step, over a part of it.
        let part = |begin: f32, end: f32| (end * end * end - begin * begin * begin) / 3.0;
        let half = step / 2.0;
        let mut sum = 0.0;
        for (bin, count) in self.counts.iter().enumerate() {
            let begin = (bin as f32 - first as f32) * width;
            let end = begin + width;
            let at = |place: f32| (place / step).floor().clamp(0.0, STEPS - 1.0);
            let (from, to) = (at(begin), at(end));
            let density = count / width;
            let mut error = density * part(begin - (from + 0.5) * step, half);
            error += (to - from - 1.0) * (density * part(-half, half));
            error += density * part(-half, end - (to * step + half));
            sum += f64::from(error);
        }
        sum
    }
}

/// The boundary of a bin, counted from the end that is nearer so that both ends are exact.
fn point(min: f32, max: f32, index: usize, count: usize) -> f32 {
    let step = (max - min) / count as f32;
    match index < count.div_ceil(2) {
        true => min + step * index as f32,
        false => max - step * (count - index) as f32,
    }
}

/// The bin of a number.
fn bin(number: f32, min: f32, max: f32) -> usize {
    let place = (number - min) * BINS as f32 / (max - min);
    (place as usize).min(BINS - 1)
}

fn counted(numbers: impl Iterator<Item = f32>, min: f32, max: f32) -> Vec<f32> {
    let mut counts = vec![0u32; BINS];
    // All the same number: the bins lie around it.
    let (min, max) = if min == max { (min - 1.0, max + 1.0) } else { (min, max) };
    numbers.for_each(|number| counts[bin(number, min, max)] += 1);
    counts.into_iter().map(|count| count as f32).collect()
}

fn add(counts: &mut [f32], others: &[f32]) {
    counts.iter_mut().zip(others).for_each(|(count, other)| *count += other);
}
