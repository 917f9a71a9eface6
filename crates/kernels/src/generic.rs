//! The kernels, one file per operator, each written once for all instruction sets.
//!
//! A file offers the kernel itself (slices in, slices out) and the glue by which a loader uses it: `STATE_WORDS`,
//! `prepare`, which checks what can be checked once and packs the arguments into that many words, and `execute`, which
//! unpacks them. Word 0 of the state belongs to the loader in its low byte; the upper 24 bits are the operator's.

#![allow(
    clippy::extra_unused_type_parameters,
    reason = "`execute` is called alike for every operator, also for those that need no instruction set"
)]

use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::for_each_operator;
use cortado_contract::ops::{Operator, OperatorKind, Rules};
use cortado_contract::value::{Rule, Violation, require};

pub mod broadcast;
pub mod conv_s16;
pub mod conv_s4;
mod convolution;
pub mod depthwise_s16;
pub mod depthwise_s4;
pub mod float;
pub mod linear_s16;
pub mod linear_s4;
pub mod math;
pub mod strided;
mod taps;

/// An operator that cannot be prepared: the rule of its contract that is broken.
pub type PrepareError = Violation;

/// Prepared state that does not fit the memory it is executed on: a bug of the loader, never of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

macro_rules! declare_kernels {
    ($($variant:ident = $module:ident,)*) => {
        $(pub mod $module;)*

        /// The number of state words that a prepared operator needs.
        pub const fn state_words(kind: OperatorKind) -> usize {
            match kind { $(OperatorKind::$variant => $module::STATE_WORDS),* }
        }

        fn prepare_checked<L: Lists>(
            operator: &Operator<Loaded<L>>,
            program: &[u8],
            state: &mut [u32],
        ) -> Result<(), PrepareError> {
            match operator { $(Operator::$variant(arguments) => $module::prepare(arguments, program, state)),* }
        }

        /// Runs a prepared operator.
        ///
        /// # Errors
        /// [`Fault`] when `state` was not prepared for this operator, file and arena.
        #[inline]
        pub fn execute<M: Micro>(
            kind: OperatorKind,
            state: &[u32],
            memory: &mut Memory<'_>,
        ) -> Result<(), Fault> {
            match kind { $(OperatorKind::$variant => $module::execute::<M>(state, memory)),* }.ok_or(Fault)
        }
    };
}
for_each_operator!(declare_kernels);

/// Checks an operator's arguments and packs them into `state`, which has [`state_words`] words.
///
/// `program` is the whole file, for constants whose values are checked. Every tensor's memory has been checked by the
/// caller to lie inside of the file or the arena.
///
/// # Errors
/// The first rule of the operator that does not hold.
pub fn prepare<L: Lists>(
    operator: &Operator<Loaded<L>>,
    program: &[u8],
    state: &mut [u32],
) -> Result<(), PrepareError> {
    operator.check()?;
    prepare_checked(operator, program, state)
}

/// Fails unless `out` lies in the arena and shares no byte with any of `operands`, which are the arguments from
/// position 0 on.
fn require_disjoint(
    out: &LoadedTensor,
    out_argument: u8,
    operands: &[Option<&LoadedTensor>],
) -> Result<(), Violation> {
    require(!out.location.is_constant(), out_argument, Rule::NotWritable)?;
    let overlaps = operands.iter().flatten().any(|operand| operand.overlaps(out));
    require(!overlaps, out_argument, Rule::Overlap)
}

/// Two halfwords as a word, the first one low. Takes the low 16 bits of each.
const fn halves(low: i32, high: i32) -> u32 {
    low as u32 & 0xffff | (high as u32) << 16
}

/// The signed halfwords of a word.
const fn unpack_halves(word: u32) -> (i32, i32) {
    (word as i16 as i32, (word as i32) >> 16)
}
