//! What the fuzz targets found, and a few sound files: replayed through the targets' bodies.

use cortado_host::local::AlignedBytes;
use cortado_runtime::Program;
use cortado_trials::targets::TARGETS;
use std::path::PathBuf;

#[test]
fn what_was_found_stays_mended() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/fuzz");
    for (name, target) in TARGETS {
        let Ok(entries) = std::fs::read_dir(folder.join(name)) else { continue };
        for entry in entries {
            let path = entry.expect("the folder can be read").path();
            println!("{}", path.display());
            target(&std::fs::read(&path).expect("the file can be read"));
        }
    }
    let folders = std::fs::read_dir(&folder).expect("the folder is part of the repository");
    for entry in folders {
        let entry = entry.expect("the folder can be read");
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let is_known = !entry.path().is_dir() || TARGETS.iter().any(|(known, _)| *known == name);
        assert!(is_known, "testdata/fuzz/{name} belongs to no target");
    }
}

#[test]
fn every_target_takes_anything() {
    for (_, target) in TARGETS {
        for bytes in [&b""[..], b"PK", &[0; 64], &[0xff; 1000]] {
            target(bytes);
        }
    }
}

/// A method without instructions would hand out what was in memory.
#[test]
fn a_program_that_lost_its_instructions_is_refused() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/fuzz/execute");
    for name in ["instructions-absent.pte", "instructions-of-another-table.pte"] {
        let bytes = std::fs::read(folder.join(name)).expect("the file can be read");
        let file = AlignedBytes::copy_of(&bytes);
        let refused = Program::parse(file.as_ref()).and_then(|program| program.requirements());
        let refused = refused.expect_err(name).to_string();
        assert!(refused.contains("a required field is absent"), "{name}: {refused}");
    }
}
