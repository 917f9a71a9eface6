//! Mel-frequency cepstral coefficients of a stream: every 20 ms, ten numbers that describe the last 32 ms of sound.
//!
//! ```text
//! spectrum[b]    = | FFT(hann · samples)[b] |²                                    512 samples, bins of 31.25 Hz
//! energy[m]      = ln( Σ_b triangle[m, b] · spectrum[b] + floor )                 40 bands from 20 to 7600 Hz, even in mel
//! coefficient[k] = Σ_m energy[m] · norm(k) · cos(π · k · (2m + 1) / 80)           the first 10 of an orthonormal DCT-II
//! ```
//!
//! The definition is `training/features.py`, in double precision. Here it is computed in single precision, which every core
//! with a floating point unit has; `tests/reference.rs` holds one against the other.

use microfft::Complex32;
use microfft::real::rfft_512;

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// Samples per second that the front end takes.
pub const SAMPLE_RATE_HZ: u32 = 16_000;
/// Samples of one frame: 32 ms.
pub const FRAME_SAMPLES: usize = 512;
/// Samples from one frame's start to the next one's: 20 ms.
pub const HOP_SAMPLES: usize = 320;
/// Coefficients of a frame.
pub const COEFFICIENTS: usize = 10;

/// Bands of the mel scale.
const BANDS: usize = BAND_SPANS.len();

/// Added to each band's energy: a noise some 70 dB below full scale, under which all is silence.
const ENERGY_FLOOR: f32 = 1e-3;

/// Computes frames of a stream. It holds what the next frame overlaps with, and the memory to compute it in: 3 KiB.
#[derive(Clone, Debug)]
pub struct Mfcc {
    /// The last samples, oldest first.
    samples: [i16; FRAME_SAMPLES],
    /// The windowed samples, then their spectrum.
    buffer: [f32; FRAME_SAMPLES],
}

impl Mfcc {
    /// Before the stream starts, all is silence.
    #[allow(clippy::new_without_default, reason = "it is for statics")]
    pub const fn new() -> Self {
        Mfcc { samples: [0; FRAME_SAMPLES], buffer: [0.0; FRAME_SAMPLES] }
    }

    /// Takes the next 20 ms of samples, full scale being 32,768. Returns the coefficients of the frame that ends with them.
    pub fn push(&mut self, hop: &[i16; HOP_SAMPLES]) -> [f32; COEFFICIENTS] {
        self.samples.copy_within(HOP_SAMPLES.., 0);
        self.samples[FRAME_SAMPLES - HOP_SAMPLES..].copy_from_slice(hop);
        self.frame()
    }

    /// The coefficients of silence.
    pub fn silence() -> [f32; COEFFICIENTS] {
        Mfcc::new().frame()
    }

    fn frame(&mut self) -> [f32; COEFFICIENTS] {
        let windowed =
            self.samples.iter().zip(&WINDOW).map(|(sample, weight)| f32::from(*sample) * weight);
        for (value, windowed) in self.buffer.iter_mut().zip(windowed) {
            *value = windowed;
        }
        // Bin 0 holds two real numbers, those of 0 and 8000 Hz; no band reaches to either.
        let spectrum = rfft_512(&mut self.buffer);
        let energies = band_energies(spectrum);
        COSINES
            .each_ref()
            .map(|row| row.iter().zip(&energies).map(|(cosine, energy)| cosine * energy).sum())
    }
}

/// The logarithm of each band's energy.
fn band_energies(spectrum: &[Complex32]) -> [f32; BANDS] {
    let mut weights = BAND_WEIGHTS.as_slice();
    BAND_SPANS.map(|(first, count)| {
        let (these, others) = weights.split_at(usize::from(count));
        weights = others;
        let bins = &spectrum[usize::from(first)..];
        let energy: f32 = these
            .iter()
            .zip(bins)
            .map(|(weight, bin)| weight * (bin.re * bin.re + bin.im * bin.im))
            .sum();
        libm::logf(energy + ENERGY_FLOOR)
    })
}

/// How the model takes a coefficient: normalized, `(coefficient - mean) / deviation`, and then quantized.
#[derive(Clone, Copy, Debug)]
pub struct Quantizer {
    mean: [f32; COEFFICIENTS],
    /// `1 / (deviation · scale)`, by coefficient.
    factors: [f32; COEFFICIENTS],
    zero_point: f32,
}

impl Quantizer {
    /// For a model whose input integers stand for `scale · (integer - zero_point)`.
    pub fn new(scale: f32, zero_point: i32) -> Self {
        Quantizer {
            mean: MEAN,
            factors: DEVIATION.map(|deviation| 1.0 / (deviation * scale)),
            zero_point: zero_point as f32,
        }
    }

    /// The model's integers: rounded half to even, as PyTorch quantizes, and saturated.
    pub fn quantize(&self, coefficients: &[f32; COEFFICIENTS]) -> [i8; COEFFICIENTS] {
        let mut integers = [0; COEFFICIENTS];
        for (k, integer) in integers.iter_mut().enumerate() {
            let steps = (coefficients[k] - self.mean[k]) * self.factors[k];
            // The cast saturates.
            *integer = (libm::rintf(steps) + self.zero_point) as i8;
        }
        integers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantizing_rounds_half_to_even_and_saturates() {
        let quantizer =
            Quantizer { mean: [8.0; COEFFICIENTS], factors: [2.0; COEFFICIENTS], zero_point: -3.0 };
        let coefficients =
            [0.0, 0.25, 0.75, 1.0, -0.25, -0.75, 65.5, 1e9, -1e9, 0.26].map(|it| it + 8.0);
        let expected = [-3, -3, -1, -1, -3, -5, 127, 127, -128, -2];
        assert_eq!(quantizer.quantize(&coefficients), expected);
    }

    #[test]
    fn bands_take_every_bin_between_their_ends() {
        let mut sums = [0.0f32; FRAME_SAMPLES / 2];
        let mut weights = BAND_WEIGHTS.iter();
        for (first, count) in BAND_SPANS {
            for sum in &mut sums[usize::from(first)..][..usize::from(count)] {
                *sum += weights.next().unwrap();
            }
        }
        assert_eq!(weights.next(), None);
        // Triangles whose feet are the neighbours' tops sum up to 1, but for the first and the last one's outer sides.
        assert!(sums[3..228].iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{sums:?}");
        assert!(sums[244..].iter().all(|sum| *sum == 0.0), "{sums:?}");
    }
}
