//! What can go wrong: small values without text, so that a device can return them for nothing.

use core::fmt;
use cortado_contract::layout::ConstantForm;
use cortado_contract::ops::OperatorKind;
use cortado_contract::stamp::StampError;
use cortado_contract::target::{Isa, Target};
use cortado_contract::value::Violation;

/// Why a program cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LoadError {
    /// The file is not a sound program.
    Format(cortado_pte::Error),
    /// The file does not start at a multiple of [`crate::ALIGNMENT`] bytes.
    ProgramMisaligned,
    /// A bank of the arena does not start at a multiple of [`crate::ALIGNMENT`] bytes.
    ArenaMisaligned {
        /// The bank's position; 0 where there is one.
        bank: u8,
    },
    /// A bank of the arena is too small, or not given.
    ArenaTooSmall {
        /// The bank's position; 0 where there is one.
        bank: u8,
        /// Bytes that the program needs.
        needed: u32,
        /// Bytes that were given.
        given: u32,
    },
    /// The method's state is too small.
    StateTooSmall {
        /// Words that the program needs.
        needed: u32,
        /// Words that were given.
        given: u32,
    },
    /// The target stamp cannot be believed.
    Stamp(StampError),
    /// The program uses a part of the format that this runtime does not have.
    Unsupported(Unsupported),
    /// An input or output of the program cannot be served.
    Boundary {
        /// Whether it is an output.
        is_output: bool,
        /// Its position.
        index: u16,
        /// What is wrong with it.
        problem: OperatorProblem,
    },
    /// An instruction cannot be served.
    Operator {
        /// The instruction's position.
        instruction: u16,
        /// The operator, where its name is known.
        operator: Option<OperatorKind>,
        /// What is wrong with it.
        problem: OperatorProblem,
    },
    /// A linear layer's constants are in the form that another instruction set's kernels read.
    Layout(LayoutMismatch),
}

/// A constant form that this build's kernels do not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LayoutMismatch {
    /// The instruction's position.
    pub instruction: u16,
    /// The operator.
    pub operator: OperatorKind,
    /// The form in the file.
    pub found: ConstantForm,
    /// The target that the file was made for, where it says.
    pub file: Option<Target>,
    /// The instruction set of this build's kernels.
    pub kernels: Isa,
}

/// A part of the program format that this runtime does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Unsupported {
    /// A method with other than one chain of instructions.
    Chains,
    /// A part of the program is delegated to another backend.
    Delegates,
    /// An instruction other than a call of an operator.
    Instruction(u16),
    /// More than 65,535 instructions.
    Instructions,
    /// More memory regions than [`cortado_kernels::memory::MAX_REGIONS`]: planned buffers, and inputs and outputs
    /// that the caller lends; or one that exceeds 256 MiB.
    Regions,
    /// More than 32 inputs.
    Inputs,
    /// More than 255 outputs.
    Outputs,
}

/// What is wrong with an instruction, an input or an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum OperatorProblem {
    /// The file is not sound here.
    Format(cortado_pte::Error),
    /// There is no operator of this name.
    Unknown,
    /// The operator is not in the set that the program was loaded with.
    NotInSet,
    /// This build leaves the operator out: it computes in float, and the feature `float` is off.
    NotBuilt,
    /// A wrong number of arguments.
    ArgumentCount,
    /// An argument is of another kind than the schema says, or a number out of range.
    Argument {
        /// Its position in the schema.
        position: u8,
        /// What is wrong with it.
        cause: ArgumentCause,
    },
    /// A rule of the operator's contract is broken.
    Rule(Violation),
    /// An argument's memory, or an output's, does not hold what was put there: something else was written over a part of it
    /// since, or only a part of it was written.
    Overwritten {
        /// The argument's position in the schema.
        position: u8,
        /// The instruction that wrote there last.
        by: u16,
    },
    /// Nothing has written an argument's memory, or an output's.
    NeverWritten {
        /// The argument's position in the schema.
        position: u8,
    },
    /// Two inputs share memory, or an operator's scratch memory is shared with what it reads or writes.
    Shared {
        /// The argument's position in the schema.
        position: u8,
    },
    /// The constants are in a form that contradicts the program's own target stamp.
    ContradictsStamp {
        /// The form in the file.
        found: ConstantForm,
        /// The target of the stamp.
        stamp: Target,
    },
    /// The program has linear layers with constants in different forms; no compiler writes both.
    MixedForms {
        /// The form of this layer.
        found: ConstantForm,
        /// The form of those before it.
        first: ConstantForm,
    },
}

/// What is wrong with an argument's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ArgumentCause {
    /// The file is not sound here.
    Format(cortado_pte::Error),
    /// A value of another kind.
    Kind,
    /// A number out of range.
    Range,
    /// An element type that this runtime does not have.
    DType,
    /// Too many axes, a negative extent, or more than 2 GiB.
    Extent,
    /// An order of axes that is no permutation.
    DimOrder,
    /// A part of the format that this runtime does not have: dynamic shapes, external data, storage offsets, or
    /// memory that is both planned and initialised.
    Unsupported,
    /// Neither planned memory, nor a constant, nor an input or output that the caller lends.
    NoMemory,
    /// An input and output at once that the caller lends.
    LentTwice,
    /// Planned memory outside of the planned buffers.
    OutOfArena,
    /// A constant that ends outside of the file.
    OutOfFile,
    /// Memory that is not aligned for its element type.
    Misaligned,
}

/// Why an input or output is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TensorError {
    /// There is no input or output of this position.
    Index,
    /// The element type is another one.
    DType,
    /// The number of elements is another one.
    Length {
        /// Elements that the program has.
        needed: u32,
        /// Elements that were given.
        given: u32,
    },
    /// The method has not been executed since its inputs were set, so there is no output.
    NotExecuted,
    /// The caller lends this input's or output's memory to [`crate::Method::execute_with`]; the method has none.
    Lent,
}

/// Why a method cannot be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ExecuteError {
    /// An input has not been set since the last execution; its memory may have been reused.
    InputNotSet {
        /// Its position.
        index: u16,
    },
    /// The program takes another number of lent inputs or outputs.
    LentCount {
        /// Lent inputs and outputs that the program has.
        needed: u16,
        /// Those that were given.
        given: u16,
    },
    /// A lent input's or output's memory has another size.
    LentLength {
        /// Its position among the lent ones, inputs first.
        index: u16,
        /// Bytes that the program has.
        needed: u32,
        /// Bytes that were given.
        given: u32,
    },
    /// A lent input's or output's memory is not aligned to [`crate::ALIGNMENT`] bytes.
    LentMisaligned {
        /// Its position among the lent ones, inputs first.
        index: u16,
    },
    /// Prepared state does not fit the memory. Never caused by a file; please report it.
    Internal,
}

impl From<cortado_pte::Error> for LoadError {
    fn from(error: cortado_pte::Error) -> Self {
        LoadError::Format(error)
    }
}

impl From<StampError> for LoadError {
    fn from(error: StampError) -> Self {
        LoadError::Stamp(error)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Format(error) => write!(f, "the file is not a sound program: {error}"),
            LoadError::ProgramMisaligned => {
                write!(
                    f,
                    "the program's file must start at a multiple of {} bytes",
                    crate::ALIGNMENT
                )
            }
            LoadError::ArenaMisaligned { bank } => {
                let alignment = crate::ALIGNMENT;
                write!(f, "bank {bank} of the arena must start at a multiple of {alignment} bytes")
            }
            LoadError::ArenaTooSmall { bank, needed, given } => {
                write!(
                    f,
                    "bank {bank} of the arena has {given} bytes and the program needs {needed} there"
                )
            }
            LoadError::StateTooSmall { needed, given } => {
                write!(f, "the method's state has {given} words and the program needs {needed}")
            }
            LoadError::Stamp(error) => write!(f, "{error}"),
            LoadError::Unsupported(part) => write!(f, "{part}"),
            LoadError::Boundary { is_output, index, problem } => {
                let side = if *is_output { "output" } else { "input" };
                write!(f, "{side} {index}: ")?;
                problem.write(f, None)
            }
            LoadError::Operator { instruction, operator, problem } => {
                write!(f, "instruction {instruction}")?;
                if let Some(operator) = operator {
                    write!(f, ", {}", operator.name())?;
                }
                f.write_str(": ")?;
                problem.write(f, *operator)
            }
            LoadError::Layout(mismatch) => write!(f, "{mismatch}"),
        }
    }
}

impl core::error::Error for LoadError {}

impl fmt::Display for LayoutMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LayoutMismatch { instruction, operator, found, file, kernels } = self;
        let needed = kernels.constant_form();
        write!(
            f,
            "instruction {instruction}, {}: its constant term is a {found}, and the {kernels} kernels of this build read \
             a {needed}. The file was made for ",
            operator.name()
        )?;
        match file {
            Some(target) => write!(f, "{target} ({} kernels)", target.isa())?,
            None => write!(f, "a target that it does not name")?,
        }
        write!(
            f,
            "; compile or retarget it for the {kernels} target, or load it with the adapting layout policy"
        )
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsupported::Chains => {
                f.write_str("the method has other than one chain of instructions")
            }
            Unsupported::Delegates => {
                f.write_str("a part of the program is delegated to another backend")
            }
            Unsupported::Instruction(index) => {
                write!(
                    f,
                    "instruction {index} is not a call of an operator (control flow is not supported)"
                )
            }
            Unsupported::Instructions => {
                f.write_str("the method has more than 65,535 instructions")
            }
            Unsupported::Regions => write!(
                f,
                "the program has more than {} planned buffers and lent inputs and outputs together, or a buffer of \
                 more than {} MiB",
                cortado_kernels::memory::MAX_REGIONS,
                cortado_kernels::Location::REGION_BYTES_MAX >> 20
            ),
            Unsupported::Inputs => f.write_str("the method has more than 32 inputs"),
            Unsupported::Outputs => f.write_str("the method has more than 255 outputs"),
        }
    }
}

impl OperatorProblem {
    fn write(&self, f: &mut fmt::Formatter<'_>, operator: Option<OperatorKind>) -> fmt::Result {
        match self {
            OperatorProblem::Format(error) => write!(f, "{error}"),
            OperatorProblem::Unknown => f.write_str("there is no operator of that name"),
            OperatorProblem::NotInSet => f.write_str(
                "this firmware loads programs with a set of operators that lacks it; add it to the set",
            ),
            OperatorProblem::NotBuilt => f.write_str(
                "it computes in float, and this firmware was built without the feature `float`",
            ),
            OperatorProblem::ArgumentCount => {
                f.write_str("the number of arguments is not the schema's")
            }
            OperatorProblem::Argument { position, cause } => {
                write_argument(f, operator, *position)?;
                write!(f, "{cause}")
            }
            OperatorProblem::Rule(Violation { argument, rule }) => {
                write_argument(f, operator, *argument)?;
                f.write_str(rule.explain())
            }
            OperatorProblem::Overwritten { position, by } => {
                write_argument(f, operator, *position)?;
                write!(
                    f,
                    "has lost what was put there: instruction {by} writes over a part of it; the memory plan is wrong"
                )
            }
            OperatorProblem::NeverWritten { position } => {
                write_argument(f, operator, *position)?;
                f.write_str("is read before anything was written there")
            }
            OperatorProblem::Shared { position } => {
                write_argument(f, operator, *position)?;
                f.write_str("shares memory with another that is in use at the same time; the memory plan is wrong")
            }
            OperatorProblem::ContradictsStamp { found, stamp } => write!(
                f,
                "its constant term is a {found}, but the program's stamp says {stamp}, whose kernels read a {}: the \
                 file is damaged or was edited; compile it again",
                stamp.isa().constant_form()
            ),
            OperatorProblem::MixedForms { found, first } => write!(
                f,
                "its constant term is a {found}, and that of a layer before it is a {first}: one of them lacks what it needs, \
                 or the file was edited; compile it again"
            ),
        }
    }
}

/// Starts a sentence about an argument, or about an input or output where there is no operator.
fn write_argument(
    f: &mut fmt::Formatter<'_>,
    operator: Option<OperatorKind>,
    position: u8,
) -> fmt::Result {
    match operator {
        Some(operator) => write!(f, "argument `{}` ", operator.argument_name(position)),
        None => f.write_str("the tensor "),
    }
}

impl fmt::Display for ArgumentCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ArgumentCause::Format(error) => return write!(f, "cannot be read: {error}"),
            ArgumentCause::Kind => "is of another kind than the schema says",
            ArgumentCause::Range => "is out of range",
            ArgumentCause::DType => "has an element type that this runtime does not have",
            ArgumentCause::Extent => "has too many axes, a negative extent, or more than 2 GiB",
            ArgumentCause::DimOrder => "has an order of axes that is no permutation",
            ArgumentCause::Unsupported => {
                "has a dynamic shape, external data, a storage offset, or memory that is both planned and initialised"
            }
            ArgumentCause::NoMemory => {
                "has neither planned memory nor constant data, and is no input or output of the program"
            }
            ArgumentCause::LentTwice => {
                "is both an input and an output, and has no planned memory to be copied through"
            }
            ArgumentCause::OutOfArena => "lies outside of the planned buffers",
            ArgumentCause::OutOfFile => "ends outside of the file",
            ArgumentCause::Misaligned => "is not aligned for its element type",
        })
    }
}

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TensorError::Index => f.write_str("there is no such input or output"),
            TensorError::Lent => {
                f.write_str("its memory is the caller's, lent for each execution by `execute_with`")
            }
            TensorError::DType => f.write_str("the element type is another one"),
            TensorError::Length { needed, given } => {
                write!(f, "the tensor has {needed} elements and {given} were given")
            }
            TensorError::NotExecuted => {
                f.write_str("the method has not been executed since its inputs were set")
            }
        }
    }
}

impl core::error::Error for TensorError {}

impl fmt::Display for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExecuteError::InputNotSet { index } => {
                write!(f, "input {index} has not been set since the last execution")
            }
            ExecuteError::LentCount { needed, given } => write!(
                f,
                "the program takes {needed} lent inputs and outputs, and {given} were given"
            ),
            ExecuteError::LentLength { index, needed, given } => {
                write!(
                    f,
                    "lent memory {index} has {given} bytes and the program has {needed} there"
                )
            }
            ExecuteError::LentMisaligned { index } => {
                let alignment = crate::ALIGNMENT;
                write!(f, "lent memory {index} must start at a multiple of {alignment} bytes")
            }
            ExecuteError::Internal => {
                f.write_str("prepared state does not fit the memory; please report this")
            }
        }
    }
}

impl core::error::Error for ExecuteError {}
