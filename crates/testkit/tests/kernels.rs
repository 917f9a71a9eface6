//! Every kernel's sweep, and the golden vectors, on the host's models of all instruction sets.

use cortado_kernels::arch;
use cortado_testkit::{Suite, Workspace, golden};

cortado_testkit::kernel_tests!(Scalar, Dsp, Mve);

fn golden_stream() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/golden");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let texts: Vec<_> = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    golden::pack(&texts).unwrap()
}

#[test]
fn golden_vectors_are_reproduced() {
    let stream = golden_stream();
    // Tensors are read in place, so the stream must be aligned as it is in a board's flash.
    let mut room = vec![0; stream.len() + golden::ALIGNMENT];
    let start = room.as_ptr().align_offset(golden::ALIGNMENT);
    let stream = {
        room[start..][..stream.len()].copy_from_slice(&stream);
        &room[start..][..stream.len()]
    };
    let mut memory = vec![0; 64 * 1024];
    let mut workspace = Workspace::new(&mut memory);
    let mut suite = Suite::default();
    golden::run::<arch::Scalar>(stream, &mut workspace, &mut suite);
    golden::run::<arch::Dsp>(stream, &mut workspace, &mut suite);
    golden::run::<arch::Mve>(stream, &mut workspace, &mut suite);
    suite.assert_passed();
    assert_eq!(suite.passed, 3 * 258, "the golden files hold 258 cases");
}
