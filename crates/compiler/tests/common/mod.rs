//! What the tests on whole models share.

#![allow(dead_code, reason = "each test file uses a part")]

use cortado_compiler::import::ExportedProgram;
use cortado_compiler::{Compiled, compile};
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
    let exported =
        ExportedProgram::open(path(model, "quantized.pt2")).expect("the fixture can be read");
    compile(&exported, Target::new(cpu))
        .unwrap_or_else(|error| panic!("{model} for {cpu}: {error}"))
}
