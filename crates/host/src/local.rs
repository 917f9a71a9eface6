//! Programs on this machine, with the portable models of a target's kernels.

use crate::samples::{Outputs, Samples, SamplesError, Signature};
use cortado_contract::Isa;
use cortado_runtime::{
    ALIGNMENT, Banks, ExecuteError, LayoutPolicy, LoadError, MAX_REGIONS, Operators, Program, Step,
    TensorError, TensorInfo, arch,
};
use std::fmt;

/// Bytes that start at a multiple of [`ALIGNMENT`].
#[derive(Debug)]
pub struct AlignedBytes {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBytes {
    /// Bytes that are all 0.
    pub fn zeroed(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        AlignedBytes { memory, start, length }
    }

    /// Bytes that are all this one.
    pub fn filled(length: usize, byte: u8) -> Self {
        let mut aligned = AlignedBytes::zeroed(length);
        aligned.as_mut().fill(byte);
        aligned
    }

    /// A copy of these bytes.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut aligned = AlignedBytes::zeroed(bytes.len());
        aligned.as_mut().copy_from_slice(bytes);
        aligned
    }
}

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.start..][..self.length]
    }
}

impl AsMut<[u8]> for AlignedBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.length]
    }
}

/// What memory holds that nobody has written.
pub const POISON: u8 = 0xa5;

/// Arenas above this size are left zeroed instead of poisoned: a file may ask for 2 GiB and use none of it, and memory that nobody
/// touches costs nothing.
const POISONED_BYTES_MAX: u32 = 256 << 20;

/// A method of a program with any number of banks.
pub type Method<'m> = cortado_runtime::Method<'m, MAX_REGIONS>;

/// Every operator, with the portable models of an instruction set's kernels.
pub fn operators(isa: Isa) -> Operators<'static> {
    match isa {
        Isa::Scalar => Operators::all::<arch::Scalar>(),
        Isa::Dsp => Operators::all::<arch::Dsp>(),
        Isa::Mve => Operators::all::<arch::Mve>(),
    }
}

/// Loads a program with the kernels of an instruction set and hands the method to `visit`.
///
/// # Errors
/// Why the program cannot be loaded.
pub fn with_method<T>(
    file: &AlignedBytes,
    isa: Isa,
    policy: LayoutPolicy,
    visit: impl FnOnce(Method<'_>) -> T,
) -> Result<T, LoadError> {
    let program = Program::parse(file.as_ref())?;
    let requirements = program.requirements()?;
    let mut state = vec![0; requirements.state_words as usize];
    // No program may depend on what is in the arena before it is written.
    let bytes = requirements.arena_bytes;
    let mut arena = match bytes > POISONED_BYTES_MAX {
        true => AlignedBytes::zeroed(bytes as usize),
        false => AlignedBytes::filled(bytes as usize, POISON),
    };
    let arena = Banks::split(arena.as_mut(), &requirements.banks).unwrap_or_default();
    program.load_with(&operators(isa), policy, &mut state, arena).map(visit)
}

/// The memory of those inputs and outputs that a program takes from its caller.
#[derive(Debug)]
pub struct Lent {
    /// By position; `None` for those that the method has memory for.
    inputs: Vec<Option<AlignedBytes>>,
    outputs: Vec<Option<AlignedBytes>>,
}

impl Lent {
    /// Memory for a method.
    pub fn new(method: &Method<'_>) -> Self {
        let memory = |info: Result<TensorInfo, TensorError>| {
            let bytes = info.ok().and_then(|info| info.size_bytes());
            AlignedBytes::zeroed(bytes.unwrap_or(0) as usize)
        };
        let inputs = (0..method.input_count())
            .map(|index| method.is_input_lent(index).then(|| memory(method.input_info(index))));
        let outputs = (0..method.output_count())
            .map(|index| method.is_output_lent(index).then(|| memory(method.output_info(index))));
        Lent { inputs: inputs.collect(), outputs: outputs.collect() }
    }

    /// Sets an input, wherever its memory is.
    ///
    /// # Errors
    /// See [`Method::set_input_bytes`].
    pub fn set_input(
        &mut self,
        method: &mut Method<'_>,
        position: usize,
        bytes: &[u8],
    ) -> Result<(), TensorError> {
        let Some(Some(input)) = self.inputs.get_mut(position) else {
            return method.set_input_bytes(position, bytes);
        };
        let (needed, given) = (input.length as u32, bytes.len() as u32);
        if needed != given {
            return Err(TensorError::Length { needed, given });
        }
        input.as_mut().copy_from_slice(bytes);
        Ok(())
    }

    /// Executes a method once.
    ///
    /// # Errors
    /// See [`Method::execute_with`].
    pub fn execute(&mut self, method: &mut Method<'_>) -> Result<(), ExecuteError> {
        self.execute_observed(method, |_| {})
    }

    /// Executes a method once, and calls `observe` after each instruction.
    ///
    /// # Errors
    /// See [`Method::execute_observed`].
    pub fn execute_observed(
        &mut self,
        method: &mut Method<'_>,
        observe: impl FnMut(Step<'_, '_>),
    ) -> Result<(), ExecuteError> {
        let inputs: Vec<&[u8]> = self.inputs.iter().flatten().map(AsRef::as_ref).collect();
        let mut outputs: Vec<&mut [u8]> =
            self.outputs.iter_mut().flatten().map(AsMut::as_mut).collect();
        method.execute_observed(&inputs, &mut outputs, observe)
    }

    /// An output, wherever its memory is.
    ///
    /// # Errors
    /// See [`Method::output_bytes`].
    pub fn output<'s>(
        &'s self,
        method: &'s Method<'_>,
        position: usize,
    ) -> Result<&'s [u8], TensorError> {
        match self.outputs.get(position) {
            Some(Some(output)) => Ok(output.as_ref()),
            _ => method.output_bytes(position),
        }
    }
}

/// Types, extents and memory orders of a program's inputs and outputs.
#[derive(Clone, Debug)]
pub struct Boundary {
    /// The inputs.
    pub inputs: Vec<Signature>,
    /// The outputs.
    pub outputs: Vec<Signature>,
}

/// Reads a program's boundary. The constant form plays no part in it.
///
/// # Errors
/// Why the program cannot be loaded.
pub fn boundary(file: &AlignedBytes) -> Result<Boundary, LoadError> {
    with_method(file, Isa::Scalar, LayoutPolicy::Adapt, |method| {
        let inputs = (0..method.input_count()).filter_map(|index| method.input_info(index).ok());
        let outputs = (0..method.output_count()).filter_map(|index| method.output_info(index).ok());
        Boundary {
            inputs: inputs.map(Signature::from).collect(),
            outputs: outputs.map(Signature::from).collect(),
        }
    })
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The program cannot be loaded.
    Load(LoadError),
    /// An execution failed.
    Execute(ExecuteError),
    /// An input or output is refused.
    Tensor(TensorError),
    /// The samples do not fit the program.
    Samples(SamplesError),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Load(error) => error.fmt(f),
            RunError::Execute(error) => error.fmt(f),
            RunError::Tensor(error) => error.fmt(f),
            RunError::Samples(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunError {}

/// Runs a program on all samples, with the kernels of an instruction set. `done` is called after each sample.
///
/// # Errors
/// See [`RunError`].
pub fn run(
    file: &AlignedBytes,
    isa: Isa,
    policy: LayoutPolicy,
    samples: &Samples,
    mut done: impl FnMut(),
) -> Result<Outputs, RunError> {
    let run = |mut method: Method<'_>| {
        let signatures: Result<Vec<Signature>, TensorError> = (0..method.output_count())
            .map(|index| method.output_info(index).map(Signature::from))
            .collect();
        let mut outputs = Outputs::new(signatures.map_err(RunError::Tensor)?);
        let mut lent = Lent::new(&method);
        for index in 0..samples.len() {
            for (position, bytes) in samples.sample(index).enumerate() {
                lent.set_input(&mut method, position, &bytes).map_err(RunError::Tensor)?;
            }
            lent.execute(&mut method).map_err(RunError::Execute)?;
            for position in 0..method.output_count() {
                let bytes = lent.output(&method, position).map_err(RunError::Tensor)?;
                outputs.push(position, bytes);
            }
            done();
        }
        Ok(outputs)
    };
    with_method(file, isa, policy, run).map_err(RunError::Load)?
}
