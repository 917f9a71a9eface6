//! Running commands and counting outcomes.

use cortado_host::boards::Tools;
use std::path::PathBuf;
use std::process::Command;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What passed and what failed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u32,
    failed: Vec<String>,
}

impl Tally {
    /// Records an outcome; a problem is printed at once.
    pub(crate) fn record(&mut self, name: &str, problem: Option<String>) {
        match problem {
            None => {
                println!("ok      {name}");
                self.passed += 1;
            }
            Some(problem) => {
                println!("FAILED  {name}\n{problem}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Prints the sum. Fails when something failed or nothing ran.
    pub(crate) fn finish(self) -> Result<(), String> {
        for name in &self.failed {
            println!("failed: {name}");
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        if self.failed.is_empty() && self.passed > 0 {
            Ok(())
        } else {
            Err("not everything passed".to_owned())
        }
    }
}

/// Runs one of the test's steps on its own, with the tools that it needs and a sum of its own.
pub(crate) fn alone(
    step: impl FnOnce(&Tools, &mut Tally) -> Result<(), String>,
) -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    let mut tally = Tally::default();
    step(&tools, &mut tally)?;
    tally.finish()
}

/// Cargo, the one that runs this program, in the repository's root; it must succeed.
pub(crate) fn cargo(arguments: &[&str]) -> Result<(), String> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    println!("==> cargo {}", arguments.join(" "));
    // For `cargo doc`: documentation is a product, so a broken link in it is an error.
    let command = Command::new(&program)
        .args(arguments)
        .current_dir(root())
        .env("RUSTDOCFLAGS", "-D warnings")
        .status();
    match command {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`cargo {}` ended with {status}", arguments.join(" "))),
        Err(error) => Err(format!("cannot start `{program}`: {error}")),
    }
}
