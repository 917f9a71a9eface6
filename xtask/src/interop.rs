//! `cargo xtask interop`: files of ours in ExecuTorch's own Python reader and runtime, beside its own files for the same models; and programs
//! that were quantized here, loaded and executed by PyTorch.

use crate::fixtures::{compiled, cpu_of, float_samples, path, target_name};
use crate::models::names;
use crate::steps::{Tally, root};
use cortado_compiler::export::write;
use cortado_compiler::import::ExportedProgram;
use cortado_contract::{Isa, Target};
use cortado_host::local::{self, AlignedBytes};
use cortado_host::samples::Samples;
use cortado_npz::{Archive, Array};
use cortado_quantizer::execute::Executor;
use cortado_quantizer::quantize::{ALL_LAYERS, simplified};
use cortado_quantizer::{Options as Scheme, QuantizeError, quantize};
use cortado_runtime::LayoutPolicy;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The exit code by which the script says that the package is absent.
const ABSENT: i32 = 77;
/// A model whose operators ExecuTorch's Python package has kernels for, so that its runtime can execute our file.
const PORTABLE: &str = "testdata/pt2/traced.pt2";

/// What the script is to look at.
#[derive(Serialize)]
struct Job {
    name: String,
    ours: PathBuf,
    theirs: Option<PathBuf>,
    /// Files with the inputs' elements, then the file for the outputs'.
    run: Option<Vec<PathBuf>>,
    /// Where `ours` is an exported program: an archive with inputs and the outputs that we have for them, samples first.
    samples: Option<PathBuf>,
}

/// What the script found.
#[derive(Deserialize)]
struct Entry {
    name: String,
    problems: Vec<String>,
    differences: Vec<String>,
    runtime: String,
}

/// Compares all models; `theirs` is a folder with upstream's files as `MODEL/executorch-TARGET.pte`, else those in `testdata` count.
pub(crate) fn run(python: &str, theirs: Option<&Path>) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("cortado-interop-{}", std::process::id()));
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let outcome = compare(python, theirs, &folder);
    fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    outcome
}

fn compare(python: &str, theirs: Option<&Path>, folder: &Path) -> Result<(), String> {
    let mut tally = Tally::default();
    let mut jobs = jobs(theirs, folder)?;
    jobs.extend(quantized(folder)?);
    let (portable, expected) = portable(folder)?;
    let result = portable.run.as_ref().and_then(|run| run.last().cloned()).unwrap_or_default();
    jobs.push(portable);
    let list = folder.join("jobs.json");
    let text = serde_json::to_vec(&jobs).map_err(|error| error.to_string())?;
    fs::write(&list, text).map_err(|error| error.to_string())?;
    let mut child = Command::new(python)
        .arg(root().join("xtask/src/interop.py"))
        .arg(&list)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start `{python}`: {error}"))?;
    let lines = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
    let mut seen = 0;
    for line in lines {
        let line = line.map_err(|error| error.to_string())?;
        let entry: Entry =
            serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        seen += 1;
        entry.differences.iter().for_each(|difference| println!("        {difference}"));
        let label = format!("{}: {}", entry.name, entry.runtime);
        tally.record(&label, (!entry.problems.is_empty()).then(|| entry.problems.join("\n")));
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.code() == Some(ABSENT) {
        println!(
            "skipped: `{python}` has no package executorch; install executorch==1.5.1 and pass --python (with torch \
             beside it, its runtime is tried as well)"
        );
        return Ok(());
    }
    if seen != jobs.len() {
        return Err(format!(
            "{seen} of {} files were looked at; the script ended with {status}",
            jobs.len()
        ));
    }
    if result.exists() {
        tally.record("outputs of ExecuTorch's runtime", differs(&result, &expected)?);
    }
    tally.finish()
}

/// Every model for every target, with upstream's file where there is one.
fn jobs(theirs: Option<&Path>, folder: &Path) -> Result<Vec<Job>, String> {
    let mut jobs = Vec::new();
    for model in names()? {
        for isa in Isa::ALL {
            let target = target_name(isa);
            let name = format!("{model}-{target}");
            let ours = folder.join(format!("{name}.pte"));
            fs::write(&ours, compiled(&model, Target::new(cpu_of(isa)))?.pte)
                .map_err(|error| error.to_string())?;
            let theirs = match theirs {
                Some(theirs) => theirs.join(&model).join(format!("executorch-{target}.pte")),
                None => root().join("testdata/pte-upstream").join(format!("{name}.pte")),
            };
            let theirs = theirs.exists().then_some(theirs);
            jobs.push(Job { name, ours, theirs, run: None, samples: None });
        }
    }
    Ok(jobs)
}

/// A model that ExecuTorch's runtime can execute, with the outputs that ours has for it.
fn portable(folder: &Path) -> Result<(Job, Vec<f32>), String> {
    let fail = |error: &dyn std::fmt::Display| format!("{PORTABLE}: {error}");
    let exported = ExportedProgram::open(root().join(PORTABLE)).map_err(|error| fail(&error))?;
    let target = Target::new(cpu_of(Isa::Dsp));
    let pte = cortado_compiler::compile(&exported, target).map_err(|error| fail(&error))?.pte;
    let file = AlignedBytes::copy_of(&pte);
    let boundary = local::boundary(&file).map_err(|error| fail(&error))?;
    let (mut archive, mut run) = (Archive::new(), Vec::new());
    for (index, input) in boundary.inputs.iter().enumerate() {
        let count = input.shape.iter().product();
        let values: Vec<f32> =
            (0..count).map(|at: usize| (at as f32 * 0.7 + index as f32).sin()).collect();
        let path = folder.join(format!("input{index}.bin"));
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(&path, bytes).map_err(|error| fail(&error))?;
        run.push(path);
        let shape = input.shape.clone();
        archive.insert(
            format!("input{index}"),
            Array::from_values(shape, &values).map_err(|error| fail(&error))?,
        );
    }
    let samples = Samples::take(&archive, &[], &boundary.inputs).map_err(|error| fail(&error))?;
    let outputs = local::run(&file, target.isa(), LayoutPolicy::Refuse, &samples, || {});
    let outputs = outputs.map_err(|error| fail(&error))?;
    let numbers = outputs.bytes().flat_map(|bytes| bytes.as_chunks().0);
    let expected = numbers.map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let ours = folder.join("portable.pte");
    fs::write(&ours, pte).map_err(|error| fail(&error))?;
    run.push(folder.join("outputs.bin"));
    let name = PORTABLE.to_owned();
    Ok((Job { name, ours, theirs: None, run: Some(run), samples: None }, expected))
}

/// Every float model quantized, with int8 and with int16 layers, and what our executor makes of the first samples.
fn quantized(folder: &Path) -> Result<Vec<Job>, String> {
    let mut jobs = Vec::new();
    for model in names()? {
        // Nothing that the other convolutional models do not show, but longer.
        if !path(&model, "float.pt2").exists() || model.contains("mobilenet") {
            continue;
        }
        for (suffix, int16) in [("int8", vec![]), ("int16", vec![ALL_LAYERS.to_owned()])] {
            let name = format!("{model}, quantized to {suffix}");
            let fail = |error: &dyn std::fmt::Display| format!("{name}: {error}");
            let scheme = Scheme { int16, ..Scheme::default() };
            let float =
                ExportedProgram::open(path(&model, "float.pt2")).map_err(|error| fail(&error))?;
            let open = |file| Archive::open(path(&model, file)).map_err(|error| fail(&error));
            let calibration = float_samples(&open("calibration.npz")?);
            let program = match quantize(&float, &calibration, &scheme, &mut |_| {}) {
                Ok(quantized) => quantized.program,
                Err(QuantizeError::NoInt16 { .. }) => continue,
                Err(error) => return Err(fail(&error)),
            };
            let mut inputs = float_samples(&open("inputs.npz")?);
            inputs.truncate(4);
            let graph = simplified(&program).map_err(|error| fail(&error))?;
            let outputs = Executor::new(&graph).and_then(|it| it.run(&inputs));
            let outputs = outputs.map_err(|error| fail(&error))?;
            let mut archive = Archive::new();
            for (what, samples) in [("input", &inputs), ("output", &outputs)] {
                for position in 0..samples.first().map_or(0, Vec::len) {
                    let numbers = samples.iter().flat_map(|sample| sample[position].data());
                    let numbers: Vec<f32> = numbers.copied().collect();
                    let shape = [&[samples.len()], samples[0][position].shape()].concat();
                    let array = Array::from_values(shape, &numbers);
                    let array = array.map_err(|error| fail(&error))?;
                    archive.insert(format!("{what}{position}"), array);
                }
            }
            let ours = folder.join(format!("{model}-{suffix}.pt2"));
            let samples = folder.join(format!("{model}-{suffix}.npz"));
            let bytes = write(&program).map_err(|error| fail(&error))?;
            fs::write(&ours, bytes).map_err(|error| fail(&error))?;
            archive.write(&samples).map_err(|error| fail(&error))?;
            jobs.push(Job { name, ours, theirs: None, run: None, samples: Some(samples) });
        }
    }
    Ok(jobs)
}

/// How the outputs of ExecuTorch's runtime differ from ours: sums in float may be rounded otherwise in their last bits.
fn differs(path: &Path, expected: &[f32]) -> Result<Option<String>, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let found: Vec<f32> =
        bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    let holds = found.len() == expected.len() && found.iter().zip(expected).all(is_near);
    Ok((!holds).then(|| format!("{found:?} instead of {expected:?}")))
}
