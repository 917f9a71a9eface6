//! Programs that are loaded when the firmware is built: prepared by the compiler, linked with just the kernels that they use.

use crate::error::LoadError;
use crate::head::{self, Head};
use crate::method::Method;
use crate::program::{Banks, Requirements, fit_banks};
use cortado_kernels::Kernel;

/// A program that was loaded ahead of time: its constants, its prepared state, and the kernels that it uses.
///
/// `cortado compile` writes one into the module beside a program, where constant assertions tie it to the very bytes of the program, to
/// the instruction set and to the version of this crate. Where that does not hold, the firmware does not compile. What
/// [`Program::load`](crate::Program::load) checks has been checked by the same code on the host.
#[derive(Clone, Copy, Debug)]
pub struct Linked {
    constants: &'static [u8],
    state: &'static [u32],
    kernels: &'static [Kernel],
}

impl Linked {
    /// A program of these constants, aligned to [`ALIGNMENT`](crate::ALIGNMENT) bytes, the state that
    /// [`Program::load_with`](crate::Program::load_with) prepared with a set of operators, and these operators' kernels in the same order.
    /// The kernels may be [narrowed](Kernel::narrowed) to the forms that the state has.
    ///
    /// To be called in constants.
    ///
    /// # Panics
    /// The state is not whole, or has something prepared that its kernel does not run.
    pub const fn new(
        constants: &'static [u8],
        state: &'static [u32],
        kernels: &'static [Kernel],
    ) -> Linked {
        if let Some(problem) = problem(state, kernels) {
            panic!("{}", problem);
        }
        Linked { constants, state, kernels }
    }

    /// As [`Self::new`], for tables that are not known to be sound; `None` where that would panic.
    pub const fn checked(
        constants: &'static [u8],
        state: &'static [u32],
        kernels: &'static [Kernel],
    ) -> Option<Linked> {
        match problem(state, kernels) {
            None => Some(Linked { constants, state, kernels }),
            Some(_) => None,
        }
    }

    /// As [`Self::method`], for banks that are not known to be large enough and aligned.
    ///
    /// # Errors
    /// [`LoadError::ArenaTooSmall`] and [`LoadError::ArenaMisaligned`].
    pub fn method_with<'m, const BANKS: usize>(
        &self,
        banks: impl Into<Banks<'m, BANKS>>,
    ) -> Result<Method<'m, BANKS>, LoadError> {
        let mut banks = banks.into();
        fit_banks(&head::bank_sizes(Head(self.state)), &mut banks.0)?;
        Ok(self.method(banks))
    }

    /// The method, ready for its inputs. Nothing is computed or written for that.
    ///
    /// The module's own function holds the banks against the program's sizes when the firmware is built. Banks that are given here,
    /// and are too small or misaligned, make each access to them and each execution fail.
    pub fn method<'m, const BANKS: usize>(
        &self,
        banks: impl Into<Banks<'m, BANKS>>,
    ) -> Method<'m, BANKS> {
        Method::new(self.constants, self.kernels, self.state, banks.into())
    }

    /// What the method needs, apart from the state, which it has.
    pub fn requirements(&self) -> Requirements {
        let banks = head::bank_sizes(Head(self.state));
        Requirements { arena_bytes: banks.total_bytes(), banks, state_words: 0 }
    }

    /// The prepared state.
    pub const fn state(&self) -> &'static [u32] {
        self.state
    }
}

/// What is wrong with prepared state and the kernels that are to run it.
const fn problem(state: &[u32], kernels: &[Kernel]) -> Option<&'static str> {
    const DAMAGED: Option<&str> = Some("the prepared state is damaged: compile the model again");
    if state.len() < 3 || !Head(state).is_sound() {
        return DAMAGED;
    }
    let mut rest = state.split_at(state[2] as usize).1;
    while let Some(first) = rest.first() {
        let kernel = (*first & 0xff) as usize;
        if kernel >= kernels.len() || kernels[kernel].state_words() > rest.len() {
            return DAMAGED;
        }
        let (words, behind) = rest.split_at(kernels[kernel].state_words());
        if words.is_empty() {
            return DAMAGED;
        }
        if !kernels[kernel].runs(words) {
            return Some("a kernel does not run what was prepared for it: compile the model again");
        }
        rest = behind;
    }
    None
}

/// A digest of a program's bytes, by which a module knows its program.
///
/// It goes by eight bytes at a time, the last padded with 0, so that a compiler has it done in a moment:
/// `digest = (digest.rotate_left(5) ^ chunk) · 0x517c_c1b7_2722_0a95`, starting with the number of bytes. It finds out mistakes; it is
/// no defence against somebody who wants two programs to have the same.
pub const fn digest(bytes: &[u8]) -> u64 {
    let mut digest = bytes.len() as u64;
    let mut rest = bytes;
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        digest = mixed(digest, u64::from_le_bytes(*chunk));
        rest = behind;
    }
    let mut last = [0; 8];
    let mut index = 0;
    while index < rest.len() {
        last[index] = rest[index];
        index += 1;
    }
    mixed(digest, u64::from_le_bytes(last))
}

const fn mixed(digest: u64, chunk: u64) -> u64 {
    (digest.rotate_left(5) ^ chunk).wrapping_mul(0x517c_c1b7_2722_0a95)
}
