//! Compiling from a build script: the firmware keeps the `.pt2`, and Cargo makes the program when the model changes.
//!
//! ```no_run
//! // build.rs
//! cortado_compiler::build::Build::new("model/digits.pt2", "cortex-m4").run();
//! ```
//!
//! ```ignore
//! // main.rs: gives the module `digits`, with `load`, `Arena`, `State` and the rest of what `cortado compile` writes.
//! include!(concat!(env!("OUT_DIR"), "/digits.rs"));
//! ```

use crate::compile_with;
use crate::import::ExportedProgram;
use crate::module::module;
use crate::plan::PlanOptions;
use crate::report::Report;
use cortado_contract::{Cpu, Target};
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// A model that a build script compiles.
#[derive(Clone, Debug)]
pub struct Build {
    model: PathBuf,
    cpu: String,
    isa: Option<String>,
    options: PlanOptions,
}

impl Build {
    /// The model at a path, which is relative to the firmware's `Cargo.toml`, for a core that is named as the command's
    /// `--target` names it.
    pub fn new(model: impl Into<PathBuf>, cpu: &str) -> Self {
        Build { model: model.into(), cpu: cpu.into(), isa: None, options: PlanOptions::default() }
    }

    /// For another instruction set than the core's default, as `--isa`.
    pub fn isa(self, isa: &str) -> Self {
        Build { isa: Some(isa.to_owned()), ..self }
    }

    /// With memory planned as `options` say.
    pub fn options(self, options: PlanOptions) -> Self {
        Build { options, ..self }
    }

    /// Compiles the model into Cargo's `OUT_DIR`, and tells Cargo to do so anew when the model changes. The files are named as
    /// the model is: `digits.pt2` becomes `digits.pte` and `digits.rs`, which has a module `digits`.
    ///
    /// What is wrong with the model ends the build script, with a message that Cargo shows.
    pub fn run(&self) -> Report {
        println!("cargo::rerun-if-changed={}", self.model.display());
        let outcome = env::var_os("OUT_DIR")
            .ok_or_else(|| "OUT_DIR is not set: this is for Cargo's build scripts".into())
            .and_then(|folder| self.write_to(Path::new(&folder)));
        match outcome {
            Ok(report) => report,
            Err(error) => {
                // Cargo takes a line as a message; the rest would be taken for other instructions.
                for line in error.to_string().lines() {
                    println!("cargo::error={}: {line}", self.model.display());
                }
                std::process::exit(1)
            }
        }
    }

    /// Compiles the model into a folder.
    ///
    /// # Errors
    /// The model cannot be read or compiled, its name is no name of a module, the target is unknown, or the folder cannot be
    /// written to.
    pub fn write_to(&self, folder: &Path) -> Result<Report, Box<dyn Error>> {
        let name = self.module_name()?;
        let target = self.target()?;
        let compiled = compile_with(&ExportedProgram::open(&self.model)?, target, &self.options)?;
        let report = Report::new(&compiled);
        let pte = format!("{name}.pte");
        // The text is a file's: as a module in braces it can be included, its inner attributes and documentation with it.
        let text = format!("pub mod {name} {{\n{}}}\n", module(&compiled, &report, &pte));
        for (file, content) in [(format!("{name}.rs"), text.as_bytes()), (pte, &compiled.pte)] {
            let path = folder.join(file);
            fs::write(&path, content)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        Ok(report)
    }

    fn module_name(&self) -> Result<&str, String> {
        let stem = self.model.file_stem().and_then(|stem| stem.to_str());
        stem.filter(|stem| {
            stem.starts_with(|first: char| first.is_ascii_alphabetic())
                && stem.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        })
        .ok_or_else(|| {
            "the file's name becomes a module's; rename it so that it has only letters, digits and `_`"
                .to_owned()
        })
    }

    fn target(&self) -> Result<Target, String> {
        let Build { cpu, isa, .. } = self;
        let core: Cpu = cpu.parse().map_err(|error| format!("`{cpu}`: {error}"))?;
        let isa = match isa {
            Some(isa) => isa.parse().map_err(|error| format!("`{isa}`: {error}"))?,
            None => core.default_isa(),
        };
        Target::with_isa(core, isa).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(file: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models").join(file)
    }

    #[test]
    fn the_module_and_the_program_are_written() {
        let folder = env::temp_dir().join(format!("cortado-build-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let build = Build::new(model("digits_mlp/quantized.pt2"), "cortex-m4");
        let report = build.write_to(&folder).unwrap();
        let text = fs::read_to_string(folder.join("quantized.rs")).unwrap();
        assert!(text.starts_with("pub mod quantized {\n//! "), "{text}");
        assert!(text.contains("include_bytes!(\"quantized.pte\")"), "{text}");
        let pte = fs::read(folder.join("quantized.pte")).unwrap();
        assert_eq!((pte.len(), report.isa), (report.pte_bytes, "dsp"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |build: Build| build.write_to(&env::temp_dir()).unwrap_err().to_string();
        let digits = || model("digits_mlp/quantized.pt2");
        assert!(error(Build::new("my-model.pt2", "cortex-m4")).contains("rename it"));
        assert!(error(Build::new(digits(), "cortex-m5")).starts_with("`cortex-m5`: "));
        assert!(error(Build::new(digits(), "cortex-m4").isa("neon")).starts_with("`neon`: "));
        let greater = error(Build::new(digits(), "cortex-m4").isa("mve"));
        assert!(greater.contains("mve"), "{greater}");
        assert!(error(Build::new("absent.pt2", "cortex-m4")).contains("absent.pt2"));
    }
}
