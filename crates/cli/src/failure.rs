//! What the user reads when a request cannot be met: a reason, a place, a remedy.

use crate::suggest;
use cortado_npz::file::FileError;
use cortado_runtime::LoadError;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// A request that cannot be met.
#[derive(Debug)]
pub(crate) struct Failure {
    reason: String,
    help: Option<String>,
    /// Whether the command line itself is wrong.
    is_usage: bool,
}

impl Failure {
    pub(crate) fn new(reason: impl fmt::Display) -> Self {
        Failure { reason: reason.to_string(), help: None, is_usage: false }
    }

    /// A command line that means nothing, whatever the files hold.
    pub(crate) fn usage(reason: impl fmt::Display) -> Self {
        Failure { is_usage: true, ..Failure::new(reason) }
    }

    /// 2 where the command line is wrong, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        if self.is_usage { 2 } else { 1 }
    }

    /// A problem with a file.
    pub(crate) fn at(path: &Path, reason: impl fmt::Display) -> Self {
        Failure::new(format!("{}: {reason}", path.display()))
    }

    /// A program that cannot be loaded.
    pub(crate) fn load(path: &Path, error: LoadError) -> Self {
        let failure = Failure::at(path, error);
        match error {
            LoadError::Layout(_) => failure.help(
                "rewrite it with `cortado retarget`, compile the model for this target, or compute it from the form that is there with \
                 --layout adapt",
            ),
            LoadError::Format(_) => failure.help("the file is truncated or damaged; compile it again"),
            _ => failure,
        }
    }

    /// A file that cannot be read, or whose like there is: see [`suggest::nearest_file`].
    pub(crate) fn file(error: FileError, extensions: &[&str]) -> Self {
        let is_missing = error.source.kind() == ErrorKind::NotFound;
        let meant = suggest::nearest_file(&error.path, extensions).filter(|_| is_missing);
        Failure::new(error).did_you_mean(meant.as_deref().and_then(Path::to_str))
    }

    /// The same with what was probably meant, if anything.
    pub(crate) fn did_you_mean(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// The same with what the user can do.
    pub(crate) fn help(mut self, help: impl fmt::Display) -> Self {
        self.help = Some(help.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.reason)?;
        if let Some(help) = &self.help {
            write!(f, "\nhelp: {help}")?;
        }
        Ok(())
    }
}

/// Prints a text and a line end to standard output. A reader that has seen enough and left is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out
        .write_all(text.trim_end().as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
