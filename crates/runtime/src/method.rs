//! A loaded method: inputs in, execute, outputs out.

use crate::ALIGNMENT;
use crate::context::Context;
use crate::error::{ExecuteError, LoadError, OperatorProblem, TensorError, Unsupported};
use crate::program::Banks;
use core::marker::PhantomData;
use cortado_contract::DType;
use cortado_contract::ops::OperatorKind;
use cortado_kernels::memory::{Element, MAX_REGIONS, Region, cast, cast_mut};
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
    banks: Banks<'m>,
    /// One bit per input that is not lent.
    planned_inputs: u32,
    /// The number of inputs and outputs that are lent.
    lent_count: usize,
    /// One bit per input that must still be set.
    missing_inputs: u32,
    has_outputs: bool,
    kernels: PhantomData<M>,
}

impl<'m, M: Micro> Method<'m, M> {
    /// `state` holds prepared operators one after the other, each starting with its kind. The method's boundary has been checked
    /// by [`check`].
    pub(crate) fn new(context: Context<'m>, state: &'m [u32], banks: Banks<'m>) -> Self {
        let (inputs, outputs) = (context.inputs, context.outputs);
        let planned_inputs = planned_inputs(&context, inputs);
        Method {
            file: context.file,
            context,
            inputs,
            outputs,
            state,
            banks,
            planned_inputs,
            lent_count: context.lent_tensors().count(),
            missing_inputs: planned_inputs,
            has_outputs: false,
            kernels: PhantomData,
        }
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

    /// Types and extents of the inputs and outputs that the caller lends to [`Self::execute_with`], inputs first.
    pub fn lent(&self) -> impl Iterator<Item = TensorInfo> {
        self.context.lent_tensors().filter_map(|index| self.context.tensor_at(index).ok())
    }

    /// Whether the caller lends this input's memory to [`Self::execute_with`].
    pub fn is_input_lent(&self, index: usize) -> bool {
        let info = self.input_info(index);
        info.is_ok_and(|info| self.bank(&info) == Err(TensorError::Lent))
    }

    /// Whether the caller lends this output's memory to [`Self::execute_with`].
    pub fn is_output_lent(&self, index: usize) -> bool {
        let info = self.output_info(index);
        info.is_ok_and(|info| {
            !info.location.is_constant() && self.bank(&info) == Err(TensorError::Lent)
        })
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
        let input = self.memory_of(&info)?;
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
        self.memory_of(&info)
    }

    fn input_mut<T: TensorElement>(&mut self, index: usize) -> Result<&mut [T], TensorError> {
        let info = self.input_info(index)?;
        if info.dtype != T::DTYPE {
            return Err(TensorError::DType);
        }
        self.memory_of(&info).and_then(|bytes| cast_mut(bytes).ok_or(TensorError::Index))
    }

    /// An input's memory; outputs may lie in the same place, so they are gone once it is handed out.
    fn memory_of(&mut self, info: &TensorInfo) -> Result<&mut [u8], TensorError> {
        let bank = self.bank(info)?;
        self.has_outputs = false;
        let bytes = self.banks.0.get_mut(bank).and_then(|bank| bank.get_mut(info.span()));
        bytes.ok_or(TensorError::Index)
    }

    /// The bank that a tensor lies in.
    fn bank(&self, info: &TensorInfo) -> Result<usize, TensorError> {
        let region = info.location.region_index().ok_or(TensorError::Index)?;
        let is_bank = region < self.context.banks.as_slice().len();
        if is_bank { Ok(region) } else { Err(TensorError::Lent) }
    }

    /// Computes the outputs from the inputs, all of which must have been set since the last execution.
    ///
    /// # Errors
    /// See [`ExecuteError`]; there are no outputs then.
    pub fn execute(&mut self) -> Result<(), ExecuteError> {
        self.execute_with(&[], &mut [])
    }

    /// As [`Self::execute`], for a program whose inputs or outputs are in memory of the caller's: it computes from `inputs` and
    /// into `outputs`, which are the bytes of the lent ones only, in the program's order, each aligned to [`ALIGNMENT`] bytes.
    ///
    /// # Errors
    /// See [`ExecuteError`]; there are no outputs then.
    pub fn execute_with(
        &mut self,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
    ) -> Result<(), ExecuteError> {
        self.execute_observed(inputs, outputs, |_| {})
    }

    /// As [`Self::execute_with`], and calls `observe` after each instruction: for profiles and tests.
    ///
    /// # Errors
    /// See [`ExecuteError`]; there are no outputs then.
    pub fn execute_observed(
        &mut self,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
        mut observe: impl FnMut(Step<'_, '_>),
    ) -> Result<(), ExecuteError> {
        if self.missing_inputs != 0 {
            return Err(ExecuteError::InputNotSet {
                index: self.missing_inputs.trailing_zeros() as u16,
            });
        }
        if self.lent_count != 0 || !inputs.is_empty() || !outputs.is_empty() {
            check_lent(&self.context, inputs, outputs)?;
        }
        self.missing_inputs = self.planned_inputs;
        self.has_outputs = false;
        let banks = self.banks.0.iter_mut().take(self.context.banks.as_slice().len());
        let given = banks
            .map(|bank| Region::Write(bank))
            .chain(inputs.iter().map(|input| Region::Read(input)))
            .chain(outputs.iter_mut().map(|output| Region::Write(output)));
        let mut regions = [const { Region::Absent }; MAX_REGIONS];
        regions.iter_mut().zip(given).for_each(|(region, given)| *region = given);
        let mut memory = Memory::new(self.file, regions);
        let mut state = self.state;
        let mut instruction = 0;
        while let Some(head) = state.first() {
            let kind =
                OperatorKind::ALL.get((*head & 0xff) as usize).ok_or(ExecuteError::Internal)?;
            let (words, rest) =
                state.split_at_checked(state_words(*kind)).ok_or(ExecuteError::Internal)?;
            execute::<M>(*kind, words, &mut memory).map_err(|_| ExecuteError::Internal)?;
            observe(Step { instruction, operator: *kind, memory: &mut memory });
            instruction += 1;
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
        // Lent memory is the caller's, executed or not.
        let memory: &[u8] = if info.location.is_constant() {
            self.file
        } else {
            self.banks.0.get(self.bank(&info)?).ok_or(TensorError::Index)?
        };
        if !self.has_outputs {
            return Err(TensorError::NotExecuted);
        }
        memory.get(info.span()).ok_or(TensorError::Index)
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

/// An instruction that has just been executed.
#[derive(Debug)]
pub struct Step<'s, 'm> {
    /// Its position.
    pub instruction: usize,
    /// Its operator.
    pub operator: OperatorKind,
    /// The memory that the program computes in.
    pub memory: &'s mut Memory<'m>,
}

/// A mask with a bit for each input that has memory of the program's.
fn planned_inputs(context: &Context<'_>, inputs: Scalars<'_, i32>) -> u32 {
    let banks = context.banks.as_slice().len();
    (0..inputs.len()).fold(0, |mask, position| {
        let info = boundary(context, inputs, position).ok();
        let region = info.and_then(|info| info.location.region_index());
        let is_lent = region.is_some_and(|region| region >= banks);
        mask | u32::from(!is_lent) << position
    })
}

/// Checks the memory that the caller lends against what the program takes.
fn check_lent(
    context: &Context<'_>,
    inputs: &[&[u8]],
    outputs: &[&mut [u8]],
) -> Result<(), ExecuteError> {
    let given = (inputs.len() + outputs.len()).min(usize::from(u16::MAX)) as u16;
    let needed = context.lent_tensors().count() as u16;
    let is_lent = |index: &i32| context.lent_tensors().any(|lent| lent == *index);
    if needed != given || context.inputs.iter().filter(is_lent).count() != inputs.len() {
        return Err(ExecuteError::LentCount { needed, given });
    }
    let lent = inputs.iter().copied().chain(outputs.iter().map(|output| &**output));
    for ((index, tensor), bytes) in (0..).zip(context.lent_tensors()).zip(lent) {
        let info = context.tensor_at(tensor).map_err(|_| ExecuteError::Internal)?;
        let (needed, given) = (info.size_bytes().unwrap_or(0), bytes.len() as u32);
        if bytes.len() as u64 != u64::from(needed) {
            return Err(ExecuteError::LentLength { index, needed, given });
        }
        if needed != 0 && !(bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
            return Err(ExecuteError::LentMisaligned { index });
        }
    }
    Ok(())
}

/// Checks a method's inputs and outputs.
///
/// # Errors
/// There are too many of them, or one cannot be served.
pub(crate) fn check(context: &Context<'_>) -> Result<(), LoadError> {
    if context.inputs.len() > 32 {
        return Err(LoadError::Unsupported(Unsupported::Inputs));
    }
    check_boundary(context, context.inputs, false)?;
    check_boundary(context, context.outputs, true)?;
    if context.banks.as_slice().len() + context.lent_tensors().count() > MAX_REGIONS {
        return Err(LoadError::Unsupported(Unsupported::Regions));
    }
    Ok(())
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
    context.tensor_at(index).map_err(|cause| OperatorProblem::Argument { position: 0, cause })
}
