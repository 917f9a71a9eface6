//! `cargo xtask bench plan`: the models' memory plans, and how far and how fast the planner's exact search gets.

use crate::fixtures::compiled;
use crate::models::names;
use crate::steps::{cargo, root};
use clap::Args;
use cortado_compiler::allocate::{Budget, Fit, Item, check, fit_counting};
use cortado_contract::{Cpu, Target};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the instances are.
const INSTANCES: &str = "testdata/planner";
/// Solved within so many seconds is what counts.
const MARKS: [f64; 2] = [2.0, 60.0];

/// What to solve.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Instances to solve in place of those in testdata/planner, each named NAME.CAPACITY.csv, with the columns
    /// id,lower,upper,size
    files: Vec<PathBuf>,
    /// The budget per instance, in seconds of a machine on which the budget's constant holds
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
}

/// Prints a row for each model, unless instances are given, and for each instance. Fails where an answer is wrong, where a plan is
/// larger than ExecuTorch's, and where an instance cannot be read.
pub(super) fn run(options: &Options) -> Result<(), String> {
    if cfg!(debug_assertions) {
        return again_in_release(options);
    }
    if options.files.is_empty() {
        models()?;
        println!();
    }
    instances(options)
}

/// The plan of each model for each instruction set, beside ExecuTorch's.
fn models() -> Result<(), String> {
    println!(
        "{:<22} {:<11} {:>9} {:>9} {:>7} {:<10} {:>11} {:>7} {:>9}",
        "model", "target", "arena", "bound", "gap", "proven", "ExecuTorch", "ratio", "seconds"
    );
    let (mut above, mut below, mut met, mut all) = (0, 0, 0, 0);
    for model in names()? {
        for cpu in [Cpu::M55, Cpu::M4, Cpu::M0] {
            let start = Instant::now();
            let plan = compiled(&model, Target::new(cpu))?.plan;
            let seconds = start.elapsed().as_secs_f64();
            let gap = plan.arena_bytes - plan.lower_bound_bytes;
            let theirs = planned_by_executorch(&model, cpu);
            let ratio = theirs.map_or("-".to_owned(), |theirs| {
                format!("{:.3}", plan.arena_bytes as f64 / theirs as f64)
            });
            println!(
                "{model:<22} {:<11} {:>9} {:>9} {gap:>7} {:<10} {:>11} {ratio:>7} {seconds:>9.3}",
                cpu.name(),
                plan.arena_bytes,
                plan.lower_bound_bytes,
                if plan.proven { "proven" } else { "not proven" },
                theirs.map_or("-".to_owned(), |theirs| theirs.to_string()),
            );
            all += 1;
            met += u32::from(gap == 0);
            above += u32::from(theirs.is_some_and(|theirs| plan.arena_bytes > theirs));
            below += u32::from(theirs.is_some_and(|theirs| plan.arena_bytes < theirs));
        }
    }
    println!("{met} of {all} meet the bound; {below} below ExecuTorch's plan, {above} above");
    if above > 0 { Err(format!("{above} plans are larger than ExecuTorch's")) } else { Ok(()) }
}

/// What ExecuTorch plans for a model, by the record beside it.
fn planned_by_executorch(model: &str, cpu: Cpu) -> Option<u64> {
    let name = match cpu {
        Cpu::M55 => "m55",
        Cpu::M4 => "m4",
        _ => "m0",
    };
    let file = root().join("testdata/models").join(model).join("meta.json");
    let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    meta.get("targets")?.get(name)?.get("planned_bytes")?.as_u64()
}

/// Seconds mean nothing without optimization.
fn again_in_release(options: &Options) -> Result<(), String> {
    let seconds = format!("--seconds={}", options.seconds);
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let files: Vec<String> =
        options.files.iter().map(|it| here.join(it).display().to_string()).collect();
    let mut arguments =
        vec!["run", "--quiet", "--release", "--package", "xtask", "--", "bench", "plan"];
    arguments.push(&seconds);
    // What follows is a file, whatever its name begins with.
    arguments.push("--");
    arguments.extend(files.iter().map(String::as_str));
    cargo(&arguments)
}

/// An instance of offline allocation.
struct Instance {
    name: String,
    capacity: u64,
    items: Vec<Item>,
}

fn instances(options: &Options) -> Result<(), String> {
    let files = match options.files.is_empty() {
        true => shipped()?,
        false => options.files.clone(),
    };
    println!(
        "{:<12} {:>6} {:>12} {:>12}  {:<13} {:>14} {:>9}",
        "instance", "items", "capacity", "most live", "answer", "steps", "seconds"
    );
    let mut within = [0; MARKS.len()];
    let (mut all_steps, mut all_seconds) = (0, 0.0);
    for file in &files {
        let Instance { name, capacity, items } = read(file)?;
        // The row begins before the search does: it may take a while.
        let most_live = most_live(&items);
        print!("{name:<12} {:>6} {capacity:>12} {most_live:>12}  ", items.len());
        std::io::stdout().flush().map_err(|error| error.to_string())?;
        let start = Instant::now();
        let (answer, steps) = fit_counting(&items, capacity, Budget::seconds(options.seconds));
        let seconds = start.elapsed().as_secs_f64();
        let word = match &answer {
            Fit::Found(offsets) => {
                if let Some(defect) = check(&items, offsets, capacity).first() {
                    return Err(format!("the allocation of {name} is wrong: {defect}"));
                }
                "solved"
            }
            Fit::Infeasible => "impossible",
            Fit::OutOfBudget => "out of budget",
        };
        println!("{word:<13} {steps:>14} {seconds:>9.3}");
        if answer != Fit::OutOfBudget {
            for (count, mark) in within.iter_mut().zip(MARKS) {
                *count += u32::from(seconds <= mark);
            }
        }
        all_steps += steps;
        all_seconds += seconds;
    }
    for (count, mark) in within.iter().zip(MARKS) {
        println!("{count} of {} within {mark} s", files.len());
    }
    println!(
        "{:.0} million steps a second; budgets in seconds count on {:.0}",
        all_steps as f64 / all_seconds / 1e6,
        Budget::STEPS_PER_SECOND / 1e6
    );
    Ok(())
}

/// The most bytes that live at one time.
fn most_live(items: &[Item]) -> u128 {
    let live = |time: u32| {
        let lives = |it: &&Item| it.lower <= time && time < it.upper;
        items.iter().filter(lives).map(|it| u128::from(it.size)).sum()
    };
    items.iter().map(|it| live(it.lower)).max().unwrap_or(0)
}

/// The instances of the repository, by name.
fn shipped() -> Result<Vec<PathBuf>, String> {
    let folder = root().join(INSTANCES);
    let entries = std::fs::read_dir(&folder)
        .map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|it| it == "csv") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(format!("{} has no instances", folder.display()));
    }
    Ok(files)
}

fn read(file: &Path) -> Result<Instance, String> {
    let place = file.display();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let (name, capacity) = stem
        .rsplit_once('.')
        .and_then(|(name, capacity)| Some((name.to_owned(), capacity.parse().ok()?)))
        .ok_or_else(|| format!("{place}: the name of an instance is NAME.CAPACITY.csv"))?;
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("cannot read {place}: {error}"))?;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let columns: Vec<&str> = header.split(',').map(str::trim).collect();
    let column = |name: &str| {
        columns
            .iter()
            .position(|it| *it == name)
            .ok_or_else(|| format!("{place}: line 1: `{header}` has no column `{name}`"))
    };
    let (lower, upper, size) = (column("lower")?, column("upper")?, column("size")?);
    let mut items = Vec::new();
    for (index, line) in lines.enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let values: Vec<&str> = line.split(',').map(str::trim).collect();
        let value = |column: usize| values.get(column).copied().unwrap_or_default();
        let item = || {
            Some(Item {
                lower: value(lower).parse().ok()?,
                upper: value(upper).parse().ok()?,
                size: value(size).parse().ok()?,
            })
        };
        items.push(item().ok_or_else(|| {
            format!("{place}: line {}: `{line}` is not a buffer: lower and upper are 32-bit times, size is in bytes", index + 2)
        })?);
    }
    Ok(Instance { name, capacity, items })
}
