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

use crate::context::Context;
use crate::error::{LoadError, OperatorProblem};
use cortado_contract::ops::OperatorKind;
use cortado_kernels::operand::LoadedTensor;
use cortado_pte::{Scalars, Value};

/// Checks all instructions, inputs and outputs.
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
        let result = read(context, output, 0, count);
        result.map_err(|problem| LoadError::Boundary {
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
        let shared = context.inputs.iter().take(index).any(|other| {
            match (context.tensor_at(input), context.tensor_at(other)) {
                (Ok(input), Ok(other)) => input.overlaps(&other),
                _ => false,
            }
        });
        if shared {
            return Err(LoadError::Boundary {
                is_output: false,
                index: index as u16,
                problem: OperatorProblem::Shared { position: 0 },
            });
        }
    }
    Ok(())
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
        for position in 0..self.out() {
            match self.value(position)? {
                Some(Value::Tensor(_)) if self.is_scratch(position) => {
                    self.check_scratch(position)?;
                }
                Some(Value::Tensor(_)) => {
                    let index = self.index(position)?;
                    read(self.context, index, position as u8, instruction)?;
                }
                Some(Value::TensorList(items)) => {
                    for item in items.iter() {
                        read(self.context, item, position as u8, instruction)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Scratch memory lies apart from everything else that the instruction uses.
    fn check_scratch(&self, scratch: usize) -> Result<(), OperatorProblem> {
        let memory = self.tensor(scratch)?;
        for position in (0..=self.out()).filter(|position| *position != scratch) {
            let overlaps = match self.value(position)? {
                Some(Value::Tensor(_)) => self.tensor(position)?.overlaps(&memory),
                Some(Value::TensorList(items)) => items.iter().any(|item| {
                    self.context.tensor_at(item).is_ok_and(|tensor| tensor.overlaps(&memory))
                }),
                _ => false,
            };
            if overlaps {
                return Err(OperatorProblem::Shared { position: scratch as u8 });
            }
        }
        Ok(())
    }

    /// The position of `out`, which is the last argument of the schema.
    fn out(&self) -> usize {
        self.kind.argument_names().len() - 1
    }

    fn is_scratch(&self, position: usize) -> bool {
        self.kind.scratch_arguments() >> position & 1 != 0
    }

    fn index(&self, position: usize) -> Result<i32, OperatorProblem> {
        self.indices.get(position).ok_or(OperatorProblem::ArgumentCount)
    }

    fn value(&self, position: usize) -> Result<Option<Value<'p>>, OperatorProblem> {
        let value = self.context.plan.value(self.index(position)?);
        value.map(Some).map_err(OperatorProblem::Format)
    }

    fn tensor(&self, position: usize) -> Result<LoadedTensor, OperatorProblem> {
        tensor(self.context, self.index(position)?, position as u8)
    }

    /// How this instruction leaves a tensor's memory.
    fn effect(&self, index: i32, memory: &LoadedTensor) -> Result<Effect, OperatorProblem> {
        let out = self.out();
        for position in (0..out).filter(|position| self.is_scratch(*position)) {
            if self.tensor(position)?.overlaps(memory) {
                return Ok(Effect::Destroys);
            }
        }
        if self.index(out)? == index {
            return Ok(Effect::Writes);
        }
        let written = self.tensor(out)?;
        Ok(if !written.overlaps(memory) {
            Effect::None
        } else if written.span() == memory.span() {
            Effect::WritesAnother
        } else {
            Effect::Destroys
        })
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
    let memory = tensor(context, index, position)?;
    if memory.location.is_constant() || memory.span().is_empty() {
        return Ok(());
    }
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
    let is_view_of = |input: i32| {
        let input = context.tensor_at(input);
        input.is_ok_and(|input| input.span() == memory.span() && input.is_in_memory_of(&memory))
    };
    let is_set = is_input() || context.inputs.iter().any(is_view_of);
    if is_set { Ok(()) } else { Err(OperatorProblem::NeverWritten { position }) }
}

/// Whether one of the first `count` instructions writes this very tensor.
fn is_written(context: &Context<'_>, index: i32, count: u16) -> Result<bool, OperatorProblem> {
    for instruction in 0..count {
        let call = Call::at(context, instruction)?;
        if call.index(call.out())? == index {
            return Ok(true);
        }
    }
    Ok(false)
}

fn tensor(
    context: &Context<'_>,
    index: i32,
    position: u8,
) -> Result<LoadedTensor, OperatorProblem> {
    let tensor = context.tensor_at(index);
    tensor.map_err(|cause| OperatorProblem::Argument { position, cause })
}
