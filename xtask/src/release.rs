//! `cargo xtask release`: the command as one static Linux binary, with its size.

use crate::steps::root;
use object::elf::{DT_NEEDED, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, FileKind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the binary, sees that it is static and that it works, and puts it into `target/dist` with what belongs to it.
pub(crate) fn run() -> Result<(), String> {
    let arch = std::env::consts::ARCH;
    let musl = format!("{arch}-unknown-linux-musl");
    let gnu = format!("{arch}-unknown-linux-gnu");
    // With musl nothing of the system is in the binary; glibc is the second choice, because it wants to load parts of itself.
    let (target, flags) = match has_target(&musl) {
        true => (musl, ""),
        false => {
            println!("{musl} is not there (rustup target add {musl}): {gnu} instead");
            (gnu, "-C target-feature=+crt-static")
        }
    };
    let arguments = ["build", "--profile", "dist", "--package", "cortado-cli", "--target", &target];
    println!("==> cargo {}", arguments.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments)
        .current_dir(root())
        .env("RUSTFLAGS", flags)
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !status.success() {
        return Err(format!("cargo build ended with {status}"));
    }
    let built = root().join("target").join(&target).join("dist/cortado");
    let bytes = std::fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))?;
    require_static(&bytes)?;
    let folder = collect(&built, &target)?;
    works(&folder.join("cortado"))?;
    println!("{}: static, {} bytes", folder.join("cortado").display(), bytes.len());
    Ok(())
}

/// Whether the standard library for a target is there.
fn has_target(target: &str) -> bool {
    let output =
        Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

/// Fails if a binary needs a loader or a library of the system.
fn require_static(bytes: &[u8]) -> Result<(), String> {
    let unreadable = |error: object::Error| format!("the binary cannot be read: {error}");
    if FileKind::parse(bytes).map_err(unreadable)? != FileKind::Elf64 {
        return Err("the binary is no 64-bit ELF file".to_owned());
    }
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(unreadable)?;
    let endian = header.endian().map_err(unreadable)?;
    for segment in header.program_headers(endian, bytes).map_err(unreadable)? {
        if segment.p_type(endian) == PT_INTERP {
            return Err("the binary asks for a loader: it is not static".to_owned());
        }
        let entries = segment.dynamic(endian, bytes).map_err(unreadable)?;
        let needs = |entry: &object::elf::Dyn64<Endianness>| entry.tag(endian) == DT_NEEDED;
        if entries.into_iter().flatten().any(needs) {
            return Err("the binary asks for a library of the system: it is not static".to_owned());
        }
    }
    Ok(())
}

/// The binary with licences, change log, man pages and completions, in a folder of its own.
fn collect(built: &Path, target: &str) -> Result<PathBuf, String> {
    let version = output(Command::new(built).arg("--version"))?;
    let version = String::from_utf8_lossy(&version).trim().replace(' ', "-");
    let folder = root().join("target/dist").join(format!("{version}-{target}"));
    let _ = std::fs::remove_dir_all(&folder);
    let io = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(folder.join("completions")).map_err(io)?;
    std::fs::copy(built, folder.join("cortado")).map_err(io)?;
    for file in ["LICENSE-APACHE", "LICENSE-MIT", "CHANGELOG.md", "README.md"] {
        std::fs::copy(root().join(file), folder.join(file)).map_err(io)?;
    }
    let cortado = folder.join("cortado");
    let man = folder.join("man/man1");
    output(Command::new(&cortado).arg("man").arg("-o").arg(man))?;
    for (shell, file) in [("bash", "cortado.bash"), ("zsh", "_cortado"), ("fish", "cortado.fish")] {
        let script = output(Command::new(&cortado).args(["completions", shell]))?;
        std::fs::write(folder.join("completions").join(file), script).map_err(io)?;
    }
    Ok(folder)
}

/// Compiles and judges a model without any of the environment that this program has.
fn works(cortado: &Path) -> Result<(), String> {
    let model = root().join("testdata/models/tiny_linear/quantized.pt2");
    let pte = cortado.with_file_name("smoke.pte");
    let mut compile = Command::new(cortado);
    compile.args(["compile", "--no-module", "--target", "cortex-m55", "-q"]);
    output(compile.env_clear().arg(&model).arg("-o").arg(&pte))?;
    let text = output(Command::new(cortado).env_clear().arg("check").arg(&pte))?;
    let _ = std::fs::remove_file(&pte);
    match String::from_utf8_lossy(&text).contains("mve     exact") {
        true => Ok(()),
        false => Err("the binary does not judge a program of its own as it should".to_owned()),
    }
}

fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
