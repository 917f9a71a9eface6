//! A program: a parsed file with its target stamp, and loading a method of it.

use crate::ALIGNMENT;
use crate::arguments::{Arguments, FileLists};
use crate::context::{BankSizes, Context};
use crate::error::{LayoutMismatch, LoadError, OperatorProblem};
use crate::lifetimes;
use crate::method::{self, Method};
use core::cell::Cell;
use cortado_contract::layout::ConstantForm;
use cortado_contract::ops::{Operator, OperatorKind, Rules};
use cortado_contract::stamp::{self, TargetStamp};
use cortado_contract::target::Isa;
use cortado_kernels::memory::{MAX_REGIONS, cast_mut};
use cortado_kernels::operand::Loaded;
use cortado_kernels::{LoadFailure, Micro, Native, load, state_words};
use cortado_pte::{Scalars, Value};

/// What to do with a program whose constants are in the form that another instruction set's kernels read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayoutPolicy {
    /// Refuse it: the file was made for another target, and that is most likely a mistake.
    #[default]
    Refuse,
    /// Compute it exactly, from the form that is there. Both carry the same information; kernels are slower on
    /// the form that is not theirs.
    Adapt,
}

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// Bytes of arena, all banks together; see [`BankSizes::total_bytes`].
    pub arena_bytes: u32,
    /// Bytes of each bank of the arena, aligned to [`ALIGNMENT`]. Most programs have one.
    pub banks: BankSizes,
    /// Words of state.
    pub state_words: u32,
}

/// The memory for a program's banks: a slice for each, in the program's order.
///
/// Made from one slice, or from an array of slices.
#[derive(Debug, Default)]
pub struct Banks<'m>(pub(crate) [&'m mut [u8]; MAX_REGIONS]);

impl<'m> Banks<'m> {
    /// All banks in one piece of memory, one after the other; `None` when it has fewer than [`BankSizes::total_bytes`].
    pub fn split(mut memory: &'m mut [u8], sizes: &BankSizes) -> Option<Banks<'m>> {
        let mut banks = Banks::default();
        for (bank, size) in banks.0.iter_mut().zip(sizes.as_slice()) {
            let bytes = (*size as usize).next_multiple_of(ALIGNMENT);
            (*bank, memory) = memory.split_at_mut_checked(bytes)?;
        }
        Some(banks)
    }
}

impl<'m> From<&'m mut [u8]> for Banks<'m> {
    fn from(arena: &'m mut [u8]) -> Self {
        Banks::from([arena])
    }
}

impl<'m, const N: usize> From<&'m mut [u8; N]> for Banks<'m> {
    fn from(arena: &'m mut [u8; N]) -> Self {
        Banks::from([&mut arena[..]])
    }
}

impl<'m, const N: usize> From<[&'m mut [u8]; N]> for Banks<'m> {
    fn from(given: [&'m mut [u8]; N]) -> Self {
        const { assert!(N <= MAX_REGIONS, "no program has more banks than this") };
        let mut banks = Banks::default();
        banks.0.iter_mut().zip(given).for_each(|(bank, given)| *bank = given);
        banks
    }
}

/// A parsed program.
#[derive(Clone, Copy, Debug)]
pub struct Program<'p> {
    file: &'p [u8],
    view: cortado_pte::Program<'p>,
    stamp: Option<TargetStamp>,
}

impl<'p> Program<'p> {
    /// Parses a file, which must start at a multiple of [`ALIGNMENT`] bytes because constants are read in place.
    ///
    /// # Errors
    /// See [`LoadError`]: a file that is no program, is misaligned, or has a stamp that cannot be believed.
    pub fn parse(file: &'p [u8]) -> Result<Self, LoadError> {
        if !(file.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
            return Err(LoadError::ProgramMisaligned);
        }
        let view = cortado_pte::Program::parse(file)?;
        let stamp = match view.named(stamp::KEY)? {
            Some(bytes) => Some(TargetStamp::parse(bytes)?),
            None => None,
        };
        Ok(Program { file, view, stamp })
    }

    /// What the file says about its target; `None` for files that other compilers made.
    pub fn stamp(&self) -> Option<TargetStamp> {
        self.stamp
    }

    /// What the program's method needs.
    ///
    /// # Errors
    /// See [`LoadError`]: parts of the format that this runtime does not have, and unknown operators.
    pub fn requirements(&self) -> Result<Requirements, LoadError> {
        let context = self.context()?;
        let mut state_words = 0;
        context.for_each_call(|_, kind, _| {
            state_words += cortado_kernels::state_words(kind) as u32;
            Ok(())
        })?;
        let banks = context.banks;
        Ok(Requirements { arena_bytes: banks.total_bytes(), banks, state_words })
    }

    /// The form of the first linear layer's constant term, `None` when there is no linear layer.
    ///
    /// # Errors
    /// See [`LoadError`]; both forms in one layer are an error.
    pub fn constant_form(&self) -> Result<Option<ConstantForm>, LoadError> {
        let mut first = None;
        self.visit_operators(|_, form| first = first.or(form))?;
        Ok(first)
    }

    /// Calls `visit` with each instruction's operator and the form of its constant term.
    ///
    /// # Errors
    /// See [`LoadError`]; instructions before the one in error have been visited.
    pub fn visit_operators(
        &self,
        mut visit: impl FnMut(OperatorKind, Option<ConstantForm>),
    ) -> Result<(), LoadError> {
        let context = self.context()?;
        context.for_each_call(|instruction, kind, indices| {
            let operator = arguments(&context, kind, indices)
                .and_then(|mut arguments| Operator::decode(kind, &mut arguments))
                .and_then(|operator: Operator<Loaded<FileLists<'p>>>| {
                    operator.check().map(|()| operator).map_err(OperatorProblem::Rule)
                })
                .map_err(|problem| LoadError::Operator {
                    instruction,
                    operator: Some(kind),
                    problem,
                })?;
            visit(kind, operator.constant_form());
            Ok(())
        })
    }

    /// Loads the program's method for this build's kernels.
    ///
    /// # Errors
    /// As [`Self::load_for`].
    pub fn load<'m>(
        &self,
        policy: LayoutPolicy,
        state: &'m mut [u32],
        arena: impl Into<Banks<'m>>,
    ) -> Result<Method<'m, Native>, LoadError>
    where
        'p: 'm,
    {
        self.load_for(policy, state, arena)
    }

    /// Loads the program's method for the kernels of `M`: checks everything and prepares every operator.
    ///
    /// `state` and the banks of `arena` are as large as [`Self::requirements`] says or larger; each bank starts at a multiple of
    /// [`ALIGNMENT`] bytes.
    ///
    /// # Errors
    /// See [`LoadError`]. Nothing has been computed then.
    pub fn load_for<'m, M: Micro>(
        &self,
        policy: LayoutPolicy,
        state: &'m mut [u32],
        arena: impl Into<Banks<'m>>,
    ) -> Result<Method<'m, M>, LoadError>
    where
        'p: 'm,
    {
        let context = self.context()?;
        let mut banks = arena.into();
        for (index, needed) in context.banks.as_slice().iter().enumerate() {
            let (bank, needed) = (index as u8, *needed);
            let Some(slice) = banks.0.get_mut(index) else { break };
            let given = slice.len() as u32;
            if (slice.len() as u64) < u64::from(needed) {
                return Err(LoadError::ArenaTooSmall { bank, needed, given });
            }
            // No byte of a bank of no size is ever read or written.
            if needed != 0 && !(slice.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
                return Err(LoadError::ArenaMisaligned { bank });
            }
            *slice = core::mem::take(slice).get_mut(..needed as usize).unwrap_or_default();
        }
        let judge = Judge { stamp: self.stamp, policy, isa: M::ISA, first: Cell::new(None) };
        let used = self.prepare_all(&context, &judge, state)?;
        let state = state.get(..used).unwrap_or(&[]);
        method::check(&context)?;
        let roomiest = banks.0.iter_mut().max_by_key(|bank| bank.len());
        let roomiest = roomiest.map_or(&mut [][..], |bank| bank);
        let whole = roomiest.len() / size_of::<[u32; 2]>() * size_of::<[u32; 2]>();
        let words = roomiest.get_mut(..whole).and_then(cast_mut::<u32>).unwrap_or_default();
        lifetimes::check(&context, words.as_chunks_mut().0)?;
        Ok(Method::new(context, state, banks))
    }

    fn prepare_all(
        &self,
        context: &Context<'p>,
        judge: &Judge,
        state: &mut [u32],
    ) -> Result<usize, LoadError> {
        let given = state.len() as u32;
        let mut used = 0;
        context.for_each_call(|instruction, kind, indices| {
            let fail = |problem| LoadError::Operator { instruction, operator: Some(kind), problem };
            let end = used + state_words(kind);
            let Some(words) = state.get_mut(used..end) else {
                let needed = self.requirements()?.state_words;
                return Err(LoadError::StateTooSmall { needed, given });
            };
            if let Some(head) = words.first_mut() {
                *head = kind as u32;
            }
            let mut arguments = arguments(context, kind, indices).map_err(fail)?;
            let form = |found| judge.form(instruction, kind, found);
            load(kind, &mut arguments, self.file, words, &form).map_err(
                |failure| match failure {
                    LoadFailure::Argument(problem) => fail(problem),
                    LoadFailure::Form(error) => error,
                    LoadFailure::Rule(rule) => fail(OperatorProblem::Rule(rule)),
                    LoadFailure::NotBuilt => fail(OperatorProblem::NotBuilt),
                },
            )?;
            used = end;
            Ok(())
        })?;
        Ok(used)
    }

    fn context(&self) -> Result<Context<'p>, LoadError> {
        Context::new(self.file, self.view)
    }
}

/// Decides about an operator's constant form.
struct Judge {
    stamp: Option<TargetStamp>,
    policy: LayoutPolicy,
    isa: Isa,
    /// The form of the first layer.
    first: Cell<Option<ConstantForm>>,
}

impl Judge {
    fn form(
        &self,
        instruction: u16,
        kind: OperatorKind,
        found: ConstantForm,
    ) -> Result<(), LoadError> {
        if let Some(stamp) = self.stamp.filter(|stamp| stamp.constant_form != found) {
            let problem = OperatorProblem::ContradictsStamp { found, stamp: stamp.target };
            return Err(LoadError::Operator { instruction, operator: Some(kind), problem });
        }
        // Without a stamp, layers of both forms say that one of them is not what its compiler meant.
        let first = self.first.replace(Some(found)).unwrap_or(found);
        if first != found {
            let problem = OperatorProblem::MixedForms { found, first };
            return Err(LoadError::Operator { instruction, operator: Some(kind), problem });
        }
        let needed: ConstantForm = self.isa.constant_form();
        if found != needed && self.policy == LayoutPolicy::Refuse {
            return Err(LoadError::Layout(LayoutMismatch {
                instruction,
                operator: kind,
                found,
                file: self.stamp.map(|stamp| stamp.target),
                kernels: self.isa,
            }));
        }
        Ok(())
    }
}

/// An instruction's arguments, ready to be read. ExecuTorch repeats the output after the arguments of the schema, or has a list of
/// all outputs there; more or fewer arguments than that are refused.
fn arguments<'p>(
    context: &Context<'p>,
    kind: OperatorKind,
    indices: Scalars<'p, i32>,
) -> Result<Arguments<'p>, OperatorProblem> {
    let expected = kind.argument_names().len();
    let result = || indices.get(expected);
    let repeats_out = indices.len() == expected + 1
        && (result() == indices.get(expected - 1)
            || result()
                .is_some_and(|at| matches!(context.plan.value(at), Ok(Value::TensorList(_)))));
    if indices.len() != expected && !repeats_out {
        return Err(OperatorProblem::ArgumentCount);
    }
    Ok(Arguments::new(*context, indices))
}
