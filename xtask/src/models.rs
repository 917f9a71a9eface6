//! `cargo xtask models`: every model in `testdata/models`, on the host and on emulated boards.

use crate::fixtures::{Ready, compare_upstream_with_recorded, compare_with_recorded, compiled};
use crate::steps::{Tally, root};
use cortado_compiler::finish::finish;
use cortado_compiler::lift::lift;
use cortado_compiler::report::Report;
use cortado_compiler::retarget::retarget;
use cortado_contract::{Cpu, Target};
use cortado_host::boards::{Board, BoardError, Content, Image, Tools};
use cortado_host::samples::{Outputs, Samples};
use cortado_runtime::LayoutPolicy;
use std::collections::BTreeMap;

/// The cores that models are run on.
const CPUS: [Cpu; 6] = [Cpu::M0, Cpu::M3, Cpu::M4, Cpu::M7, Cpu::M33, Cpu::M55];
/// Models of more multiply-accumulates than this run only where they are fast, unless all are asked for.
const LARGE_MACS: u64 = 1_000_000;

/// Runs all models on all boards, and the files of ExecuTorch's compiler on boards that they were made for; only these if
/// `only_theirs`.
pub(crate) fn run(only_theirs: bool) -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    println!("firmware built by {}", tools.compiler());
    let mut tally = Tally::default();
    if !only_theirs {
        run_all(&tools, true, &mut tally)?;
    }
    run_theirs(&tools, true, &mut tally)?;
    tally.finish()
}

/// Files of ExecuTorch's compiler that stand for the others: each kind of layer, views, a choice of portable operators.
const SAMPLED: &[&str] = &[
    "digits_mlp",
    "digits_cnn",
    "op_cat",
    "op_bmm",
    "two_inputs",
    "multiple_outputs",
    "op_lstm",
    "op_encoder_layer",
];
/// A model of which ExecuTorch's compiler makes files that mean nothing: operators in float over integers without a scale.
const MEANINGLESS: &str = "op_hardswish";

/// Runs the files of ExecuTorch's compiler on the boards that they were made for, where outputs must be those of the host and those
/// that are recorded: all of them, or a sample.
pub(crate) fn run_theirs(tools: &Tools, all: bool, tally: &mut Tally) -> Result<(), String> {
    let folder = root().join("testdata/pte-upstream");
    let entries = std::fs::read_dir(&folder)
        .map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    // The smallest board has no room for most of them, and ExecuTorch's own results for such files are an M3's.
    let boards = [("m55", Cpu::M55), ("m4", Cpu::M4), ("m0", Cpu::M3)];
    let mut images = BTreeMap::new();
    for (name, cpu) in boards {
        let target = Target::new(cpu);
        let board = Board::for_target(target);
        let profile = board.profile(Content::Runner);
        let image = tools.build(board, target.isa(), profile, Content::Runner);
        images.insert(name, (target, image.map_err(|error| error.to_string())?));
    }
    for path in paths {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((model, made_for)) = name.rsplit_once('-') else { continue };
        let Some((target, image)) = images.get(made_for) else { continue };
        if model == MEANINGLESS || !all && !SAMPLED.contains(&model) {
            continue;
        }
        let file = std::fs::read(&path).map_err(|error| error.to_string())?;
        let ready = Ready::new(&file)?;
        let mut samples = ready.samples(model)?;
        samples.truncate(if file.len() > 40_000 { 1 } else { 4 });
        let here = ready.run_here(target.isa(), LayoutPolicy::Refuse, &samples)?;
        let mut problem = compare_upstream_with_recorded(model, target.isa(), &here)?;
        match tools.run_program(image, &ready.on_board(LayoutPolicy::Refuse), &samples) {
            Ok(Ok(run)) if run.outputs == here => {}
            Ok(Ok(_)) => problem = Some("the board's outputs differ from the host's".to_owned()),
            Ok(Err(refusal)) => problem = Some(refusal.message),
            Err(error) => problem = Some(error.to_string()),
        }
        tally.record(&format!("ExecuTorch's {name} on {}", target.cpu()), problem);
        // Rewritten for the other boards, it gives the same outputs there.
        for (other, image) in images.values().filter(|(other, _)| other != target) {
            if SAMPLED.contains(&model) {
                let problem = rewritten(tools, image, *other, &file, &samples, &here)?;
                tally.record(
                    &format!("ExecuTorch's {name}, rewritten, on {}", other.cpu()),
                    problem,
                );
            }
        }
    }
    Ok(())
}

/// Runs a file on a board that it was not made for, rewritten for it. Returns what differs from `expected`.
fn rewritten(
    tools: &Tools,
    image: &Image,
    target: Target,
    file: &[u8],
    samples: &Samples,
    expected: &Outputs,
) -> Result<Option<String>, String> {
    let mut lifted = lift(file).map_err(|error| error.to_string())?;
    retarget(&mut lifted.program, target.isa()).map_err(|error| error.to_string())?;
    let made = finish(&lifted.program, target, &lifted.plan_options());
    let ready = Ready::new(&made.map_err(|error| error.to_string())?.pte)?;
    match tools.run_program(image, &ready.on_board(LayoutPolicy::Refuse), samples) {
        Ok(Ok(run)) if run.outputs == *expected => Ok(None),
        Ok(Ok(_)) => Ok(Some("the outputs are not those of the file as it was".to_owned())),
        Ok(Err(refusal)) => Ok(Some(refusal.message)),
        Err(error) => Ok(Some(error.to_string())),
    }
}

/// Runs all models, the large ones everywhere only if `large_everywhere`; prints a row for each.
pub(crate) fn run_all(
    tools: &Tools,
    large_everywhere: bool,
    tally: &mut Tally,
) -> Result<(), String> {
    let mut images = BTreeMap::new();
    for cpu in CPUS {
        let target = Target::new(cpu);
        // Release builds with every operator do not fit the smallest board.
        let board = Board::for_target(target);
        let profile = board.profile(Content::Runner);
        let image = tools.build(board, target.isa(), profile, Content::Runner);
        images.insert(cpu, image.map_err(|error| error.to_string())?);
    }
    for model in names()? {
        for (cpu, image) in &images {
            let target = Target::new(*cpu);
            let label = format!("{model} {cpu}");
            let compiled = match compiled(&model, target) {
                Ok(compiled) => compiled,
                Err(error) => {
                    tally.record(&label, Some(error));
                    continue;
                }
            };
            let report = Report::new(&compiled);
            let ready = Ready::new(&compiled.pte)?;
            let mut samples = ready.samples(&model)?;
            let is_large = report.macs > LARGE_MACS;
            if is_large {
                samples.truncate(2);
            }
            let here = ready.run_here(target.isa(), LayoutPolicy::Refuse, &samples)?;
            let mut problem = compare_with_recorded(&model, target.isa(), &here)?;
            let mut instructions = "not run on the board".to_owned();
            if !is_large || large_everywhere || *cpu == Cpu::M55 {
                match tools.run_program(image, &ready.on_board(LayoutPolicy::Refuse), &samples) {
                    Ok(Ok(run)) => {
                        instructions = format!("{} instructions", run.measured.instructions);
                        if run.outputs != here {
                            problem = Some("the board's outputs differ from the host's".to_owned());
                        }
                        if run.measured.state_digest != ready.state_digest(target.isa())? {
                            let reason = "the board prepares other state than the host";
                            problem = Some(reason.to_owned());
                        }
                    }
                    // The smallest board is built without operators in float; that it says so is right.
                    Ok(Err(refusal))
                        if *cpu == Cpu::M0 && refusal.message.contains("feature `float`") =>
                    {
                        instructions = refusal.message;
                    }
                    Ok(Err(refusal)) => problem = Some(refusal.message),
                    // The board is too small: that is said, with numbers, and no failure.
                    Err(
                        error @ (BoardError::RamTooSmall { .. }
                        | BoardError::ProgramTooLarge { .. }),
                    ) => {
                        instructions = error.to_string();
                    }
                    Err(error) => problem = Some(error.to_string()),
                }
            }
            let row = format!(
                "{label}: {} operators, {:.0} % int8, .pte {}, flash {}, RAM {} (arena {}), {instructions}",
                report.operators.len(),
                100.0 * report.int8_share,
                compiled.pte.len(),
                image.flash_bytes as usize + compiled.pte.len(),
                u64::from(image.ram_bytes()) + report.state_bytes as u64 + report.arena_bytes,
                report.arena_bytes,
            );
            tally.record(&row, problem);
        }
    }
    Ok(())
}

/// The names of all models.
pub(crate) fn names() -> Result<Vec<String>, String> {
    let folder = root().join("testdata/models");
    let entries = std::fs::read_dir(&folder)
        .map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let entries =
        entries.filter_map(Result::ok).filter(|entry| entry.path().join("quantized.pt2").exists());
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
