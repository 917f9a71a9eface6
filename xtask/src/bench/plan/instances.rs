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
    // What greedy orders or the peak of live bytes decide takes no steps of the search.
    if all_steps > 0 {
        println!(
            "{:.0} million steps a second; budgets in seconds count on {:.0} million",
            all_steps as f64 / all_seconds / 1e6,
            Budget::STEPS_PER_SECOND / 1e6
        );
    }
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
    let items = items(&text).map_err(|(line, reason)| format!("{place}: line {line}: {reason}"))?;
    Ok(Instance { name, capacity, items })
}

/// The buffers of an instance, or the number of a line and what is wrong with it.
fn items(text: &str) -> Result<Vec<Item>, (usize, String)> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let columns: Vec<&str> = header.split(',').map(str::trim).collect();
    let column = |name: &str| {
        columns
            .iter()
            .position(|it| *it == name)
            .ok_or_else(|| (1, format!("`{header}` has no column `{name}`")))
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
        let wrong = |what: &str| (index + 2, format!("`{line}` is not a buffer: {what}"));
        let item =
            item().ok_or_else(|| wrong("lower and upper are 32-bit times, size is in bytes"))?;
        if item.upper < item.lower {
            return Err(wrong("it ends (upper) before it begins (lower)"));
        }
        items.push(item);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_read_by_column_and_wrong_ones_are_refused() {
        let read = |rows: &str| items(&format!("size,id,lower,upper\r\n{rows}\n"));
        let item = |lower, upper, size| Item { lower, upper, size };
        assert_eq!(read("16, a, 0, 3\n\n8,b,2,2"), Ok(vec![item(0, 3, 16), item(2, 2, 8)]));
        for (row, words) in [
            ("16,a,3,0", "before it begins"),
            ("16,a,0", "32-bit times"),
            ("1.5,a,0,3", "size is in bytes"),
            ("16,a,0,4294967296", "32-bit times"),
        ] {
            let (line, reason) = read(&format!("8,z,0,1\n{row}")).unwrap_err();
            assert!(line == 3 && reason.contains(words), "{line}: {reason}");
        }
        assert_eq!(items("id,lower,upper\na,0,3").unwrap_err().0, 1);
    }
}
