//! Weights as int8, with zero at 0 and a scale for each output channel or one for all; biases as int32 on the scale of input times
//! weight.

use crate::ranges::{SCALE_MIN, round};

/// The greatest magnitude of a bias's integer. A power of two below the limit, so that no correction of it can overflow.
const BIAS_MAX: f64 = (1u32 << 30) as f64;

/// Weights as integers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    /// Of each channel, or only one.
    pub(crate) scales: Vec<f64>,
    /// In the order of the weights.
    pub(crate) integers: Vec<i8>,
}

/// How the weights of a layer lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layout {
    /// The axis of the output channels.
    pub(crate) axis: usize,
    /// The extent of that axis.
    pub(crate) channels: usize,
    /// Elements from one item of the axis to the next.
    pub(crate) inner: usize,
}

impl Layout {
    pub(crate) fn new(shape: &[usize], axis: usize) -> Layout {
        let inner = shape[axis + 1..].iter().product::<usize>().max(1);
        Layout { axis, channels: shape[axis], inner }
    }

    pub(crate) fn channel_of(self, element: usize) -> usize {
        element / self.inner % self.channels.max(1)
    }
}

/// Quantizes weights; `bias_scale` is the number by which a weight's scale is multiplied to have that of the bias. `searched` scales have
/// the least squared error, others show the greatest weight.
pub(crate) fn quantize(
    weights: &[f32],
    bias: &[f32],
    layout: Layout,
    per_tensor: bool,
    searched: bool,
    input_scale: f64,
    output_scale: f64,
) -> Weights {
    let count = if per_tensor { 1 } else { layout.channels };
    let mut by_channel: Vec<Vec<f32>> = vec![Vec::new(); count];
    for (index, weight) in weights.iter().enumerate() {
        by_channel[if per_tensor { 0 } else { layout.channel_of(index) }].push(*weight);
    }
    let scale = |(channel, weights): (usize, &Vec<f32>)| {
        let largest = weights.iter().fold(0.0f32, |max, weight| max.max(weight.abs()));
        let scale = match largest > 0.0 {
            true if searched => search(weights, largest),
            true => f64::from(largest) / 127.0,
            // A channel without weights has its bias alone, in steps that are fine beside those of the result.
            false => output_scale / input_scale / 256.0,
        };
        // Transposed convolutions in groups have fewer scales than biases.
        let biases = bias.iter().enumerate();
        let own = biases.filter(|(at, _)| per_tensor || at % count == channel);
        let bias = own.fold(0.0f32, |max, (_, bias)| max.max(bias.abs()));
        let least = f64::from(bias) / (BIAS_MAX * input_scale);
        f64::from(scale.max(least).max(SCALE_MIN) as f32)
    };
    let scales: Vec<f64> = by_channel.iter().enumerate().map(scale).collect();
    let integer = |(index, weight): (usize, &f32)| {
        let scale = scales[if per_tensor { 0 } else { layout.channel_of(index) }];
        (f64::from(*weight) / scale).round_ties_even().clamp(-128.0, 127.0) as i8
    };
    let integers = weights.iter().enumerate().map(integer).collect();
    Weights { scales, integers }
}

/// The scale of least squared error among some that cut off the greatest weights.
fn search(weights: &[f32], largest: f32) -> f64 {
    let error = |scale: f32| {
        let inverse = 1.0 / scale;
        let square = |weight: &f32| {
            let rounded = round((weight * inverse).clamp(-128.0, 127.0)) * scale;
            (weight - rounded) * (weight - rounded)
        };
        weights
            .chunks(16)
            .map(|block| f64::from(block.iter().map(square).sum::<f32>()))
            .sum::<f64>()
    };
    // The first few cut off half a step at most, or nothing where the greatest weight is negative.
    let few = [127.0, 127.5, 128.0].into_iter();
    let steps = few.chain((1..28).map(|index| 127.0 + 1.5 * index as f32));
    let scales = steps.map(|steps| largest / steps);
    let best = scales.map(|scale| (error(scale), scale)).min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(f64::from(largest) / 127.0, |(_, scale)| f64::from(scale))
}

/// The bias's integers on the scale of input times weight.
pub(crate) fn quantize_bias(bias: &[f32], scales: &[f64]) -> Vec<i32> {
    let integer = |(index, bias): (usize, &f32)| {
        let scale = scales[index % scales.len()];
        let limit = f64::from(i32::MAX - 1);
        (f64::from(*bias) / scale).round_ties_even().clamp(-limit, limit) as i32
    };
    bias.iter().enumerate().map(integer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_has_its_scale_and_none_is_zero() {
        let layout = Layout::new(&[3, 2], 0);
        let found = quantize(
            &[0.5, -2.0, 0.0, 0.0, 1e-9, 0.0],
            &[0.0, 3.0, 1e6],
            layout,
            false,
            false,
            0.5,
            0.25,
        );
        assert_eq!(found.integers[..2], [32, -127]);
        assert_eq!(found.scales[0], f64::from((2.0f64 / 127.0) as f32));
        // No weights: steps of the result over 256.
        assert_eq!(found.scales[1], 0.25 / 0.5 / 256.0);
        // The bias of the last one would not fit 32 bits on the scale that its weights ask for.
        let scales: Vec<f64> = found.scales.iter().map(|scale| scale * 0.5).collect();
        let bias = quantize_bias(&[0.0, 3.0, 1e6], &scales);
        assert_eq!(bias[1], 3072);
        assert!((f64::from(bias[2]) * scales[2] - 1e6).abs() < 1.0);
        let single = quantize(&[1.0, -2.0, 0.5, 0.0, 0.0, 0.0], &[], layout, true, false, 1.0, 1.0);
        assert_eq!(single.scales.len(), 1);
    }

    #[test]
    fn scales_of_transposed_weights_lie_along_the_second_axis() {
        let layout = Layout::new(&[2, 2, 1, 1], 1);
        let found = quantize(&[0.5, 8.0, -2.0, 2.0], &[], layout, false, false, 1.0, 1.0);
        assert_eq!(found.integers, [32, 127, -127, 32]);
    }

    #[test]
    fn searched_scales_reach_minus_128_where_that_is_nearer() {
        let layout = Layout::new(&[2, 3], 0);
        let weights = [-1.28, 0.31, 0.05, 1.27, 0.31, 0.05];
        let found = quantize(&weights, &[], layout, false, true, 1.0, 1.0);
        assert_eq!(found.integers, [-128, 31, 5, 127, 31, 5]);
        // Without a search, the greatest magnitude becomes 127.
        let found = quantize(&weights, &[], layout, false, false, 1.0, 1.0);
        assert_eq!(found.integers, [-127, 31, 5, 127, 31, 5]);
    }
}
