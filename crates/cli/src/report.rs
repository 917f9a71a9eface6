//! `cortado report`: a program as one HTML page.

use crate::arguments::{ReportArguments, parse_cpu};
use crate::check::{CortadoVerdict, cortado_verdicts};
use crate::failure::Failure;
use crate::model::is_one_file;
use crate::model::{self, Model};
use crate::{profile, retarget, run};
use cortado_compiler::lift::lift;
use cortado_compiler::plan::PlanOptions;
use cortado_contract::Target;
use cortado_host::local::AlignedBytes;
use cortado_npz::file::{read_bounded, write_atomically};
use cortado_report::{Profile, ReadError, Report, Request, Verdict};
use cortado_runtime::{LayoutPolicy, Program};
use std::path::Path;
use std::process::ExitCode;

/// The most bytes that a profile may have.
const PROFILE_BYTES_MAX: u64 = 64 << 20;

pub(crate) fn report(arguments: &ReportArguments) -> Result<ExitCode, Failure> {
    let path = &arguments.model;
    refuse_to_overwrite(arguments)?;
    let asked = arguments.target.target()?;
    let (file, compiled) = match model::read(path)? {
        Model::Compiled(bytes) => (AlignedBytes::copy_of(&bytes), None),
        Model::Exported(exported) => {
            let target = asked.ok_or_else(|| model::target_missing(path))?;
            let compiled = model::compiled(path, &exported, target)?;
            (AlignedBytes::copy_of(&compiled.pte), Some(compiled))
        }
    };
    let program = Program::parse(file.as_ref());
    let state = program.and_then(|program| program.requirements());
    let mut profiles = read_profiles(&arguments.profile)?;
    profiles.extend(measure(arguments, &file, asked)?);
    let title = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let request = Request {
        title: &title,
        file: file.as_ref(),
        compiled: compiled.as_ref(),
        verdicts: cortado_verdicts(&file).into_iter().map(verdict).collect(),
        state_bytes: state.ok().map(|requirements| u64::from(requirements.state_words) * 4),
        profiles,
        plan_seconds: PlanOptions::default().seconds,
    };
    let report = Report::read(request).map_err(|error| failure(path, error))?;
    write_atomically(&arguments.output, report.page().as_bytes()).map_err(Failure::new)?;
    Ok(ExitCode::SUCCESS)
}

/// Fails where the page would be written over what it is made of.
fn refuse_to_overwrite(arguments: &ReportArguments) -> Result<(), Failure> {
    let ReportArguments { model, output, profile, inputs, .. } = arguments;
    let mut read = [model].into_iter().chain(profile).chain(inputs);
    match read.find(|path| is_one_file(path, output)) {
        Some(path) => Err(Failure::at(path, "the page would be written over it")
            .help("give --output another name, such as report.html")),
        None => Ok(()),
    }
}

fn failure(path: &Path, error: ReadError) -> Failure {
    let failure = Failure::at(path, &error);
    match error {
        ReadError::Format(_) => failure.help("the file is truncated or damaged; compile it again"),
        ReadError::Profile(_) => {
            failure.help("profile this program: cortado profile MODEL --inputs NPZ --json")
        }
    }
}

fn read_profiles(paths: &[impl AsRef<Path>]) -> Result<Vec<Profile>, Failure> {
    let read = |path: &Path| {
        let bytes = read_bounded(path, PROFILE_BYTES_MAX)
            .map_err(|error| Failure::file(error, &["json"]))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::at(path, format!("this is no profile: {error}"))
                .help("a profile is what `cortado profile --json` prints")
        })
    };
    paths.iter().map(|path| read(path.as_ref())).collect()
}

/// Counts the instructions of each layer on each core that was asked for.
fn measure(
    arguments: &ReportArguments,
    file: &AlignedBytes,
    asked: Option<Target>,
) -> Result<Vec<Profile>, Failure> {
    let (path, Some(inputs)) = (&arguments.model, &arguments.inputs) else { return Ok(Vec::new()) };
    let own = match asked {
        Some(target) => target,
        None => run::own_target(path, file)?,
    };
    let mut targets: Vec<Target> = Vec::new();
    for cpu in &arguments.on {
        targets.push(Target::new(parse_cpu(cpu)?));
    }
    if targets.is_empty() {
        targets.push(own);
    }
    let mut profiles = Vec::new();
    for target in targets {
        // Each core is measured with the forms that its kernels read best.
        let file = match target.isa() == own.isa() {
            true => AlignedBytes::copy_of(file.as_ref()),
            false => AlignedBytes::copy_of(&retarget::file_for(path, file.as_ref(), target)?),
        };
        let lifted = lift(file.as_ref()).map_err(|error| Failure::at(path, error))?;
        let policy = LayoutPolicy::Adapt;
        profiles.push(profile::measure(path, inputs, policy, &file, target, &lifted)?);
    }
    Ok(profiles)
}

fn verdict(verdict: CortadoVerdict) -> Verdict {
    let CortadoVerdict { isa, runs, adapts, reason } = verdict;
    let outcome = match (runs, adapts) {
        (true, _) => "exact",
        (false, true) => "refused; exact with the adapting layout policy",
        (false, false) => "refused",
    };
    Verdict {
        runtime: "Cortado",
        isa: isa.to_owned(),
        is_right: runs,
        outcome: outcome.to_owned(),
        reasons: reason.into_iter().collect(),
    }
}
