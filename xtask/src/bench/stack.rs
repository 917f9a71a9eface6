//! `cargo xtask bench stack`: the stack that loading and each operator take, on boards with each instruction set.

use crate::fixtures::{Ready, compiled};
use crate::models::names;
use crate::steps::root;
use cortado_contract::{Cpu, Isa, Target};
use cortado_host::boards::{Board, BoardError, Content, LARGE_M0, Profile, Tools};
use cortado_host::samples::Samples;
use cortado_npz::Archive;
use cortado_runtime::LayoutPolicy;
use cortado_trials::choices::Choices;
use cortado_trials::operators;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The cores that are measured. Where two have the same instruction set, the greater number counts.
const CPUS: [Cpu; 5] = [Cpu::M0, Cpu::M3, Cpu::M4, Cpu::M33, Cpu::M55];

/// Where the compiler reads it.
const TABLE: &str = "crates/compiler/src/stack.csv";

/// Programs of random calls that are measured besides the models: kernels take their ways by extents, of which models have few.
const RANDOM_PROGRAMS: u32 = 250;
/// Calls in each of them.
const CALLS: usize = 30;

/// Runs every model, and programs of random calls, once on each board and writes the table.
pub(super) fn run() -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    let mut most: BTreeMap<(Isa, String), u64> = BTreeMap::new();
    let mut boards: BTreeMap<Isa, Vec<&str>> = BTreeMap::new();
    for cpu in CPUS {
        let target = Target::new(cpu);
        // An M0's code on the board that has room for all of it.
        let board = if cpu == Cpu::M0 { LARGE_M0 } else { Board::for_target(target) };
        let isa = target.isa();
        let image = tools.build(board, isa, Profile::Release, Content::Runner);
        let image = image.map_err(|error| error.to_string())?;
        boards.entry(isa).or_default().push(board.name);
        let mut programs = Vec::new();
        for model in names()? {
            let ready = Ready::new(&compiled(&model, target)?.pte)?;
            let samples = ready.samples(&model)?;
            programs.push((model, ready, samples));
        }
        for seed in 0..RANDOM_PROGRAMS {
            let calls = operators::program(&mut Choices::seeded(seed), CALLS);
            let ready = Ready::new(&operators::file(&calls, target)?)?;
            // They have no inputs.
            let samples = Samples::take(&Archive::new(), &[], &ready.boundary.inputs);
            let samples = samples.map_err(|error| error.to_string())?;
            programs.push((format!("random calls of seed {seed}"), ready, samples));
        }
        for (model, ready, mut samples) in programs {
            samples.truncate(1);
            let mut program = ready.on_board(LayoutPolicy::Refuse);
            program.stack_of_calls = true;
            let measured = match tools.run_program(&image, &program, &samples) {
                Ok(Ok(run)) => run.measured,
                Ok(Err(refusal)) => {
                    println!("{:<12} {model}: {}", board.name, refusal.message);
                    continue;
                }
                Err(BoardError::RamTooSmall { .. } | BoardError::ProgramTooLarge { .. }) => {
                    println!("{:<12} {model}: too large for this board", board.name);
                    continue;
                }
                Err(error) => return Err(error.to_string()),
            };
            println!(
                "{:<12} {model}: load {}, execute {}",
                board.name, measured.load_stack_bytes, measured.execute_stack_bytes
            );
            let rows = measured.call_stack_bytes.into_iter();
            for (what, bytes) in rows.chain([("load".to_owned(), measured.load_stack_bytes)]) {
                let most = most.entry((isa, what)).or_default();
                *most = bytes.max(*most);
            }
        }
    }
    let mut table = "isa,board,what,stack_bytes\n".to_owned();
    for ((isa, what), bytes) in &most {
        let boards = boards.get(isa).map_or(String::new(), |names| names.join(" and "));
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{isa},{boards},{what},{bytes}");
    }
    std::fs::write(root().join(TABLE), table).map_err(|error| format!("{TABLE}: {error}"))?;
    println!("{} rows in {TABLE}", most.len());
    Ok(())
}
