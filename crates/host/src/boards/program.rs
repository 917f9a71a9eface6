//! Runs a program on samples, on an emulated board.

use super::{BOARDS, Board, BoardError, Image, Run, RunOutput, Tools};
use crate::local::{AlignedBytes, Boundary};
use crate::samples::{Outputs, Samples};
use cortado_contract::{Cpu, Target};
use cortado_runtime::{LayoutPolicy, Requirements};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A program for a board.
#[derive(Clone, Copy, Debug)]
pub struct BoardProgram<'a> {
    /// The file.
    pub file: &'a AlignedBytes,
    /// Its inputs and outputs.
    pub boundary: &'a Boundary,
    /// What it needs.
    pub requirements: Requirements,
    /// What to do with a foreign constant form.
    pub policy: LayoutPolicy,
    /// Whether to execute once more to see how much stack each call takes.
    pub stack_of_calls: bool,
    /// Whether to execute once more to count the instructions of each call.
    pub instructions_of_calls: bool,
}

/// What a run on a board gave.
#[derive(Clone, Debug)]
pub struct BoardRun {
    /// The outputs of all samples.
    pub outputs: Outputs,
    /// What the image measured.
    pub measured: Measured,
}

/// What an image measures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Instructions of loading the program from its file.
    pub load_instructions: u64,
    /// Instructions of making a method of a linked program.
    pub link_instructions: u64,
    /// The digest of what loading prepared, as [`cortado_runtime::digest`] has it.
    pub state_digest: u64,
    /// Bytes of a method with one bank, besides its state.
    pub method_bytes: u64,
    /// Instructions of one execution, the mean over all samples.
    pub instructions: u64,
    /// Stack used by loading, in bytes.
    pub load_stack_bytes: u64,
    /// Stack used by executing, in bytes.
    pub execute_stack_bytes: u64,
    /// Operator by operator, the stack that each call used, in bytes, if [`BoardProgram::stack_of_calls`] asked for it.
    pub call_stack_bytes: Vec<(String, u64)>,
    /// Operator by operator, the instructions of each call, if [`BoardProgram::instructions_of_calls`] asked for it.
    pub call_instructions: Vec<(String, u64)>,
}

/// Why the image did not run the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardRefusal {
    /// What the image said.
    pub message: String,
    /// Whether the program was refused when it was loaded, by the runtime's judgement.
    pub at_load: bool,
}

/// The exit code of an image that refused its program, as in the firmware's `execute.rs`.
const REFUSED: i32 = 3;

impl Board {
    /// The board that stands for a target: one with its core, else one whose core runs the same code.
    pub fn for_target(target: Target) -> &'static Board {
        let cpu = match target.cpu() {
            Cpu::M0Plus | Cpu::M1 => Cpu::M0,
            // Baseline is closest to an M3 without the instructions that it lacks; its code runs there.
            Cpu::M23 => Cpu::M3,
            Cpu::M35P => Cpu::M33,
            Cpu::M52 | Cpu::M85 => Cpu::M55,
            cpu => cpu,
        };
        BOARDS
            .iter()
            .find(|board| board.cpu == cpu)
            .expect("there is a board for each of these cores")
    }
}

impl Tools {
    /// Runs a program on all samples, in an image for its target.
    ///
    /// # Errors
    /// The program needs more memory than the board has, and what [`Tools::run`] says. A program that the image refuses is no
    /// error but a [`BoardRefusal`].
    pub fn run_program(
        &self,
        image: &Image,
        program: &BoardProgram<'_>,
        samples: &Samples,
    ) -> Result<Result<BoardRun, BoardRefusal>, BoardError> {
        let state_bytes = u64::from(program.requirements.state_words * 4).next_multiple_of(16);
        let needed = state_bytes + u64::from(program.requirements.arena_bytes);
        let given = u64::from(image.arena.bytes);
        if needed > given {
            return Err(BoardError::RamTooSmall { board: image.board.name, needed, given });
        }
        let folder = TemporaryFolder::new()?;
        write(&folder.place("program.pte"), program.file.as_ref())?;
        write_inputs(&folder, samples)?;
        let policy = match program.policy {
            LayoutPolicy::Refuse => "layout=refuse",
            LayoutPolicy::Adapt => "layout=adapt",
        };
        let count = format!("samples={}", samples.len());
        let mut arguments =
            vec!["task=execute", policy, "inputs=inputs.bin", "outputs=outputs.bin", &count];
        if program.stack_of_calls {
            arguments.push("stack=operators");
        }
        if program.instructions_of_calls {
            arguments.push("instructions=operators");
        }
        let output = self.run(
            image,
            &Run {
                program: Some(&folder.place("program.pte")),
                arguments: &arguments,
                directory: &folder.0,
                limit: Duration::from_secs(600),
            },
        )?;
        finished(&folder, &output, program.boundary, samples)
    }

    /// Runs the firmware of one model on all samples; see [`Tools::build_model`].
    ///
    /// # Errors
    /// What [`Tools::run`] says. A program that the image refuses is no error but a [`BoardRefusal`].
    pub fn run_model(
        &self,
        image: &Image,
        boundary: &Boundary,
        samples: &Samples,
    ) -> Result<Result<BoardRun, BoardRefusal>, BoardError> {
        let folder = TemporaryFolder::new()?;
        write_inputs(&folder, samples)?;
        let limit = Duration::from_secs(600);
        let run = Run { program: None, arguments: &[], directory: &folder.0, limit };
        finished(&folder, &self.run(image, &run)?, boundary, samples)
    }
}

fn write_inputs(folder: &TemporaryFolder, samples: &Samples) -> Result<(), BoardError> {
    let inputs: Vec<u8> =
        (0..samples.len()).flat_map(|index| samples.sample(index)).flatten().collect();
    write(&folder.place("inputs.bin"), &inputs)
}

/// What a run that has ended gave.
fn finished(
    folder: &TemporaryFolder,
    output: &RunOutput,
    boundary: &Boundary,
    samples: &Samples,
) -> Result<Result<BoardRun, BoardRefusal>, BoardError> {
    if output.exit_code != Some(0) {
        let end = if output.timed_out { "stopped after 600 s" } else { "ended" };
        let code = output.exit_code.map_or(String::new(), |code| format!(" with code {code}"));
        let said = output
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("error: "))
            .collect::<Vec<_>>();
        let message = match said.is_empty() {
            true => format!("the image {end}{code}:\n{}{}", output.stdout, output.stderr),
            false => said.join("\n"),
        };
        return Ok(Err(BoardRefusal { message, at_load: output.exit_code == Some(REFUSED) }));
    }
    let path = folder.place("outputs.bin");
    let bytes = fs::read(&path).map_err(BoardError::io("read", &path))?;
    let outputs = split(boundary, samples.len(), &bytes);
    Ok(Ok(BoardRun { outputs, measured: Measured::read(&output.stdout) }))
}

impl Measured {
    fn read(text: &str) -> Self {
        let lines: HashMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once('=')).collect();
        let number = |key: &str| lines.get(key).and_then(|value| value.parse().ok()).unwrap_or(0);
        let calls = |prefix: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(prefix)?.split_once('='));
            lines
                .filter_map(|(operator, number)| Some((operator.to_owned(), number.parse().ok()?)))
                .collect()
        };
        let hexadecimal =
            |key: &str| lines.get(key).and_then(|value| u64::from_str_radix(value, 16).ok());
        Measured {
            load_instructions: number("load_instructions"),
            link_instructions: number("link_instructions"),
            state_digest: hexadecimal("state_digest").unwrap_or(0),
            method_bytes: number("method_bytes"),
            instructions: number("instructions"),
            load_stack_bytes: number("load_stack_bytes"),
            execute_stack_bytes: number("execute_stack_bytes"),
            call_stack_bytes: calls("stack."),
            call_instructions: calls("instructions."),
        }
    }
}

/// The outputs of all samples, which the image wrote one after the other.
fn split(boundary: &Boundary, samples: usize, mut bytes: &[u8]) -> Outputs {
    let mut outputs = Outputs::new(boundary.outputs.clone());
    for _ in 0..samples {
        for (position, signature) in boundary.outputs.iter().enumerate() {
            let (output, rest) = bytes.split_at(signature.size_bytes().min(bytes.len()));
            outputs.push(position, output);
            bytes = rest;
        }
    }
    outputs
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BoardError> {
    fs::write(path, bytes).map_err(BoardError::io("write", path))
}

/// A folder that goes when its owner goes.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self, BoardError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("cortado-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).map_err(BoardError::io("create", &path))?;
        Ok(TemporaryFolder(path))
    }

    fn place(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Nobody is left to tell if it cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
