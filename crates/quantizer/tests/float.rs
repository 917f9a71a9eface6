//! Float models are executed as PyTorch executes them: held against the results that it recorded.

use cortado_compiler::from_export::from_export;
use cortado_compiler::graph::Graph;
use cortado_compiler::import::ExportedProgram;
use cortado_compiler::passes::simplify;
use cortado_npz::Archive;
use cortado_quantizer::execute::Executor;
use cortado_quantizer::tensor::{Tensor, numbers};
use std::path::{Path, PathBuf};

/// The greatest error, relative to the greatest number of an output. PyTorch sums in another order, in binary32.
const TOLERANCE: f64 = 1e-5;

/// The folders of float models: all of `testdata/models`, and operators that are written by others.
fn folders() -> Vec<PathBuf> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    // Further models, in the same form, can be held against their results as well.
    let (models, others) = match std::env::var_os("CORTADO_FLOAT_MODELS") {
        Some(folder) => (folder.into(), None),
        None => (testdata.join("models"), Some(testdata.join("decomposed"))),
    };
    let models = std::fs::read_dir(models).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = models.chain(others).collect();
    folders.sort();
    folders
}

fn samples(archive: &Archive, prefix: &str) -> Vec<Vec<Tensor>> {
    let arrays: Vec<_> =
        (0..).map_while(|index| archive.get(&format!("{prefix}{index}"))).collect();
    let count = arrays.first().map_or(0, |array| array.shape()[0]);
    let sample = |index: usize| {
        let tensor = |array: &&cortado_npz::Array| {
            let bytes = array.item(index).expect("a sample");
            Tensor::new(array.shape()[1..].to_vec(), numbers(array.dtype(), bytes))
        };
        arrays.iter().map(tensor).collect()
    };
    (0..count).map(sample).collect()
}

/// The greatest difference to the results on record, relative to the greatest of them.
fn error(graph: &Graph, inputs: &[Vec<Tensor>], expected: &[Vec<Tensor>]) -> f64 {
    let executor = Executor::new(graph).unwrap_or_else(|error| panic!("{error}"));
    let found = executor.run(inputs).unwrap_or_else(|error| panic!("{error}"));
    let mut worst = 0.0f64;
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.shape(), expected.shape());
            let pairs = found.data().iter().zip(expected.data());
            let largest = expected.data().iter().fold(0.0f32, |max, it| max.max(it.abs()));
            for (found, expected) in pairs {
                let difference = f64::from((found - expected).abs());
                let difference = if found == expected { 0.0 } else { difference };
                worst = worst.max(difference / f64::from(largest.max(f32::MIN_POSITIVE)));
                assert!(!difference.is_nan(), "{found} {expected}");
            }
        }
    }
    worst
}

#[test]
fn float_models_have_the_results_on_record() {
    let mut count = 0;
    for folder in folders() {
        let file = folder.join("float.pt2");
        if !file.exists() {
            continue;
        }
        let exported = ExportedProgram::open(&file).unwrap();
        let inputs = samples(&Archive::open(folder.join("inputs.npz")).unwrap(), "input");
        let expected = Archive::open(folder.join("expected.npz")).unwrap();
        let expected = samples(&expected, "float_output");
        assert!(!expected.is_empty(), "{}", folder.display());
        let plain = from_export(&exported).unwrap();
        let mut simple = plain.clone();
        simplify(&mut simple).unwrap();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let found = error(&simple, &inputs, &expected);
        println!("{name:24} {found:.1e}");
        assert!(found <= TOLERANCE, "{name}: {found:e}");
        // As it was exported, where all operators are ones that compute.
        if Executor::new(&plain).is_ok() {
            let found = error(&plain, &inputs, &expected);
            assert!(found <= TOLERANCE, "{name}, as exported: {found:e}");
        }
        count += 1;
    }
    assert!(count > 0, "there are no float models");
}
