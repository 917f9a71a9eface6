//! Errors as C sees them: numbers with names, and a failure with its place.

use core::ffi::{CStr, c_char};
use core::fmt;
use cortado_runtime::{ExecuteError, LoadError, OperatorProblem, TensorError};

macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// What went wrong. The numbers are C's and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum Code { $($(#[$doc])* $variant = $code,)* }

        impl Code {
            /// Every code with its name in C.
            pub const ALL: &'static [(Code, &'static CStr)] = &[$((Code::$variant, $name)),*];
        }

        fn name(code: i32) -> &'static CStr {
            match code { $($code => $name,)* _ => c"CORTADO_ERROR_?" }
        }
    };
}

errors! {
    /// Nothing.
    Ok = 0, c"CORTADO_OK";
    /// A pointer is null.
    Null = 1, c"CORTADO_ERROR_NULL";
    /// A pointer is not aligned for what it points to.
    Misaligned = 2, c"CORTADO_ERROR_MISALIGNED";
    /// A length that no memory has.
    Size = 3, c"CORTADO_ERROR_SIZE";
    /// Two pieces of memory have bytes in common.
    Overlap = 4, c"CORTADO_ERROR_OVERLAP";
    /// A number is none of the constants that the parameter takes.
    Value = 5, c"CORTADO_ERROR_VALUE";
    /// The method was not loaded, or moved.
    NotLoaded = 6, c"CORTADO_ERROR_NOT_LOADED";
    /// The method is executing.
    Busy = 7, c"CORTADO_ERROR_BUSY";
    /// [`LoadError::ProgramMisaligned`].
    ProgramMisaligned = 16, c"CORTADO_ERROR_PROGRAM_MISALIGNED";
    /// [`LoadError::ArenaMisaligned`].
    ArenaMisaligned = 17, c"CORTADO_ERROR_ARENA_MISALIGNED";
    /// [`LoadError::ArenaTooSmall`].
    ArenaTooSmall = 18, c"CORTADO_ERROR_ARENA_TOO_SMALL";
    /// [`LoadError::StateTooSmall`].
    StateTooSmall = 19, c"CORTADO_ERROR_STATE_TOO_SMALL";
    /// [`LoadError::Format`].
    Format = 32, c"CORTADO_ERROR_FORMAT";
    /// [`LoadError::Stamp`].
    Stamp = 33, c"CORTADO_ERROR_STAMP";
    /// [`LoadError::Unsupported`].
    Unsupported = 34, c"CORTADO_ERROR_UNSUPPORTED";
    /// [`LoadError::Layout`].
    Layout = 35, c"CORTADO_ERROR_LAYOUT";
    /// [`OperatorProblem::ContradictsStamp`].
    ContradictsStamp = 36, c"CORTADO_ERROR_CONTRADICTS_STAMP";
    /// [`OperatorProblem::MixedForms`].
    MixedForms = 37, c"CORTADO_ERROR_MIXED_FORMS";
    /// [`OperatorProblem::Unknown`].
    OperatorUnknown = 38, c"CORTADO_ERROR_OPERATOR_UNKNOWN";
    /// [`OperatorProblem::NotBuilt`].
    OperatorNotBuilt = 39, c"CORTADO_ERROR_OPERATOR_NOT_BUILT";
    /// [`OperatorProblem::Argument`] and [`OperatorProblem::ArgumentCount`].
    Argument = 40, c"CORTADO_ERROR_ARGUMENT";
    /// [`OperatorProblem::Rule`].
    Rule = 41, c"CORTADO_ERROR_RULE";
    /// [`OperatorProblem::Overwritten`], [`OperatorProblem::NeverWritten`] and [`OperatorProblem::Shared`].
    MemoryPlan = 42, c"CORTADO_ERROR_MEMORY_PLAN";
    /// A linked program was prepared for another version of the runtime.
    Version = 48, c"CORTADO_ERROR_VERSION";
    /// A linked program was compiled for other kernels.
    Isa = 49, c"CORTADO_ERROR_ISA";
    /// The tables of a linked program are damaged.
    Prepared = 50, c"CORTADO_ERROR_PREPARED";
    /// [`TensorError::Index`].
    Index = 64, c"CORTADO_ERROR_INDEX";
    /// [`TensorError::Length`].
    Length = 65, c"CORTADO_ERROR_LENGTH";
    /// [`TensorError::Lent`].
    Lent = 66, c"CORTADO_ERROR_LENT";
    /// [`TensorError::NotExecuted`].
    NotExecuted = 67, c"CORTADO_ERROR_NOT_EXECUTED";
    /// [`ExecuteError::InputNotSet`].
    InputNotSet = 68, c"CORTADO_ERROR_INPUT_NOT_SET";
    /// [`ExecuteError::LentCount`].
    LentCount = 69, c"CORTADO_ERROR_LENT_COUNT";
    /// [`ExecuteError::LentLength`].
    LentLength = 70, c"CORTADO_ERROR_LENT_LENGTH";
    /// [`ExecuteError::LentMisaligned`].
    LentMisaligned = 71, c"CORTADO_ERROR_LENT_MISALIGNED";
    /// [`ExecuteError::Internal`].
    Internal = 127, c"CORTADO_ERROR_INTERNAL";
}

macro_rules! places {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// What a failure is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum Place { $($(#[$doc])* $variant = $code,)* }

        impl Place {
            /// Every place with its name in C.
            pub const ALL: &'static [(Place, &'static str)] = &[$((Place::$variant, $name)),*];
        }
    };
}

places! {
    /// Nothing in particular.
    None = 0, "CORTADO_PLACE_NONE";
    /// A parameter of the function.
    Parameter = 1, "CORTADO_PLACE_PARAMETER";
    /// A bank of the arena.
    Bank = 2, "CORTADO_PLACE_BANK";
    /// An instruction of the program.
    Instruction = 3, "CORTADO_PLACE_INSTRUCTION";
    /// An input.
    Input = 4, "CORTADO_PLACE_INPUT";
    /// An output.
    Output = 5, "CORTADO_PLACE_OUTPUT";
    /// Lent memory.
    Lent = 6, "CORTADO_PLACE_LENT";
}

/// A failure with its place: `cortado_failure` in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FailureReport {
    /// A [`Code`].
    pub error: i32,
    /// A [`Place`].
    pub place: i32,
    /// The position in that place.
    pub index: u32,
    /// The position of the argument in the operator's schema, or -1.
    pub argument: i32,
    /// What was needed, where the error is about sizes.
    pub needed: u32,
    /// What was given, where the error is about sizes.
    pub given: u32,
}

/// Why a call failed.
#[derive(Clone, Copy, Debug)]
pub enum Failure {
    /// It did not.
    None,
    /// A parameter is wrong by itself.
    Parameter(Code, u8),
    /// Loading.
    Load(LoadError),
    /// An input or output.
    Tensor {
        /// Whether it is an output.
        is_output: bool,
        /// Its position.
        index: u32,
        /// Why.
        error: TensorError,
    },
    /// Executing.
    Execute(ExecuteError),
}

impl Failure {
    /// The number for C.
    pub fn code(&self) -> i32 {
        self.report().error
    }

    /// All of it for C.
    pub fn report(&self) -> FailureReport {
        match *self {
            Failure::None => at(Code::Ok, Place::None, 0),
            Failure::Parameter(code, index) => at(code, Place::Parameter, u32::from(index)),
            Failure::Load(error) => load(&error),
            Failure::Tensor { is_output, index, error } => {
                let place = if is_output { Place::Output } else { Place::Input };
                match error {
                    TensorError::Index => at(Code::Index, place, index),
                    TensorError::Length { needed, given } => {
                        FailureReport { needed, given, ..at(Code::Length, place, index) }
                    }
                    TensorError::NotExecuted => at(Code::NotExecuted, place, index),
                    TensorError::Lent => at(Code::Lent, place, index),
                    _ => at(Code::Internal, place, index),
                }
            }
            Failure::Execute(error) => execute(&error),
        }
    }
}

fn at(code: Code, place: Place, index: u32) -> FailureReport {
    let (error, place) = (code as i32, place as i32);
    FailureReport { error, place, index, argument: -1, needed: 0, given: 0 }
}

fn load(error: &LoadError) -> FailureReport {
    let nowhere = |code| at(code, Place::None, 0);
    match *error {
        LoadError::Format(_) => nowhere(Code::Format),
        LoadError::ProgramMisaligned => nowhere(Code::ProgramMisaligned),
        LoadError::ArenaMisaligned { bank } => {
            at(Code::ArenaMisaligned, Place::Bank, u32::from(bank))
        }
        LoadError::ArenaTooSmall { bank, needed, given } => {
            FailureReport { needed, given, ..at(Code::ArenaTooSmall, Place::Bank, u32::from(bank)) }
        }
        // The runtime counts words, C bytes.
        LoadError::StateTooSmall { needed, given } => FailureReport {
            needed: needed.saturating_mul(4),
            given: given.saturating_mul(4),
            ..nowhere(Code::StateTooSmall)
        },
        LoadError::Stamp(_) => nowhere(Code::Stamp),
        LoadError::Unsupported(_) => nowhere(Code::Unsupported),
        LoadError::Boundary { is_output, index, problem } => {
            let place = if is_output { Place::Output } else { Place::Input };
            operator(&problem, place, index)
        }
        LoadError::Operator { instruction, problem, .. } => {
            operator(&problem, Place::Instruction, instruction)
        }
        LoadError::Layout(mismatch) => {
            at(Code::Layout, Place::Instruction, u32::from(mismatch.instruction))
        }
        _ => nowhere(Code::Internal),
    }
}

fn operator(problem: &OperatorProblem, place: Place, index: u16) -> FailureReport {
    let (code, argument) = match *problem {
        OperatorProblem::Format(_) => (Code::Format, None),
        OperatorProblem::Unknown => (Code::OperatorUnknown, None),
        OperatorProblem::NotBuilt | OperatorProblem::NotInSet => (Code::OperatorNotBuilt, None),
        OperatorProblem::ArgumentCount => (Code::Argument, None),
        OperatorProblem::Argument { position, .. } => (Code::Argument, Some(position)),
        OperatorProblem::Rule(violation) => (Code::Rule, Some(violation.argument)),
        OperatorProblem::Overwritten { position, .. }
        | OperatorProblem::NeverWritten { position }
        | OperatorProblem::Shared { position } => (Code::MemoryPlan, Some(position)),
        OperatorProblem::ContradictsStamp { .. } => (Code::ContradictsStamp, None),
        OperatorProblem::MixedForms { .. } => (Code::MixedForms, None),
        _ => (Code::Internal, None),
    };
    // An input or output is no operator and has no arguments.
    let argument = argument.filter(|_| place == Place::Instruction);
    FailureReport { argument: argument.map_or(-1, i32::from), ..at(code, place, u32::from(index)) }
}

fn execute(error: &ExecuteError) -> FailureReport {
    match *error {
        ExecuteError::InputNotSet { index } => {
            at(Code::InputNotSet, Place::Input, u32::from(index))
        }
        ExecuteError::LentCount { needed, given } => FailureReport {
            needed: u32::from(needed),
            given: u32::from(given),
            ..at(Code::LentCount, Place::None, 0)
        },
        ExecuteError::LentLength { index, needed, given } => {
            FailureReport { needed, given, ..at(Code::LentLength, Place::Lent, u32::from(index)) }
        }
        ExecuteError::LentMisaligned { index } => {
            at(Code::LentMisaligned, Place::Lent, u32::from(index))
        }
        _ => at(Code::Internal, Place::None, 0),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::None => Ok(()),
            Failure::Parameter(code, parameter) => {
                write!(f, "parameter {parameter} ")?;
                f.write_str(match code {
                    Code::Null => "is null",
                    Code::Misaligned => "is not aligned for what it points to",
                    Code::Size => "is a length that no memory has",
                    Code::Overlap => "is memory that is in use for something else",
                    Code::Version => "was prepared for another version of the library",
                    Code::Isa => "was compiled for kernels of another instruction set",
                    Code::Prepared => "is not what the compiler wrote",
                    Code::Value => "is none of the numbers that the function takes",
                    _ => "is wrong",
                })
            }
            Failure::Load(error) => write!(f, "{error}"),
            Failure::Tensor { is_output, index, error } => {
                write!(f, "{} {index}: {error}", if *is_output { "output" } else { "input" })
            }
            Failure::Execute(error) => write!(f, "{error}"),
        }
    }
}

/// See `cortado.h`.
#[unsafe(no_mangle)]
pub extern "C" fn cortado_error_name(error: i32) -> *const c_char {
    name(error).as_ptr()
}
