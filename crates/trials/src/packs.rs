//! Many programs as one file for a board, and what the board must make of each of them.
//!
//! The firmware's `trials.rs` reads a pack and writes a record for each program.

use crate::mutants::{self, Verdict, judge};
use crate::targets::{inputs_of, run};
use cortado_contract::Isa;
use cortado_host::local::{AlignedBytes, Method, with_method};
use cortado_runtime::LayoutPolicy;

/// A program with what a board must make of it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What it is, for people.
    pub what: String,
    /// The file.
    pub file: Vec<u8>,
    /// The digest of its outputs; `None` where it is refused.
    pub digest: Option<u64>,
}

/// The bytes that a record takes.
pub const RECORD_BYTES: usize = 9;

impl Trial {
    /// A sound program or a damaged one, with what the kernels' portable models make of it here. `None` where it cannot be run
    /// here: nobody knows how long it would take.
    ///
    /// # Panics
    /// When the program is executed wrongly here.
    pub fn new(what: String, file: Vec<u8>, isa: Isa, answers: &[Vec<u8>]) -> Option<Trial> {
        let digest = match judge(&file, answers) {
            Verdict::Refused(_) => None,
            Verdict::Harmless | Verdict::AnotherProgram => Some(digest(&file, isa)),
            Verdict::NotTried => return None,
            Verdict::Wrong(why) => panic!("{what}: {why}"),
        };
        Some(Trial { what, file, digest })
    }

    /// A sound program.
    ///
    /// # Panics
    /// When it does not load.
    pub fn sound(what: String, file: Vec<u8>, isa: Isa) -> Trial {
        let answers = mutants::answers(&file);
        let trial = Trial::new(what, file, isa, &answers).expect("a small program");
        assert!(trial.digest.is_some(), "{}: it is refused", trial.what);
        trial
    }

    /// What is wrong with a board's record of the program.
    pub fn problem(&self, record: &[u8]) -> Option<String> {
        const NAMES: [&str; 4] = ["executed", "refused", "too large for the board", "failed"];
        let (status, found) = match record {
            [status, digest @ ..] => (*status, u64::from_le_bytes(digest.try_into().ok()?)),
            [] => return Some(format!("{}: the board did not get to it", self.what)),
        };
        let said = NAMES.get(usize::from(status)).copied().unwrap_or("unknown");
        match (self.digest, status) {
            (Some(expected), 0) if expected == found => None,
            (None, 1) => None,
            (Some(expected), 0) => {
                Some(format!("{}: digest {found:016x} for {expected:016x}", self.what))
            }
            (Some(_), _) => Some(format!("{}: {said}, and executed on the host", self.what)),
            (None, _) => Some(format!("{}: {said}, and refused on the host", self.what)),
        }
    }
}

/// The digest of the outputs of a program that loads (FNV-1a of 64 bits), from the inputs that boards give it.
fn digest(file: &[u8], isa: Isa) -> u64 {
    let sizes = |method: Method<'_>| -> Vec<usize> {
        let inputs = (0..method.input_count()).map(|index| method.input_info(index));
        inputs.map(|info| info.expect("an input").span().len()).collect()
    };
    let file = AlignedBytes::copy_of(file);
    let sizes = with_method(&file, isa, LayoutPolicy::Adapt, sizes).expect("it was loaded before");
    let outputs = run(&file, isa, &inputs_of(sizes.into_iter()));
    outputs.iter().flatten().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A pack: the count, offset and length of each program, and the programs at multiples of 16 bytes.
pub fn pack(trials: &[Trial]) -> Vec<u8> {
    let mut offset = (4 + 8 * trials.len()).next_multiple_of(16);
    let mut header = (trials.len() as u32).to_le_bytes().to_vec();
    let mut body = Vec::new();
    for Trial { file, .. } in trials {
        header.extend((offset as u32).to_le_bytes());
        header.extend((file.len() as u32).to_le_bytes());
        body.extend(file);
        let padded = file.len().next_multiple_of(16);
        body.resize(body.len() + padded - file.len(), 0);
        offset += padded;
    }
    header.resize(header.len().next_multiple_of(16), 0);
    header.extend(body);
    header
}
