//! The static library for C, and the compiler that firmware in C is built with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cortado_contract::Target;

use super::tools::{answer, install_debian_packages};
use super::{BoardError, CodeGeneration, Tools, code_generation};

/// How a library is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LibraryOptions {
    /// The core and the instruction set of the kernels.
    pub target: Target,
    /// Whether floats are passed in general registers; else in the core's own, where it has them.
    pub soft_float_calls: bool,
    /// Whether it has operators in float.
    pub float: bool,
    /// Whether it is as small as it gets; else as fast.
    pub small: bool,
}

/// A built library. Its file stays until a library for the same code is built again.
#[derive(Clone, Debug)]
pub struct Library {
    /// The archive.
    pub path: PathBuf,
    /// How its code was generated.
    pub code: CodeGeneration,
}

impl Library {
    /// The folder with `cortado.h`.
    pub fn include_directory() -> PathBuf {
        source_tree().join("crates/c/include")
    }
}

impl LibraryOptions {
    /// How code is generated for it.
    pub fn code(&self) -> CodeGeneration {
        let code = code_generation(self.target.cpu(), self.target.isa());
        let code = code.expect("a target is possible by construction");
        if self.soft_float_calls { code.with_soft_float_calls() } else { code }
    }
}

impl Tools {
    /// Builds the static library for C.
    ///
    /// # Errors
    /// Cargo fails.
    pub fn build_library(&self, options: &LibraryOptions) -> Result<Library, BoardError> {
        let code = options.code();
        self.add_target(code.triple);
        let isa = options.target.isa();
        let profile = if options.small { "device-small" } else { "device" };
        let float = if options.float { ",float" } else { "" };
        // Features and flags make other code of the same triple: each has a folder of its own, so that none is built twice.
        let folder =
            source_tree().join(format!("target/c-library/{isa}{}", float.replace(',', "-")));
        let output = self
            .cargo(&code)
            .current_dir(source_tree())
            .args(["build", "--locked", "--color=never", "--package", "cortado-c", "--lib"])
            .args(["--profile", profile, "--features", &format!("isa-{isa}{float}")])
            .args(["--target", code.triple, "--target-dir"])
            .arg(&folder)
            .output()
            .map_err(|error| BoardError::Io { action: "cannot start Cargo".to_owned(), error })?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
            return Err(BoardError::Build { image: format!("libcortado for {code:?}"), output });
        }
        let path = folder.join(code.triple).join(profile).join("libcortado_c.a");
        Ok(Library { path, code })
    }
}

/// A C compiler for Cortex-M with a C library.
#[derive(Clone, Debug)]
pub struct CCompiler {
    version: String,
}

/// Debian's packages of the compiler and its C library.
const PACKAGES: [&str; 2] = ["gcc-arm-none-eabi", "libnewlib-arm-none-eabi"];

impl CCompiler {
    /// The command.
    pub const COMMAND: &'static str = "arm-none-eabi-gcc";

    /// Finds it, or installs it as root on Debian.
    ///
    /// # Errors
    /// It is not there and cannot be installed; the error says why, and what to install.
    pub fn ensure() -> Result<CCompiler, BoardError> {
        let packages = PACKAGES.map(str::to_owned);
        if CCompiler::find().is_none() {
            install_debian_packages(&packages).map_err(|reason| BoardError::MissingTool {
                reason,
                remedy: format!(
                    "Install GCC for Arm with newlib (Debian: apt-get install {})",
                    packages.join(" ")
                ),
            })?;
        }
        CCompiler::find().ok_or_else(|| BoardError::MissingTool {
            reason: format!("{} does not link with newlib", CCompiler::COMMAND),
            remedy: format!("Install {} anew", packages.join(" ")),
        })
    }

    /// The compiler, if it is there with its C library.
    fn find() -> Option<CCompiler> {
        let ask = |argument| answer(Command::new(CCompiler::COMMAND).arg(argument));
        let version = ask("--version")?.lines().next()?.to_owned();
        // Without a C library, the name comes back as it is.
        let library = ask("-print-file-name=rdimon.specs")?;
        Path::new(library.trim()).is_absolute().then_some(CCompiler { version })
    }

    /// Its name and version, for reports.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it must be told to generate code for a core that goes with a library.
    pub fn options(library: &LibraryOptions) -> Vec<String> {
        let code = library.code();
        let cpu = match (code.triple, code.target_features) {
            // GCC takes extensions away by suffixes. Code for the M3 runs on all that this library runs on.
            ("thumbv7m-none-eabi", _) => "cortex-m3".to_owned(),
            (triple, features) if triple.starts_with("thumbv8m.main") => match features {
                "" => format!("{}+nodsp", library.target.cpu().name()),
                "+dsp" => "cortex-m33".to_owned(),
                _ => library.target.cpu().name().to_owned(),
            },
            _ => library.target.cpu().name().to_owned(),
        };
        let float = if code.triple.ends_with("hf") { "hard" } else { "soft" };
        let mut options =
            vec![format!("-mcpu={cpu}"), "-mthumb".to_owned(), format!("-mfloat-abi={float}")];
        if float == "hard" {
            options.push("-mfpu=auto".to_owned());
        }
        options
    }
}

fn source_tree() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::canonicalize(&root).unwrap_or(root)
}
