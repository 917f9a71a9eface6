//! `cargo xtask examples`: builds the examples, and runs those whose boards are emulated.

use crate::steps::{Tally, alone, cargo, root};
use cortado_contract::Isa;
use cortado_host::boards::{Board, CodeGeneration, RunOutput, Tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A folder of `examples/`, whose binary has the same name.
struct Example {
    name: &'static str,
    /// A board with the same core, and the kernels: they settle how code is generated.
    board: &'static str,
    isa: Isa,
    check: Check,
}

/// What is checked when an example runs.
enum Check {
    /// It is only built: nothing emulates its board.
    Built,
    /// What it says to a session is what the file `session.txt` says, whose input is in `keys.txt`.
    Session,
    /// It detects the words that `clip/words.csv` says are in the clip, and no others.
    Words,
}

const EXAMPLES: [Example; 4] = [
    Example { name: "digits-menu", board: "mps2-an386", isa: Isa::Dsp, check: Check::Session },
    Example { name: "stm32f411", board: "mps2-an386", isa: Isa::Dsp, check: Check::Built },
    Example { name: "rp2040", board: "microbit", isa: Isa::Scalar, check: Check::Built },
    Example { name: "keyword-spotting", board: "mps3-an547", isa: Isa::Mve, check: Check::Words },
];

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run() -> Result<(), String> {
    alone(run_all)
}

pub(crate) fn run_all(tools: &Tools, tally: &mut Tally) -> Result<(), String> {
    // One build directory for all: they share the compiler, the runtime and much else.
    let target = folder().join("target");
    let manifest = folder().join("keyword-spotting/spotting/Cargo.toml");
    let (manifest, target_text) = (manifest.display().to_string(), target.display().to_string());
    let host = ["--locked", "--quiet", "--manifest-path", &manifest, "--target-dir", &target_text];
    cargo(&[&["test"], &host[..]].concat())?;
    for example in &EXAMPLES {
        let start = Instant::now();
        let outcome = example.build(tools, &target).and_then(|elf| example.check(tools, &elf));
        let said = outcome.as_ref().ok().map(|said| format!(": {said}")).unwrap_or_default();
        let name = format!("example {} ({:.0?}){said}", example.name, start.elapsed());
        tally.record(&name, outcome.err());
    }
    Ok(())
}

fn folder() -> PathBuf {
    root().join("examples")
}

impl Example {
    fn folder(&self) -> PathBuf {
        folder().join(self.name)
    }

    /// Builds it, and returns the ELF file.
    fn build(&self, tools: &Tools, target: &Path) -> Result<PathBuf, String> {
        let board = Board::named(self.board).ok_or("the board is not there any more")?;
        let code: CodeGeneration =
            board.code_generation(self.isa).ok_or("the board's core has not these kernels")?;
        let mut cargo = tools.cargo(&code);
        cargo
            .current_dir(self.folder())
            .args(["build", "--release", "--locked", "--color=never", "--target", code.triple])
            .arg("--target-dir")
            .arg(target);
        let output = cargo.output().map_err(|error| format!("cannot start Cargo: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(target.join(code.triple).join("release").join(self.name))
    }

    /// Runs it, where that is possible. Returns what is worth saying about it.
    fn check(&self, tools: &Tools, elf: &Path) -> Result<String, String> {
        match self.check {
            Check::Built => Ok("built".to_owned()),
            Check::Session => self.check_session(tools, elf),
            Check::Words => self.check_words(tools, elf),
        }
    }

    fn check_session(&self, tools: &Tools, elf: &Path) -> Result<String, String> {
        let said = self.run(tools, elf, &self.folder().join("keys.txt"))?.replace('\r', "");
        let path = self.folder().join("session.txt");
        if std::env::var_os("CORTADO_BLESS").is_some() {
            fs::write(&path, &said)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        let expected = read(&path)?;
        let differing =
            said.lines().zip(expected.lines()).position(|(said, expected)| said != expected);
        let lines = said.lines().count();
        match differing {
            None if lines == expected.lines().count() => {
                Ok(format!("a session of {lines} lines is as recorded"))
            }
            differing => {
                let line = differing.unwrap_or(lines.min(expected.lines().count()));
                Err(format!(
                    "line {} is not as {} has it (CORTADO_BLESS=1 writes that anew):\n{said}",
                    line + 1,
                    path.display()
                ))
            }
        }
    }

    fn check_words(&self, tools: &Tools, elf: &Path) -> Result<String, String> {
        let said = self.run(tools, elf, Path::new("/dev/null"))?;
        let words = read(&self.folder().join("clip/words.csv"))?;
        let found = detections(&said);
        let spoken = keywords(&words)?;
        let is_detected =
            |((word, start_s, end_s), (found, at_s)): (&(&str, f64, f64), &(&str, f64))| {
                word == found && start_s < at_s && *at_s < end_s + DETECTED_WITHIN_S
            };
        if spoken.is_empty()
            || found.len() != spoken.len()
            || !spoken.iter().zip(&found).all(is_detected)
        {
            return Err(format!(
                "the words are not detected. In the clip are\n{words}the firmware said\n{said}"
            ));
        }
        let costs = said
            .lines()
            .filter(|line| line.contains(" per "))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(format!(
            "{} words of {} detected; {}",
            found.len(),
            words.lines().count() - 1,
            costs.collect::<Vec<_>>().join("; ")
        ))
    }

    /// What it says.
    fn run(&self, tools: &Tools, elf: &Path, input: &Path) -> Result<String, String> {
        let board = self.board;
        let output =
            tools.run_firmware(elf, board, input, LIMIT).map_err(|error| error.to_string())?;
        let RunOutput { exit_code, stdout, stderr, timed_out, .. } = output;
        if exit_code == Some(0) {
            return Ok(stdout);
        }
        let how =
            if timed_out { "did not end".to_owned() } else { format!("ended with {exit_code:?}") };
        Err(format!("it {how}:\n{stdout}{stderr}"))
    }
}

/// How long after a word's end it may be detected: half of the model's window, the smoothing, and a step.
const DETECTED_WITHIN_S: f64 = 1.0;

/// The words that a firmware says it detected, with the time in seconds: lines such as ` 1.12 s  yes     93 %`.
fn detections(said: &str) -> Vec<(&str, f64)> {
    let of_line = |line| {
        let parts: Vec<&str> = str::split_whitespace(line).collect();
        let &[at_s, "s", word, _, "%"] = &parts[..] else { return None };
        Some((word, at_s.parse().ok()?))
    };
    said.lines().filter_map(of_line).collect()
}

/// The keywords of a clip with their starts and ends in seconds, from lines `word,start_s,end_s,is_keyword`.
fn keywords(csv: &str) -> Result<Vec<(&str, f64, f64)>, String> {
    let mut keywords = Vec::new();
    for line in csv.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let &[word, start_s, end_s, is_keyword] = &fields[..] else {
            return Err(format!("`{line}` has not four fields"));
        };
        let number = |text: &str| text.parse::<f64>().map_err(|error| format!("`{text}`: {error}"));
        if is_keyword == "1" {
            keywords.push((word, number(start_s)?, number(end_s)?));
        }
    }
    Ok(keywords)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detections_are_told_from_other_lines() {
        let said = "listening for [\"yes\"]\n 1.12 s  yes     93 %\n12.00 s  no     100 %\nmodel 9 per window 3 % of all\n";
        assert_eq!(detections(said), [("yes", 1.12), ("no", 12.0)]);
    }

    #[test]
    fn only_keywords_are_expected() {
        let csv = "word,start_s,end_s,is_keyword\nyes,0.50,0.98,1\nguitar,1.53,2.10,0\n";
        assert_eq!(keywords(csv), Ok(vec![("yes", 0.5, 0.98)]));
        assert!(keywords("word\nyes,1\n").is_err());
    }
}
