//! `cortado run`.

use crate::arguments::{Place, RunArguments, TargetArguments};
use crate::failure::Failure;
use crate::model::{self, Model};
use crate::quiet::is_quiet;
use crate::suggest::nearest;
use cortado_compiler::judge::forms::contradictions;
use cortado_compiler::lift::lift;
use cortado_contract::{ConstantForm, Cpu, Target};
use cortado_host::boards::{Board, BoardProgram, BoardRun, Content, Tools};
use cortado_host::local::{self, AlignedBytes, RunError};
use cortado_host::samples::{Outputs, Samples, SamplesError};
use cortado_npz::Archive;
use cortado_runtime::{LayoutPolicy, Program};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let (file, target) = program(&arguments.model, &arguments.target)?;
    let samples = samples(&arguments.model, &arguments.inputs, &file)?;
    let policy = arguments.layout.into();
    let outputs = match arguments.on {
        Place::Host => run_on_host(arguments, &file, target, &samples, policy)?,
        Place::Qemu => run_on_board(arguments, &file, target, &samples, policy)?,
    };
    let archive = outputs.into_archive(&samples).map_err(Failure::new)?;
    archive.write(&arguments.outputs).map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}

/// The compiled program and the target that it runs on.
pub(crate) fn program(
    path: &Path,
    target: &TargetArguments,
) -> Result<(AlignedBytes, Target), Failure> {
    let asked = target.target()?;
    match model::read(path)? {
        Model::Exported(exported) => {
            let target = asked.ok_or_else(|| model::target_missing(path))?;
            let compiled = model::compiled(path, &exported, target)?;
            Ok((AlignedBytes::copy_of(&compiled.pte), target))
        }
        Model::Compiled(bytes) => {
            refuse_contradictions(path, &bytes)?;
            let file = AlignedBytes::copy_of(&bytes);
            let target = match asked {
                Some(target) => target,
                None => own_target(path, &file)?,
            };
            Ok((file, target))
        }
    }
}

/// Fails for a program that contradicts itself, of which the loader sees a part. What cannot be read is the loader's to report.
fn refuse_contradictions(path: &Path, file: &[u8]) -> Result<(), Failure> {
    let Ok(lifted) = lift(file) else { return Ok(()) };
    match &contradictions(&lifted)[..] {
        [] => Ok(()),
        [first, ..] => Err(Failure::at(path, format!("the program contradicts itself: {first}"))
            .help("it was damaged or edited; compile the model again")),
    }
}

/// The target that a program was made for: by its stamp, else by the constant form that it holds.
pub(crate) fn own_target(path: &Path, file: &AlignedBytes) -> Result<Target, Failure> {
    let program = Program::parse(file.as_ref()).map_err(|error| Failure::load(path, error))?;
    if let Some(stamp) = program.stamp() {
        return Ok(stamp.target);
    }
    let cpu = match program.constant_form().map_err(|error| Failure::load(path, error))? {
        Some(ConstantForm::KernelSum) => Cpu::M55,
        Some(ConstantForm::Bias) | None => Cpu::M4,
    };
    let target = Target::new(cpu);
    if !is_quiet() {
        eprintln!("note: {} names no target; by its constants it runs on {target}", path.display());
    }
    Ok(target)
}

/// The names of the program's inputs, where the file has them.
fn input_names(file: &AlignedBytes) -> Vec<String> {
    let named = cortado_pte::Program::parse(file.as_ref()).and_then(|program| {
        Ok(program.named(cortado_compiler::emit::INPUT_NAMES_KEY)?.map(<[u8]>::to_vec))
    });
    let Ok(Some(bytes)) = named else { return Vec::new() };
    String::from_utf8(bytes)
        .map(|text| text.lines().map(str::to_owned).collect())
        .unwrap_or_default()
}

/// The samples, held against the program's inputs.
pub(crate) fn samples(
    model: &Path,
    inputs: &Path,
    file: &AlignedBytes,
) -> Result<Samples, Failure> {
    let boundary = local::boundary(file).map_err(|error| Failure::load(model, error))?;
    let archive = Archive::open(inputs).map_err(|error| match error {
        // This one names the file itself.
        cortado_npz::Error::File(error) => Failure::file(error, &["npz"]),
        error => Failure::at(inputs, error),
    })?;
    Samples::take(&archive, &input_names(file), &boundary.inputs)
        .map_err(|error| Failure::at(inputs, &error).help(samples_help(&error)))
}

/// What to do about samples that do not fit; a name that is nearly right comes first.
fn samples_help(error: &SamplesError) -> String {
    let SamplesError::Missing { name, fallback, given } = error else { return error.help() };
    let given = || given.iter().map(String::as_str);
    let near = |wanted: &String| Some((wanted.clone(), nearest(wanted, given())?.to_owned()));
    match name.as_ref().and_then(near).or_else(|| near(fallback)) {
        Some((wanted, meant)) => format!("did you mean `{meant}`? Save it as `{wanted}`"),
        None => error.help(),
    }
}

fn run_on_host(
    arguments: &RunArguments,
    file: &AlignedBytes,
    target: Target,
    samples: &Samples,
    policy: LayoutPolicy,
) -> Result<Outputs, Failure> {
    let progress = progress(samples.len());
    let outputs = local::run(file, target.isa(), policy, samples, || progress.inc(1));
    progress.finish_and_clear();
    outputs.map_err(|error| match error {
        RunError::Load(error) => Failure::load(&arguments.model, error),
        error => Failure::at(&arguments.model, error),
    })
}

fn run_on_board(
    arguments: &RunArguments,
    file: &AlignedBytes,
    target: Target,
    samples: &Samples,
    policy: LayoutPolicy,
) -> Result<Outputs, Failure> {
    let (board, run) = on_board(&arguments.model, file, target, samples, policy, false)?;
    let BoardRun { outputs, measured } = run;
    if !is_quiet() {
        eprintln!(
            "{board}: {} instructions per sample, {} to load, {} bytes of stack",
            measured.instructions,
            measured.load_instructions,
            measured.load_stack_bytes.max(measured.execute_stack_bytes)
        );
    }
    Ok(outputs)
}

/// Runs a program on the board for its target, and says which one that is.
pub(crate) fn on_board(
    path: &Path,
    file: &AlignedBytes,
    target: Target,
    samples: &Samples,
    policy: LayoutPolicy,
    instructions_of_calls: bool,
) -> Result<(&'static str, BoardRun), Failure> {
    let load_failure = |error| Failure::load(path, error);
    let boundary = local::boundary(file).map_err(load_failure)?;
    let requirements = Program::parse(file.as_ref()).and_then(|program| program.requirements());
    let requirements = requirements.map_err(load_failure)?;
    let board = Board::for_target(target);
    if board.cpu != target.cpu() && !is_quiet() {
        eprintln!(
            "note: there is no emulated {}; {} with a {} stands for it",
            target.cpu(),
            board.name,
            board.cpu
        );
    }
    let wait = match is_quiet() {
        true => ProgressBar::hidden(),
        false => ProgressBar::new_spinner(),
    };
    let wait = wait.with_message(format!("building and running on {}", board.name));
    wait.enable_steady_tick(Duration::from_millis(120));
    let tools = Tools::find().map_err(Failure::new)?;
    let image = tools
        .build(board, target.isa(), board.profile(Content::Runner), Content::Runner)
        .map_err(Failure::new)?;
    let program = BoardProgram {
        file,
        boundary: &boundary,
        requirements,
        policy,
        stack_of_calls: false,
        instructions_of_calls,
    };
    let outcome = tools.run_program(&image, &program, samples);
    wait.finish_and_clear();
    let run = outcome.map_err(|error| Failure::at(path, error))?;
    let run = run.map_err(|refusal| Failure::at(path, refusal.message))?;
    Ok((board.name, run))
}

/// A bar over samples; hidden where standard error is no terminal.
pub(crate) fn progress(samples: usize) -> ProgressBar {
    let template = "{bar:40.cyan} {pos}/{len} samples, {per_sec}, {eta} left";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    if samples > 1 && !is_quiet() {
        ProgressBar::new(samples as u64).with_style(style)
    } else {
        ProgressBar::hidden()
    }
}
