//! Checks a memory plan against the instructions: what is read is what was put there.
//!
//! ```text
//! for each instruction, and at last for the program's end:
//!     for each tensor that it reads:
//!         the last instruction before it that writes a byte of the tensor's memory must write all of the tensor   (1)
//!         if there is none, the tensor is an input
//! ```
//!
//! 1. As this very tensor; or as one in the same bytes, if the tensor itself is neither written nor an input. Then it is a view,
//!    such as a reshaped result. Chains of layers find their writer one instruction back, so this is one walk for most
//!    programs.
//!
//! Tensors are looked at many times over, so what is found out about each is noted down, mostly when its operators are prepared: in the
//! arena, which holds nothing yet. Where that has no room, it is found out anew.
//!
//! Scratch memory counts as written. Whether an instruction may write over its own arguments is the operator's to say: its
//! kernel checks that when it is prepared.

use crate::context::{Context, Span};
use crate::error::{LoadError, OperatorProblem};
use crate::operators::Loader;
use cortado_pte::{Scalars, Value};

/// Checks all instructions, inputs and outputs, whose tensors have all been read without an error.
///
/// # Errors
/// [`LoadError::Operator`] and [`LoadError::Boundary`], with [`OperatorProblem::Overwritten`],
/// [`OperatorProblem::NeverWritten`] or [`OperatorProblem::Shared`].
pub(crate) fn check(context: &Context<'_>) -> Result<(), LoadError> {
    let memory = Memory { context };
    memory.check_inputs()?;
    let mut count = 0;
    context.for_each_call(|instruction, call| {
        let call = Call { memory: &memory, loader: call.loader, indices: call.indices };
        call.check(instruction).map_err(|problem| LoadError::Operator {
            instruction,
            operator: Some(call.loader.kind),
            problem,
        })?;
        count = instruction + 1;
        Ok(())
    })?;
    for (index, output) in context.outputs.iter().enumerate() {
        let result = memory.note(output).and_then(|note| memory.read(output, note, 0, count));
        result.map_err(|problem| LoadError::Boundary {
            is_output: true,
            index: index.min(usize::from(u16::MAX)) as u16,
            problem,
        })?;
    }
    Ok(())
}

/// What there is to know about a value.
#[derive(Clone, Copy)]
pub(crate) enum Note {
    /// It takes no memory that is written: a constant, a tensor without elements, or no tensor.
    Nothing,
    /// A tensor in these bytes.
    Tensor(Span),
    /// A list of tensors.
    List,
}

impl Note {
    pub(crate) const UNKNOWN: [u32; 2] = [0, 0];
    const NOTHING: [u32; 2] = [0, 1];
    const LIST: [u32; 2] = [0, 2];
    const IS_TENSOR: u32 = 1 << 31;

    /// `None` if nothing is known yet.
    pub(crate) fn unpack(words: [u32; 2]) -> Option<Note> {
        match words {
            Note::UNKNOWN => None,
            Note::NOTHING => Some(Note::Nothing),
            Note::LIST => Some(Note::List),
            [place, end] => Some(Note::Tensor(Span::unpack(place & !Note::IS_TENSOR, end))),
        }
    }

    pub(crate) fn pack(self) -> [u32; 2] {
        match self {
            Note::Nothing => Note::NOTHING,
            Note::List => Note::LIST,
            Note::Tensor(span) => {
                let (place, end) = span.pack();
                [place | Note::IS_TENSOR, end]
            }
        }
    }
}

/// The values of a program, with what is known about them.
struct Memory<'c, 'p> {
    context: &'c Context<'p>,
}

impl Memory<'_, '_> {
    fn note(&self, index: i32) -> Result<Note, OperatorProblem> {
        if let Some(note) = self.context.known_note(index) {
            return Ok(note);
        }
        let note = match self.context.plan.value(index).map_err(OperatorProblem::Format)? {
            Value::Tensor(tensor) => {
                self.context.span(index, &tensor).map_or(Note::Nothing, Note::Tensor)
            }
            Value::TensorList(_) => Note::List,
            _ => Note::Nothing,
        };
        self.context.set_note(index, note);
        Ok(note)
    }

    /// Inputs are set one after the other, so no two may share memory.
    fn check_inputs(&self) -> Result<(), LoadError> {
        let inputs = self.context.inputs;
        let span = |index| match self.note(index) {
            Ok(Note::Tensor(span)) => Some(span),
            _ => None,
        };
        for (index, input) in inputs.iter().enumerate() {
            let Some(memory) = span(input) else { continue };
            let mut others = inputs.iter().take(index).filter_map(span);
            if others.any(|other| other.overlaps(&memory)) {
                return Err(LoadError::Boundary {
                    is_output: false,
                    index: index as u16,
                    problem: OperatorProblem::Shared { position: 0 },
                });
            }
        }
        Ok(())
    }

    /// Checks that the tensor `index`, which `instruction` reads as its argument at `position`, holds what was put there.
    fn read(
        &self,
        index: i32,
        note: Note,
        position: u8,
        instruction: u16,
    ) -> Result<(), OperatorProblem> {
        // Constants and tensors without elements hold what they hold.
        let Note::Tensor(memory) = note else { return Ok(()) };
        let is_input = || self.context.inputs.iter().any(|input| input == index);
        for earlier in (0..instruction).rev() {
            let overwritten = OperatorProblem::Overwritten { position, by: earlier };
            match Call::at(self, earlier)?.effect(index, &memory)? {
                Effect::None => {}
                Effect::Writes => return Ok(()),
                Effect::Destroys => return Err(overwritten),
                Effect::WritesAnother => {
                    let is_view = !is_input() && !self.is_written(index, earlier)?;
                    return if is_view { Ok(()) } else { Err(overwritten) };
                }
            }
        }
        let is_view_of =
            |input| matches!(self.note(input), Ok(Note::Tensor(input)) if input == memory);
        let is_set = is_input() || self.context.inputs.iter().any(is_view_of);
        if is_set { Ok(()) } else { Err(OperatorProblem::NeverWritten { position }) }
    }

    /// Whether one of the first `count` instructions writes this very tensor.
    fn is_written(&self, index: i32, count: u16) -> Result<bool, OperatorProblem> {
        for instruction in 0..count {
            if Call::at(self, instruction)?.writes(index)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The positions in a set of bits.
fn positions(mut set: u32) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let position = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (position < 32).then_some(position as u8)
    })
}

/// An instruction with its arguments' indices.
struct Call<'c, 'p> {
    memory: &'c Memory<'c, 'p>,
    loader: &'p Loader,
    indices: Scalars<'p, i32>,
}

/// What an instruction does to a tensor's memory.
enum Effect {
    /// Nothing.
    None,
    /// It writes this tensor.
    Writes,
    /// It writes another tensor in just the same bytes.
    WritesAnother,
    /// It writes something else over a part of it.
    Destroys,
}

impl<'c, 'p> Call<'c, 'p> {
    /// The instruction at this position, which has been seen to be a call.
    fn at(memory: &'c Memory<'c, 'p>, instruction: u16) -> Result<Self, OperatorProblem> {
        let call = memory.context.call(instruction);
        let call = call.map_err(|_| OperatorProblem::Unknown)?;
        Ok(Call { memory, loader: call.loader, indices: call.indices })
    }

    fn check(&self, instruction: u16) -> Result<(), OperatorProblem> {
        let Loader { tensors: all, results, scratch, .. } = *self.loader;
        for position in positions(all & !results & !scratch) {
            self.for_each_tensor(position, |index, note| {
                self.memory.read(index, note, position, instruction)
            })?;
        }
        // Scratch lies apart from everything. That results lie apart from what is read, the kernel checks.
        for position in positions(scratch) {
            self.check_apart(position, all)?;
        }
        for position in positions(results) {
            // Most instructions have one result, which cannot meet another.
            let is_list = matches!(self.memory.note(self.index(position)?)?, Note::List);
            if is_list || results.count_ones() > 1 {
                self.check_apart(position, results)?;
            }
        }
        Ok(())
    }

    /// The tensors of one argument share no memory with any other tensor of these arguments.
    fn check_apart(&self, position: u8, others: u32) -> Result<(), OperatorProblem> {
        let problem = OperatorProblem::Shared { position };
        self.for_each_tensor(position, |index, note| {
            let Note::Tensor(memory) = note else { return Ok(()) };
            for other_position in positions(others) {
                self.for_each_tensor(other_position, |other, note| {
                    let is_itself = other == index && other_position == position;
                    match note {
                        Note::Tensor(span) if !is_itself && span.overlaps(&memory) => Err(problem),
                        _ => Ok(()),
                    }
                })?;
            }
            Ok(())
        })
    }

    /// Calls `visit` with each tensor of an argument.
    fn for_each_tensor(
        &self,
        position: u8,
        mut visit: impl FnMut(i32, Note) -> Result<(), OperatorProblem>,
    ) -> Result<(), OperatorProblem> {
        let index = self.index(position)?;
        match self.memory.note(index)? {
            Note::Nothing => Ok(()),
            note @ Note::Tensor(_) => visit(index, note),
            Note::List => match self.memory.context.plan.value(index) {
                Ok(Value::TensorList(items)) => {
                    items.iter().try_for_each(|item| visit(item, self.memory.note(item)?))
                }
                Ok(_) => Ok(()),
                Err(error) => Err(OperatorProblem::Format(error)),
            },
        }
    }

    fn index(&self, position: u8) -> Result<i32, OperatorProblem> {
        self.indices.get(usize::from(position)).ok_or(OperatorProblem::ArgumentCount)
    }

    /// How this instruction leaves a tensor's memory.
    fn effect(&self, index: i32, memory: &Span) -> Result<Effect, OperatorProblem> {
        let mut effect = Effect::None;
        for position in positions(self.loader.results) {
            self.for_each_tensor(position, |at, note| {
                match note {
                    _ if at == index => effect = Effect::Writes,
                    Note::Tensor(span) if span == *memory => effect = Effect::WritesAnother,
                    Note::Tensor(span) if span.overlaps(memory) => effect = Effect::Destroys,
                    _ => {}
                }
                Ok(())
            })?;
        }
        for position in positions(self.loader.scratch) {
            self.for_each_tensor(position, |_, note| {
                if matches!(note, Note::Tensor(span) if span.overlaps(memory)) {
                    effect = Effect::Destroys;
                }
                Ok(())
            })?;
        }
        Ok(effect)
    }

    /// Whether this instruction writes the tensor with this index.
    fn writes(&self, index: i32) -> Result<bool, OperatorProblem> {
        let mut writes = false;
        for position in positions(self.loader.results) {
            self.for_each_tensor(position, |at, _| {
                writes |= at == index;
                Ok(())
            })?;
        }
        Ok(writes)
    }
}
