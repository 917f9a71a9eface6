//! From a file to what the page shows.
//!
//! A program that can be lifted is shown with what its operators mean. Any other sound file is shown as far as the file itself says what
//! is in it: see [`Report::unread`].

mod describe;
mod findings;
mod lifted;
mod memory;
mod raw;

use crate::model::{Access, Constants, Flash, Layer, Origin, Report, Tensor, Verdict};
use crate::profile::OtherProgram;
use crate::{Profile, text};
use cortado_compiler::Compiled;
use cortado_compiler::judge::dead::dead;
use cortado_compiler::lift::lift;
use std::collections::HashSet;
use std::fmt;

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The name of the file, for the heading.
    pub title: &'a str,
    /// The compiled program.
    pub file: &'a [u8],
    /// The compilation that made the file, where it is at hand: it knows names, source lines and scales that the file does not have.
    pub compiled: Option<&'a Compiled>,
    /// What Cortado's runtime does with the file; this crate does not load programs.
    pub verdicts: Vec<Verdict>,
    /// The size of a loaded method's state, `None` where the program cannot be loaded.
    pub state_bytes: Option<u64>,
    /// Measurements of the program.
    pub profiles: Vec<Profile>,
    /// Roughly how long to look for a better memory plan to compare the file's with, in seconds. It is a number of steps all the same.
    pub plan_seconds: f64,
}

/// Why there can be no report.
#[derive(Clone, Debug, PartialEq)]
pub enum ReadError {
    /// The file is not a sound program.
    Format(cortado_pte::Error),
    /// A profile is of another program.
    Profile(OtherProgram),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Format(error) => write!(f, "the file is not a sound program: {error}"),
            ReadError::Profile(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<cortado_pte::Error> for ReadError {
    fn from(error: cortado_pte::Error) -> Self {
        ReadError::Format(error)
    }
}

impl Report {
    /// Reads a program.
    ///
    /// # Errors
    /// See [`ReadError`]. A sound file of whatever content has a report.
    pub fn read(request: Request<'_>) -> Result<Report, ReadError> {
        let Request { title, file, verdicts, state_bytes, profiles, .. } = &request;
        let view = cortado_pte::Program::parse(file)?;
        let owned = cortado_pte::owned::Program::from_view(&view)?;
        let dead = dead(file)?;
        let mut report = Report {
            title: text::clean(title),
            file_bytes: file.len() as u64,
            state_bytes: *state_bytes,
            verdicts: verdicts.clone(),
            profiles: profiles.clone(),
            ..Report::default()
        };
        match lift(file) {
            Ok(lifted) => lifted::fill(&mut report, &lifted, &request),
            Err(error) => raw::fill(&mut report, &owned, error.to_string()),
        }
        let operators: Vec<&str> =
            report.layers.iter().map(|layer| layer.operator.as_str()).collect();
        for profile in profiles {
            profile.suits(&operators).map_err(ReadError::Profile)?;
        }
        report.flash = flash(&report, dead.bytes);
        findings::fill_costs(&mut report, &dead);
        report.findings.sort_by_key(|finding| finding.severity);
        Ok(report)
    }
}

impl Origin {
    fn of(stamp: Option<cortado_contract::stamp::TargetStamp>) -> Origin {
        match stamp {
            Some(stamp) => Origin {
                made_by: format!(
                    "Cortado {}",
                    stamp.compiler.map(|part| part.to_string()).join(".")
                ),
                cpu: Some(stamp.target.cpu().name().to_owned()),
                isas: vec![stamp.target.isa().name().to_owned()],
                constant_form: Some(stamp.constant_form.name().to_owned()),
            },
            None => Origin { made_by: "another compiler".to_owned(), ..Origin::default() },
        }
    }
}

/// What the file's bytes are for; each constant counts for the first layer that reads it.
fn flash(report: &Report, dead_bytes: u64) -> Flash {
    let mut seen = HashSet::new();
    let layers: Vec<Constants> =
        report.layers.iter().map(|layer| constants(layer, &report.tensors, &mut seen)).collect();
    let constants: u64 = layers.iter().map(Constants::total).fold(0, u64::saturating_add);
    let program_bytes = report.file_bytes.saturating_sub(constants).saturating_sub(dead_bytes);
    Flash { layers, dead_bytes, program_bytes }
}

fn constants(layer: &Layer, tensors: &[Tensor], seen: &mut HashSet<usize>) -> Constants {
    let mut sum = Constants::default();
    for operand in layer.operands.iter().filter(|operand| operand.access == Access::Read) {
        let storage = tensors[operand.tensor].storage;
        let tensor = &tensors[storage];
        if !tensor.is_constant {
            continue;
        }
        if !seen.insert(storage) {
            sum.shared += tensor.size_bytes;
            continue;
        }
        let counter = match operand.role.as_str() {
            "weight" | "weights" => &mut sum.weights,
            "bias" | "kernel_sum" => &mut sum.terms,
            "requantize_multipliers" | "requantize_shifts" => &mut sum.rescale,
            _ => &mut sum.other,
        };
        *counter += tensor.size_bytes;
    }
    sum
}
