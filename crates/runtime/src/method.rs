//! A loaded method: inputs in, execute, outputs out.

use crate::ALIGNMENT;
use crate::error::{ExecuteError, TensorError};
use crate::head::{Head, Record};
use crate::program::Banks;
use cortado_contract::DType;
use cortado_contract::ops::OperatorKind;
use cortado_kernels::memory::{Element, MAX_REGIONS, Region, bytes_of, cast, cast_mut};
use cortado_kernels::operand::LoadedTensor;
use cortado_kernels::{Kernel, Memory};

/// Type and extents of an input or output.
pub type TensorInfo = LoadedTensor;

/// A method that is ready to be executed, over at most `BANKS` banks of memory.
///
/// It is the same for a program that was loaded from a file and for one that was [linked](crate::Linked).
#[derive(Debug)]
pub struct Method<'m, const BANKS: usize = 1> {
    constants: &'m [u8],
    kernels: &'m [Kernel],
    /// See [`crate::head`].
    state: &'m [u32],
    banks: Banks<'m, BANKS>,
    /// One bit per input that must still be set.
    missing_inputs: u32,
    has_outputs: bool,
}

impl<'m, const BANKS: usize> Method<'m, BANKS> {
    /// `state` was prepared for these constants and kernels, and for banks of these sizes.
    pub(crate) fn new(
        constants: &'m [u8],
        kernels: &'m [Kernel],
        state: &'m [u32],
        banks: Banks<'m, BANKS>,
    ) -> Self {
        let missing_inputs = Head(state).planned_inputs();
        Method { constants, kernels, state, banks, missing_inputs, has_outputs: false }
    }

    fn head(&self) -> Head<'m> {
        Head(self.state)
    }

    /// The prepared state, as a compiler writes it into a module.
    pub fn state(&self) -> &'m [u32] {
        self.state
    }

    /// The prepared operators in execution order: the position of each one's kernel, and its words of the state.
    pub fn prepared(&self) -> impl Iterator<Item = (usize, &'m [u32])> {
        let (kernels, mut state) = (self.kernels, self.head().operators());
        core::iter::from_fn(move || {
            let position = (*state.first()? & 0xff) as usize;
            let (words, rest) = state.split_at_checked(kernels.get(position)?.state_words())?;
            state = rest;
            Some((position, words))
        })
    }

    /// The number of inputs.
    pub fn input_count(&self) -> usize {
        self.head().inputs()
    }

    /// The number of outputs.
    pub fn output_count(&self) -> usize {
        self.head().outputs()
    }

    /// Type and extents of an input.
    ///
    /// # Errors
    /// [`TensorError::Index`].
    pub fn input_info(&self, index: usize) -> Result<TensorInfo, TensorError> {
        self.info(self.input(index)?)
    }

    /// Type and extents of an output.
    ///
    /// # Errors
    /// [`TensorError::Index`].
    pub fn output_info(&self, index: usize) -> Result<TensorInfo, TensorError> {
        self.info(self.output_record(index)?)
    }

    /// The memory that the method holds: constants, state and the banks of its arena, as much of each as it uses.
    pub fn memory(&self) -> impl Iterator<Item = &[u8]> {
        let banks = self.banks.0.iter().map(|bank| &**bank);
        [self.constants, bytes_of(self.state)].into_iter().chain(banks)
    }

    /// Types and extents of the inputs and outputs that the caller lends to [`Self::execute_with`], inputs first.
    pub fn lent(&self) -> impl Iterator<Item = TensorInfo> {
        let head = self.head();
        lent(head).filter_map(move |record| head.info(&record))
    }

    /// Whether the caller lends this input's memory to [`Self::execute_with`].
    pub fn is_input_lent(&self, index: usize) -> bool {
        self.head().input(index).is_some_and(|record| is_lent(self.head(), &record))
    }

    /// Whether the caller lends this output's memory to [`Self::execute_with`].
    pub fn is_output_lent(&self, index: usize) -> bool {
        self.head().output(index).is_some_and(|record| is_lent(self.head(), &record))
    }

    /// Copies an input in, in the order of its elements in memory.
    ///
    /// # Errors
    /// See [`TensorError`]; neither the input nor the outputs are changed then.
    pub fn set_input<T: TensorElement>(
        &mut self,
        index: usize,
        values: &[T],
    ) -> Result<(), TensorError> {
        let record = self.input_of(index, T::DTYPE)?;
        let input = cast_mut(self.memory_of(&record)?).ok_or(TensorError::Index)?;
        if input.len() != values.len() {
            let (needed, given) = (input.len() as u32, values.len() as u32);
            return Err(TensorError::Length { needed, given });
        }
        input.copy_from_slice(values);
        self.count_as_set(index);
        Ok(())
    }

    /// An input's memory, for filling it in place; it counts as set from here on.
    ///
    /// # Errors
    /// See [`TensorError`].
    pub fn fill_input<T: TensorElement>(&mut self, index: usize) -> Result<&mut [T], TensorError> {
        let record = self.input_of(index, T::DTYPE)?;
        self.bank(&record)?;
        self.count_as_set(index);
        cast_mut(self.memory_of(&record)?).ok_or(TensorError::Index)
    }

    /// Copies an input's bytes in, in the order of its elements in memory, whatever its element type.
    ///
    /// # Errors
    /// See [`TensorError`], with lengths in bytes; neither the input nor the outputs are changed then.
    pub fn set_input_bytes(&mut self, index: usize, bytes: &[u8]) -> Result<(), TensorError> {
        let record = self.input(index)?;
        let input = self.memory_of(&record)?;
        if input.len() != bytes.len() {
            return Err(TensorError::Length {
                needed: input.len() as u32,
                given: bytes.len() as u32,
            });
        }
        input.copy_from_slice(bytes);
        self.count_as_set(index);
        Ok(())
    }

    /// An input's bytes, for filling them in place whatever its element type; it counts as set from here on.
    ///
    /// # Errors
    /// [`TensorError::Index`].
    pub fn fill_input_bytes(&mut self, index: usize) -> Result<&mut [u8], TensorError> {
        let record = self.input(index)?;
        self.bank(&record)?;
        self.count_as_set(index);
        self.memory_of(&record)
    }

    fn input(&self, index: usize) -> Result<Record, TensorError> {
        self.head().input(index).ok_or(TensorError::Index)
    }

    fn output_record(&self, index: usize) -> Result<Record, TensorError> {
        self.head().output(index).ok_or(TensorError::Index)
    }

    fn info(&self, record: Record) -> Result<TensorInfo, TensorError> {
        self.head().info(&record).ok_or(TensorError::Index)
    }

    /// An input of this element type.
    fn input_of(&self, index: usize, dtype: DType) -> Result<Record, TensorError> {
        let record = self.input(index)?;
        if record.is(dtype) { Ok(record) } else { Err(TensorError::DType) }
    }

    /// Counts an input as set. Outputs may lie in its memory, so they are gone once it is changed.
    fn count_as_set(&mut self, index: usize) {
        // There are at most 32 inputs.
        self.missing_inputs &= !1u32.wrapping_shl(index as u32);
        self.has_outputs = false;
    }

    /// An input's memory.
    fn memory_of(&mut self, record: &Record) -> Result<&mut [u8], TensorError> {
        let bank = self.bank(record)?;
        let bytes = self.banks.0.get_mut(bank).and_then(|bank| bank.get_mut(record.span()));
        bytes.ok_or(TensorError::Index)
    }

    /// The bank that a tensor lies in.
    fn bank(&self, record: &Record) -> Result<usize, TensorError> {
        let region = record.location.region_index().ok_or(TensorError::Index)?;
        if region < self.head().banks() { Ok(region) } else { Err(TensorError::Lent) }
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
        let head = self.head();
        if head.lent() != 0 || !inputs.is_empty() || !outputs.is_empty() {
            check_lent(head, inputs, outputs)?;
        }
        self.missing_inputs = head.planned_inputs();
        self.has_outputs = false;
        let banks = self.banks.0.iter_mut().take(head.banks());
        let given = banks
            .map(|bank| Region::Write(bank))
            .chain(inputs.iter().map(|input| Region::Read(input)))
            .chain(outputs.iter_mut().map(|output| Region::Write(output)));
        let mut regions = [const { Region::Absent }; MAX_REGIONS];
        regions.iter_mut().zip(given).for_each(|(region, given)| *region = given);
        let mut memory = Memory::new(self.constants, regions);
        let mut state = head.operators();
        let mut instruction = 0;
        while let Some(head) = state.first() {
            let kernel = self.kernels.get((*head & 0xff) as usize).ok_or(ExecuteError::Internal)?;
            let words = state.split_at_checked(kernel.state_words());
            let (words, rest) = words.ok_or(ExecuteError::Internal)?;
            kernel.execute(words, &mut memory).map_err(|_| ExecuteError::Internal)?;
            observe(Step { instruction, operator: kernel.kind(), memory: &mut memory });
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
        if !self.output_record(index)?.is(T::DTYPE) {
            return Err(TensorError::DType);
        }
        cast(self.output_bytes(index)?).ok_or(TensorError::Index)
    }

    /// An output's bytes, in the order of its elements in memory.
    ///
    /// # Errors
    /// See [`TensorError`].
    pub fn output_bytes(&self, index: usize) -> Result<&[u8], TensorError> {
        let record = self.output_record(index)?;
        // Lent memory is the caller's, executed or not.
        let memory: &[u8] = if record.location.is_constant() {
            self.constants
        } else {
            self.banks.0.get(self.bank(&record)?).ok_or(TensorError::Index)?
        };
        if !self.has_outputs {
            return Err(TensorError::NotExecuted);
        }
        memory.get(record.span()).ok_or(TensorError::Index)
    }
}

/// Whether an input or output lies in memory that the caller lends.
fn is_lent(head: Head<'_>, record: &Record) -> bool {
    record.location.region_index().is_some_and(|region| region >= head.banks())
}

/// The inputs and outputs that the caller lends, inputs first.
fn lent(head: Head<'_>) -> impl Iterator<Item = Record> {
    let inputs = (0..head.inputs()).filter_map(move |index| head.input(index));
    let outputs = (0..head.outputs()).filter_map(move |index| head.output(index));
    inputs.chain(outputs).filter(move |record| is_lent(head, record))
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

/// Checks the memory that the caller lends against what the program takes.
fn check_lent(head: Head<'_>, inputs: &[&[u8]], outputs: &[&mut [u8]]) -> Result<(), ExecuteError> {
    let given = (inputs.len() + outputs.len()).min(usize::from(u16::MAX)) as u16;
    let needed = head.lent() as u16;
    let lent_inputs = (0..head.inputs()).filter_map(|index| head.input(index));
    let lent_inputs = lent_inputs.filter(|record| is_lent(head, record)).count();
    if needed != given || lent_inputs != inputs.len() {
        return Err(ExecuteError::LentCount { needed, given });
    }
    let bytes = inputs.iter().copied().chain(outputs.iter().map(|output| &**output));
    for ((index, record), bytes) in (0..).zip(lent(head)).zip(bytes) {
        let (needed, given) = (record.bytes, bytes.len() as u32);
        if bytes.len() as u64 != u64::from(needed) {
            return Err(ExecuteError::LentLength { index, needed, given });
        }
        if needed != 0 && !(bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
            return Err(ExecuteError::LentMisaligned { index });
        }
    }
    Ok(())
}
