//! A program: a parsed file with its target stamp, and loading a method of it.

use crate::ALIGNMENT;
use crate::arguments::{Arguments, Context, FileLists};
use crate::error::{LayoutMismatch, LoadError, OperatorProblem, Unsupported};
use crate::method::Method;
use core::cell::Cell;
use cortado_contract::layout::ConstantForm;
use cortado_contract::ops::{Operator, OperatorKind, Rules};
use cortado_contract::stamp::{self, TargetStamp};
use cortado_contract::target::Isa;
use cortado_kernels::operand::Loaded;
use cortado_kernels::{LoadFailure, Micro, Native, load, state_words};
use cortado_pte::{Instruction, Plan, Scalars};

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
    /// Bytes of arena, aligned to [`ALIGNMENT`].
    pub arena_bytes: u32,
    /// Words of state.
    pub state_words: u32,
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
        let plan = self.plan()?;
        let mut needed = 0;
        for_each_call(&plan, |_, kind, _| {
            needed += state_words(kind) as u32;
            Ok(())
        })?;
        Ok(Requirements { arena_bytes: arena_bytes(&plan)?, state_words: needed })
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
        for_each_call(&context.plan, |instruction, kind, indices| {
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
        arena: &'m mut [u8],
    ) -> Result<Method<'m, Native>, LoadError>
    where
        'p: 'm,
    {
        self.load_for(policy, state, arena)
    }

    /// Loads the program's method for the kernels of `M`: checks everything and prepares every operator.
    ///
    /// `state` and `arena` are as large as [`Self::requirements`] says or larger; `arena` starts at a multiple of
    /// [`ALIGNMENT`] bytes.
    ///
    /// # Errors
    /// See [`LoadError`]. Nothing has been computed then.
    pub fn load_for<'m, M: Micro>(
        &self,
        policy: LayoutPolicy,
        state: &'m mut [u32],
        arena: &'m mut [u8],
    ) -> Result<Method<'m, M>, LoadError>
    where
        'p: 'm,
    {
        let context = self.context()?;
        let needed = context.arena_bytes;
        if !(arena.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
            return Err(LoadError::ArenaMisaligned);
        }
        let given = arena.len() as u32;
        let Some(arena) = arena.get_mut(..needed as usize) else {
            return Err(LoadError::ArenaTooSmall { needed, given });
        };
        let judge = Judge { stamp: self.stamp, policy, isa: M::ISA, first: Cell::new(None) };
        let used = self.prepare_all(&context, &judge, state)?;
        let state = state.get(..used).unwrap_or(&[]);
        Method::new(context, state, arena)
    }

    fn prepare_all(
        &self,
        context: &Context<'p>,
        judge: &Judge,
        state: &mut [u32],
    ) -> Result<usize, LoadError> {
        let given = state.len() as u32;
        let mut used = 0;
        for_each_call(&context.plan, |instruction, kind, indices| {
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
        let plan = self.plan()?;
        Ok(Context { file: self.file, program: self.view, plan, arena_bytes: arena_bytes(&plan)? })
    }

    fn plan(&self) -> Result<Plan<'p>, LoadError> {
        Ok(self.view.plans()?.get(0)?)
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

/// Calls `visit` with each instruction's position, operator and arguments.
fn for_each_call<'p>(
    plan: &Plan<'p>,
    mut visit: impl FnMut(u16, OperatorKind, Scalars<'p, i32>) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    let chains = plan.chains()?;
    if chains.len() != 1 {
        return Err(LoadError::Unsupported(Unsupported::Chains));
    }
    if !plan.delegates()?.is_empty() {
        return Err(LoadError::Unsupported(Unsupported::Delegates));
    }
    let operators = plan.operators()?;
    for (index, instruction) in chains.get(0)?.instructions()?.iter().enumerate() {
        let index = index.min(usize::from(u16::MAX)) as u16;
        let Instruction::KernelCall { op_index, args } = instruction? else {
            return Err(LoadError::Unsupported(Unsupported::Instruction(index)));
        };
        let operator = operators.get(op_index as u32 as usize)?;
        let Some(kind) = OperatorKind::ALL
            .iter()
            .copied()
            .find(|kind| operator.is(kind.name(), kind.overload()))
        else {
            return Err(LoadError::Operator {
                instruction: index,
                operator: None,
                problem: OperatorProblem::Unknown,
            });
        };
        visit(index, kind, args)?;
    }
    Ok(())
}

/// An instruction's arguments, ready to be read. ExecuTorch repeats the output after the arguments of the schema; more or fewer
/// arguments than that are refused.
fn arguments<'p>(
    context: &Context<'p>,
    kind: OperatorKind,
    indices: Scalars<'p, i32>,
) -> Result<Arguments<'p>, OperatorProblem> {
    let expected = kind.argument_names().len();
    let repeats_out =
        indices.len() == expected + 1 && indices.get(expected) == indices.get(expected - 1);
    if indices.len() != expected && !repeats_out {
        return Err(OperatorProblem::ArgumentCount);
    }
    Ok(Arguments::new(*context, indices))
}

/// The size of the one planned buffer. Entry 0 of the list is reserved; memory id 1 is entry 1.
fn arena_bytes(plan: &Plan<'_>) -> Result<u32, LoadError> {
    let sizes = plan.non_const_buffer_sizes()?;
    let unsupported = LoadError::Unsupported(Unsupported::PlannedBuffers);
    if sizes.len() > 2 {
        return Err(unsupported);
    }
    match sizes.get(1) {
        None => Ok(0),
        Some(size) => {
            u32::try_from(size).ok().filter(|size| *size <= i32::MAX as u32).ok_or(unsupported)
        }
    }
}
