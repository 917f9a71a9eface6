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
pub mod int16;
pub mod linear_s16;
pub mod linear_s4;
pub mod math;
pub mod strided;
mod taps;

/// The version of prepared state: the words that `prepare` packs and `execute` unpacks, operator by operator.
///
/// State that a compiler prepared ahead of time names it, so that kernels which would read it differently do not compile with
/// it. A test holds the state of all fixtures against a record made at this version.
pub const STATE_VERSION: u32 = 2;

/// Why an operator cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFailure<A, F> {
    /// An argument cannot be read.
    Argument(A),
    /// The constant form is refused.
    Form(F),
    /// A rule of the operator's contract is broken.
    Rule(Violation),
}

/// Whether this build has the operator of this module unless it is asked for by name: those in float only with the feature `float`, or
/// on the host.
pub const fn is_built(module: &str) -> bool {
    let is_float = matches!(module.as_bytes(), [b'f', b'l', b'o', b'a', b't', b'_', ..]);
    !is_float || cfg!(any(feature = "float", cortado_isa = "model"))
}

/// Prepared state that does not fit the memory it is executed on: a bug of the loader, never of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// An operator's kernel for one instruction set, as prepared state is executed by it.
///
/// Only the kernels whose `Kernel` is in a table that a firmware uses are linked into it. The layout is that of C: firmware in C has
/// such tables, which `cortado-c` reads.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Kernel {
    kind: OperatorKind,
    state_words: u8,
    /// The forms that it runs, a bit each; see [`form`].
    forms: u16,
    execute: Execute,
}

type Execute = fn(&[u32], &mut Memory<'_>) -> Option<()>;

/// What a kernel runs that is not narrowed.
const ALL_FORMS: u16 = u16::MAX;

/// Whether a kernel for some forms has the part that another form needs.
const fn has(forms: u16, form: u16) -> bool {
    forms & form != 0
}

impl Kernel {
    /// The operator that it computes.
    pub const fn kind(&self) -> OperatorKind {
        self.kind
    }

    /// The words of state that a prepared operator takes.
    pub const fn state_words(&self) -> usize {
        self.state_words as usize
    }

    /// The forms that it runs, a bit for each; all bits for a kernel that is not narrowed.
    pub const fn forms(&self) -> u16 {
        self.forms
    }

    /// Whether it runs what was prepared so: the operator's own state, whole.
    pub const fn runs(&self, state: &[u32]) -> bool {
        let form = form(self.kind, state);
        state.len() == self.state_words() && form != 0 && form & !self.forms == 0
    }

    /// Runs a prepared operator. The call goes by way of a pointer, so that the stack of one kernel is all that is used at a time.
    ///
    /// # Errors
    /// [`Fault`] when `state` was not prepared for this operator, file and arena.
    #[inline]
    pub fn execute(&self, state: &[u32], memory: &mut Memory<'_>) -> Result<(), Fault> {
        (self.execute)(state, memory).ok_or(Fault)
    }
}

macro_rules! declare_kernels {
    ($($variant:ident = $module:ident,)*) => {
        $(pub mod $module;)*

        /// The number of state words that a prepared operator needs.
        pub const fn state_words(kind: OperatorKind) -> usize {
            match kind { $(OperatorKind::$variant => $module::STATE_WORDS),* }
        }

        /// Whether this build has the operator unless it is asked for by name: those in float only with the feature `float`, or on the
        /// host.
        pub const fn is_operator_built(kind: OperatorKind) -> bool {
            match kind { $(OperatorKind::$variant => is_built(stringify!($module))),* }
        }

        impl Kernel {
            /// The kernel of an operator. To be called in constants: there, only this kernel is linked.
            pub const fn of<M: Micro>(kind: OperatorKind) -> Kernel {
                let state_words = state_words(kind);
                assert!(state_words <= u8::MAX as usize, "the words of one operator fit a byte");
                Kernel {
                    kind,
                    state_words: state_words as u8,
                    forms: ALL_FORMS,
                    execute: match kind {
                        $(OperatorKind::$variant => $module::execute::<M>,)*
                    },
                }
            }

            /// Stands for the kernel of an operator that is not there, and is never executed: its operator is refused when it is loaded.
            pub const fn absent(kind: OperatorKind) -> Kernel {
                Kernel { kind, state_words: state_words(kind) as u8, forms: 0, execute: |_, _| None }
            }
        }

        /// How each operator is loaded: functions that read its arguments, check them, have their constant form judged, and pack them
        /// into `state`, which has [`state_words`] words and the loader's in its first.
        ///
        /// `program` has the constants whose values are checked. The reader has checked every tensor's memory to lie inside of it or
        /// of the arena. They fail as [`LoadFailure`] says.
        #[allow(missing_docs, reason = "all alike")]
        pub mod loaders {
            use super::*;
            $(
                pub fn $module<L: Lists, R: ArgumentReader<Loaded<L>>, F>(
                    reader: &mut R,
                    program: &[u8],
                    state: &mut [u32],
                    judge: &dyn Fn(ConstantForm) -> Result<(), F>,
                ) -> Result<(), LoadFailure<R::Error, F>> {
                    load_one(reader, judge, ops::$variant::<Loaded<L>>::decode, |arguments| {
                        super::$module::prepare(arguments, program, state)
                    })
                }
            )*
        }
    };
}
for_each_operator!(declare_kernels);

/// Calls the macro `$then` with every kernel that is narrower than its operator's whole one: a name, the operator and the forms that it
/// runs, for those to whom kernels are functions with names.
#[macro_export]
macro_rules! for_each_narrowed_kernel {
    ($then:ident) => {
        $then! {
            quantize_per_tensor_1 = QuantizePerTensor: 1,
            dequantize_per_tensor_1 = DequantizePerTensor: 1,
            quantized_linear_1 = QuantizedLinear: 1,
            quantized_linear_2 = QuantizedLinear: 2,
            quantized_linear_8 = QuantizedLinear: 8,
            quantized_conv2d_1 = QuantizedConv2d: 1,
            quantized_conv2d_2 = QuantizedConv2d: 2,
            quantized_conv2d_3 = QuantizedConv2d: 3,
            quantized_depthwise_conv2d_1 = QuantizedDepthwiseConv2d: 1,
            quantized_depthwise_conv2d_2 = QuantizedDepthwiseConv2d: 2,
            quantized_depthwise_conv2d_3 = QuantizedDepthwiseConv2d: 3,
            quantized_depthwise_conv2d_4 = QuantizedDepthwiseConv2d: 4,
            quantized_depthwise_conv2d_5 = QuantizedDepthwiseConv2d: 5,
            quantized_depthwise_conv2d_6 = QuantizedDepthwiseConv2d: 6,
            quantized_depthwise_conv2d_7 = QuantizedDepthwiseConv2d: 7,
            quantized_avg_pool2d_1 = QuantizedAvgPool2d: 1,
            quantized_add_1 = QuantizedAdd: 1,
        }
    };
}

macro_rules! declare_forms {
    ($($variant:ident = $module:ident,)*) => {
        /// The forms of a prepared operator: a bit for each part of its kernel that it needs, one at least. What does not depend on inputs
        /// may be told from the state, and a kernel of some parts only is smaller; most operators have one form.
        pub const fn form(kind: OperatorKind, state: &[u32]) -> u16 {
            match kind {
                $(OperatorKind::$variant => $module::form(state),)*
                _ => 1,
            }
        }

        impl Kernel {
            /// As [`Self::of`], for some [`form`]s only: a smaller kernel where there is one for just these.
            pub const fn narrowed<M: Micro>(kind: OperatorKind, forms: u16) -> Kernel {
                let narrow: Option<Execute> = match kind {
                    $(OperatorKind::$variant => $module::narrowed::<M>(forms),)*
                    _ => None,
                };
                match narrow {
                    Some(execute) => Kernel { forms, execute, ..Kernel::absent(kind) },
                    None => Kernel::of::<M>(kind),
                }
            }
        }
    };
}
declare_forms! {
    QuantizePerTensor = quantize_per_tensor,
    DequantizePerTensor = dequantize_per_tensor,
    QuantizedLinear = quantized_linear,
    QuantizedConv2d = quantized_conv2d,
    QuantizedDepthwiseConv2d = quantized_depthwise_conv2d,
    QuantizedAvgPool2d = quantized_avg_pool2d,
    QuantizedAdd = quantized_add,
}

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

/// Stores words where there is room for just these.
fn store<const N: usize>(place: &mut [u32], words: [u32; N]) {
    if let Ok(place) = <&mut [u32; N]>::try_from(place) {
        *place = words;
    }
}

/// Two halfwords as a word, the first one low. Takes the low 16 bits of each.
const fn halves(low: i32, high: i32) -> u32 {
    low as u32 & 0xffff | (high as u32) << 16
}

/// The signed halfwords of a word.
const fn unpack_halves(word: u32) -> (i32, i32) {
    (word as i16 as i32, (word as i32) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{Dsp, Mve, Scalar};

    /// The name under which a kernel is listed.
    fn listed(kind: OperatorKind, forms: u16) -> Option<&'static str> {
        macro_rules! find {
            ($($name:ident = $variant:ident: $forms:literal,)*) => {
                match (kind, forms) {
                    $((OperatorKind::$variant, $forms) => Some(stringify!($name)),)*
                    _ => None,
                }
            };
        }
        for_each_narrowed_kernel!(find)
    }

    #[test]
    fn all_narrowed_kernels_are_listed() {
        for kind in OperatorKind::ALL {
            for forms in 1..1 << 8 {
                let narrowed = [
                    Kernel::narrowed::<Scalar>(*kind, forms),
                    Kernel::narrowed::<Dsp>(*kind, forms),
                    Kernel::narrowed::<Mve>(*kind, forms),
                ];
                let name = listed(*kind, forms);
                let expected = if name.is_some() { forms } else { ALL_FORMS };
                assert_eq!(narrowed.map(|kernel| kernel.forms()), [expected; 3], "{kind:?}");
                if let Some((operator, number)) = name.and_then(|name| name.rsplit_once('_')) {
                    assert!(kind.name().ends_with(operator), "{kind:?} as {operator}");
                    assert_eq!(number.parse(), Ok(forms), "{kind:?}");
                }
            }
        }
    }
}
