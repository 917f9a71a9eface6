//! Valid programs to damage.

use crate::choices::Choices;
use crate::operators;
use cortado_compiler::compile;
use cortado_compiler::import::ExportedProgram;
use cortado_contract::{Cpu, Target};
use std::path::PathBuf;

/// Small programs that have every operator with integer results between them, and models with inputs; for these cores in turn.
///
/// # Panics
/// When one of them cannot be compiled.
pub fn valid_programs(cpus: &[Cpu]) -> Vec<(String, Vec<u8>)> {
    let cpus = cpus.iter().copied();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models");
    let mut programs = Vec::new();
    let models = [
        "tiny_linear",
        "digits_mlp",
        "op_conv2d_3x3_s2",
        "op_add_broadcast",
        "op_lstm",
        "op_cat",
        "two_inputs",
    ];
    for (model, cpu) in models.into_iter().zip(cpus.clone().cycle()) {
        let exported = ExportedProgram::open(folder.join(model).join("quantized.pt2"))
            .unwrap_or_else(|error| panic!("{model}: {error}"));
        let compiled = compile(&exported, Target::new(cpu))
            .unwrap_or_else(|error| panic!("{model} for {cpu}: {error}"));
        programs.push((format!("{model} for {cpu}"), compiled.pte));
    }
    for (seed, cpu) in (0..12).zip(cpus.clone().cycle()) {
        let program = operators::program(&mut Choices::seeded(1000 + seed), 8);
        let file = operators::file(&program, Target::new(cpu)).expect("a sound program");
        programs.push((format!("operators of seed {} for {cpu}", 1000 + seed), file));
    }
    programs
}
