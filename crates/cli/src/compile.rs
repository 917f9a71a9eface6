//! `cortado compile`.

use crate::arguments::CompileArguments;
use crate::failure::Failure;
use crate::model;
use cortado_compiler::Compiled;
use cortado_compiler::report::Report;
use cortado_npz::file::write_atomically;
use std::process::ExitCode;

pub(crate) fn compile(arguments: &CompileArguments) -> Result<ExitCode, Failure> {
    let Some(target) = arguments.target.target()? else {
        return Err(model::target_missing(&arguments.model));
    };
    let exported = model::read_exported(&arguments.model)?;
    let compiled = model::compiled(&arguments.model, &exported, target)?;
    let report = Report::new(&compiled);
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
}
