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
        for position in 0..self.kind.argument_names().len() {
            if self.is_result(position) {
                self.check_result(position)?;
                continue;
            }
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
        let all = 0..self.kind.argument_names().len();
        for position in all.filter(|position| *position != scratch) {
            let mut overlaps = false;
            self.for_each_tensor(position, |_, tensor| overlaps |= tensor.overlaps(&memory))?;
            if overlaps {
                return Err(OperatorProblem::Shared { position: scratch as u8 });
            }
        }
        Ok(())
    }

    /// An instruction's results lie apart from each other. That they lie apart from what it reads, its kernel checks.
    fn check_result(&self, result: usize) -> Result<(), OperatorProblem> {
        let mut shared = false;
        for other in (0..=result).filter(|position| self.is_result(*position)) {
            self.for_each_tensor(result, |index, memory| {
                let check = self.for_each_tensor(other, |other, tensor| {
                    shared |= other != index && tensor.overlaps(&memory);
                });
                shared |= check.is_err();
            })?;
        }
        if shared { Err(OperatorProblem::Shared { position: result as u8 }) } else { Ok(()) }
    }

    /// Calls `visit` with the index and memory of each tensor of an argument.
    fn for_each_tensor(
        &self,
        position: usize,
        mut visit: impl FnMut(i32, LoadedTensor),
    ) -> Result<(), OperatorProblem> {
        match self.value(position)? {
            Some(Value::Tensor(_)) => {
                let index = self.index(position)?;
                visit(index, tensor(self.context, index, position as u8)?);
            }
            Some(Value::TensorList(items)) => {
                for index in items.iter() {
                    visit(index, tensor(self.context, index, position as u8)?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_result(&self, position: usize) -> bool {
        self.kind.result_arguments() >> position & 1 != 0
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
        let mut effect = Effect::None;
        for position in 0..self.kind.argument_names().len() {
            if self.is_scratch(position) && self.tensor(position)?.overlaps(memory) {
                return Ok(Effect::Destroys);
            }
            if !self.is_result(position) {
                continue;
            }
            self.for_each_tensor(position, |at, written| {
                if at == index {
                    effect = Effect::Writes;
                } else if written.overlaps(memory) {
                    let is_same = written.span() == memory.span();
                    effect = if is_same { Effect::WritesAnother } else { Effect::Destroys };
                }
            })?;
        }
        Ok(effect)
    }

    /// Whether this instruction writes the tensor with this index.
    fn writes(&self, index: i32) -> Result<bool, OperatorProblem> {
        let mut writes = false;
        for position in 0..self.kind.argument_names().len() {
            if self.is_result(position) {
                self.for_each_tensor(position, |at, _| writes |= at == index)?;
            }
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
        if Call::at(context, instruction)?.writes(index)? {
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
