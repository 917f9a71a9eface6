//! `cortado compile`.

use crate::arguments::CompileArguments;
use crate::failure::Failure;
use crate::model::{self, is_one_file};
use crate::quantize;
use crate::quiet::is_quiet;
use cortado_compiler::Compiled;
use cortado_compiler::c_header::{self, c_header};
use cortado_compiler::module::{self, module};
use cortado_compiler::report::{BankReport, FloatIsland, FloatOperator, Report};
use cortado_compiler::stack::StackBound;
use cortado_npz::file::write_atomically;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) fn compile(arguments: &CompileArguments) -> Result<ExitCode, Failure> {
    let Some(target) = arguments.target.target()? else {
        return Err(model::target_missing(&arguments.model));
    };
    let options = arguments.memory.options()?;
    let mut exported = model::read_exported(&arguments.model)?;
    refuse_one_file_for_two(arguments)?;
    if let Some(calibration) = &arguments.calibration {
        let CompileArguments { model, scheme, .. } = arguments;
        let samples = quantize::samples(&exported, calibration)?;
        exported = quantize::quantized(model, calibration, &exported, &samples, scheme)?.program;
    }
    let compiled = model::compiled_with(&arguments.model, &exported, target, &options)?;
    let report = Report::new(&compiled);
    if arguments.deny_float && report.float_operators > 0 {
        return Err(float_denied(&arguments.model, &report));
    }
    let json = serde_json::to_vec_pretty(&report).map_err(Failure::new)?;
    let beside = beside(arguments, &compiled, &report, &json)?;
    // The program comes last: where it is, all else is.
    if let Some(path) = &arguments.json {
        write_atomically(path, &json).map_err(Failure::new)?;
    }
    for Beside { path, content, .. } in &beside {
        write_atomically(path, content).map_err(Failure::new)?;
    }
    write_atomically(&arguments.output, &compiled.pte).map_err(Failure::new)?;
    if is_quiet() {
        return Ok(ExitCode::SUCCESS);
    }
    summarize(&arguments.output.display().to_string(), &compiled, &report);
    if !beside.is_empty() {
        let paths: Vec<String> = beside.iter().map(|it| it.path.display().to_string()).collect();
        eprintln!("  beside it      {}", paths.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

/// A file that goes beside the program.
struct Beside {
    path: PathBuf,
    content: Vec<u8>,
    /// What it is, in a sentence.
    what: &'static str,
    /// Whether a file that is there already is one of these, and so may be overwritten.
    is_ours: fn(&[u8]) -> bool,
    /// What to do where it cannot be written.
    help: &'static str,
}

/// The Rust module, the report and C's header that go beside the program, as far as they are asked for. None where the output is no
/// file that could have something beside it, such as a pipe.
fn beside(
    arguments: &CompileArguments,
    compiled: &Compiled,
    report: &Report,
    json: &[u8],
) -> Result<Vec<Beside>, Failure> {
    let output = &arguments.output;
    let is_special = std::fs::metadata(output).is_ok_and(|metadata| !metadata.is_file());
    let Some(name) = output.file_name().filter(|_| !is_special) else { return Ok(Vec::new()) };
    let name = name.to_string_lossy();
    let mut files = Vec::new();
    if !arguments.no_module {
        let help =
            "give --output another name, or leave the module and the report out with --no-module";
        files.push(Beside {
            path: output.with_extension("rs"),
            content: module(compiled, report, &name).into_bytes(),
            what: "module",
            is_ours: |there| there.starts_with(module::FIRST_WORDS.as_bytes()),
            help,
        });
        files.push(Beside {
            path: output.with_extension("json"),
            content: json.to_vec(),
            what: "report",
            is_ours: is_report,
            help,
        });
    }
    if arguments.c_header {
        files.push(Beside {
            path: output.with_extension("h"),
            content: c_header(compiled, report, &name).into_bytes(),
            what: "header",
            is_ours: |there| there.starts_with(c_header::FIRST_WORDS.as_bytes()),
            help: "give --output another name, or leave the header out: without --c-header",
        });
    }
    for Beside { path, what, is_ours, help, .. } in &files {
        if is_one_file(path, output) {
            let reason =
                format!("the program would be overwritten by the {what} that goes beside it");
            return Err(Failure::at(path, reason).help(help));
        }
        let is_free = match std::fs::read(path) {
            Ok(there) => is_ours(&there),
            Err(_) => !path.is_dir(),
        };
        if !is_free {
            let reason = format!(
                "it would be overwritten by the {what} that goes beside the program, and cortado did not make it"
            );
            return Err(Failure::at(path, reason).help(help));
        }
    }
    Ok(files)
}

/// Fails where two things would be written to one file, or something over the model. A device or a pipe takes any number.
fn refuse_one_file_for_two(arguments: &CompileArguments) -> Result<(), Failure> {
    let CompileArguments { model, output, json, no_module, c_header, .. } = arguments;
    if is_one_file(model, output) {
        return Err(Failure::at(output, "the program would be written over the model")
            .help("give --output another name"));
    }
    let Some(json) = json else { return Ok(()) };
    let module = output.with_extension("rs");
    let header = output.with_extension("h");
    let what = if is_one_file(json, output) {
        "the program and the report"
    } else if is_one_file(json, model) {
        "the model and the report"
    } else if !no_module && is_one_file(json, &module) {
        "the module that goes beside the program and the report"
    } else if *c_header && is_one_file(json, &header) {
        "the header that goes beside the program and the report"
    } else {
        return Ok(());
    };
    Err(Failure::at(json, format!("{what} would be one file")).help("give --json another name"))
}

/// Whether a file is a report of an earlier compilation.
fn is_report(file: &[u8]) -> bool {
    let value: Result<serde_json::Value, _> = serde_json::from_slice(file);
    value.is_ok_and(|value| {
        ["constant_form", "pte_bytes", "memory"].iter().all(|key| value.get(key).is_some())
    })
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
        "  arena          {arena_bytes} bytes, {}",
        match (arena_bytes - arena_lower_bound_bytes, report.memory.proven) {
            (0, _) => "the least that this order of calls can need".to_owned(),
            (_, true) => format!(
                "proven to be the least, above the lower bound of {arena_lower_bound_bytes}"
            ),
            (gap, false) => format!("{gap} above the lower bound of {arena_lower_bound_bytes}"),
        }
    );
    for BankReport { name, capacity_bytes, bytes } in &report.memory.banks {
        if let Some(capacity) = capacity_bytes {
            eprintln!("    {name:<12} {bytes} of {capacity} bytes");
        }
    }
    let peak = &report.memory.peak;
    let when = peak
        .name
        .as_ref()
        .map_or("before the first call".to_owned(), |name| format!("during `{name}`"));
    eprintln!("    most is live {when}: {}", peak.live.join(", "));
    if !report.memory.lent.is_empty() {
        eprintln!("  lent           {}", report.memory.lent.join(", "));
    }
    for (side, tensors) in [("input", &report.inputs), ("output", &report.outputs)] {
        for tensor in tensors {
            if let (Some(scale), Some(zero_point)) = (tensor.scale, tensor.zero_point) {
                let name = &tensor.name;
                eprintln!("  {side:<14} {name} is int8, scale {scale}, zero point {zero_point}");
            }
        }
    }
    eprintln!("  method state   {state_bytes} bytes");
    match &report.stack {
        Some(StackBound { bytes, board, .. }) => {
            eprintln!("  stack          {bytes} bytes, measured on {board}");
        }
        None => eprintln!("  stack          not measured for these operators"),
    }
    eprintln!(
        "  in integers    {:.1} % of {} multiply-accumulates",
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
