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
//! Scratch memory counts as written. Whether an instruction may write over its own arguments is the operator's to say: its
//! kernel checks that when it is prepared.

use crate::context::{Context, Span};
use crate::error::{LoadError, OperatorProblem};
use cortado_contract::ops::OperatorKind;
use cortado_pte::{Scalars, Value};

/// Checks all instructions, inputs and outputs, whose tensors have all been read without an error.
///
/// # Errors
/// [`LoadError::Operator`] and [`LoadError::Boundary`], with [`OperatorProblem::Overwritten`],
/// [`OperatorProblem::NeverWritten`] or [`OperatorProblem::Shared`].
pub(crate) fn check(context: &Context<'_>) -> Result<(), LoadError> {
    check_inputs(context)?;
    let mut count = 0;
    context.for_each_call(|instruction, kind, indices| {
        let call = Call { context, kind, indices };
        call.check(instruction).map_err(|problem| LoadError::Operator {
            instruction,
            operator: Some(kind),
            problem,
        })?;
        count = instruction + 1;
        Ok(())
    })?;
    for (index, output) in context.outputs.iter().enumerate() {
        read(context, output, 0, count).map_err(|problem| LoadError::Boundary {
            is_output: true,
            index: index.min(usize::from(u16::MAX)) as u16,
            problem,
        })?;
    }
    Ok(())
}

/// Inputs are set one after the other, so no two may share memory.
fn check_inputs(context: &Context<'_>) -> Result<(), LoadError> {
    for (index, input) in context.inputs.iter().enumerate() {
        let memory = context.span(input);
        let mut others = context.inputs.iter().take(index);
        if others.any(|other| overlap(memory, context.span(other))) {
            return Err(LoadError::Boundary {
                is_output: false,
                index: index as u16,
                problem: OperatorProblem::Shared { position: 0 },
            });
        }
    }
    Ok(())
}

/// Whether both are in memory that is written, and have a byte in common.
fn overlap(a: Option<Span>, b: Option<Span>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.overlaps(&b),
        _ => false,
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
    context: &'c Context<'p>,
    kind: OperatorKind,
    indices: Scalars<'p, i32>,
}

impl<'c, 'p> Call<'c, 'p> {
    /// The instruction at this position, which has been seen to be a call.
    fn at(context: &'c Context<'p>, instruction: u16) -> Result<Self, OperatorProblem> {
        let call = context.call(instruction);
        let (kind, indices) = call.map_err(|_| OperatorProblem::Unknown)?;
        Ok(Call { context, kind, indices })
    }

    fn check(&self, instruction: u16) -> Result<(), OperatorProblem> {
        let (results, scratch) = (self.kind.result_arguments(), self.kind.scratch_arguments());
        for position in positions(self.kind.tensor_arguments() & !results & !scratch) {
            self.for_each_tensor(position, |index| {
                read(self.context, index, position, instruction)
            })?;
        }
        // Results lie apart from each other, and scratch from everything. That results lie apart from what is read, the kernel checks.
        for position in positions(scratch) {
            self.check_apart(position, self.kind.tensor_arguments())?;
        }
        // Most instructions have one result, which cannot meet another.
        if results.count_ones() > 1 || self.has_list(results)? {
            for position in positions(results) {
                self.check_apart(position, results)?;
            }
        }
        Ok(())
    }

    /// Whether one of these arguments is a list of tensors.
    fn has_list(&self, arguments: u32) -> Result<bool, OperatorProblem> {
        for position in positions(arguments) {
            if let Value::TensorList(_) = self.value(position)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The tensors of one argument share no memory with any other tensor of these arguments.
    fn check_apart(&self, position: u8, others: u32) -> Result<(), OperatorProblem> {
        let problem = OperatorProblem::Shared { position };
        self.for_each_tensor(position, |index| {
            let Some(memory) = self.context.span(index) else { return Ok(()) };
            for other_position in positions(others) {
                self.for_each_tensor(other_position, |other| {
                    let is_itself = other == index && other_position == position;
                    let shares = !is_itself && overlap(Some(memory), self.context.span(other));
                    if shares { Err(problem) } else { Ok(()) }
                })?;
            }
            Ok(())
        })
    }

    /// Calls `visit` with the index of each tensor of an argument.
    fn for_each_tensor(
        &self,
        position: u8,
        mut visit: impl FnMut(i32) -> Result<(), OperatorProblem>,
    ) -> Result<(), OperatorProblem> {
        match self.value(position)? {
            Value::Tensor(_) => visit(self.index(position)?),
            Value::TensorList(items) => items.iter().try_for_each(visit),
            _ => Ok(()),
        }
    }

    fn index(&self, position: u8) -> Result<i32, OperatorProblem> {
        self.indices.get(usize::from(position)).ok_or(OperatorProblem::ArgumentCount)
    }

    fn value(&self, position: u8) -> Result<Value<'p>, OperatorProblem> {
        self.context.plan.value(self.index(position)?).map_err(OperatorProblem::Format)
    }

    /// How this instruction leaves a tensor's memory.
    fn effect(&self, index: i32, memory: &Span) -> Result<Effect, OperatorProblem> {
        let mut effect = Effect::None;
        for position in positions(self.kind.result_arguments()) {
            self.for_each_tensor(position, |at| {
                if at == index {
                    effect = Effect::Writes;
                } else if let Some(written) = self.context.span(at)
                    && written.overlaps(memory)
                {
                    let is_same = written == *memory;
                    effect = if is_same { Effect::WritesAnother } else { Effect::Destroys };
                }
                Ok(())
            })?;
        }
        for position in positions(self.kind.scratch_arguments()) {
            if overlap(Some(*memory), self.context.span(self.index(position)?)) {
                effect = Effect::Destroys;
            }
        }
        Ok(effect)
    }

    /// Whether this instruction writes the tensor with this index.
    fn writes(&self, index: i32) -> Result<bool, OperatorProblem> {
        let mut writes = false;
        for position in positions(self.kind.result_arguments()) {
            self.for_each_tensor(position, |at| {
                writes |= at == index;
                Ok(())
            })?;
        }
        Ok(writes)
    }
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

/// Checks that the tensor `index`, which `instruction` reads as its argument at `position`, holds what was put there.
fn read(
    context: &Context<'_>,
    index: i32,
    position: u8,
    instruction: u16,
) -> Result<(), OperatorProblem> {
    // Constants and tensors without elements hold what they hold.
    let Some(memory) = context.span(index) else { return Ok(()) };
    let is_input = || context.inputs.iter().any(|input| input == index);
    for earlier in (0..instruction).rev() {
        let overwritten = OperatorProblem::Overwritten { position, by: earlier };
        match Call::at(context, earlier)?.effect(index, &memory)? {
            Effect::None => {}
            Effect::Writes => return Ok(()),
            Effect::Destroys => return Err(overwritten),
            Effect::WritesAnother => {
                let is_view = !is_input() && !is_written(context, index, earlier)?;
                return if is_view { Ok(()) } else { Err(overwritten) };
            }
        }
    }
    let is_view_of = |input: i32| context.span(input) == Some(memory);
    let is_set = is_input() || context.inputs.iter().any(is_view_of);
    if is_set { Ok(()) } else { Err(OperatorProblem::NeverWritten { position }) }
}

/// Whether one of the first `count` instructions writes this very tensor.
fn is_written(context: &Context<'_>, index: i32, count: u16) -> Result<bool, OperatorProblem> {
    for instruction in 0..count {
        if Call::at(context, instruction)?.writes(index)? {
            return Ok(true);
        }
    }
    Ok(false)
}
