//! A loaded method: inputs in, execute, outputs out.

use crate::arguments::Context;
use crate::error::{ExecuteError, LoadError, OperatorProblem, TensorError, Unsupported};
use core::marker::PhantomData;
use cortado_contract::DType;
use cortado_contract::ops::OperatorKind;
use cortado_kernels::memory::{Element, cast, cast_mut};
use cortado_kernels::operand::LoadedTensor;
use cortado_kernels::{Memory, Micro, execute, state_words};
use cortado_pte::Scalars;

/// Type and extents of an input or output.
pub type TensorInfo = LoadedTensor;

/// A method that is ready to be executed.
#[derive(Debug)]
pub struct Method<'m, M> {
    file: &'m [u8],
    context: Context<'m>,
    inputs: Scalars<'m, i32>,
    outputs: Scalars<'m, i32>,
    state: &'m [u32],
    arena: &'m mut [u8],
    /// One bit per input that must still be set.
    missing_inputs: u32,
    has_outputs: bool,
    kernels: PhantomData<M>,
}

impl<'m, M: Micro> Method<'m, M> {
    /// `state` holds prepared operators one after the other, each starting with its kind.
    pub(crate) fn new(
        context: Context<'m>,
        state: &'m [u32],
        arena: &'m mut [u8],
    ) -> Result<Self, LoadError> {
        let (inputs, outputs) = (context.plan.inputs()?, context.plan.outputs()?);
        if inputs.len() > 32 {
            return Err(LoadError::Unsupported(Unsupported::Inputs));
        }
        check_boundary(&context, inputs, false)?;
        check_boundary(&context, outputs, true)?;
        Ok(Method {
            file: context.file,
            context,
            inputs,
            outputs,
            state,
            arena,
            missing_inputs: all_inputs(inputs.len()),
            has_outputs: false,
            kernels: PhantomData,
        })
    }

    /// The number of inputs.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// The number of outputs.
    pub fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// Type and extents of an input.
    ///
    /// # Errors
    /// [`TensorError::Index`].
    pub fn input_info(&self, index: usize) -> Result<TensorInfo, TensorError> {
        self.boundary(self.inputs, index)
    }

    /// Type and extents of an output.
    ///
    /// # Errors
    /// [`TensorError::Index`].
    pub fn output_info(&self, index: usize) -> Result<TensorInfo, TensorError> {
        self.boundary(self.outputs, index)
    }

    /// Copies an input in, in the order of its elements in memory.
    ///
    /// # Errors
    /// See [`TensorError`]; the input is not changed then.
    pub fn set_input<T: TensorElement>(
        &mut self,
        index: usize,
        values: &[T],
    ) -> Result<(), TensorError> {
        self.input_mut::<T>(index).and_then(|input| {
            if input.len() == values.len() {
                input.copy_from_slice(values);
                Ok(())
            } else {
                Err(TensorError::Length { needed: input.len() as u32, given: values.len() as u32 })
            }
        })?;
        self.missing_inputs &= !(1 << index);
        Ok(())
    }

    /// An input's memory, for filling it in place; it counts as set from here on.
    ///
    /// # Errors
    /// See [`TensorError`].
    pub fn fill_input<T: TensorElement>(&mut self, index: usize) -> Result<&mut [T], TensorError> {
        let info = self.input_info(index)?;
        if info.dtype == T::DTYPE {
            self.missing_inputs &= !(1 << index);
        }
        self.input_mut(index)
    }

    /// Copies an input's bytes in, in the order of its elements in memory, whatever its element type.
    ///
    /// # Errors
    /// See [`TensorError`], with lengths in bytes; the input is not changed then.
    pub fn set_input_bytes(&mut self, index: usize, bytes: &[u8]) -> Result<(), TensorError> {
        let info = self.input_info(index)?;
        let input = self.memory_of(&info).ok_or(TensorError::Index)?;
        if input.len() != bytes.len() {
            return Err(TensorError::Length {
                needed: input.len() as u32,
                given: bytes.len() as u32,
            });
        }
        input.copy_from_slice(bytes);
        self.missing_inputs &= !(1 << index);
        Ok(())
    }

    /// An input's bytes, for filling them in place whatever its element type; it counts as set from here on.
    ///
    /// # Errors
    /// [`TensorError::Index`].
    pub fn fill_input_bytes(&mut self, index: usize) -> Result<&mut [u8], TensorError> {
        let info = self.input_info(index)?;
        self.missing_inputs &= !(1 << index);
        self.memory_of(&info).ok_or(TensorError::Index)
    }

    fn input_mut<T: TensorElement>(&mut self, index: usize) -> Result<&mut [T], TensorError> {
        let info = self.input_info(index)?;
        if info.dtype != T::DTYPE {
            return Err(TensorError::DType);
        }
        self.memory_of(&info).and_then(cast_mut).ok_or(TensorError::Index)
    }

    /// An input's memory; outputs may lie in the same place, so they are gone once it is handed out.
    fn memory_of(&mut self, info: &TensorInfo) -> Option<&mut [u8]> {
        self.has_outputs = false;
        let size = info.size_bytes().unwrap_or(0) as usize;
        self.arena.get_mut(info.location.offset_bytes()..)?.get_mut(..size)
    }

    /// Computes the outputs from the inputs, all of which must have been set since the last execution.
    ///
    /// # Errors
    /// See [`ExecuteError`]; there are no outputs then.
    pub fn execute(&mut self) -> Result<(), ExecuteError> {
        if self.missing_inputs != 0 {
            return Err(ExecuteError::InputNotSet {
                index: self.missing_inputs.trailing_zeros() as u16,
            });
        }
        self.missing_inputs = all_inputs(self.inputs.len());
        let mut memory = Memory::new(self.file, self.arena);
        let mut state = self.state;
        while let Some(head) = state.first() {
            let kind =
                OperatorKind::ALL.get((*head & 0xff) as usize).ok_or(ExecuteError::Internal)?;
            let (words, rest) =
                state.split_at_checked(state_words(*kind)).ok_or(ExecuteError::Internal)?;
            execute::<M>(*kind, words, &mut memory).map_err(|_| ExecuteError::Internal)?;
            state = rest;
        }
        self.has_outputs = true;
        Ok(())
    }

    /// An output, in the order of its elements in memory.
    ///
    /// # Errors
    /// See [`TensorError`].
    pub fn output<T: TensorElement>(&self, index: usize) -> Result<&[T], TensorError> {
        if self.output_info(index)?.dtype != T::DTYPE {
            return Err(TensorError::DType);
        }
        cast(self.output_bytes(index)?).ok_or(TensorError::Index)
    }

    /// An output's bytes, in the order of its elements in memory.
    ///
    /// # Errors
    /// See [`TensorError`].
    pub fn output_bytes(&self, index: usize) -> Result<&[u8], TensorError> {
        let info = self.output_info(index)?;
        if !self.has_outputs {
            return Err(TensorError::NotExecuted);
        }
        let memory: &[u8] = if info.location.is_constant() { self.file } else { self.arena };
        let size = info.size_bytes().unwrap_or(0) as usize;
        let bytes = memory.get(info.location.offset_bytes()..).and_then(|rest| rest.get(..size));
        bytes.ok_or(TensorError::Index)
    }

    fn boundary(&self, list: Scalars<'m, i32>, index: usize) -> Result<TensorInfo, TensorError> {
        boundary(&self.context, list, index).map_err(|_| TensorError::Index)
    }
}

/// A number type that inputs and outputs can have.
pub trait TensorElement: Element {
    /// The element type of tensors that hold it.
    const DTYPE: DType;
}

macro_rules! tensor_elements {
    ($($ty:ty = $dtype:ident),*) => {$(
        impl TensorElement for $ty {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}
tensor_elements!(i8 = I8, u8 = U8, i16 = I16, i32 = I32, i64 = I64, f32 = F32);

/// A mask with a bit for each of `count` inputs.
fn all_inputs(count: usize) -> u32 {
    1u32.checked_shl(count as u32).unwrap_or(0).wrapping_sub(1)
}

fn check_boundary(
    context: &Context<'_>,
    list: Scalars<'_, i32>,
    is_output: bool,
) -> Result<(), LoadError> {
    for position in 0..list.len() {
        let index = position.min(usize::from(u16::MAX)) as u16;
        let info = boundary(context, list, position);
        let info = info.map_err(|problem| LoadError::Boundary { is_output, index, problem })?;
        if !is_output && info.location.is_constant() {
            let problem = OperatorProblem::Argument {
                position: 0,
                cause: crate::error::ArgumentCause::Unsupported,
            };
            return Err(LoadError::Boundary { is_output, index, problem });
        }
    }
    Ok(())
}

fn boundary(
    context: &Context<'_>,
    list: Scalars<'_, i32>,
    position: usize,
) -> Result<TensorInfo, OperatorProblem> {
    let index = list.get(position).ok_or(OperatorProblem::ArgumentCount)?;
    let tensor = context.plan.tensor(index).map_err(OperatorProblem::Format)?;
    let info = context.tensor(&tensor);
    info.map_err(|cause| OperatorProblem::Argument { position: 0, cause })
}
