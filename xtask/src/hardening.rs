//! Runs under tools that see what tests do not: AddressSanitizer, valgrind, Miri, and the fuzz targets.
//!
//! Each needs a tool that a machine may lack; then the step is skipped with a message that says what to install.

use crate::steps;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const HOST: &str = "x86_64-unknown-linux-gnu";

/// Every fuzz target, with folders of the repository whose files it starts from.
const FUZZ_TARGETS: &[(&str, &[&str])] = &[
    ("pte", &["testdata/pte-upstream"]),
    ("execute", &["testdata/pte-upstream"]),
    ("retarget", &["testdata/pte-upstream"]),
    ("pt2", &["testdata/pt2", "testdata/models", "testdata/moves", "testdata/decomposed"]),
    ("npz", &["testdata/npz", "testdata/models"]),
    ("operators", &[]),
    ("graphs", &[]),
];
/// The largest file that a fuzz target starts from, in bytes.
const SEED_BYTES_MAX: u64 = 64 << 10;

/// Builds the fuzz targets and runs each for its share of `seconds`, or only one of them.
pub(crate) fn fuzz(seconds: u64, only: Option<&str>) -> Result<(), String> {
    if !answers("cargo", &["+nightly", "fuzz", "--version"]) {
        println!(
            "skipped the fuzz targets: they take a nightly tool chain and cargo-fuzz (rustup toolchain install nightly; \
             cargo install cargo-fuzz)"
        );
        return Ok(());
    }
    let chosen: Vec<_> =
        FUZZ_TARGETS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = FUZZ_TARGETS.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no such fuzz target; there are {}", names.join(", ")));
    }
    let folder = steps::root().join("fuzz");
    nightly(&["fuzz", "build", "--fuzz-dir", "."], &folder, &[])?;
    let share = (seconds / chosen.len() as u64).max(1);
    for (name, seeds) in chosen {
        let corpus = folder.join("corpus").join(name);
        let artifacts = folder.join("artifacts").join(name);
        for path in [&corpus, &artifacts] {
            fs::create_dir_all(path)
                .map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        }
        for seed in seeds.iter().copied().chain([&*format!("testdata/fuzz/{name}")]) {
            take_seeds(&steps::root().join(seed), name, &corpus)?;
        }
        let binary = folder.join(format!("target/{HOST}/release/{name}"));
        let start = Instant::now();
        let output = Command::new(&binary)
            .arg(&corpus)
            .arg(format!("-max_total_time={share}"))
            .args(["-max_len=65536", "-rss_limit_mb=3000", "-timeout=60", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let last = |key: &str| {
            let rest = said.rsplit_once(key).map_or("?", |(_, rest)| rest);
            rest.split_whitespace().next().unwrap_or("?").to_owned()
        };
        println!(
            "fuzz {name}: {} executions in {:.0} s, coverage {}",
            last("stat::number_of_executed_units:"),
            start.elapsed().as_secs_f64(),
            last("cov: "),
        );
        if !output.status.success() {
            let tail: Vec<&str> = said.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            return Err(format!("fuzz target {name} found something:\n{}", tail.join("\n")));
        }
    }
    Ok(())
}

/// Copies the files that a target starts from into its corpus.
fn take_seeds(folder: &Path, target: &str, corpus: &Path) -> Result<(), String> {
    let extensions: &[&str] = match target {
        "pt2" => &["pt2"],
        "npz" => &["npz", "npy"],
        _ => &["pte", "bin"],
    };
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            take_seeds(&path, target, corpus)?;
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_small = entry.metadata().is_ok_and(|metadata| metadata.len() <= SEED_BYTES_MAX);
        if is_small && extension.is_some_and(|extension| extensions.contains(&extension)) {
            // Files of one name in several folders are different seeds.
            let name = path.to_string_lossy().replace('/', "_");
            fs::copy(&path, corpus.join(name))
                .map_err(|error| format!("cannot copy {}: {error}", path.display()))?;
        }
    }
    Ok(())
}

/// The tests of the crates named, under AddressSanitizer.
pub(crate) fn address_sanitizer(packages: &[&str]) -> Result<(), String> {
    if !answers("rustc", &["+nightly", "--version"]) {
        println!(
            "skipped AddressSanitizer: there is no nightly tool chain (rustup toolchain install nightly)"
        );
        return Ok(());
    }
    let mut arguments = vec!["test", "--quiet", "--tests", "--target", HOST];
    arguments.extend(packages.iter().flat_map(|package| ["-p", package]));
    println!("==> cargo {} under AddressSanitizer", arguments.join(" "));
    let target = steps::root().join("target/address-sanitizer");
    let variables =
        [("RUSTFLAGS", "-Zsanitizer=address"), ("CARGO_TARGET_DIR", &target.to_string_lossy())];
    nightly(&arguments, &steps::root(), &variables)
}

/// The kernels' and the readers' tests under valgrind.
pub(crate) fn valgrind() -> Result<(), String> {
    if !answers("valgrind", &["--version"]) {
        println!("skipped valgrind: it is not installed (apt-get install valgrind)");
        return Ok(());
    }
    let arguments = [
        "test",
        "--quiet",
        "--target",
        HOST,
        "-p",
        "cortado-kernels",
        "-p",
        "cortado-contract",
        "-p",
        "cortado-runtime",
        "-p",
        "cortado-npz",
        "--lib",
    ];
    println!("==> cargo {} under valgrind", arguments.join(" "));
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(program)
        .args(arguments)
        .current_dir(steps::root())
        .env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
            "valgrind --quiet --error-exitcode=99 --leak-check=no",
        )
        .status();
    finished(status, "the tests under valgrind")
}

/// The kernels' and the readers' tests under Miri.
pub(crate) fn miri() -> Result<(), String> {
    if !answers("cargo", &["+nightly", "miri", "--version"]) {
        println!(
            "skipped Miri: it is not there (rustup toolchain install nightly --component miri,rust-src)"
        );
        return Ok(());
    }
    let arguments = [
        "miri",
        "test",
        "--quiet",
        "-p",
        "cortado-contract",
        "-p",
        "cortado-kernels",
        "-p",
        "cortado-runtime",
        "--lib",
    ];
    println!("==> cargo {}", arguments.join(" "));
    nightly(&arguments, &steps::root(), &[])
}

/// Whether a command can be run and succeeds.
fn answers(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let command = command.args(arguments).env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
    command.output().is_ok_and(|output| output.status.success())
}

/// Cargo of the nightly tool chain. The one that runs this program is the stable one; the proxy beside it chooses by the first
/// argument.
fn nightly(arguments: &[&str], folder: &Path, variables: &[(&str, &str)]) -> Result<(), String> {
    let status = Command::new("cargo")
        .arg("+nightly")
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .envs(variables.iter().copied())
        .status();
    finished(status, &format!("`cargo +nightly {}`", arguments.join(" ")))
}

fn finished(status: std::io::Result<std::process::ExitStatus>, what: &str) -> Result<(), String> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what} ended with {status}")),
        Err(error) => Err(format!("{what} cannot be started: {error}")),
    }
}
