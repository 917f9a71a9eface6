//! `cortado compile`.

use crate::arguments::CompileArguments;
use crate::failure::Failure;
use crate::model;
use cortado_compiler::Compiled;
use cortado_compiler::report::{FloatIsland, FloatOperator, Report};
use cortado_npz::file::write_atomically;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn compile(arguments: &CompileArguments) -> Result<ExitCode, Failure> {
    let Some(target) = arguments.target.target()? else {
        return Err(model::target_missing(&arguments.model));
    };
    let exported = model::read_exported(&arguments.model)?;
    let compiled = model::compiled(&arguments.model, &exported, target)?;
    let report = Report::new(&compiled);
    if arguments.deny_float && report.float_operators > 0 {
        return Err(float_denied(&arguments.model, &report));
    }
    write_atomically(&arguments.output, &compiled.pte).map_err(Failure::new)?;
    if let Some(path) = &arguments.json {
        let json = serde_json::to_vec_pretty(&report).map_err(Failure::new)?;
        write_atomically(path, &json).map_err(Failure::new)?;
    }
    summarize(&arguments.output.display().to_string(), &compiled, &report);
    Ok(ExitCode::SUCCESS)
}

fn summarize(output: &str, compiled: &Compiled, report: &Report) {
    let Report {
        pte_bytes, constant_bytes, arena_bytes, arena_lower_bound_bytes, state_bytes, ..
    } = report;
    eprintln!(
        "{output}: {} operators for {}, {} kernels",
        report.operators.len(),
        compiled.target,
        report.isa
    );
    eprintln!("  constant form  {}", report.constant_form);
    eprintln!("  file           {pte_bytes} bytes, of which {constant_bytes} are constants");
    eprintln!(
        "  arena          {arena_bytes} bytes (no plan can need less than {arena_lower_bound_bytes})"
    );
    eprintln!("  method state   {state_bytes} bytes");
    eprintln!(
        "  int8 share     {:.1} % of {} multiply-accumulates",
        100.0 * report.int8_share,
        report.macs
    );
    summarize_islands(report);
}

/// Names every group of operators that compute in float.
fn summarize_islands(report: &Report) {
    for (index, island) in report.float_islands.iter().enumerate() {
        let FloatIsland { macs, operators } = island;
        eprintln!(
            "  float island {}  {}, {macs} multiply-accumulates",
            index + 1,
            counted(operators.iter().filter(|operator| operator.computes).count())
        );
        for FloatOperator { name, operator, source, .. } in operators {
            eprintln!("    {operator} (node `{name}`)\n      at {source}");
        }
    }
}

/// The failure of a model that was to be without floats.
fn float_denied(model: &Path, report: &Report) -> Failure {
    let islands = report.float_islands.iter();
    let operators = islands.flat_map(|island| &island.operators).filter(|it| it.computes);
    let lines = operators.map(|FloatOperator { name, operator, source, .. }| {
        format!("\n  {operator} (node `{name}`): it computes in float\n    at {source}")
    });
    let reason = format!(
        "with --deny-float, {} cannot be compiled:{}",
        counted(report.float_operators),
        lines.collect::<String>()
    );
    Failure::at(model, reason).help(
        "quantize them (their inputs and their results), move them out of the model, or leave out --deny-float",
    )
}

fn counted(operators: usize) -> String {
    if operators == 1 { "1 operator".to_owned() } else { format!("{operators} operators") }
}
