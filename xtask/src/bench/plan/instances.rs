//! Instances of offline allocation, each with a capacity: is it solved, and how soon.

use crate::steps::root;
use cortado_compiler::allocate::{Budget, Fit, Item, check, fit_counting};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the instances are.
const INSTANCES: &str = "testdata/planner";
/// Solved within so many seconds is what counts.
const MARKS: [f64; 2] = [2.0, 60.0];

/// Solves the instances in `files`, or those of the repository; prints a row for each.
pub(super) fn run(files: &[PathBuf], budget_seconds: f64) -> Result<(), String> {
    let files = match files.is_empty() {
        true => shipped()?,
        false => files.to_vec(),
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
        let (answer, steps) = fit_counting(&items, capacity, Budget::seconds(budget_seconds));
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
        "{:.0} million steps a second; budgets in seconds count on {:.0} million",
        all_steps as f64 / all_seconds / 1e6,
        Budget::STEPS_PER_SECOND / 1e6
    );
    Ok(())
}

/// An instance of offline allocation.
struct Instance {
    name: String,
    capacity: u64,
    items: Vec<Item>,
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
