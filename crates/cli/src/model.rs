//! Reading a model, exported or compiled, by what it is and not by its name.

use crate::failure::Failure;
use cortado_compiler::import::ExportedProgram;
use cortado_compiler::plan::PlanOptions;
use cortado_compiler::{CompileError, Compiled, compile_with};
use cortado_contract::Target;
use std::path::Path;

/// The most bytes that a model may have.
const MAX_MODEL_BYTES: u64 = 1 << 30;

/// A model file.
pub(crate) enum Model {
    /// A `.pt2`.
    Exported(Box<ExportedProgram>),
    /// A `.pte`.
    Compiled(Vec<u8>),
}

/// Reads a model.
pub(crate) fn read(path: &Path) -> Result<Model, Failure> {
    let bytes = cortado_npz::file::read_bounded(path, MAX_MODEL_BYTES)
        .map_err(|error| Failure::file(error, &["pte", "pt2"]))?;
    if bytes.starts_with(b"PK") {
        let exported = ExportedProgram::read(&bytes).map_err(|error| Failure::at(path, error))?;
        return Ok(Model::Exported(Box::new(exported)));
    }
    if bytes.get(4..6) == Some(b"ET") {
        return Ok(Model::Compiled(bytes));
    }
    Err(Failure::at(path, "this is neither an exported program (.pt2) nor a compiled one (.pte)")
        .help("export with torch.export.save(torch.export.export(model, inputs), \"model.pt2\") after PT2E quantization"))
}

/// Reads an exported program.
pub(crate) fn read_exported(path: &Path) -> Result<ExportedProgram, Failure> {
    match read(path)? {
        Model::Exported(exported) => Ok(*exported),
        Model::Compiled(_) => Err(Failure::at(path, "this is a compiled program (.pte) already")
            .help("to compile for another target, start from the exported program (.pt2)")),
    }
}

/// Whether two paths are those of one regular file, there already or not.
pub(crate) fn is_one_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let there = std::fs::canonicalize(path);
        there.or_else(|error| match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => {
                let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                Ok(std::fs::canonicalize(folder)?.join(name))
            }
            _ => Err(error),
        })
    };
    let is_special = std::fs::metadata(one).is_ok_and(|metadata| !metadata.is_file());
    match (place(one), place(other)) {
        (Ok(one), Ok(other)) => !is_special && one == other,
        _ => false,
    }
}

/// Compiles an exported program.
pub(crate) fn compiled(
    path: &Path,
    exported: &ExportedProgram,
    target: Target,
) -> Result<Compiled, Failure> {
    compiled_with(path, exported, target, &PlanOptions::default())
}

/// Compiles an exported program, with memory planned as `options` say.
pub(crate) fn compiled_with(
    path: &Path,
    exported: &ExportedProgram,
    target: Target,
    options: &PlanOptions,
) -> Result<Compiled, Failure> {
    compile_with(exported, target, options).map_err(|error| match error {
        CompileError::Memory(_) => {
            let help = match options.lend_inputs && options.lend_outputs {
                true => "give the banks more memory",
                false => {
                    "give the banks more memory, or leave inputs and outputs in the caller's: --lend inputs,outputs"
                }
            };
            Failure::at(path, error).help(help)
        }
        error => Failure::at(path, error),
    })
}

/// The failure of a command that needs a target and was given none.
pub(crate) fn target_missing(path: &Path) -> Failure {
    Failure::at(path, "an exported program is compiled for a target, and none was given")
        .help("say for which core: --target cortex-m4")
}
