//! Computes the front end's tables in f64 and writes them as f32 into `tables.rs`: on the device they lie in flash.
//!
//! The definition of what is computed here is `training/features.py`.

use std::f64::consts::PI;
use std::fmt::Write;
use std::{env, fs, path::Path};

const SAMPLE_RATE_HZ: f64 = 16_000.0;
const FRAME_SAMPLES: usize = 512;
const BANDS: usize = 40;
const BAND_LOW_HZ: f64 = 20.0;
const BAND_HIGH_HZ: f64 = 7_600.0;
const COEFFICIENTS: usize = 10;
/// Samples come as integers; the features are defined on numbers from -1 to 1.
const SAMPLE_SCALE: f64 = 1.0 / 32_768.0;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../model/normalization.csv");
    let mut text = String::new();
    table(&mut text, "The Hann window, by the scale of a sample.", "WINDOW", &window());
    mel_bands(&mut text);
    let rows = cosines();
    let _ = writeln!(
        text,
        "/// The first rows of the orthonormal DCT-II.\nstatic COSINES: [[f32; {BANDS}]; {COEFFICIENTS}] = {};",
        list(rows.iter().map(|row| list(row.iter().map(|value| float(*value)))))
    );
    let [mean, deviation] = normalization();
    table(&mut text, "The mean of each coefficient over the training windows.", "MEAN", &mean);
    table(&mut text, "Its standard deviation.", "DEVIATION", &deviation);
    let path = Path::new(&env::var("OUT_DIR").unwrap()).join("tables.rs");
    fs::write(path, text).unwrap();
}

/// The periodic Hann window.
fn window() -> Vec<f64> {
    let angle = |n: usize| 2.0 * PI * n as f64 / FRAME_SAMPLES as f64;
    (0..FRAME_SAMPLES).map(|n| (0.5 - 0.5 * angle(n).cos()) * SAMPLE_SCALE).collect()
}

/// Triangles of height 1 whose feet are the neighbours' tops, evenly spaced in mel; only what is not 0 of each.
fn mel_bands(text: &mut String) {
    let mel = |hertz: f64| 1127.0 * (hertz / 700.0).ln_1p();
    let hertz = |mel: f64| 700.0 * (mel / 1127.0).exp_m1();
    let (low, high) = (mel(BAND_LOW_HZ), mel(BAND_HIGH_HZ));
    let step = (high - low) / (BANDS + 1) as f64;
    let edge = |index: usize| hertz(low + step * index as f64);
    let (mut spans, mut weights) = (Vec::new(), Vec::new());
    for band in 0..BANDS {
        let (foot, top, other_foot) = (edge(band), edge(band + 1), edge(band + 2));
        let of_bin = (1..FRAME_SAMPLES / 2).map(|bin| {
            let frequency = bin as f64 * SAMPLE_RATE_HZ / FRAME_SAMPLES as f64;
            let rising = (frequency - foot) / (top - foot);
            (bin, rising.min((other_foot - frequency) / (other_foot - top)))
        });
        let inside: Vec<(usize, f64)> = of_bin.filter(|(_, weight)| *weight > 0.0).collect();
        spans.push(format!("({}, {})", inside[0].0, inside.len()));
        weights.extend(inside.iter().map(|(_, weight)| *weight));
    }
    let _ = writeln!(
        text,
        "/// The first bin of each band, and the number of its bins.\nstatic BAND_SPANS: [(u8, u8); {BANDS}] = {};",
        list(spans)
    );
    table(
        text,
        "The weights of the bands' bins, one band after the other.",
        "BAND_WEIGHTS",
        &weights,
    );
}

fn cosines() -> Vec<Vec<f64>> {
    let row = |k: usize| {
        let norm = (if k == 0 { 1.0 } else { 2.0 } / BANDS as f64).sqrt();
        let angle = move |n: usize| PI * k as f64 * (2 * n + 1) as f64 / (2 * BANDS) as f64;
        (0..BANDS).map(|n| norm * angle(n).cos()).collect()
    };
    (0..COEFFICIENTS).map(row).collect()
}

/// Mean and deviation of each coefficient, as training found them.
fn normalization() -> [Vec<f64>; 2] {
    let text = fs::read_to_string("../model/normalization.csv").unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let rows: Vec<Vec<f64>> = lines
        .map(|line| line.split(',').map(|number| number.trim().parse().unwrap()).collect())
        .collect();
    let rows: [Vec<f64>; 2] = rows.try_into().expect("two lines: mean and deviation");
    assert!(rows.iter().all(|row| row.len() == COEFFICIENTS), "a number for each coefficient");
    rows
}

fn table(text: &mut String, what: &str, name: &str, values: &[f64]) {
    let numbers = list(values.iter().map(|value| float(*value)));
    let _ = writeln!(text, "/// {what}\nstatic {name}: [f32; {}] = {numbers};", values.len());
}

fn float(value: f64) -> String {
    format!("{:?}", value as f32)
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}
