//! `cargo xtask demo`: the digits classifier, compiled for four cores and run on its real test set.

use crate::fixtures::{Ready, compare_with_recorded, compiled, path};
use cortado_compiler::report::Report;
use cortado_contract::{Cpu, Target};
use cortado_host::boards::{Board, Content, Tools};
use cortado_host::samples::Outputs;
use cortado_npz::Array;
use cortado_runtime::LayoutPolicy;

const MODEL: &str = "digits_mlp";

pub(crate) fn run() -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    let labels = labels()?;
    println!(
        "{MODEL}: {} handwritten digits of 8×8 pixels that it was not trained on",
        labels.len()
    );
    println!("firmware built by {}\n", tools.compiler());
    println!(
        "{:<12} {:<7} {:<11} {:>7} {:>9} {:>9} {:>13} {:>9}  {:<23} = upstream",
        "target",
        "isa",
        "form",
        ".pte",
        "flash",
        "RAM",
        "instructions",
        "accuracy",
        "bit-exact with the host"
    );
    let mut is_exact = true;
    for cpu in [Cpu::M0, Cpu::M3, Cpu::M4, Cpu::M55] {
        is_exact &= row(&tools, Target::new(cpu), &labels)?;
    }
    println!(
        "\n.pte, flash and RAM in bytes. Flash is the whole image (start-up, host link, runtime, kernels) and the .pte; RAM is"
    );
    println!(
        "variables, reserved stack, method state and arena. Instructions are per inference, float input and output included."
    );
    let accuracy = recorded_accuracy()?;
    println!("upstream's int8 accuracy on the same images: {:.2} %", 100.0 * accuracy);
    if is_exact { Ok(()) } else { Err("an output is not what it must be".to_owned()) }
}

fn row(tools: &Tools, target: Target, labels: &[i64]) -> Result<bool, String> {
    let compiled = compiled(MODEL, target)?;
    let report = Report::new(&compiled);
    let ready = Ready::new(&compiled.pte)?;
    let samples = ready.samples(MODEL)?;
    let board = Board::for_target(target);
    let image = tools.build(board, target.isa(), board.profile(Content::Runner), Content::Runner);
    let image = image.map_err(|error| error.to_string())?;
    let here = ready.run_here(target.isa(), LayoutPolicy::Refuse, &samples)?;
    let run = tools.run_program(&image, &ready.on_board(LayoutPolicy::Refuse), &samples);
    let run = run.map_err(|error| error.to_string())?.map_err(|refusal| refusal.message)?;
    let equals_host = run.outputs == here;
    let difference = compare_with_recorded(MODEL, target.isa(), &run.outputs)?;
    let flash = image.flash_bytes as usize + compiled.pte.len();
    let ram = u64::from(image.ram_bytes()) + report.state_bytes as u64 + report.arena_bytes;
    println!(
        "{:<12} {:<7} {:<11} {:>7} {:>9} {:>9} {:>13} {:>7.2} %  {:<23} {}",
        target.cpu().name(),
        report.isa,
        report.constant_form,
        compiled.pte.len(),
        flash,
        ram,
        run.measured.instructions,
        100.0 * accuracy(&run.outputs, labels),
        if equals_host { "yes" } else { "NO" },
        if difference.is_none() { "yes" } else { "NO" },
    );
    Ok(equals_host && difference.is_none())
}

/// The share of samples whose greatest score is that of their label.
fn accuracy(outputs: &Outputs, labels: &[i64]) -> f64 {
    let scores: Vec<f32> = outputs
        .bytes()
        .next()
        .unwrap_or(&[])
        .as_chunks()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    let classes = scores.len() / labels.len().max(1);
    let hits = scores.chunks(classes.max(1)).zip(labels).filter(|(scores, label)| {
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        best.is_some_and(|best| best as i64 == **label)
    });
    hits.count() as f64 / labels.len() as f64
}

fn labels() -> Result<Vec<i64>, String> {
    let path = path(MODEL, "labels.npy");
    let bytes =
        std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let array = Array::read_npy(&bytes).map_err(|error| error.to_string())?;
    array.values::<i64>().map_err(|error| error.to_string())
}

fn recorded_accuracy() -> Result<f64, String> {
    let path = path(MODEL, "meta.json");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let meta: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    meta["int8_accuracy"].as_f64().ok_or_else(|| "meta.json has no int8_accuracy".to_owned())
}
