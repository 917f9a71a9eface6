//! `cargo xtask test`: everything that must hold before a change lands.

use crate::steps::{Tally, cargo};
use crate::{c, models, on_boards, pages, selftest, steps};
use cortado_host::boards::Tools;
use std::process::Command;

pub(crate) fn run(full: bool) -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    println!("boards are built by {}", tools.compiler());
    format()?;
    cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"])?;
    cargo(&["test", "--workspace", "--quiet"])?;
    address_sanitizer()?;
    cargo(&["doc", "--workspace", "--no-deps", "--quiet"])?;
    let mut tally = Tally::default();
    on_boards::run(&tools, &mut tally)?;
    c::run_all(&tools, &mut tally)?;
    models::run_all(&tools, false, &mut tally)?;
    models::run_theirs(&tools, false, &mut tally)?;
    if full {
        pages::run()?;
        // Whatever is published is built from its package alone.
        cargo(&["publish", "--workspace", "--dry-run", "--allow-dirty", "--quiet"])?;
        selftest::run(&tools, &mut tally).map_err(|error| error.to_string())?;
    }
    tally.finish()
}

/// The kernels' cases under AddressSanitizer, which takes a nightly compiler; skipped with a message where there is none.
fn address_sanitizer() -> Result<(), String> {
    const HOST: &str = "x86_64-unknown-linux-gnu";
    let arguments = [
        "+nightly",
        "test",
        "--quiet",
        "--tests",
        "--target",
        HOST,
        "-p",
        "cortado-kernels",
        "-p",
        "cortado-testkit",
    ];
    let has_nightly = Command::new("rustc").args(["+nightly", "--version"]).output();
    if !has_nightly.is_ok_and(|output| output.status.success()) {
        println!(
            "skipped AddressSanitizer: there is no nightly tool chain (rustup toolchain install nightly)"
        );
        return Ok(());
    }
    println!("==> cargo {} under AddressSanitizer", arguments.join(" "));
    // The Cargo that runs this program is the stable one; the proxy beside it chooses by the first argument.
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(steps::root())
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .env("CARGO_TARGET_DIR", steps::root().join("target/address-sanitizer"))
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the cases under AddressSanitizer ended with {status}")),
        Err(error) => Err(format!("cannot start cargo: {error}")),
    }
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
