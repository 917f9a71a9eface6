//! `cargo xtask models`: every model in `testdata/models`, on the host and on emulated boards.

use crate::fixtures::{Ready, compare_with_recorded, compiled};
use crate::steps::{Tally, root};
use cortado_compiler::report::Report;
use cortado_contract::{Cpu, Target};
use cortado_host::boards::{Board, BoardError, Content, Profile, Tools};
use cortado_runtime::LayoutPolicy;
use std::collections::BTreeMap;

/// The cores that models are run on.
const CPUS: [Cpu; 6] = [Cpu::M0, Cpu::M3, Cpu::M4, Cpu::M7, Cpu::M33, Cpu::M55];
/// Models of more multiply-accumulates than this run only where they are fast, unless all are asked for.
const LARGE_MACS: u64 = 1_000_000;

/// Runs all models on all boards.
pub(crate) fn run() -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    println!("firmware built by {}", tools.compiler());
    let mut tally = Tally::default();
    run_all(&tools, true, &mut tally)?;
    tally.finish()
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
        let image =
            tools.build(Board::for_target(target), target.isa(), Profile::Release, Content::Runner);
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
