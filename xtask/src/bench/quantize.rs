//! `cargo xtask bench quantize`: float models quantized here and by PT2E with ExecuTorch's quantizer, from the same calibration data,
//! and how far each is from the float model.
//!
//! Both int8 programs are executed twice: in binary32, quantize and dequantize nodes included, as PyTorch does; and compiled for the
//! Cortex-M55, in integers, as a device does. So is a third one, all of whose layers are int16.

use super::table;
use crate::fixtures::float_samples;
use crate::steps::root;
use clap::Args;
use cortado_compiler::import::ExportedProgram;
use cortado_compiler::report::Report;
use cortado_compiler::{Compiled, compile};
use cortado_contract::{Cpu, Target};
use cortado_host::local::{self, AlignedBytes};
use cortado_host::samples::Samples;
use cortado_npz::{Archive, Array};
use cortado_quantizer::execute::Executor;
use cortado_quantizer::quantize::{ALL_LAYERS, compare, simplified};
use cortado_quantizer::tensor::{Tensor, numbers};
use cortado_quantizer::{Options as Scheme, QuantizeError, quantize};
use cortado_runtime::LayoutPolicy;
use std::path::{Path, PathBuf};
use std::time::Instant;

const FILE: &str = "bench/quantize.csv";
const HEADER: &str = "model,calibration_samples,samples,mean_squared_error,upstream_mean_squared_error,ratio,int8_mean_squared_error,\
upstream_int8_mean_squared_error,int8_ratio,float_operators,upstream_float_operators,accuracy,upstream_accuracy,\
int16_mean_squared_error";

/// What to quantize.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A folder of models in place of testdata/models; nothing is written then
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// A folder with MODEL/calibration.npz for models that come without
    #[arg(long, value_name = "FOLDER")]
    calibration: Option<PathBuf>,
}

/// Prints a table and writes [`FILE`].
pub(super) fn run(options: &Options) -> Result<(), String> {
    let folder = options.models.clone().unwrap_or_else(|| root().join("testdata/models"));
    let entries = std::fs::read_dir(&folder).map_err(|error| error.to_string())?;
    let mut models: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    models.retain(|model| model.join("float.pt2").exists());
    models.sort();
    println!(
        "{:24} {:>10} {:>10} {:>6} {:>10} {:>10} {:>6} {:>10} {:>7} {:>15} {:>8}",
        "model",
        "error",
        "upstream",
        "ratio",
        "int8",
        "upstream",
        "ratio",
        "int16",
        "float",
        "accuracy",
        "seconds"
    );
    let mut rows = Vec::new();
    for model in models {
        let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let own = model.join("calibration.npz");
        let calibration = match (&options.calibration, own.exists()) {
            (Some(folder), false) => folder.join(&name).join("calibration.npz"),
            _ => own,
        };
        rows.push(
            measure(&model, &name, &calibration).map_err(|error| format!("{name}: {error}"))?,
        );
    }
    if options.models.is_none() {
        table::write(FILE, HEADER, &rows)?;
    }
    Ok(())
}

/// An int8 program's errors against the float model.
struct Errors {
    /// Executed in binary32.
    simulated: f64,
    /// Compiled and executed in integers; absent where the program cannot be compiled.
    executed: Option<f64>,
    accuracy: Option<f64>,
    float_operators: Option<usize>,
}

fn measure(folder: &Path, name: &str, calibration: &Path) -> Result<String, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let float = ExportedProgram::open(folder.join("float.pt2")).map_err(|e| text(&e))?;
    let theirs = ExportedProgram::open(folder.join("quantized.pt2")).map_err(|e| text(&e))?;
    let calibration = float_samples(&Archive::open(calibration).map_err(|e| text(&e))?);
    let archive = Archive::open(folder.join("inputs.npz")).map_err(|e| text(&e))?;
    let labels = folder.join("labels.npy");
    let labels = match labels.exists() {
        true => {
            let bytes = std::fs::read(labels).map_err(|e| text(&e))?;
            let array = Array::read_npy(&bytes).map_err(|e| text(&e))?;
            let labels = numbers(array.dtype(), array.bytes());
            Some(labels.into_iter().map(|label| label as i64).collect::<Vec<_>>())
        }
        false => None,
    };
    let start = Instant::now();
    let ours = quantize(&float, &calibration, &Scheme::default(), &mut |_| {});
    let ours = ours.map_err(|e| text(&e))?.program;
    let seconds = start.elapsed().as_secs_f64();
    let scheme = Scheme { int16: vec![ALL_LAYERS.to_owned()], ..Scheme::default() };
    let int16 = match quantize(&float, &calibration, &scheme, &mut |_| {}) {
        Ok(int16) => errors(&float, &int16.program, &archive, None)?.executed,
        Err(QuantizeError::NoInt16 { .. }) => None,
        Err(error) => return Err(text(&error)),
    };
    let ours = errors(&float, &ours, &archive, labels.as_deref())?;
    let theirs = errors(&float, &theirs, &archive, labels.as_deref())?;
    let ratio = |ours: f64, theirs: f64| match theirs > 0.0 {
        true => format!("{:.3}", ours / theirs),
        false => String::new(),
    };
    let number = |number: Option<f64>| number.map(|it| format!("{it:.4e}")).unwrap_or_default();
    let share = |share: Option<f64>| share.map(|it| format!("{it:.5}")).unwrap_or_default();
    let count = |count: Option<usize>| count.map(|it| it.to_string()).unwrap_or_default();
    let simulated = ratio(ours.simulated, theirs.simulated);
    let executed = ours.executed.zip(theirs.executed).map(|(ours, theirs)| ratio(ours, theirs));
    let executed = executed.unwrap_or_default();
    let accuracy = match (ours.accuracy, theirs.accuracy) {
        (Some(ours), Some(theirs)) => format!("{ours:.4}/{theirs:.4}"),
        _ => String::new(),
    };
    println!(
        "{name:24} {:>10.3e} {:>10.3e} {simulated:>6} {:>10} {:>10} {executed:>6} {:>10} {:>7} {accuracy:>15} {seconds:>8.2}",
        ours.simulated,
        theirs.simulated,
        number(ours.executed),
        number(theirs.executed),
        number(int16),
        format!("{}/{}", count(ours.float_operators), count(theirs.float_operators)),
    );
    Ok(format!(
        "{name},{},{},{},{},{simulated},{},{},{executed},{},{},{},{},{}",
        calibration.len(),
        float_samples(&archive).len(),
        number(Some(ours.simulated)),
        number(Some(theirs.simulated)),
        number(ours.executed),
        number(theirs.executed),
        count(ours.float_operators),
        count(theirs.float_operators),
        share(ours.accuracy),
        share(theirs.accuracy),
        number(int16),
    ))
}

fn errors(
    float: &ExportedProgram,
    quantized: &ExportedProgram,
    archive: &Archive,
    labels: Option<&[i64]>,
) -> Result<Errors, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (plain, int8) =
        (simplified(float).map_err(|e| text(&e))?, simplified(quantized).map_err(|e| text(&e))?);
    let inputs = float_samples(archive);
    let comparison = compare(&plain, &int8, &inputs, labels).map_err(|e| text(&e))?;
    let mut result = Errors {
        // Of all outputs together, as the executed program's.
        simulated: mean(&comparison.mean_squared_errors),
        executed: None,
        accuracy: comparison.int8_accuracy,
        float_operators: None,
    };
    let Ok(compiled) = compile(quantized, Target::new(Cpu::M55)) else { return Ok(result) };
    result.float_operators = Some(Report::new(&compiled).float_operators);
    let expected = Executor::new(&plain).and_then(|plain| plain.run(&inputs));
    result.executed = Some(executed(&compiled, archive, &expected.map_err(|e| text(&e))?)?);
    Ok(result)
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

/// The mean squared error of a compiled program, its outputs weighing alike.
fn executed(
    compiled: &Compiled,
    archive: &Archive,
    expected: &[Vec<Tensor>],
) -> Result<f64, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let file = AlignedBytes::copy_of(&compiled.pte);
    let boundary = local::boundary(&file).map_err(|e| text(&e))?;
    let samples = Samples::take(archive, &[], &boundary.inputs).map_err(|e| text(&e))?;
    let isa = compiled.target.isa();
    let outputs = local::run(&file, isa, LayoutPolicy::Refuse, &samples, || {});
    let outputs = outputs.map_err(|e| text(&e))?;
    let errors: Vec<f64> = outputs
        .bytes()
        .enumerate()
        .map(|(position, bytes)| {
            let found = numbers(cortado_contract::DType::F32, bytes);
            let wanted = expected.iter().flat_map(|sample| sample[position].data());
            let squares = found.iter().zip(wanted).map(|(a, b)| f64::from(a - b).powi(2));
            squares.sum::<f64>() / found.len().max(1) as f64
        })
        .collect();
    Ok(mean(&errors))
}
