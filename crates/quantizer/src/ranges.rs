//! From numbers that were seen to scales and zero points.
//!
//! An observer keeps the extremes of a tensor and an even sample of its numbers. Ranges are proposed by four methods, and measured by
//! the mean squared error that they leave on the sample:
//!
//! * **min-max**: all that was seen;
//! * **percentile**: all but the outermost 0.01 %;
//! * **KL**: the range whose histogram in 256 steps says most about the histogram of the numbers (Kullback-Leibler);
//! * **MSE**: the scale and zero point of least squared error, by search. Scales that put the greatest number on an integer are
//!   among the proposals, so that numbers which lie on a grid of their own keep it.
//!
//! The least error on what was seen is not the least on what comes: few samples do not show how far a tensor can reach. So the
//! first proposal is validated across samples: the range of some of them, made wider or narrower, is judged by the error that it
//! leaves on the others.

use crate::histogram::Histogram;
use cortado_contract::quant::inverse_scale;
use serde::Serialize;

/// How many numbers of a tensor are kept.
const SAMPLE: usize = 1 << 14;
/// So many numbers show what a tensor's range is.
const LARGE: usize = 1 << 16;
/// The methods in the order in which they are compared.
pub(crate) const METHODS: [Ranges; 6] =
    [Ranges::Auto, Ranges::Histogram, Ranges::MinMax, Ranges::Percentile, Ranges::Kl, Ranges::Mse];
/// The least scale. Below it the reciprocal and products of scales leave binary32.
pub(crate) const SCALE_MIN: f64 = 1e-12;

/// How the range of an activation is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ranges {
    /// The one that is measured best, for each tensor.
    #[default]
    Auto,
    /// By norm minimization over a running histogram, as PT2E's observer has it.
    Histogram,
    /// All that was seen.
    MinMax,
    /// All but the outermost 0.01 %.
    Percentile,
    /// By Kullback-Leibler divergence of histograms.
    Kl,
    /// By least squared error.
    Mse,
}

/// Scale and zero point of int8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Parameters {
    pub(crate) scale: f64,
    pub(crate) zero_point: i32,
}

impl Parameters {
    /// Those of a range, which is widened to hold zero.
    pub(crate) fn of_range(min: f32, max: f32) -> Parameters {
        let (min, max) = (min.min(0.0), max.max(0.0));
        let scale = ((max - min) / 255.0).max(SCALE_MIN as f32);
        let zero_point = (-128.0 - (min / scale).round_ties_even()).clamp(-128.0, 127.0) as i32;
        Parameters { scale: f64::from(scale), zero_point }
    }

    pub(crate) fn new(scale: f64, zero_point: i32) -> Parameters {
        let scale = f64::from(scale.max(SCALE_MIN) as f32);
        Parameters { scale, zero_point: zero_point.clamp(-128, 127) }
    }

    /// Sum of squared errors over numbers.
    fn error(self, numbers: &[f32]) -> f64 {
        let (inverse, scale) = (inverse_scale(self.scale), self.scale as f32);
        let zero_point = self.zero_point as f32;
        let (min, max) = (-128.0 - zero_point, 127.0 - zero_point);
        // Blocks of 16, so that sums stay exact enough in binary32 and the compiler can compute them side by side.
        let block = |block: &[f32]| {
            let square = |number: &f32| {
                let rounded = round((number * inverse).clamp(min, max)) * scale;
                (number - rounded) * (number - rounded)
            };
            f64::from(block.iter().map(square).sum::<f32>())
        };
        numbers.chunks(16).map(block).sum()
    }
}

/// The nearest integer, ties to even, of a number below `2^22` in magnitude: the sum has no bits for a fraction. Unlike the standard
/// library's function it needs no instruction that x86-64 lacks by default, so the compiler can compute several side by side.
#[inline(always)]
pub(crate) fn round(number: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (number + SHIFT) - SHIFT
}

/// The least and the greatest number.
fn extremes(numbers: impl Iterator<Item = f32>) -> (f32, f32) {
    let start = (f32::INFINITY, f32::NEG_INFINITY);
    numbers.fold(start, |(min, max), number| (min.min(number), max.max(number)))
}

/// What was seen of a tensor.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    pub(crate) min: f32,
    pub(crate) max: f32,
    pub(crate) sample: Vec<f32>,
    histogram: Histogram,
    /// The number of numbers that were seen.
    count: usize,
    /// For each tensor that was seen: where its numbers end in the sample, and its extremes.
    tensors: Vec<(usize, f32, f32)>,
}

impl Observer {
    pub(crate) fn new() -> Self {
        let (min, max) = (f32::INFINITY, f32::NEG_INFINITY);
        Observer {
            min,
            max,
            sample: Vec::new(),
            histogram: Histogram::new(),
            count: 0,
            tensors: Vec::new(),
        }
    }

    /// Takes in a tensor, one of `count` that are to come.
    pub(crate) fn observe(&mut self, numbers: &[f32], count: usize) {
        let (min, max) = extremes(numbers.iter().copied());
        (self.min, self.max) = (self.min.min(min), self.max.max(max));
        // A stride that is prime to most extents takes all channels and columns in turn.
        let quota = (SAMPLE / count.max(1)).max(16);
        let stride = match numbers.len() / quota {
            0 | 1 => 1,
            even if even % 2 == 0 => even + 1,
            odd => odd,
        };
        self.sample.extend(numbers.iter().step_by(stride));
        self.count += numbers.len();
        self.tensors.push((self.sample.len(), min, max));
    }

    /// Counts a tensor within bounds.
    pub(crate) fn count(&mut self, numbers: &[f32], (least, greatest): (f32, f32)) {
        let clamped = || numbers.iter().map(|number| number.clamp(least, greatest));
        let (min, max) = extremes(clamped());
        self.histogram.observe(clamped(), min, max);
    }

    /// Takes in numbers that are not to be missed.
    pub(crate) fn include(&mut self, numbers: &[f32]) {
        for number in numbers {
            self.min = self.min.min(*number);
            self.max = self.max.max(*number);
        }
    }

    /// Forgets what lies beyond bounds within which every reader sees it.
    pub(crate) fn clamp(&mut self, (min, max): (f32, f32)) {
        self.sample.iter_mut().for_each(|number| *number = number.clamp(min, max));
        for (_, least, greatest) in &mut self.tensors {
            (*least, *greatest) = (least.clamp(min, max), greatest.clamp(min, max));
        }
        (self.min, self.max) = (self.min.clamp(min, max), self.max.clamp(min, max));
    }

    /// The scale of int16 that holds all that was seen, with zero at 0.
    pub(crate) fn int16_scale(&self) -> f64 {
        let greatest = match self.has_range() {
            true => self.max.max(-self.min),
            false => 1.0,
        };
        f64::from((greatest / 32767.0).max(SCALE_MIN as f32))
    }

    /// Whether nothing but zeros was seen.
    pub(crate) fn is_dead(&self) -> bool {
        self.min >= 0.0 && self.max <= 0.0
    }

    /// What a method proposes.
    pub(crate) fn propose(&self, method: Ranges) -> Parameters {
        if !self.has_range() {
            return Parameters::of_range(0.0, 1.0);
        }
        match method {
            Ranges::Histogram => {
                let found = self.histogram.parameters();
                found.unwrap_or_else(|| Parameters::of_range(self.min, self.max))
            }
            Ranges::MinMax => Parameters::of_range(self.min, self.max),
            Ranges::Percentile => self.percentile(1e-4),
            Ranges::Kl => self.kl(),
            Ranges::Mse => self.least_squares(),
            Ranges::Auto => self.validated(self.least_squares(), self.propose(Ranges::Histogram)),
        }
    }

    /// What all methods propose, in the order of [`METHODS`].
    pub(crate) fn propose_all(&self) -> Vec<Parameters> {
        let fitted = self.propose(Ranges::Mse);
        let histogram = self.propose(Ranges::Histogram);
        let other = |method: &Ranges| match method {
            Ranges::Auto if self.has_range() => self.validated(fitted, histogram),
            Ranges::Histogram => histogram,
            Ranges::Auto | Ranges::Mse => fitted,
            method => self.propose(*method),
        };
        METHODS.iter().map(other).collect()
    }

    /// Whether other numbers than zero were seen.
    fn has_range(&self) -> bool {
        self.min < self.max || (self.min != 0.0 && self.min.is_finite())
    }

    /// The range of all that was seen, wider or narrower by the factor that did best on samples whose range was not asked for, where that
    /// is clearly better than all that was seen; else the histogram's. Numbers on a grid of their own get the scale of that grid.
    fn validated(&self, fitted: Parameters, histogram: Parameters) -> Parameters {
        const FOLDS: usize = 4;
        const CLEARLY: f64 = 0.9;
        const FACTORS: [f32; 15] =
            [0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 1.0, 1.03, 1.06, 1.1, 1.14, 1.18, 1.24, 1.3];
        let folds = FOLDS.min(self.tensors.len());
        let mut errors = [0.0; FACTORS.len()];
        for fold in (0..folds).filter(|_| folds > 1) {
            let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
            let mut others = Vec::new();
            let mut start = 0;
            for (index, (end, least, greatest)) in self.tensors.iter().enumerate() {
                if index % folds == fold {
                    others.extend_from_slice(&self.sample[start..*end]);
                } else {
                    (min, max) = (min.min(*least), max.max(*greatest));
                }
                start = *end;
            }
            for (error, factor) in errors.iter_mut().zip(FACTORS) {
                *error += Parameters::of_range(min * factor, max * factor).error(&others);
            }
        }
        // Of few numbers all that was seen stays in, unless leaving some of it out is clearly better.
        let is_large = self.count >= LARGE;
        let bias = |factor: f32| match factor {
            factor if factor < 1.0 && !is_large => 1.08,
            factor if factor != 1.0 => 1.01,
            _ => 1.0,
        };
        let judged =
            FACTORS.iter().zip(errors).map(|(factor, error)| (*factor, error * bias(*factor)));
        let all = judged.clone().find(|(factor, _)| *factor == 1.0).map_or(0.0, |(_, error)| error);
        let best = judged.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|_| folds > 1);
        // Another range than the histogram's must be clearly better.
        let validated = match best {
            Some((factor, error)) if error < CLEARLY * all => {
                Parameters::of_range(self.min * factor, self.max * factor)
            }
            _ => histogram,
        };
        // What fits so many numbers clearly better, or few of them so much better, is no chance.
        let share = if is_large { CLEARLY } else { 0.4 };
        match fitted.error(&self.sample) < share * validated.error(&self.sample) {
            true => fitted,
            false => validated,
        }
    }

    fn percentile(&self, outside: f64) -> Parameters {
        let mut sorted = self.sample.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let cut = (last as f64 * outside).ceil() as usize;
        match (sorted.get(cut), sorted.get(last.saturating_sub(cut))) {
            (Some(min), Some(max)) if min < max => Parameters::of_range(*min, *max),
            _ => Parameters::of_range(self.min, self.max),
        }
    }

    /// Parameters of least squared error.
    fn least_squares(&self) -> Parameters {
        let (min, max) = (f64::from(self.min.min(0.0)), f64::from(self.max.max(0.0)));
        let all = Parameters::of_range(self.min, self.max);
        let mut best = (all, all.error(&self.sample));
        let attempt = |best: &mut (Parameters, f64), parameters: Parameters| {
            let error = parameters.error(&self.sample);
            if error < best.1 {
                *best = (parameters, error);
            }
        };
        // The range as a number of steps: up to 255 hold all of it, more cut some off, at one end or the other.
        let few = (200..=255).map(f64::from);
        let many = (0..45).map(|index| 255.0 * 1.022f64.powi(index + 1));
        for steps in few.chain(many) {
            let scale = (max - min) / steps;
            let excess = (steps - 255.0).max(0.0);
            let shares: &[f64] = match (excess > 0.0, min < 0.0, max > 0.0) {
                (true, true, true) => &[0.0, 0.25, 0.5, 0.75, 1.0],
                (true, true, false) => &[1.0],
                _ => &[0.0],
            };
            for share in shares {
                let zero_point = (-128.0 - min / scale - share * excess).round_ties_even();
                attempt(&mut best, Parameters::new(scale, zero_point.clamp(-128.0, 127.0) as i32));
            }
        }
        for round in 0..3 {
            let start = best.0;
            let fine = 0.004 / f64::from(1 << (2 * round));
            for step in -4..=4 {
                for shift in -1..=1 {
                    let scale = start.scale * (1.0 + fine * f64::from(step));
                    attempt(&mut best, Parameters::new(scale, start.zero_point + shift));
                }
            }
        }
        best.0
    }

    /// The range whose histogram of 256 steps is nearest to that of the numbers, by relative entropy; cut at both ends alike.
    fn kl(&self) -> Parameters {
        const BINS: usize = 2048;
        const STEPS: usize = 256;
        let (min, max) = (self.min.min(0.0), self.max.max(0.0));
        let width = f64::from(max - min) / BINS as f64;
        let mut histogram = vec![0.0f64; BINS];
        for number in &self.sample {
            let bin = (f64::from(number - min) / width) as usize;
            histogram[bin.min(BINS - 1)] += 1.0;
        }
        let total: f64 = histogram.iter().sum();
        let mut best = (f64::INFINITY, 0, BINS);
        for kept in (STEPS..=BINS).step_by(32) {
            // What is cut comes off where there are fewer numbers.
            let (mut first, mut last) = (0, BINS);
            while last - first > kept {
                if min >= 0.0 || (max > 0.0 && histogram[last - 1] <= histogram[first]) {
                    last -= 1;
                } else {
                    first += 1;
                }
            }
            // Where numbers are few and far between, any of them can be missed without a trace in the histogram.
            if histogram[first..last].iter().sum::<f64>() < 0.998 * total {
                continue;
            }
            let divergence = divergence(&histogram, first, last, STEPS);
            if divergence < best.0 {
                best = (divergence, first, last);
            }
        }
        let at = |bin: usize| (f64::from(min) + bin as f64 * width) as f32;
        Parameters::of_range(at(best.1), at(best.2))
    }
}

/// The relative entropy of a histogram and of what is left of it within `first..last` in `steps` steps.
fn divergence(histogram: &[f64], first: usize, last: usize, steps: usize) -> f64 {
    let mut kept: Vec<f64> = histogram[first..last].to_vec();
    let mut clipped = kept.clone();
    clipped[0] += histogram[..first].iter().sum::<f64>();
    let end = clipped.len() - 1;
    clipped[end] += histogram[last..].iter().sum::<f64>();
    let per_step = kept.len() as f64 / steps as f64;
    for step in 0..steps {
        let range = (step as f64 * per_step) as usize..((step + 1) as f64 * per_step) as usize;
        let bins = &mut kept[range];
        let filled = bins.iter().filter(|count| **count > 0.0).count();
        let mean = bins.iter().sum::<f64>() / filled.max(1) as f64;
        bins.iter_mut().filter(|count| **count > 0.0).for_each(|count| *count = mean);
    }
    let (total, rest): (f64, f64) = (clipped.iter().sum(), kept.iter().sum());
    let term = |(p, q): (&f64, &f64)| match *p > 0.0 {
        // A number where nothing is left is as bad as one among a thousand others.
        true => p / total * ((p / total) / (q / rest).max(1e-3 / total)).ln(),
        false => 0.0,
    };
    clipped.iter().zip(&kept).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Observer {
        /// Mean squared error of parameters on the sample.
        fn error(&self, parameters: Parameters) -> f64 {
            parameters.error(&self.sample) / self.sample.len().max(1) as f64
        }
    }

    fn observer(numbers: &[f32]) -> Observer {
        let mut observer = Observer::new();
        observer.observe(numbers, 1);
        observer
    }

    #[test]
    fn numbers_on_a_grid_keep_it() {
        // Pixels of 17 levels: 255 steps over the range would miss most of them.
        let pixels: Vec<f32> = (0..1000).map(|index| (index % 17) as f32 / 16.0).collect();
        let observer = observer(&pixels);
        assert!(observer.error(observer.propose(Ranges::Mse)) < 1e-12);
        assert!(observer.error(observer.propose(Ranges::MinMax)) > 1e-7);
    }

    #[test]
    fn an_outlier_is_cut_where_that_helps() {
        let mut numbers: Vec<f32> = (0..4000).map(|index| (index as f32 * 0.7).sin()).collect();
        numbers.push(12.0);
        let observer = observer(&numbers);
        let all = observer.propose(Ranges::MinMax);
        for method in [Ranges::Percentile, Ranges::Kl] {
            assert!(observer.propose(method).scale < all.scale / 2.0, "{method:?}");
        }
        assert!(observer.error(observer.propose(Ranges::Mse)) <= observer.error(all));
    }

    #[test]
    fn ranges_hold_zero_and_scales_are_never_zero() {
        for numbers in [&[0.0f32; 4][..], &[5.0; 3], &[-2.0; 3], &[1e-30, -1e-30], &[3.0, 4.0]] {
            for method in [Ranges::MinMax, Ranges::Percentile, Ranges::Kl, Ranges::Mse] {
                let parameters = observer(numbers).propose(method);
                assert!(parameters.scale >= f64::from(SCALE_MIN as f32), "{numbers:?} {method:?}");
                assert!((-128..=127).contains(&parameters.zero_point));
            }
        }
    }
}
