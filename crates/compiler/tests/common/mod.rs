//! What the tests on whole models share.

#![allow(dead_code, reason = "each test file uses a part")]

use cortado_compiler::import::ExportedProgram;
use cortado_compiler::plan::PlanOptions;
use cortado_compiler::{Compiled, compile_with};
use cortado_contract::{Cpu, Target};
use std::path::PathBuf;

/// The targets that the fixtures have reference results for, by the names in their files.
pub(crate) const TARGETS: [(&str, Cpu); 3] = [("m55", Cpu::M55), ("m4", Cpu::M4), ("m0", Cpu::M0)];

/// A file of a model in `testdata/models`.
pub(crate) fn path(model: &str, file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models").join(model).join(file)
}

/// The names of all models in `testdata/models`.
pub(crate) fn models() -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models");
    let entries = std::fs::read_dir(folder).expect("testdata/models is part of the repository");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("the folder can be read"))
        .filter(|entry| entry.path().join("quantized.pt2").exists())
        .map(|entry| entry.file_name().into_string().expect("names are UTF-8"))
        .collect();
    names.sort();
    names
}

/// A model compiled for a core.
pub(crate) fn compiled(model: &str, cpu: Cpu) -> Compiled {
    compiled_with(model, cpu, &PlanOptions::default())
}

/// A model compiled for a core, with memory planned as `options` say.
pub(crate) fn compiled_with(model: &str, cpu: Cpu, options: &PlanOptions) -> Compiled {
    let exported =
        ExportedProgram::open(path(model, "quantized.pt2")).expect("the fixture can be read");
    compile_with(&exported, Target::new(cpu), options)
        .unwrap_or_else(|error| panic!("{model} for {cpu}: {error}"))
}

/// The files of ExecuTorch's compiler in `testdata/pte-upstream`, with the names of model and target.
pub(crate) fn upstream_files() -> Vec<(String, String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/pte-upstream");
    let entries = std::fs::read_dir(folder).expect("the folder is part of the repository");
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if let Some((model, target)) = name.rsplit_once('-') {
            files.push((model.to_owned(), target.to_owned(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}
