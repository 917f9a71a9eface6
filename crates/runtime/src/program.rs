//! A program: a parsed file with its target stamp, and loading a method of it.

use crate::ALIGNMENT;
use crate::arguments::{Arguments, FileLists};
use crate::context::{BankSizes, Call, Context};
use crate::error::{LayoutMismatch, LoadError, OperatorProblem};
use crate::head;
use crate::lifetimes::{self, Note};
use crate::method::Method;
use crate::operators::{LoadProblem, Operators};
use core::cell::Cell;
use cortado_contract::border::{self, Quantization, Side};
use cortado_contract::layout::ConstantForm;
use cortado_contract::ops::{Operator, OperatorKind, Rules};
use cortado_contract::stamp::{self, TargetStamp};
use cortado_contract::target::Isa;
use cortado_kernels::Native;
use cortado_kernels::memory::{MAX_REGIONS, cast_mut};
use cortado_kernels::operand::Loaded;
use cortado_pte::Value;

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
#[derive(Debug)]
pub struct Banks<'m, const BANKS: usize = 1>(pub(crate) [&'m mut [u8]; BANKS]);

impl<'m> Banks<'m, MAX_REGIONS> {
    /// All banks in one piece of memory, one after the other; `None` when it has fewer than [`BankSizes::total_bytes`].
    pub fn split(mut memory: &'m mut [u8], sizes: &BankSizes) -> Option<Self> {
        let mut banks = Banks::default();
        for (bank, size) in banks.0.iter_mut().zip(sizes.as_slice()) {
            let bytes = (*size as usize).next_multiple_of(ALIGNMENT);
            (*bank, memory) = memory.split_at_mut_checked(bytes)?;
        }
        Some(banks)
    }
}

impl<const BANKS: usize> Default for Banks<'_, BANKS> {
    fn default() -> Self {
        Banks(core::array::from_fn(|_| Default::default()))
    }
}

impl<'m> From<&'m mut [u8]> for Banks<'m> {
    fn from(arena: &'m mut [u8]) -> Self {
        Banks([arena])
    }
}

impl<'m, const N: usize> From<&'m mut [u8; N]> for Banks<'m> {
    fn from(arena: &'m mut [u8; N]) -> Self {
        Banks([&mut arena[..]])
    }
}

impl<'m, const BANKS: usize> From<[&'m mut [u8]; BANKS]> for Banks<'m, BANKS> {
    fn from(given: [&'m mut [u8]; BANKS]) -> Self {
        const { assert!(BANKS <= MAX_REGIONS, "no program has more banks than this") };
        Banks(given)
    }
}

/// A parsed program.
#[derive(Clone, Copy, Debug)]
pub struct Program<'p> {
    /// The part of the file that constants lie in.
    constants: &'p [u8],
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
        // Those in segments lie behind the rest of the file, which nothing needs once the program is loaded.
        let start = if view.constant_offsets().is_empty() { 0 } else { view.segment_base() };
        let constants = file.get(start / ALIGNMENT * ALIGNMENT..).unwrap_or(&[]);
        Ok(Program { constants, view, stamp })
    }

    /// What the file says about its target; `None` for files that other compilers made.
    pub fn stamp(&self) -> Option<TargetStamp> {
        self.stamp
    }

    /// The part of the file that holds the program's constants, to its end: what a [linked](crate::Linked) program keeps of it. It
    /// starts at a multiple of [`ALIGNMENT`] bytes.
    pub fn constants(&self) -> &'p [u8] {
        self.constants
    }

    /// What an input's integers stand for, where the file says so: a program whose border is `int8` does.
    pub fn input_quantization(&self, index: usize) -> Option<Quantization> {
        self.quantization(Side::Input, index)
    }

    /// What an output's integers stand for, where the file says so: a program whose border is `int8` does.
    pub fn output_quantization(&self, index: usize) -> Option<Quantization> {
        self.quantization(Side::Output, index)
    }

    fn quantization(&self, side: Side, index: usize) -> Option<Quantization> {
        let content = self.view.named(border::KEY).ok()??;
        border::find(content, side, index)
    }

    /// What the program's method needs.
    ///
    /// # Errors
    /// See [`LoadError`]: parts of the format that this runtime does not have, unknown operators, and inputs and outputs that cannot be
    /// served.
    pub fn requirements(&self) -> Result<Requirements, LoadError> {
        self.requirements_with(&Operators::all::<Native>())
    }

    /// As [`Self::requirements`], for a program of operators from this set.
    ///
    /// # Errors
    /// As [`Self::requirements`]; an operator that is not in the set.
    pub fn requirements_with(&self, operators: &Operators<'_>) -> Result<Requirements, LoadError> {
        let context = self.context(operators)?;
        let mut words = head::write(&context, &mut [])?;
        context.for_each_call(|_, call| {
            words += operators.state_words(call.position);
            Ok(())
        })?;
        let banks = context.banks;
        Ok(Requirements { arena_bytes: banks.total_bytes(), banks, state_words: words as u32 })
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
        let operators = Operators::all::<Native>();
        let context = self.context(&operators)?;
        context.for_each_call(|instruction, call| {
            let kind = call.loader.kind;
            let operator = arguments(&context, &call)
                .and_then(|mut arguments| Operator::decode(kind, &mut arguments))
                .and_then(|operator: Operator<Loaded<FileLists<'_>>>| {
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

    /// Loads the program's method with every kernel of this build, all of which are linked then. [`Self::load_with`] takes fewer.
    ///
    /// # Errors
    /// As [`Self::load_with`].
    pub fn load<'m, const BANKS: usize>(
        &self,
        policy: LayoutPolicy,
        state: &'m mut [u32],
        arena: impl Into<Banks<'m, BANKS>>,
    ) -> Result<Method<'m, BANKS>, LoadError>
    where
        'p: 'm,
    {
        self.load_with(&Operators::all::<Native>(), policy, state, arena)
    }

    /// Loads the program's method with the kernels of a set of operators.
    ///
    /// # Errors
    /// See [`LoadError`]. Nothing has been computed then.
    pub fn load_with<'m, const BANKS: usize>(
        &self,
        operators: &Operators<'m>,
        policy: LayoutPolicy,
        state: &'m mut [u32],
        arena: impl Into<Banks<'m, BANKS>>,
    ) -> Result<Method<'m, BANKS>, LoadError>
    where
        'p: 'm,
    {
        let mut context = self.context(operators)?;
        let mut banks = arena.into();
        fit_banks(&context.banks, &mut banks.0)?;
        let judge =
            Judge { stamp: self.stamp, policy, isa: operators.isa(), first: Cell::new(None) };
        let notes = room_for_notes(&mut banks.0);
        let notes = notes.get_mut(..context.plan.values().len()).unwrap_or_default();
        notes.fill(Note::UNKNOWN);
        context.notes = Cell::from_mut(notes).as_slice_of_cells();
        let used = self.prepare_all(&context, &judge, state)?;
        lifetimes::check(&context)?;
        let state = state.get(..used).unwrap_or(&[]);
        Ok(Method::new(self.constants, operators.kernels(), state, banks))
    }

    fn prepare_all(
        &self,
        context: &Context<'_>,
        judge: &Judge,
        state: &mut [u32],
    ) -> Result<usize, LoadError> {
        let given = state.len() as u32;
        let too_small = || {
            let needed = self.requirements_with(&context.operators);
            needed.map_or_else(
                |error| error,
                |needed| LoadError::StateTooSmall { needed: needed.state_words, given },
            )
        };
        let mut used = head::write(context, state)?;
        if used > state.len() {
            return Err(too_small());
        }
        context.for_each_call(|instruction, call| {
            let kind = call.loader.kind;
            let fail = |problem| LoadError::Operator { instruction, operator: Some(kind), problem };
            let end = used + context.operators.state_words(call.position);
            let Some(words) = state.get_mut(used..end) else { return Err(too_small()) };
            if let Some(head) = words.first_mut() {
                *head = u32::from(call.position);
            }
            let mut arguments = arguments(context, &call).map_err(fail)?;
            let form = |found| judge.form(instruction, kind, found);
            let loaded = call.loader.load(&mut arguments, self.constants, words, &form);
            loaded.map_err(|problem| match problem {
                LoadProblem::Operator(problem) => fail(problem),
                LoadProblem::Form(error) => error,
            })?;
            used = end;
            Ok(())
        })?;
        Ok(used)
    }

    fn context<'c>(&self, operators: &Operators<'c>) -> Result<Context<'c>, LoadError>
    where
        'p: 'c,
    {
        Context::new(self.constants, self.view, *operators)
    }
}

/// The roomiest bank, which holds nothing while a program is being loaded.
fn room_for_notes<'b>(banks: &'b mut [&mut [u8]]) -> &'b mut [[u32; 2]] {
    let roomiest = banks.iter_mut().max_by_key(|bank| bank.len());
    let roomiest = roomiest.map_or(&mut [][..], |bank| bank);
    let whole = roomiest.len() / size_of::<[u32; 2]>() * size_of::<[u32; 2]>();
    let words = roomiest.get_mut(..whole).and_then(cast_mut::<u32>).unwrap_or_default();
    words.as_chunks_mut().0
}

/// Cuts each bank to what the program needs.
pub(crate) fn fit_banks(sizes: &BankSizes, banks: &mut [&mut [u8]]) -> Result<(), LoadError> {
    for (index, needed) in sizes.as_slice().iter().enumerate() {
        let (bank, needed) = (index as u8, *needed);
        let Some(slice) = banks.get_mut(index) else {
            // No byte of a bank of no size is ever read or written.
            let is_given = needed == 0;
            let missing = LoadError::ArenaTooSmall { bank, needed, given: 0 };
            if is_given {
                continue;
            }
            return Err(missing);
        };
        let given = slice.len() as u32;
        if (slice.len() as u64) < u64::from(needed) {
            return Err(LoadError::ArenaTooSmall { bank, needed, given });
        }
        if needed != 0 && !(slice.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
            return Err(LoadError::ArenaMisaligned { bank });
        }
        *slice = core::mem::take(slice).get_mut(..needed as usize).unwrap_or_default();
    }
    Ok(())
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
    context: &'p Context<'p>,
    call: &Call<'p>,
) -> Result<Arguments<'p>, OperatorProblem> {
    let (indices, expected) = (call.indices, call.loader.argument_count());
    let result = || indices.get(expected);
    let repeats_out = indices.len() == expected + 1
        && (result() == indices.get(expected - 1)
            || result()
                .is_some_and(|at| matches!(context.plan.value(at), Ok(Value::TensorList(_)))));
    if indices.len() != expected && !repeats_out {
        return Err(OperatorProblem::ArgumentCount);
    }
    Ok(Arguments::new(context, indices))
}
