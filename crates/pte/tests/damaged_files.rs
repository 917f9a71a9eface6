//! Damaged files: any answer but a panic will do, and reading must not run away.

mod common;

use common::{UPSTREAM_FILES, Walk, upstream};
use cortado_pte::owned;
use cortado_pte::{ErrorKind, Program, WriteOptions, dump, write};

/// All three readers, on any bytes.
fn read_all(bytes: &[u8]) -> Walk {
    if let Ok(program) = Program::parse(bytes) {
        let _ = owned::Program::from_view(&program);
        let _ = dump(&program);
    }
    Walk::everything(bytes)
}

/// A small program with all that a writer of ours puts into one.
fn small() -> Vec<u8> {
    let file = upstream("tiny_linear-m55");
    let mut model = owned::Program::from_view(&Program::parse(&file).unwrap()).unwrap();
    model.named_data.push(owned::NamedData { key: "key".into(), data: vec![1, 2, 3] });
    model.mutable_segments.push(vec![vec![], vec![4; 4], vec![]]);
    model.plans[0].delegates.push(owned::Delegate { id: "backend".into(), ..Default::default() });
    write(&model, &WriteOptions::default()).unwrap()
}

#[test]
fn truncation_at_every_byte() {
    for file in [upstream("tiny_linear-m0"), small()] {
        assert_eq!(read_all(&file).errors, []);
        for len in 0..file.len() {
            let walk = read_all(&file[..len]);
            assert!(!walk.errors.is_empty(), "read whole from {len} of {} bytes", file.len());
        }
    }
}

#[test]
fn truncation_of_a_program_without_extended_header() {
    let file = upstream("tiny_linear-m0");
    // With its magic gone the header is no header, so the size of the file counts.
    let mut bare = file.clone();
    bare[8] = 0;
    for len in 0..file.len() {
        read_all(&bare[..len]);
    }
}

#[test]
fn one_byte_changed() {
    let mut random = Random(0x5eed);
    let mut accepted = 0;
    for (file, rounds) in [(small(), 200_000), (upstream("digits_cnn-m4"), 50_000)] {
        let program_size = Program::parse(&file).unwrap().program_size();
        let mut bytes = file.clone();
        for round in 0..rounds {
            let at = random.below(program_size);
            bytes[at] ^= 1 + random.below(255) as u8;
            // The readers that allocate build on the same accessors, so fewer rounds do for them.
            let walk = if round % 16 == 0 { read_all(&bytes) } else { Walk::everything(&bytes) };
            accepted += usize::from(walk.errors.is_empty());
            bytes[at] = file[at];
        }
    }
    // Much of a program is numbers that may have any value; much is not.
    assert!((25_000..225_000).contains(&accepted), "{accepted} of 250 000 accepted");
}

#[test]
fn many_bytes_changed() {
    let mut random = Random(0xfeed);
    let file = small();
    for _ in 0..20_000 {
        let mut bytes = file.clone();
        for _ in 0..1 + random.below(16) {
            let at = random.below(bytes.len() - 4);
            // Extreme offsets and lengths, besides plain noise.
            let word = match random.below(4) {
                0 => u32::MAX,
                1 => 0x7fff_ffff,
                2 => bytes.len() as u32,
                _ => random.next() as u32,
            };
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        read_all(&bytes);
    }
}

#[test]
fn headers_that_contradict_the_file() {
    let file = upstream("tiny_linear-m4");
    let kind = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        Program::parse(&file).err().map(|error| error.kind)
    };
    assert_eq!(kind(4, b"ET13"), Some(ErrorKind::Identifier));
    assert_eq!(kind(12, &23u32.to_le_bytes()), Some(ErrorKind::Header));
    assert_eq!(kind(12, &24u32.to_le_bytes()), None, "older headers end before the last size");
    let beyond = file.len() as u64 + 1;
    assert_eq!(kind(16, &beyond.to_le_bytes()), Some(ErrorKind::Truncated));
    assert_eq!(kind(24, &beyond.to_le_bytes()), Some(ErrorKind::Truncated));
    assert_eq!(kind(32, &beyond.to_le_bytes()), Some(ErrorKind::Truncated));
    assert_eq!(kind(24, &64u64.to_le_bytes()), Some(ErrorKind::Header), "segments in the program");
    // Sizes whose low halves are right.
    for at in [16, 24, 32] {
        assert_eq!(kind(at + 4, &1u32.to_le_bytes()), Some(ErrorKind::TooLarge));
    }
}

#[test]
fn a_file_that_unfolds_without_end_is_refused() {
    let args = vec![0; 1000];
    let call = owned::Instruction::KernelCall { op_index: 0, args };
    let chain = owned::Chain { instructions: vec![call; 1000], ..Default::default() };
    let plan = owned::Plan { chains: vec![chain; 30], ..Default::default() };
    let model = owned::Program { plans: vec![plan], ..Default::default() };
    let file = write(&model, &WriteOptions::default()).unwrap();
    assert!(file.len() < 10_000, "equal parts are written once");
    let program = Program::parse(&file).unwrap();
    let error = owned::Program::from_view(&program).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Expansion);
    assert!(dump(&program).len() < 100_000_000);
}

#[test]
fn other_files_are_named_as_such() {
    for name in UPSTREAM_FILES {
        let mut file = upstream(name);
        file.rotate_left(1);
        let error = Program::parse(&file).unwrap_err();
        assert_eq!((error.kind, error.at), (ErrorKind::Identifier, 4));
    }
    let error = Program::parse(b"PK\x03\x04 and so on").unwrap_err();
    assert_eq!(error.to_string(), "byte 0x4: not an ExecuTorch program of format ET12");
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
