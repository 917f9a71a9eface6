//! The kernels, one file per operator, each written once for all instruction sets.
//!
//! A file offers the kernel itself (slices in, slices out) and the glue by which a loader uses it: `STATE_WORDS`,
//! `prepare`, which checks what can be checked once and packs the arguments into that many words, and `execute`, which
//! unpacks them. Word 0 of the state belongs to the loader in its low byte; the upper 24 bits are the operator's.

#![allow(
    clippy::extra_unused_type_parameters,
    reason = "`execute` is called alike for every operator, also for those that need no instruction set"
)]

use crate::memory::{Memory, may_overlap_spans};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded, LoadedTensor};
use cortado_contract::for_each_operator;
use cortado_contract::layout::ConstantForm;
use cortado_contract::ops::{self, OperatorKind, Rules};
use cortado_contract::value::{ArgumentReader, Rule, Violation, require};

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

/// Why an operator cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFailure<A, F> {
    /// An argument cannot be read.
    Argument(A),
    /// The constant form is refused.
    Form(F),
    /// A rule of the operator's contract is broken.
    Rule(Violation),
    /// The operator is in a group that this build leaves out.
    NotBuilt,
}

/// Whether this build has the operator of this module: those in float only with the feature `float`, or on the host.
pub const fn is_built(module: &str) -> bool {
    let is_float = matches!(module.as_bytes(), [b'f', b'l', b'o', b'a', b't', b'_', ..]);
    !is_float || cfg!(any(feature = "float", cortado_isa = "model"))
}

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

        /// Reads an operator's arguments, checks them, has their constant form judged, and packs them into `state`, which has
        /// [`state_words`] words.
        ///
        /// `program` is the whole file, for constants whose values are checked. The reader has checked every tensor's memory to
        /// lie inside of the file or the arena.
        ///
        /// # Errors
        /// See [`LoadFailure`].
        pub fn load<L: Lists, R: ArgumentReader<Loaded<L>>, F>(
            kind: OperatorKind,
            reader: &mut R,
            program: &[u8],
            state: &mut [u32],
            judge: &dyn Fn(ConstantForm) -> Result<(), F>,
        ) -> Result<(), LoadFailure<R::Error, F>> {
            match kind {
                $(OperatorKind::$variant if is_built(stringify!($module)) => load_one(
                    reader,
                    judge,
                    ops::$variant::<Loaded<L>>::decode,
                    |arguments| $module::prepare(arguments, program, state),
                ),)*
                _ => Err(LoadFailure::NotBuilt),
            }
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
            // By way of a pointer, so that the stack of one kernel is all that is used at a time.
            let kernel: fn(&[u32], &mut Memory<'_>) -> Option<()> = match kind {
                $(OperatorKind::$variant if is_built(stringify!($module)) => $module::execute::<M>,)*
                _ => |_, _| None,
            };
            kernel(state, memory).ok_or(Fault)
        }
    };
}
for_each_operator!(declare_kernels);

/// Loads one kind of operator. Never inlined: the arguments of one kind are all that is on the stack at a time.
#[inline(never)]
fn load_one<A: Rules, R, E, F>(
    reader: &mut R,
    judge: &dyn Fn(ConstantForm) -> Result<(), F>,
    decode: impl FnOnce(&mut R) -> Result<A, E>,
    prepare: impl FnOnce(&A) -> Result<(), Violation>,
) -> Result<(), LoadFailure<E, F>> {
    let arguments = decode(reader).map_err(LoadFailure::Argument)?;
    arguments.check().map_err(LoadFailure::Rule)?;
    if let Some(form) = arguments.constant_form() {
        judge(form).map_err(LoadFailure::Form)?;
    }
    prepare(&arguments).map_err(LoadFailure::Rule)
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

/// Fails unless `out` lies in memory that can be written and `input`, which has as many elements, is read there before it is
/// written over when both are gone through from the first element to the last.
fn require_element_by_element(
    input: &LoadedTensor,
    out: &LoadedTensor,
    out_argument: u8,
) -> Result<(), Violation> {
    require(!out.location.is_constant(), out_argument, Rule::NotWritable)?;
    let may = !input.is_in_memory_of(out) || may_overlap_spans(input.span(), out.span());
    require(may, out_argument, Rule::Overlap)
}

/// Two halfwords as a word, the first one low. Takes the low 16 bits of each.
const fn halves(low: i32, high: i32) -> u32 {
    low as u32 & 0xffff | (high as u32) << 16
}

/// The signed halfwords of a word.
const fn unpack_halves(word: u32) -> (i32, i32) {
    (word as i16 as i32, (word as i32) >> 16)
}
