//! What is said about a quantized program.

use serde::Serialize;
use std::fmt::{self, Write};

/// How many layers are named as the worst ones.
const WORST: usize = 5;

/// What quantizing did to a model, measured on the calibration samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The number of calibration samples.
    pub samples: usize,
    /// Every result in int8 or int16, in the order of execution.
    pub layers: Vec<LayerReport>,
    /// The model's outputs.
    pub outputs: Vec<OutputReport>,
    /// What stayed in float.
    pub float_nodes: Vec<FloatNode>,
    /// Pairs of layers between which factors were moved.
    pub equalized: usize,
    /// Whether biases were corrected, which they are where that lessens the error.
    pub bias_corrected: bool,
    /// What may be wrong with the calibration data or the model.
    pub warnings: Vec<Warning>,
}

/// A result in integers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// The result's name.
    pub name: String,
    /// The operator.
    pub operator: String,
    /// Where the user wrote it.
    pub source: String,
    /// Power of the float result over power of the difference, in decibels; absent where there is no difference or no signal.
    pub sqnr_db: Option<f64>,
    /// The type of its integers.
    pub dtype: &'static str,
    /// The result's scale.
    pub scale: f64,
    /// The result's zero point.
    pub zero_point: i32,
}

/// An output of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputReport {
    /// The output's name.
    pub name: String,
    /// Mean squared error.
    pub mean_squared_error: f64,
    /// As [`LayerReport::sqnr_db`].
    pub sqnr_db: Option<f64>,
}

/// An operator that stayed in float.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FloatNode {
    /// The node's name.
    pub name: String,
    /// The operator.
    pub operator: String,
    /// Where the user wrote it.
    pub source: String,
    /// Why.
    pub reason: String,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Warning {
    /// A tensor that is zero for all samples.
    Dead {
        /// The tensor.
        value: String,
    },
    /// A tensor that is one number for all samples.
    Constant {
        /// The tensor.
        value: String,
        /// The number.
        number: f32,
    },
    /// Channels of an input that are the same in all samples.
    ConstantChannels {
        /// The input.
        input: String,
        /// The channels, from 0.
        channels: Vec<usize>,
    },
    /// Few samples.
    FewSamples {
        /// How many.
        samples: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Dead { value } => write!(
                f,
                "dead activation: `{value}` is zero in all calibration samples, so nothing is known about its range"
            ),
            Warning::Constant { value, number } => write!(
                f,
                "constant activation: `{value}` is {number} throughout all calibration samples"
            ),
            Warning::ConstantChannels { input, channels } => write!(
                f,
                "constant channels: input `{input}` never changes in channel {}",
                channels.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
            ),
            Warning::FewSamples { samples } => {
                write!(
                    f,
                    "few samples: ranges are taken from {samples} of them; 32 and more are better"
                )
            }
        }
    }
}

/// Ten times the common logarithm of a ratio, if that is a number.
pub(crate) fn decibels(signal: f64, noise: f64) -> Option<f64> {
    let decibels = 10.0 * (signal / noise).log10();
    decibels.is_finite().then_some(decibels)
}

impl Report {
    /// The layers with the most noise, the worst first.
    pub fn worst(&self) -> Vec<&LayerReport> {
        let mut layers: Vec<&LayerReport> =
            self.layers.iter().filter(|layer| layer.sqnr_db.is_some()).collect();
        layers.sort_by(|a, b| a.sqnr_db.unwrap_or(0.0).total_cmp(&b.sqnr_db.unwrap_or(0.0)));
        layers.truncate(WORST);
        layers
    }

    /// The report as a table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let width =
            self.layers.iter().map(|layer| layer.name.len()).max().unwrap_or(4).clamp(6, 40);
        let ratio = |ratio: Option<f64>| match ratio {
            Some(ratio) => format!("{ratio:.1}"),
            None => "-".to_owned(),
        };
        writeln!(
            out,
            "{:width$}  {:>8}  {:>5}  {:>12}  {:>10}  operator",
            "result", "SQNR dB", "type", "scale", "zero point"
        )?;
        for LayerReport { name, operator, sqnr_db, dtype, scale, zero_point, .. } in &self.layers {
            let ratio = ratio(*sqnr_db);
            writeln!(
                out,
                "{name:width$}  {ratio:>8}  {dtype:>5}  {scale:>12.6e}  {zero_point:>10}  {operator}"
            )?;
        }
        let worst = self.worst();
        if self.layers.len() > WORST {
            writeln!(out, "\nmost noise:")?;
            for LayerReport { name, operator, sqnr_db, source, .. } in worst {
                writeln!(out, "  {:>6} dB  `{name}` ({operator}), at {source}", ratio(*sqnr_db))?;
            }
        }
        writeln!(out)?;
        for OutputReport { name, mean_squared_error, sqnr_db } in &self.outputs {
            let ratio = ratio(*sqnr_db);
            writeln!(
                out,
                "output `{name}`: mean squared error {mean_squared_error:.3e}, SQNR {ratio} dB"
            )?;
        }
        if !self.float_nodes.is_empty() {
            writeln!(out, "\nin float:")?;
            for FloatNode { name, operator, source, reason } in &self.float_nodes {
                writeln!(out, "  {operator} (node `{name}`): {reason}\n    at {source}")?;
            }
        }
        Ok(())
    }
}
