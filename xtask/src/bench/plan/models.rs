//! The plan of each model for each instruction set, beside ExecuTorch's.

use crate::fixtures::compiled;
use crate::models::names;
use crate::steps::root;
use cortado_contract::{Cpu, Target};
use std::time::Instant;

/// Prints a row for each model and instruction set.
pub(super) fn run() -> Result<(), String> {
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
