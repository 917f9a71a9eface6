//! Files of comma-separated values, none of which holds a comma.

use crate::steps::root;
use cortado_contract::{Cpu, Isa, Target};
use cortado_host::boards::{Board, Content, Image, LARGE_M0, Profile, Tools};
use std::collections::HashMap;

/// The cores that are measured.
pub(crate) const CPUS: [Cpu; 5] = [Cpu::M0, Cpu::M3, Cpu::M4, Cpu::M7, Cpu::M55];

/// A row by its columns' names.
pub(crate) type Row = HashMap<String, String>;

/// Reads a file whose first line names the columns.
pub(crate) fn read(path: &str) -> Result<Vec<Row>, String> {
    let text = std::fs::read_to_string(root().join(path))
        .map_err(|error| format!("cannot read {path}: {error}"))?;
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let row = |line: &str| {
        names
            .iter()
            .zip(line.split(','))
            .map(|(name, value)| (name.to_string(), value.to_owned()))
            .collect()
    };
    Ok(lines.map(row).collect())
}

/// A column's value.
pub(crate) fn text<'r>(row: &'r Row, column: &str) -> &'r str {
    row.get(column).map_or("", String::as_str)
}

/// A column's number, 0 where it is empty.
pub(crate) fn number(row: &Row, column: &str) -> u64 {
    text(row, column).parse().unwrap_or(0)
}

/// Writes a file; its folder is made where it is missing.
pub(crate) fn write(path: &str, header: &str, rows: &[String]) -> Result<(), String> {
    let place = root().join(path);
    let folder = place.parent().unwrap_or(&place);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&place, format!("{header}\n{}\n", rows.join("\n"))))
        .map_err(|error| format!("cannot write {path}: {error}"))
}

/// `numerator / denominator` with three digits, empty without a denominator.
pub(crate) fn ratio(numerator: u64, denominator: u64) -> String {
    match denominator {
        0 => String::new(),
        _ => format!("{:.3}", numerator as f64 / denominator as f64),
    }
}

/// The cores that were asked for by name, or all of them.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Cpu>, String> {
    let known = |name: &String| {
        let cpu = CPUS.into_iter().find(|cpu| cpu.name() == name);
        cpu.ok_or_else(|| {
            format!("{name} is not measured; there are {}", CPUS.map(Cpu::name).join(", "))
        })
    };
    if names.is_empty() { Ok(CPUS.to_vec()) } else { names.iter().map(known).collect() }
}

/// The board on which a core is measured. An M0's code runs on a larger board's core, which executes it alike.
pub(crate) fn board(cpu: Cpu) -> &'static Board {
    if cpu == Cpu::M0 { LARGE_M0 } else { Board::for_target(Target::new(cpu)) }
}

/// The image in which a core is measured.
pub(crate) fn image(tools: &Tools, cpu: Cpu, content: Content) -> Result<(Image, Isa), String> {
    let isa = Target::new(cpu).isa();
    let image = tools.build(board(cpu), isa, Profile::Release, content);
    Ok((image.map_err(|error| error.to_string())?, isa))
}
