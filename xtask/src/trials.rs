//! Random, damaged and misused programs on emulated boards.

use crate::steps::{Tally, alone};
use cortado_contract::{Cpu, Isa, Target};
use cortado_host::boards::{Board, Content, Image, Run, RunOutput, Tools};
use cortado_trials::choices::Choices;
use cortado_trials::packs::{RECORD_BYTES, Trial, pack};
use cortado_trials::valid::valid_programs;
use cortado_trials::{mutants, operators};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The cores that trials run on, one for each instruction set.
const CPUS: [Cpu; 3] = [Cpu::M3, Cpu::M4, Cpu::M55];
/// Random calls in a program.
const CALLS: usize = 30;
/// The most bytes of a pack: what the smallest board of these has room for, with some to spare.
const PACK_BYTES_MAX: usize = 6 << 20;

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Random calls of operators for each instruction set.
    cases: usize,
    /// Of the mutants, one in this many.
    mutant_step: usize,
    /// Runs of one program.
    repeats: usize,
}

impl Extent {
    /// What every change must pass.
    pub(crate) const ORDINARY: Extent = Extent { cases: 2_100, mutant_step: 397, repeats: 10_000 };
    /// The long run.
    pub(crate) const FULL: Extent = Extent { cases: 100_000, mutant_step: 29, repeats: 10_000 };
}

/// Runs all of it, on its own.
pub(crate) fn check(full: bool) -> Result<(), String> {
    let extent = if full { Extent::FULL } else { Extent::ORDINARY };
    alone(|tools, tally| run(tools, extent, tally))
}

/// Runs all of it.
pub(crate) fn run(tools: &Tools, extent: Extent, tally: &mut Tally) -> Result<(), String> {
    let folder = Folder::new()?;
    for cpu in CPUS {
        let target = Target::new(cpu);
        let board = Board::for_target(target);
        let image =
            tools.build(board, target.isa(), board.profile(Content::Runner), Content::Runner);
        let image = image.map_err(|error| error.to_string())?;
        let bench = Bench { tools, image: &image, folder: &folder.0 };
        random(&bench, target, extent, tally)?;
        damaged(&bench, cpu, extent, tally)?;
        misused(&bench, target, extent, tally)?;
    }
    Ok(())
}

/// An image with what it takes to run it.
struct Bench<'b> {
    tools: &'b Tools,
    image: &'b Image,
    folder: &'b Path,
}

impl Bench<'_> {
    fn run(&self, programs: &[Trial], arguments: &[&str]) -> Result<RunOutput, String> {
        let path = self.folder.join("pack.bin");
        fs::write(&path, pack(programs))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let limit = Duration::from_secs(900);
        let run = Run { program: Some(&path), arguments, directory: self.folder, limit };
        self.tools.run(self.image, &run).map_err(|error| error.to_string())
    }

    /// What the board makes of programs that is not what the host makes of them, and the stack that loading and executing took.
    fn differences(&self, programs: &[Trial]) -> Result<(Vec<String>, [usize; 2]), String> {
        let output = self.run(programs, &["task=programs", "outputs=records.bin"])?;
        if output.exit_code != Some(0) {
            return Ok((vec![format!("{output:#?}")], [0; 2]));
        }
        let path = self.folder.join("records.bin");
        let records =
            fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let mut records = records.chunks(RECORD_BYTES);
        let problems =
            programs.iter().filter_map(|trial| trial.problem(records.next().unwrap_or(&[])));
        let number = |key: &str| {
            let line = output.stdout.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let stacks = [number("load_stack_bytes="), number("execute_stack_bytes=")];
        Ok((problems.collect(), stacks))
    }

    /// As [`Self::differences`], in as many packs as it takes.
    fn record(
        &self,
        name: &str,
        programs: &mut Vec<Trial>,
        problems: &mut Vec<String>,
        stacks: &mut [usize; 2],
        at_least: usize,
    ) -> Result<(), String> {
        let bytes: usize = programs.iter().map(|trial| trial.file.len() + 32).sum();
        if bytes < at_least || programs.is_empty() {
            return Ok(());
        }
        let (found, used) = self.differences(programs)?;
        problems.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
        *stacks = [stacks[0].max(used[0]), stacks[1].max(used[1])];
        programs.clear();
        Ok(())
    }
}

/// Random calls of every operator, with the same bits as here and as the contract says.
fn random(
    bench: &Bench<'_>,
    target: Target,
    extent: Extent,
    tally: &mut Tally,
) -> Result<(), String> {
    let (mut cases, mut seed) = (0, 0);
    let (mut programs, mut problems, mut stacks) = (Vec::new(), Vec::new(), [0; 2]);
    let name = format!("{} {} random operators", bench.image.board.name, target.isa());
    while cases < extent.cases {
        let program = operators::program(&mut Choices::seeded(seed), CALLS);
        let file = operators::file(&program, target)
            .map_err(|error| format!("{name}, seed {seed}: {error}"))?;
        // Copies into the arena that some operands take are no cases.
        cases += program.outputs.len();
        programs.push(Trial::sound(format!("seed {seed}"), file, target.isa()));
        seed += 1;
        bench.record(&name, &mut programs, &mut problems, &mut stacks, PACK_BYTES_MAX)?;
    }
    bench.record(&name, &mut programs, &mut problems, &mut stacks, 0)?;
    let problem = (!problems.is_empty()).then(|| problems.join("\n"));
    let [load, execute] = stacks;
    tally.record(
        &format!(
            "{name}: {cases} results in {seed} programs, stack {load} to load, {execute} to execute"
        ),
        problem,
    );
    Ok(())
}

/// Damaged programs: refused where the host refuses them, else with the same bits.
fn damaged(bench: &Bench<'_>, cpu: Cpu, extent: Extent, tally: &mut Tally) -> Result<(), String> {
    let isa: Isa = cpu.default_isa();
    let name = format!("{} {isa} damaged programs", bench.image.board.name);
    let (mut programs, mut problems, mut stacks) = (Vec::new(), Vec::new(), [0; 2]);
    let (mut tried, mut refused) = (0, 0);
    // What goes wrong here is a verdict; the host's own tests show it.
    std::panic::set_hook(Box::new(|_| {}));
    for (index, (what, file)) in valid_programs(&[cpu]).into_iter().enumerate() {
        let answers = mutants::answers(&file);
        for mutant in mutants::mutants(&file, index, extent.mutant_step) {
            let what = format!("{what}, {}", mutant.what);
            let Some(trial) = Trial::new(what, mutant.file, isa, &answers) else { continue };
            tried += 1;
            refused += usize::from(trial.digest.is_none());
            programs.push(trial);
            bench.record(&name, &mut programs, &mut problems, &mut stacks, PACK_BYTES_MAX)?;
        }
    }
    let _ = std::panic::take_hook();
    bench.record(&name, &mut programs, &mut problems, &mut stacks, 0)?;
    let problem = (!problems.is_empty()).then(|| problems.join("\n"));
    tally.record(&format!("{name}: {tried} tried, {refused} refused, 0 wrong"), problem);
    Ok(())
}

/// Everything that a caller may do wrong, on two programs.
fn misused(
    bench: &Bench<'_>,
    target: Target,
    extent: Extent,
    tally: &mut Tally,
) -> Result<(), String> {
    let programs: Vec<Trial> = valid_programs(&[target.cpu()])
        .into_iter()
        .filter(|(what, _)| what.starts_with("tiny_linear") || what.starts_with("op_add_broadcast"))
        .map(|(what, file)| Trial::sound(what, file, target.isa()))
        .collect();
    let repeats = format!("repeats={}", extent.repeats);
    let output = bench.run(&programs, &["task=faults", &repeats])?;
    let says = |line: &str| output.stdout.lines().any(|found| found == line);
    let digest = |trial: &Trial| trial.digest.unwrap_or_default();
    let holds = output.exit_code == Some(0)
        && says(&repeats)
        && programs.len() == 2
        && says(&format!("digest={:016x}", digest(&programs[0])))
        && says(&format!("other_digest={:016x}", digest(&programs[1])));
    let line = |key: &str| {
        let found = output.stdout.lines().find_map(|line| line.strip_prefix(key));
        found.unwrap_or("?").to_owned()
    };
    tally.record(
        &format!(
            "{} {} misuse: {} checks, {} runs with one digest, stack {}",
            bench.image.board.name,
            target.isa(),
            line("passed="),
            line("repeats="),
            line("stack_bytes="),
        ),
        (!holds).then(|| format!("{output:#?}")),
    );
    Ok(())
}

/// A folder that goes when its owner goes.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Folder, String> {
        let path = std::env::temp_dir().join(format!("cortado-trials-{}", std::process::id()));
        fs::create_dir_all(&path)
            .map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody is left to tell if it cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
