//! Finds or installs what it takes to build and run images.
//!
//! Two tool chains can make code for Cortex-M, and this is the order in which they are tried:
//!
//! 1. The one that Cargo on this machine comes from, if it has Rust's `core` for all the boards' targets or
//!    `rustup target add` can fetch it. That is tried once per checkout.
//! 2. Debian's packages, which have the compiler and the sources of `core`; Cargo then builds `core` as well.
//!    That is a feature of Cargo which is switched on by `RUSTC_BOOTSTRAP`. `apt-get` may install them.
//!
//! The two give different code: reports of sizes and instruction counts name the compiler.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cortado_contract::Isa;

use super::image::{firmware_directory, require_firmware};
use super::qemu::{QEMU, Qemu};
use super::{BOARDS, BoardError, CodeGeneration};

/// An emulator and a compiler that are known to be there.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The emulator.
    pub(super) qemu: Qemu,
    compiler: Compiler,
}

#[derive(Clone, Debug)]
enum Compiler {
    /// The Cargo that built this program, with a `core` ready for each target.
    Ready,
    /// Debian's Cargo, with the linker it is to use.
    Debian { linker: PathBuf },
}

impl Tools {
    /// Finds the tools and installs nothing.
    ///
    /// # Errors
    /// One of them is missing; the error says what to install.
    pub fn find() -> Result<Tools, BoardError> {
        require_firmware()?;
        let not_found = |what: &str| missing(format!("{what} is not found"));
        let qemu = Qemu::find().ok_or_else(|| not_found(QEMU))?;
        let compiler = find_compiler().ok_or_else(|| not_found("a Rust compiler for Cortex-M"))?;
        Ok(Tools { qemu, compiler })
    }

    /// Finds the tools, and installs what is missing where it may: with `rustup`, or as root on Debian with
    /// `apt-get`. Says on stderr what it does.
    ///
    /// # Errors
    /// Something is missing still; the error says what to install.
    pub fn ensure() -> Result<Tools, BoardError> {
        if !matches!(find_compiler(), Some(Compiler::Ready)) {
            add_targets_with_rustup();
        }
        if Qemu::find().is_none() {
            Qemu::get().map_err(missing)?;
        }
        let ready = matches!(find_compiler(), Some(Compiler::Ready));
        if !ready && !debian_compiler_is_there() {
            let packages = DEBIAN_COMPILER_PACKAGES.map(str::to_owned);
            install_debian_packages(&packages).map_err(missing)?;
        }
        if !ready && find_linker().is_none() {
            // Its version follows from the compiler's, which is known only now.
            install_debian_packages(&[linker_package()]).map_err(missing)?;
        }
        Tools::find()
    }

    /// Which compiler builds the images, for reports.
    pub fn compiler(&self) -> String {
        let (command, note) = match &self.compiler {
            Compiler::Ready => (rustc(), ""),
            Compiler::Debian { .. } => (DEBIAN_RUSTC.to_owned(), ", core built from source"),
        };
        let version = answer(Command::new(command).arg("--version")).unwrap_or_default();
        format!("{}{note}", version.trim())
    }

    /// Adds a target that no board has, where `rustup` can. If it cannot, the build says what is missing.
    pub(super) fn add_target(&self, triple: &str) {
        if matches!(self.compiler, Compiler::Ready) && !has_core(triple) {
            let mut command = Command::new("rustup");
            command.args(["target", "add", triple]).stdin(Stdio::null()).stderr(Stdio::null());
            succeeds_within(&mut command, Duration::from_secs(120));
        }
    }

    /// Cargo, told how to generate code but not yet what to build, nor for which target.
    pub fn cargo(&self, code: &CodeGeneration) -> Command {
        let mut command = match &self.compiler {
            Compiler::Ready => Command::new(env::var_os("CARGO").unwrap_or("cargo".into())),
            Compiler::Debian { linker } => {
                let mut command = Command::new(DEBIAN_CARGO);
                let triple = code.triple.to_uppercase().replace(['-', '.'], "_");
                command
                    .arg("-Zbuild-std=core")
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env(format!("CARGO_TARGET_{triple}_LINKER"), linker)
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("LD_LIBRARY_PATH");
                command
            }
        };
        // What the host's build is told is not meant for this one.
        for variable in ["RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"] {
            command.env_remove(variable);
        }
        let flags = match code.target_features {
            "" => String::new(),
            features => format!("-Ctarget-feature={features}"),
        };
        command.env("CARGO_ENCODED_RUSTFLAGS", flags);
        command
    }
}

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_COMPILER_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

fn find_compiler() -> Option<Compiler> {
    if targets().iter().all(|triple| has_core(triple)) {
        return Some(Compiler::Ready);
    }
    let linker = find_linker()?;
    debian_compiler_is_there().then_some(Compiler::Debian { linker })
}

/// Whether Debian's compiler is there, recent enough, with Cargo and the sources of `core`.
fn debian_compiler_is_there() -> bool {
    let recent = version(DEBIAN_RUSTC).is_some_and(|version| version >= required_version());
    let sources = sysroot(DEBIAN_RUSTC)
        .map(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/core"));
    let cargo = answer(Command::new(DEBIAN_CARGO).arg("--version"));
    recent && sources.is_some_and(|sources| sources.is_dir()) && cargo.is_some()
}

/// The boards' targets.
fn targets() -> BTreeSet<&'static str> {
    let codes = BOARDS.iter().flat_map(|board| Isa::ALL.map(|isa| board.code_generation(isa)));
    codes.flatten().map(|code| code.triple).collect()
}

/// Whether the compiler beside Cargo has `core` for a target.
fn has_core(triple: &str) -> bool {
    answer(Command::new(rustc()).args(["--print", "target-libdir", "--target", triple]))
        .and_then(|directory| Path::new(directory.trim()).read_dir().ok())
        .is_some_and(|entries| {
            let names = entries.flatten().map(|entry| entry.file_name());
            names.into_iter().any(|name| name.to_string_lossy().starts_with("libcore-"))
        })
}

/// LLD for Debian's compiler: its own package's, or the one in the sysroot of the compiler beside Cargo.
fn find_linker() -> Option<PathBuf> {
    let beside = sysroot(&rustc()).and_then(|sysroot| {
        let hosts = Path::new(&sysroot).join("lib/rustlib").read_dir().ok()?;
        let mut linkers = hosts.flatten().map(|host| host.path().join("bin/rust-lld"));
        linkers.find(|linker| linker.exists())
    });
    let in_path = ["rust-lld".to_owned(), linker_package().replace("lld", "ld.lld")];
    in_path.into_iter().map(PathBuf::from).chain(beside).find(|linker| {
        let mut command = Command::new(linker);
        if linker.ends_with("rust-lld") {
            command.args(["-flavor", "gnu"]);
        }
        answer(command.arg("--version")).is_some()
    })
}

/// Debian's package of the LLD whose version is that of Debian's compiler, such as `lld-22`.
fn linker_package() -> String {
    let verbose = answer(Command::new(DEBIAN_RUSTC).arg("-vV")).unwrap_or_default();
    let llvm = verbose.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    match llvm.and_then(|version| version.split('.').next()) {
        Some(major) => format!("lld-{major}"),
        None => "lld".to_owned(),
    }
}

/// The compiler beside Cargo.
fn rustc() -> String {
    env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())
}

fn sysroot(rustc: &str) -> Option<String> {
    answer(Command::new(rustc).args(["--print", "sysroot"])).map(|path| path.trim().to_owned())
}

/// Major and minor version of a compiler.
fn version(rustc: &str) -> Option<(u32, u32)> {
    let text = answer(Command::new(rustc).arg("--version"))?;
    parse_version(text.split_whitespace().nth(1)?)
}

/// The version that this workspace asks for.
fn required_version() -> (u32, u32) {
    parse_version(env!("CARGO_PKG_RUST_VERSION")).unwrap_or_default()
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse);
    match (parts.next()?, parts.next()?) {
        (Ok(major), Ok(minor)) => Some((major, minor)),
        _ => None,
    }
}

/// Tries `rustup target add`, unless it has failed before. What came of it shows in what is there then.
fn add_targets_with_rustup() {
    let failed_before = firmware_directory().join("target/rustup-target-add-failed");
    if failed_before.exists() || answer(Command::new("rustup").arg("--version")).is_none() {
        return;
    }
    eprintln!("adding Rust's core for Cortex-M: rustup target add");
    let mut command = Command::new("rustup");
    command.args(["target", "add"]).args(targets()).stdin(Stdio::null()).stderr(Stdio::null());
    if !succeeds_within(&mut command, Duration::from_secs(120)) {
        eprintln!(
            "rustup cannot fetch it; not tried again while {} exists",
            failed_before.display()
        );
        // Where this cannot be written, the next call tries again: slower, not wrong.
        let _ = fs::create_dir_all(firmware_directory().join("target"));
        let _ = fs::write(&failed_before, "");
    }
}

fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    let Ok(mut child) = command.spawn() else { return false };
    let end = Instant::now() + limit;
    while Instant::now() < end {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(50)),
            Ok(Some(status)) => return status.success(),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Installs packages with `apt-get`, taking none away.
///
/// # Errors
/// Why they cannot be installed.
pub(super) fn install_debian_packages(packages: &[String]) -> Result<(), String> {
    let list = packages.join(" ");
    let refused = |reason: &str| format!("{list} {reason}");
    if answer(Command::new("apt-get").arg("--version")).is_none() {
        return Err(refused("cannot be installed: this is not Debian"));
    }
    if answer(Command::new("id").arg("-u")).is_none_or(|id| id.trim() != "0") {
        return Err(refused("can only be installed by root"));
    }
    eprintln!("installing {list}: apt-get update, apt-get install");
    // A package that must be removed for these is the user's to give up.
    let install = ["install", "--yes", "--no-remove", "--no-install-recommends"];
    for arguments in [&["update"][..], &install] {
        let mut command = Command::new("apt-get");
        command.arg("-qq").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        if arguments.len() > 1 {
            command.args(packages);
        }
        // Its output belongs to what this program says, not to what it answers.
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| refused(&format!("cannot be installed: {error}")))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(refused(&format!("could not be installed: {}", said.trim())));
        }
    }
    Ok(())
}

fn missing(reason: String) -> BoardError {
    BoardError::MissingTool { reason, remedy: remedy() }
}

/// What a user must do where nothing can be installed for them.
fn remedy() -> String {
    let targets: Vec<&str> = targets().into_iter().collect();
    format!(
        "Install QEMU for Arm (Debian: apt-get install {QEMU}) and one of these compilers:\n  \
         rustup target add {}\n  apt-get install {} {}",
        targets.join(" "),
        DEBIAN_COMPILER_PACKAGES.join(" "),
        linker_package(),
    )
}

/// What a command prints, if it can be run and succeeds.
pub(super) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(parse_version("1.96.0"), Some((1, 96)));
        assert_eq!(parse_version("1.100.0-nightly"), Some((1, 100)));
        assert!(parse_version("1.100.0") > parse_version("1.95"));
        assert_eq!(parse_version("web"), None);
        assert!(required_version() >= (1, 95));
    }

    #[test]
    fn the_remedy_names_every_target() {
        assert!(targets().iter().all(|triple| remedy().contains(triple)));
    }
}
