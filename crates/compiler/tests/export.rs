//! A program that is written and read again is the same program: it compiles to the same bytes.

use cortado_compiler::export::{exported, write};
use cortado_compiler::from_export::from_export;
use cortado_compiler::import::ExportedProgram;
use cortado_compiler::{CompileError, compile};
use cortado_contract::{Cpu, Target};
use std::path::{Path, PathBuf};

fn models(file: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join(file))
        .filter(|path| path.exists())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no {file}");
    files
}

fn written_and_read(program: &ExportedProgram) -> ExportedProgram {
    let graph = from_export(program).unwrap();
    let bytes = write(&exported(&graph, program)).unwrap();
    assert_eq!(bytes, write(&exported(&graph, program)).unwrap());
    ExportedProgram::read(&bytes).unwrap()
}

#[test]
fn quantized_programs_compile_to_the_same_bytes() {
    let target = Target::new(Cpu::M55);
    for file in models("quantized.pt2") {
        // What takes seconds to plan shows nothing that the others do not.
        if file.to_string_lossy().contains("mobilenet") {
            continue;
        }
        let program = ExportedProgram::open(&file).unwrap();
        let again = written_and_read(&program);
        match (compile(&program, target), compile(&again, target)) {
            (Ok(first), Ok(second)) => {
                assert!(first.pte == second.pte, "{}", file.display());
            }
            (Err(CompileError::Unsupported(first)), Err(CompileError::Unsupported(second))) => {
                assert_eq!(first.len(), second.len(), "{}", file.display());
            }
            (first, second) => panic!("{}: {first:?} {second:?}", file.display()),
        }
    }
}

#[test]
fn float_programs_keep_types_extents_and_order_in_memory() {
    for file in models("float.pt2") {
        let program = ExportedProgram::open(&file).unwrap();
        let again = written_and_read(&program);
        assert_eq!(program.user_inputs().count(), again.user_inputs().count());
        for (first, second) in program.user_inputs().zip(again.user_inputs()) {
            assert_eq!(first.name, second.name);
            let (first, second) = (&program.values[&first.name], &again.values[&second.name]);
            assert_eq!((first.dtype, &first.shape), (second.dtype, &second.shape));
            assert_eq!(first.dim_order(), second.dim_order());
        }
        assert_eq!(program.nodes.len(), again.nodes.len(), "{}", file.display());
        for (first, second) in program.nodes.iter().zip(&again.nodes) {
            assert_eq!(
                (&first.target, first.outputs.len()),
                (&second.target, second.outputs.len())
            );
        }
    }
}
