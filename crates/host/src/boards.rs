//! The emulated boards: builds the firmware's images and runs them in QEMU.
//!
//! [`Tools`] stands for what that takes: an emulator and a compiler that has, or can make, Rust's `core` for
//! Cortex-M. With them, [`Tools::build`] makes an [`Image`] and [`Tools::run`] runs it.

mod code;
mod emulator;
mod image;
mod library;
mod program;
mod qemu;
mod reached;
mod table;
mod tools;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use {
    code::Code,
    emulator::{Run, RunOutput},
    image::{Content, Image, ModelImage, Profile},
    library::{CCompiler, Library, LibraryOptions},
    program::{BoardProgram, BoardRefusal, BoardRun, Measured},
    reached::{Coverage, Reached, Stretch},
    table::{
        BOARDS, Board, COMMAND_LINE_BYTES_MAX, CodeGeneration, LARGE_M0, ProgramPlace, Region,
        code_generation,
    },
    tools::Tools,
};

/// Exit codes with which the firmware itself ends a run; the same numbers stand in its `fault.rs`.
pub mod exit_code {
    /// A panic; the console shows its message and place.
    pub const PANIC: i32 = 101;
    /// A fault of the core; the console shows registers and cause.
    pub const FAULT: i32 = 102;
    /// An exception or interrupt without a handler.
    pub const UNEXPECTED_EXCEPTION: i32 = 103;
}

/// Why an image could not be built or run. What the image itself does wrong is no error here but an exit code.
#[derive(Debug)]
pub enum BoardError {
    /// A tool is not there and was not, or could not be, installed.
    MissingTool {
        /// What is missing and why it was not installed.
        reason: String,
        /// What to install, and how.
        remedy: String,
    },
    /// The board's core cannot have the instruction set.
    Unsupported(cortado_contract::target::UnsupportedIsa),
    /// Cargo refused or failed.
    Build {
        /// The image that was to be built.
        image: String,
        /// What Cargo printed.
        output: String,
    },
    /// The image is not what the linker script promises.
    BadImage {
        /// The image's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The program is larger than its place on the board.
    ProgramTooLarge {
        /// The board's name.
        board: &'static str,
        /// The program's file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The size of its place, which the image may have narrowed.
        bytes_max: u64,
    },
    /// The program needs more RAM than the image leaves.
    RamTooSmall {
        /// The board's name.
        board: &'static str,
        /// Bytes that the program needs: its arena and its method's state.
        needed: u64,
        /// Bytes that the image has to give.
        given: u64,
    },
    /// An argument cannot be handed to the image.
    BadArgument {
        /// The argument.
        argument: String,
        /// Why not.
        reason: String,
    },
    /// The operating system refused something.
    Io {
        /// What was tried, as in "cannot read FILE".
        action: String,
        /// Its answer.
        error: io::Error,
    },
}

impl BoardError {
    fn io(action: &str, path: &Path) -> impl FnOnce(io::Error) -> BoardError {
        let action = format!("cannot {action} {}", path.display());
        |error| BoardError::Io { action, error }
    }
}

impl fmt::Display for BoardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoardError::MissingTool { reason, remedy } => write!(f, "{reason}\n{remedy}"),
            BoardError::Unsupported(error) => error.fmt(f),
            BoardError::Build { image, output } => {
                write!(f, "cannot build the firmware for {image}:\n{output}")
            }
            BoardError::BadImage { path, reason } => {
                write!(f, "the image {} is not usable: {reason}", path.display())
            }
            BoardError::ProgramTooLarge { board, path, bytes, bytes_max } => write!(
                f,
                "{} has {bytes} bytes, but {board} has room for a program of {bytes_max} bytes",
                path.display()
            ),
            BoardError::RamTooSmall { board, needed, given } => write!(
                f,
                "the program needs {needed} bytes of RAM (arena and method state), and {board} has {given} to give"
            ),
            BoardError::BadArgument { argument, reason } => {
                write!(f, "cannot pass the argument {argument:?} to the image: {reason}")
            }
            BoardError::Io { action, error } => write!(f, "{action}: {error}"),
        }
    }
}

impl std::error::Error for BoardError {}

#[cfg(test)]
mod tests {
    use super::*;
    use cortado_contract::Isa;

    #[test]
    fn regions_are_aligned_and_apart() {
        for board in BOARDS {
            assert!(board.stack_bytes % 8 == 0 && board.stack_bytes < board.ram.bytes);
            let mut regions = vec![board.flash, board.ram];
            if let ProgramPlace::Own(region) = board.program {
                regions.push(region);
            }
            for region in &regions {
                assert_eq!((region.start % 16, region.bytes % 16), (0, 0), "{}", board.name);
            }
            regions.sort_by_key(|region| region.start);
            for pair in regions.windows(2) {
                assert!(pair[0].start + pair[0].bytes <= pair[1].start, "{}", board.name);
            }
        }
    }

    #[test]
    fn every_allowed_isa_has_code_generation_and_no_other() {
        for board in BOARDS {
            assert_eq!(Board::named(board.name).map(|found| found.cpu), Some(board.cpu));
            for isa in Isa::ALL {
                let allowed = board.cpu.allowed_isas().any(|allowed| allowed == isa);
                assert_eq!(board.code_generation(isa).is_some(), allowed, "{} {isa}", board.name);
            }
        }
    }
}
