//! Runs an image in QEMU.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{BoardError, COMMAND_LINE_BYTES_MAX, Image, Tools};

/// What an image is run with.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// A file loaded to where the board keeps its program. The image is told its size by a first argument
    /// `program=BYTES`.
    pub program: Option<&'a Path>,
    /// The image's arguments: without white space, and together at most [`COMMAND_LINE_BYTES_MAX`] bytes.
    pub arguments: &'a [&'a str],
    /// Where the image opens files: its paths are relative to here.
    pub directory: &'a Path,
    /// How long it may take by the wall clock.
    pub limit: Duration,
}

/// What a run left behind, apart from files.
#[derive(Clone, Debug)]
pub struct RunOutput {
    /// The image's exit code; `None` if it was stopped at the limit or the emulator died of a signal.
    pub exit_code: Option<i32>,
    /// What the image printed.
    pub stdout: String,
    /// What the emulator had to say, as a rule nothing.
    pub stderr: String,
    /// It was stopped at the limit.
    pub timed_out: bool,
    /// How long it took by the wall clock.
    pub duration: Duration,
}

impl Tools {
    /// Runs an image to its end or to the limit. One instruction takes one nanosecond of the board's time, so
    /// that the image's instruction counts are right and the same in each run.
    ///
    /// # Errors
    /// The program does not fit the board, an argument cannot be passed, or QEMU does not start. How the run
    /// itself ends is in the output.
    pub fn run(&self, image: &Image, run: &Run<'_>) -> Result<RunOutput, BoardError> {
        self.run_logged(image, run, None)
    }

    /// As [`Self::run`]; the code that is executed goes to `log`, each block when it is translated.
    pub(super) fn run_logged(
        &self,
        image: &Image,
        run: &Run<'_>,
        log: Option<&Path>,
    ) -> Result<RunOutput, BoardError> {
        let mut command = self.qemu.command();
        if let Some(log) = log {
            command.args(["-d", "in_asm", "-D"]).arg(log);
        }
        command
            .current_dir(run.directory)
            .args(["-machine", image.board.machine, "-icount", "shift=0"])
            .args(["-display", "none", "-monitor", "none", "-serial", "none", "-parallel", "none"])
            .args(["-chardev", "stdio,id=console,signal=off"])
            .arg("-kernel")
            .arg(&image.path);
        let mut arguments = Vec::new();
        if let Some(program) = run.program {
            let (loader, argument) = place_program(image, program)?;
            command.args(["-device", &loader]);
            arguments.push(argument);
        }
        arguments.extend(run.arguments.iter().map(|&argument| argument.to_owned()));
        command.args(["-semihosting-config", &semihosting_options(&arguments)?]);

        self.start_and_watch(&mut command, Stdio::null(), run.limit)
    }

    /// Runs a firmware of another make, an ELF file, on a machine of the emulator's to its end or to the limit. What it prints by
    /// semihosting and what it sends on its first serial port comes out alike; the serial port receives `input`. One instruction
    /// takes one nanosecond of the board's time.
    ///
    /// # Errors
    /// The input cannot be read or QEMU does not start. How the run itself ends is in the output.
    pub fn run_firmware(
        &self,
        elf: &Path,
        machine: &str,
        input: &Path,
        limit: Duration,
    ) -> Result<RunOutput, BoardError> {
        let mut command = self.qemu.command();
        command
            .args(["-machine", machine, "-icount", "shift=0"])
            .args(["-display", "none", "-monitor", "none", "-parallel", "none"])
            .args(["-serial", "stdio", "-semihosting"])
            .arg("-kernel")
            .arg(elf);
        let input = File::open(input).map_err(BoardError::io("read", input))?;
        self.start_and_watch(&mut command, input.into(), limit)
    }

    fn start_and_watch(
        &self,
        command: &mut Command,
        input: Stdio,
        limit: Duration,
    ) -> Result<RunOutput, BoardError> {
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let child = command.spawn().map_err(|error| BoardError::Io {
            action: format!("cannot start {}", self.qemu.path().display()),
            error,
        })?;
        watch(Running(child), start, limit)
            .map_err(|error| BoardError::Io { action: "cannot watch QEMU".to_owned(), error })
    }
}

/// The loader's options for a program, and the argument that tells the image its size.
fn place_program(image: &Image, program: &Path) -> Result<(String, String), BoardError> {
    let bytes = fs::metadata(program).map_err(BoardError::io("read", program))?.len();
    let bytes_max = u64::from(image.program.bytes);
    if bytes > bytes_max {
        let (board, path) = (image.board.name, program.to_owned());
        return Err(BoardError::ProgramTooLarge { board, path, bytes, bytes_max });
    }
    let path = std::path::absolute(program).map_err(BoardError::io("find", program))?;
    let loader = format!(
        "loader,file={},addr={:#x},force-raw=on",
        escape(&printable(&path)?),
        image.program.start
    );
    Ok((loader, format!("program={bytes}")))
}

fn semihosting_options(arguments: &[String]) -> Result<String, BoardError> {
    let mut options = "enable=on,target=native,chardev=console".to_owned();
    let mut line_bytes = 0;
    for argument in arguments {
        let bad = |reason: &str| {
            let (argument, reason) = (argument.clone(), reason.to_owned());
            Err(BoardError::BadArgument { argument, reason })
        };
        if argument.is_empty() || argument.contains(|c: char| c.is_whitespace() || c == '\0') {
            return bad("the image splits its command line at white space");
        }
        line_bytes += argument.len() + 1;
        if line_bytes - 1 > COMMAND_LINE_BYTES_MAX {
            return bad(&format!(
                "with it, the command line has over {COMMAND_LINE_BYTES_MAX} bytes"
            ));
        }
        options.push_str(",arg=");
        options.push_str(&escape(argument));
    }
    // Without any argument, QEMU would hand out the image's own path.
    if arguments.is_empty() {
        options.push_str(",arg=");
    }
    Ok(options)
}

/// In QEMU's options a comma is written twice.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

fn printable(path: &Path) -> Result<String, BoardError> {
    path.to_str().map(str::to_owned).ok_or_else(|| BoardError::BadArgument {
        argument: path.display().to_string(),
        reason: "the path is not UTF-8".to_owned(),
    })
}

/// Waits for the emulator to end, or ends it at the limit.
fn watch(mut running: Running, start: Instant, limit: Duration) -> io::Result<RunOutput> {
    let stdout = read_in_background(running.0.stdout.take());
    let stderr = read_in_background(running.0.stderr.take());
    let mut pause = Duration::from_millis(1);
    let (status, timed_out) = loop {
        if let Some(status) = running.0.try_wait()? {
            break (status, false);
        }
        if start.elapsed() >= limit {
            running.0.kill()?;
            break (running.0.wait()?, true);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    };
    let duration = start.elapsed();
    let text = |reader: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
    };
    Ok(RunOutput {
        exit_code: if timed_out { None } else { status.code() },
        stdout: text(stdout),
        stderr: text(stderr),
        timed_out,
        duration,
    })
}

fn read_in_background(source: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            // What was read before an error is still worth showing.
            let _ = source.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// A child process that does not outlive its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, as a rule, and there is nobody to tell if it cannot be ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<String, BoardError> {
        semihosting_options(&arguments.iter().map(|&a| a.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_escaped_and_bounded() {
        assert!(options(&["a=1,2", "b"]).unwrap().ends_with(",arg=a=1,,2,arg=b"));
        assert!(options(&[]).unwrap().ends_with(",arg="));
        for bad in ["", "a b", "a\tb", "a\0b"] {
            assert!(matches!(options(&[bad]), Err(BoardError::BadArgument { .. })), "{bad:?}");
        }
        let longest = "x".repeat(COMMAND_LINE_BYTES_MAX - 2);
        assert!(options(&["y", &longest]).is_ok());
        assert!(matches!(options(&["yy", &longest]), Err(BoardError::BadArgument { .. })));
    }
}
