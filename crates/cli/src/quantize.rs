//! `cortado quantize`, and the quantization that `cortado compile --calibration` begins with.

use crate::arguments::{Linear, QuantizeArguments, RangesArgument, SchemeArguments};
use crate::failure::{Failure, print};
use crate::model;
use cortado_compiler::export::write;
use cortado_compiler::import::{ExportedProgram, ValueMeta};
use cortado_contract::DType;
use cortado_contract::value::TensorMeta;
use cortado_host::samples::{Samples, Signature};
use cortado_npz::file::{read_bounded, write_atomically};
use cortado_npz::{Archive, Array, MAX_ARCHIVE_BYTES};
use cortado_quantizer::quantize::{Comparison, Progress, compare, simplified};
use cortado_quantizer::report::Report;
use cortado_quantizer::tensor::{Tensor, numbers};
use cortado_quantizer::{Options, QuantizeError, Quantized, Ranges, quantize};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// The report with the comparison, as JSON.
#[derive(Serialize)]
struct WholeReport<'a> {
    #[serde(flatten)]
    report: &'a Report,
    comparison: &'a Comparison,
    compared_samples: usize,
}

pub(crate) fn run(arguments: &QuantizeArguments) -> Result<ExitCode, Failure> {
    let QuantizeArguments { model, output, json, inputs, labels, .. } = arguments;
    let exported = model::read_exported(model)?;
    if model::is_one_file(model, output) {
        return Err(Failure::at(
            output,
            "the quantized program would be written over the float one",
        )
        .help("give --output another name"));
    }
    if let Some(json) = json
        && (model::is_one_file(json, output) || model::is_one_file(json, model))
    {
        return Err(Failure::at(json, "the report and a program would be one file")
            .help("give --json another name"));
    }
    let calibration = samples(&exported, &arguments.calibration)?;
    let compared = match inputs {
        Some(path) => samples(&exported, path)?,
        None => calibration.clone(),
    };
    let labels = labels.as_deref().map(|path| read_labels(path, compared.len())).transpose()?;
    let Quantized { program, report } =
        quantized(model, &arguments.calibration, &exported, &calibration, &arguments.scheme)?;
    let bytes = write(&program).map_err(|error| Failure::at(output, error))?;
    // What is compared is what was written.
    let again = ExportedProgram::read(&bytes).map_err(|error| Failure::at(output, error))?;
    let failure = |error: QuantizeError| Failure::at(model, error);
    let (float, int8) =
        (simplified(&exported).map_err(failure)?, simplified(&again).map_err(failure)?);
    let comparison = compare(&float, &int8, &compared, labels.as_deref());
    let comparison = comparison.map_err(|error| Failure::at(model, error))?;
    let whole =
        WholeReport { report: &report, comparison: &comparison, compared_samples: compared.len() };
    // The program comes last: where it is, all else is.
    if let Some(path) = json {
        let text = serde_json::to_vec_pretty(&whole).map_err(Failure::new)?;
        write_atomically(path, &text).map_err(Failure::new)?;
    }
    write_atomically(output, &bytes).map_err(Failure::new)?;
    print(&report.table())?;
    summarize(&whole, inputs.as_deref().unwrap_or(&arguments.calibration), output);
    Ok(ExitCode::SUCCESS)
}

/// How many results are integers of which type.
fn results(report: &Report) -> String {
    let count = |dtype| report.layers.iter().filter(|layer| layer.dtype == dtype).count();
    match (count("int8"), count("int16")) {
        (int8, 0) => format!("{int8} int8 results"),
        (int8, int16) => format!("{int8} int8 and {int16} int16 results"),
    }
}

fn summarize(whole: &WholeReport<'_>, compared: &Path, output: &Path) {
    let WholeReport { report, comparison, compared_samples } = whole;
    eprintln!(
        "{}: {}, {} operators in float",
        output.display(),
        results(report),
        report.float_nodes.len()
    );
    eprintln!("  calibration    {} samples", report.samples);
    if report.equalized > 0 {
        eprintln!("  equalized      {} pairs of layers", report.equalized);
    }
    if report.bias_corrected {
        eprintln!("  biases         corrected");
    }
    let Comparison { mean_squared_errors, top1_agreement, float_accuracy, int8_accuracy } =
        comparison;
    let errors: Vec<String> =
        mean_squared_errors.iter().map(|error| format!("{error:.3e}")).collect();
    let compared = compared.display();
    eprintln!("  compared       {compared_samples} samples of {compared}");
    eprintln!("  squared error  {}", errors.join(", "));
    match (float_accuracy, int8_accuracy) {
        (Some(float), Some(int8)) => {
            eprintln!(
                "  accuracy       {:.2} % in float, {:.2} % in int8",
                100.0 * float,
                100.0 * int8
            );
        }
        _ => eprintln!("  same greatest  {:.2} % of rows", 100.0 * top1_agreement),
    }
}

/// Quantizes a program that was read from `model`, and says what is noteworthy.
pub(crate) fn quantized(
    model: &Path,
    calibration: &Path,
    exported: &ExportedProgram,
    samples: &[Vec<Tensor>],
    scheme: &SchemeArguments,
) -> Result<Quantized, Failure> {
    let options = Options {
        ranges: match scheme.ranges {
            RangesArgument::Auto => Ranges::Auto,
            RangesArgument::Histogram => Ranges::Histogram,
            RangesArgument::MinMax => Ranges::MinMax,
            RangesArgument::Percentile => Ranges::Percentile,
            RangesArgument::Kl => Ranges::Kl,
            RangesArgument::Mse => Ranges::Mse,
        },
        per_tensor_linear: scheme.linear == Linear::PerTensor,
        no_bias_correction: scheme.no_bias_correction,
        equalize: scheme.equalize,
        float: scheme.float.clone(),
        int8_attention: scheme.int8_attention,
        int8_recurrence: scheme.int8_recurrence,
        int16: scheme.int16.clone(),
    };
    let bar = ProgressBar::new(1000);
    let template = "{bar:40.cyan} {msg}, {percent} %, {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let mut progress = |Progress { stage, done }: Progress| {
        bar.set_message(stage);
        bar.set_position((1000.0 * done) as u64);
    };
    let quantized = quantize(exported, samples, &options, &mut progress);
    bar.finish_and_clear();
    let quantized = quantized.map_err(|error| failure(model, calibration, &error))?;
    for warning in &quantized.report.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(quantized)
}

/// What the user can do about an error.
fn failure(model: &Path, calibration: &Path, error: &QuantizeError) -> Failure {
    match error {
        QuantizeError::Empty => Failure::at(calibration, error)
            .help("give samples of what the model will see; 32 to 100 of them are plenty"),
        QuantizeError::NotFinite { .. } => Failure::at(calibration, error)
            .help("remove that sample, or repair what makes the data"),
        QuantizeError::Overflow { .. } => Failure::at(model, error)
            .help("check that the calibration data is scaled as the data was that the model was trained with"),
        QuantizeError::AlreadyQuantized { .. } => {
            Failure::at(model, error).help("compile it as it is, without calibration data")
        }
        QuantizeError::Weight { .. } => {
            Failure::at(model, error).help("export a model whose training did not diverge")
        }
        QuantizeError::Unknown { .. } => Failure::at(model, error)
            .help("`cortado dump --stage import` lists nodes and the modules that they belong to"),
        QuantizeError::NoInt16 { .. } => Failure::at(model, error)
            .help("name a layer, a module with layers, or `all`"),
        QuantizeError::Nothing => Failure::at(model, error)
            .help("compile it as it is, without calibration data"),
        _ => Failure::at(model, error),
    }
}

/// The samples in an archive, held against the program's inputs.
pub(crate) fn samples(
    exported: &ExportedProgram,
    path: &Path,
) -> Result<Vec<Vec<Tensor>>, Failure> {
    struct RowMajor<'a>(&'a ValueMeta);
    impl TensorMeta for RowMajor<'_> {
        fn dtype(&self) -> DType {
            self.0.dtype
        }
        fn rank(&self) -> usize {
            self.0.shape.len()
        }
        fn dim(&self, axis: usize) -> u32 {
            self.0.shape.get(axis).copied().unwrap_or(0)
        }
        fn dim_order(&self, position: usize) -> usize {
            position
        }
    }
    let archive = Archive::open(path).map_err(|error| match error {
        // This one names the file itself.
        cortado_npz::Error::File(error) => Failure::new(error),
        error => Failure::at(path, error),
    })?;
    let names: Vec<String> = exported.user_inputs().map(|input| input.name.clone()).collect();
    let signatures: Vec<Signature> =
        names.iter().map(|name| Signature::from(RowMajor(&exported.values[name]))).collect();
    let samples = Samples::take(&archive, &names, &signatures)
        .map_err(|error| Failure::at(path, &error).help(error.help()))?;
    let tensor = |(signature, bytes): (&Signature, Vec<u8>)| {
        Tensor::new(signature.shape.clone(), numbers(signature.dtype, &bytes))
    };
    let sample = |index: usize| signatures.iter().zip(samples.sample(index)).map(tensor).collect();
    Ok((0..samples.len()).map(sample).collect())
}

/// The class of each sample.
fn read_labels(path: &Path, count: usize) -> Result<Vec<i64>, Failure> {
    let bytes = read_bounded(path, MAX_ARCHIVE_BYTES).map_err(Failure::new)?;
    let array = Array::read_npy(&bytes).map_err(|error| {
        Failure::at(path, error).help("save them with numpy.save(\"labels.npy\", labels)")
    })?;
    if array.dtype().is_float() {
        let reason = format!("labels are integers, and these are {}", array.dtype());
        return Err(Failure::at(path, reason).help("convert them: labels.astype(numpy.int64)"));
    }
    // Classes are small numbers, which binary32 holds.
    let labels: Vec<i64> =
        numbers(array.dtype(), array.bytes()).into_iter().map(|label| label as i64).collect();
    if labels.len() != count {
        let reason = format!("there are {} labels for {count} samples", labels.len());
        return Err(Failure::at(path, reason)
            .help("--inputs names the samples that the labels belong to; without it, that is the calibration data"));
    }
    Ok(labels)
}
