//! Recorded results of a model, in a folder as those of `testdata/models`, and how outputs are held against them.

use crate::samples::Outputs;
use cortado_npz::Archive;
use std::path::Path;

/// Models that upstream computes in float, not at all, or less exactly, so that torch's own float computation of the quantized
/// program is what is left to compare with. It may round an element that lies between two steps to the other one.
const NEAR_TORCH: &[&str] = &[
    "int16_cnn",
    "op_conv2d_contiguous",
    "op_conv_hardswish",
    "op_hardswish",
    "op_encoder_layer",
    "op_lstm",
    "op_transformer_block",
];

/// The most steps of the output's scale by which a model may differ from torch: one, unless said otherwise.
fn steps_allowed(model: &str) -> f32 {
    match model {
        // The convolution may differ by a step, which hardswish and the change of scale stretch to two.
        "op_conv_hardswish" => 2.0,
        // Eight products one after the other, each of which may differ by a step.
        "op_transformer_block" => 2.0,
        _ => 1.0,
    }
}

/// Holds a model's outputs against what is recorded for `target` (`m55`, `m4` or `m0`): the results of upstream's C++ runtime for the
/// first samples where they are there, else those of its integer implementation in Python, both bit for bit. Returns what differs.
///
/// # Errors
/// When the folder's files cannot be read.
pub fn compare(folder: &Path, target: &str, outputs: &Outputs) -> Result<Option<String>, String> {
    compare_with(folder, target, outputs, NEAR_TORCH)
}

/// Holds the outputs of a program that upstream's compiler made against what is recorded for it, as [`compare`] does for our own, but
/// bit for bit in any case.
///
/// # Errors
/// When the folder's files cannot be read.
pub fn compare_upstream(
    folder: &Path,
    target: &str,
    outputs: &Outputs,
) -> Result<Option<String>, String> {
    compare_with(folder, target, outputs, &[])
}

fn compare_with(
    folder: &Path,
    target: &str,
    outputs: &Outputs,
    near_torch_models: &[&str],
) -> Result<Option<String>, String> {
    let model = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let expected = Archive::open(folder.join("expected.npz")).map_err(|error| error.to_string())?;
    let runtime = Archive::open(folder.join("upstream-runtime.npz")).ok();
    for (index, output) in outputs.bytes().enumerate() {
        let problem = if near_torch_models.contains(&model) {
            near_torch(folder, model, &expected, index, output)?
        } else {
            let key = format!("{target}_output{index}");
            let from_runtime = runtime.as_ref().and_then(|archive| archive.get(&key));
            let recorded = from_runtime.or_else(|| expected.get(&key));
            let recorded = recorded.ok_or_else(|| format!("{model} has no {key}"))?.bytes();
            let length = output.len().min(recorded.len());
            let position = (0..length).find(|byte| output[*byte] != recorded[*byte]);
            position
                .map(|byte| format!("{key} differs from upstream's, first in element {}", byte / 4))
        };
        if problem.is_some() {
            return Ok(problem);
        }
    }
    Ok(None)
}

fn near_torch(
    folder: &Path,
    model: &str,
    expected: &Archive,
    index: usize,
    output: &[u8],
) -> Result<Option<String>, String> {
    let key = format!("torch_output{index}");
    let recorded = expected.get(&key).ok_or_else(|| format!("{model} has no {key}"))?;
    let recorded = recorded.values::<f32>().map_err(|error| error.to_string())?;
    let found: Vec<f32> =
        output.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let step = output_scale(folder, index)?;
    let farthest = found.iter().zip(&recorded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // A tenth of a step more, for the rounding of the float numbers themselves.
    let allowed = (steps_allowed(model) + 0.1) * step;
    Ok((farthest > allowed).then(|| format!("{key}: {} steps from torch's", farthest / step)))
}

/// The scale of an output, from `meta.json`.
fn output_scale(folder: &Path, index: usize) -> Result<f32, String> {
    let path = folder.join("meta.json");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let meta: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let scale = meta["outputs"][index]["scale"].as_f64();
    scale
        .map(|scale| scale as f32)
        .ok_or_else(|| format!("{} has no scale of output {index}", path.display()))
}
