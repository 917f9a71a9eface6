//! The operators that a firmware has: their kernels, and how they are loaded from a file.

use crate::arguments::Arguments;
use crate::error::{LoadError, OperatorProblem};
use cortado_contract::layout::ConstantForm;
use cortado_contract::ops::OperatorKind;
use cortado_contract::target::Isa;
use cortado_contract::{for_each_operator, ops};
use cortado_kernels::{Kernel, LoadFailure, Micro, is_operator_built, loaders};

/// A set of operators with the kernels of one instruction set.
///
/// A program is [loaded](crate::Program::load_with) with such a set, and an operator that is not in it is refused then. Only the code of
/// the set's operators is linked. [`operators!`](crate::operators) makes one of names; the module that `cortado compile` writes beside a
/// program has the set that the program needs.
#[derive(Clone, Copy, Debug)]
pub struct Operators<'s> {
    isa: Isa,
    kernels: &'s [Kernel],
    loaders: &'s [Loader],
}

/// A set of operators by name, such as `operators![QuantizedLinear, QuantizePerTensor]`: an [`Operators`] with this build's kernels.
///
/// The names are those of [`OperatorKind`](crate::OperatorKind). `operators![arch::Dsp: QuantizedLinear]` takes the kernels of an
/// instruction set that is given.
#[macro_export]
macro_rules! operators {
    ($micro:ty: $($kind:ident),* $(,)?) => {
        $crate::Operators::new::<$micro>(
            const { &[$($crate::Kernel::of::<$micro>($crate::OperatorKind::$kind)),*] },
            const { &[$($crate::Loader::of($crate::OperatorKind::$kind)),*] },
        )
    };
    ($($kind:ident),* $(,)?) => { $crate::operators!($crate::Native: $($kind),*) };
}

impl<'s> Operators<'s> {
    /// The most operators that a set may have.
    pub const COUNT_MAX: usize = 255;

    /// A set of these operators, each with its kernel for `M` and its loader.
    ///
    /// # Panics
    /// There are more than [`Self::COUNT_MAX`], or kernels and loaders are not of the same operators.
    pub const fn new<M: Micro>(kernels: &'s [Kernel], loaders: &'s [Loader]) -> Self {
        assert!(
            kernels.len() == loaders.len() && kernels.len() <= Self::COUNT_MAX,
            "each operator has a kernel and a loader"
        );
        let mut index = 0;
        while index < kernels.len() {
            let is_same = kernels[index].kind() as u8 == loaders[index].kind as u8;
            assert!(is_same, "kernels and loaders have the same order");
            index += 1;
        }
        Operators { isa: M::ISA, kernels, loaders }
    }

    /// The instruction set of the kernels.
    pub const fn isa(&self) -> Isa {
        self.isa
    }

    /// The kernels.
    pub const fn kernels(&self) -> &'s [Kernel] {
        self.kernels
    }

    /// The position and loader of the operator with this name.
    pub(crate) fn find(&self, name: &cortado_pte::Operator<'_>) -> Option<(u8, &'s Loader)> {
        let hash = hash(name);
        let mut all = (0..).zip(self.loaders);
        all.find(|(_, it)| it.name_hash == hash && name.is(it.kind_name, it.overload))
    }

    pub(crate) fn loader(&self, position: u8) -> Option<&'s Loader> {
        self.loaders.get(usize::from(position))
    }

    pub(crate) fn state_words(&self, position: u8) -> usize {
        self.kernels.get(usize::from(position)).map_or(0, Kernel::state_words)
    }
}

/// Why the operator with this name is refused, with the operator where it is one at all.
pub(crate) fn refusal(name: &cortado_pte::Operator<'_>) -> (Option<OperatorKind>, OperatorProblem) {
    match OperatorKind::from_name_hash(hash(name)) {
        Some(kind) => (Some(kind), OperatorProblem::NotInSet),
        None => (None, OperatorProblem::Unknown),
    }
}

fn hash(name: &cortado_pte::Operator<'_>) -> u32 {
    ops::name_hash(name.name.as_bytes(), name.overload.as_bytes())
}

/// How an operator is loaded from a file.
#[derive(Clone, Copy, Debug)]
pub struct Loader {
    pub(crate) kind: OperatorKind,
    argument_count: u8,
    name_hash: u32,
    kind_name: &'static str,
    overload: &'static str,
    /// Positions of arguments, as sets of bits.
    pub(crate) tensors: u32,
    pub(crate) results: u32,
    pub(crate) scratch: u32,
    /// `None` for an operator that this build leaves out.
    load: Option<Load>,
}

/// See [`cortado_kernels::loaders`].
type Load = for<'p> fn(
    &mut Arguments<'p>,
    &[u8],
    &mut [u32],
    &dyn Fn(ConstantForm) -> Result<(), LoadError>,
) -> Result<(), LoadFailure<OperatorProblem, LoadError>>;

macro_rules! declare_loaders {
    ($($variant:ident = $module:ident,)*) => {
        impl Loader {
            /// The loader of an operator. To be called in constants: there, only what this loader needs is linked.
            pub const fn of(kind: OperatorKind) -> Loader {
                let load: Load = match kind {
                    $(OperatorKind::$variant => |arguments, program, state, judge| {
                        loaders::$module(arguments, program, state, judge)
                    },)*
                };
                Loader { load: Some(load), ..Loader::absent(kind) }
            }
        }

        impl Operators<'static> {
            /// Every operator, with the kernels of an instruction set: on a Cortex-M those in float only with the feature `float`.
            pub const fn all<M: Micro>() -> Self {
                Operators {
                    isa: M::ISA,
                    kernels: const {
                        &[$(match is_operator_built(OperatorKind::$variant) {
                            true => Kernel::of::<M>(OperatorKind::$variant),
                            false => Kernel::absent(OperatorKind::$variant),
                        }),*]
                    },
                    loaders: const {
                        &[$(match is_operator_built(OperatorKind::$variant) {
                            true => Loader::of(OperatorKind::$variant),
                            false => Loader::absent(OperatorKind::$variant),
                        }),*]
                    },
                }
            }
        }
    };
}
for_each_operator!(declare_loaders);
const _: () = assert!(OperatorKind::ALL.len() <= Operators::COUNT_MAX);

impl Loader {
    const fn absent(kind: OperatorKind) -> Loader {
        Loader {
            kind,
            argument_count: kind.argument_names().len() as u8,
            name_hash: kind.name_hash(),
            kind_name: kind.name(),
            overload: kind.overload(),
            tensors: kind.tensor_arguments(),
            results: kind.result_arguments(),
            scratch: kind.scratch_arguments(),
            load: None,
        }
    }

    /// The number of arguments in the schema, `out` included.
    pub(crate) fn argument_count(&self) -> usize {
        usize::from(self.argument_count)
    }

    /// Reads an instruction's arguments, checks them and prepares the operator.
    pub(crate) fn load(
        &self,
        arguments: &mut Arguments<'_>,
        program: &[u8],
        state: &mut [u32],
        judge: &dyn Fn(ConstantForm) -> Result<(), LoadError>,
    ) -> Result<(), LoadProblem> {
        let load = self.load.ok_or(LoadProblem::Operator(OperatorProblem::NotBuilt))?;
        load(arguments, program, state, judge).map_err(|failure| match failure {
            LoadFailure::Argument(problem) => LoadProblem::Operator(problem),
            LoadFailure::Rule(rule) => LoadProblem::Operator(OperatorProblem::Rule(rule)),
            LoadFailure::Form(error) => LoadProblem::Form(error),
        })
    }
}

/// Why an instruction cannot be loaded.
pub(crate) enum LoadProblem {
    Operator(OperatorProblem),
    Form(LoadError),
}
