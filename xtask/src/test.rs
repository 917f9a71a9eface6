//! `cargo xtask test`: everything that must hold before a change lands.

use crate::steps::{Tally, cargo};
use crate::trials::Extent;
use crate::{
    c, examples, hardening, models, on_boards, packages, pages, panics, selftest, steps, trials,
};
use cortado_host::boards::Tools;
use std::process::Command;

/// The crates whose tests run under AddressSanitizer in the long run; the first two do in every run.
pub(crate) const SANITIZED: &[&str] = &[
    "cortado-kernels",
    "cortado-testkit",
    "cortado-contract",
    "cortado-pte",
    "cortado-npz",
    "cortado-runtime",
    "cortado-trials",
];

pub(crate) fn run(full: bool) -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    println!("boards are built by {}", tools.compiler());
    format()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])?;
    cargo(&["test", "--workspace", "--quiet"])?;
    hardening::address_sanitizer(if full { SANITIZED } else { &SANITIZED[..2] })?;
    if full {
        cargo(&["test", "-p", "cortado-trials", "--", "--ignored", "--nocapture"])?;
        hardening::valgrind()?;
        hardening::miri()?;
        hardening::fuzz(60, None)?;
    }
    cargo(&["doc", "--workspace", "--no-deps", "--quiet"])?;
    let mut tally = Tally::default();
    panics::run(&tools, &mut tally)?;
    on_boards::run(&tools, &mut tally)?;
    c::run_all(&tools, &mut tally)?;
    let extent = if full { Extent::FULL } else { Extent::ORDINARY };
    trials::run(&tools, extent, &mut tally)?;
    models::run_all(&tools, false, &mut tally)?;
    models::run_theirs(&tools, false, &mut tally)?;
    examples::run_all(&tools, &mut tally)?;
    if full {
        pages::run()?;
        packages::run()?;
        selftest::run(&tools, &mut tally).map_err(|error| error.to_string())?;
    }
    tally.finish()
}

/// Every Rust file, also those that only a macro names and that `cargo fmt` therefore does not find.
fn format() -> Result<(), String> {
    let listing =
        Command::new("git").args(["ls-files", "*.rs"]).current_dir(steps::root()).output();
    let listing = listing.map_err(|error| format!("cannot list the sources: {error}"))?;
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    let files: Vec<&str> = listing.lines().collect();
    if files.is_empty() {
        // A source tree without its history: what Cargo finds must do.
        return cargo(&["fmt", "--all", "--check"]);
    }
    println!("==> rustfmt --check on {} files", files.len());
    let arguments = ["--check", "--edition", "2024"].into_iter().chain(files);
    let output = Command::new("rustfmt").args(arguments).current_dir(steps::root()).output();
    let output = output.map_err(|error| format!("cannot start rustfmt: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    println!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Err("files are not formatted; run rustfmt on them".to_owned())
}
