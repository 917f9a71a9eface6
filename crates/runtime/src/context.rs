//! A program's method, as loading looks at it: instructions with their operators, and tensors with their memory.

use crate::error::{ArgumentCause, LoadError, Unsupported};
use crate::lifetimes::Note;
use crate::operators::{Loader, Operators, refusal};
use core::cell::Cell;
use cortado_contract::DType;
use cortado_kernels::memory::{Location, MAX_REGIONS};
use cortado_kernels::operand::{LoadedTensor, MAX_RANK};
use cortado_pte::{Allocation, Instruction, Plan, Scalars, ShapeDynamism, Storage, Tensor, Vector};

/// A method of a program, and what its tensors' memory is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'p> {
    /// The part of the file that constants lie in.
    pub(crate) constants: &'p [u8],
    pub(crate) program: cortado_pte::Program<'p>,
    pub(crate) plan: Plan<'p>,
    pub(crate) inputs: Scalars<'p, i32>,
    pub(crate) outputs: Scalars<'p, i32>,
    pub(crate) banks: BankSizes,
    instructions: Vector<'p, Instruction<'p>>,
    names: Vector<'p, cortado_pte::Operator<'p>>,
    /// What there is to choose from.
    pub(crate) operators: Operators<'p>,
    /// What has been found out about each value's memory, as far as there is room to note it down: none at first.
    pub(crate) notes: &'p [Cell<[u32; 2]>],
    /// The positions of the file's operators among those, one more than they are; 0 where one must be looked up.
    positions: [u8; KNOWN_OPERATORS],
}

/// A call of an operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'p> {
    /// The operator's position in the set.
    pub(crate) position: u8,
    pub(crate) loader: &'p Loader,
    /// The arguments, as indices of values.
    pub(crate) indices: Scalars<'p, i32>,
}

/// Bytes of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    region: u8,
    start: u32,
    end: u32,
}

impl Span {
    const REGION_SHIFT: u32 = Location::REGION_BYTES_MAX.trailing_zeros();

    /// Region and start, of which the top bit is 0, and the end.
    pub(crate) fn pack(self) -> (u32, u32) {
        (u32::from(self.region) << Self::REGION_SHIFT | self.start, self.end)
    }

    /// What [`Self::pack`] gave.
    pub(crate) fn unpack(place: u32, end: u32) -> Span {
        let start = place & (Location::REGION_BYTES_MAX - 1);
        Span { region: (place >> Self::REGION_SHIFT) as u8, start, end }
    }

    /// Whether both have a byte in common.
    pub(crate) fn overlaps(&self, other: &Span) -> bool {
        self.region == other.region && self.start < other.end && other.start < self.end
    }
}

/// Operators beyond these are looked up by name for each instruction.
const KNOWN_OPERATORS: usize = 32;
const _: () = assert!(Operators::COUNT_MAX <= u8::MAX as usize);

impl<'p> Context<'p> {
    /// The first method of a program, whose instructions and operators have not been looked at yet.
    ///
    /// # Errors
    /// See [`LoadError`]: parts of the format that this runtime does not have.
    pub(crate) fn new(
        constants: &'p [u8],
        program: cortado_pte::Program<'p>,
        operators: Operators<'p>,
    ) -> Result<Self, LoadError> {
        let plan = program.plans()?.get(0)?;
        let chains = plan.chains()?;
        if chains.len() != 1 {
            return Err(LoadError::Unsupported(Unsupported::Chains));
        }
        if !plan.delegates()?.is_empty() {
            return Err(LoadError::Unsupported(Unsupported::Delegates));
        }
        let names = plan.operators()?;
        let mut positions = [0; KNOWN_OPERATORS];
        for (position, name) in positions.iter_mut().zip(names.iter()) {
            // The last of them would not fit, and is looked up each time.
            *position = operators.find(&name?).map_or(0, |(found, _)| found.wrapping_add(1));
        }
        Ok(Context {
            constants,
            program,
            plan,
            inputs: plan.inputs()?,
            outputs: plan.outputs()?,
            banks: BankSizes::of(&plan)?,
            instructions: plan.instructions(0)?,
            names,
            operators,
            notes: &[],
            positions,
        })
    }

    /// Calls `visit` with each instruction's position and call.
    ///
    /// # Errors
    /// An instruction that is no call of an operator of the set, or what `visit` returns.
    pub(crate) fn for_each_call(
        &self,
        mut visit: impl FnMut(u16, Call<'p>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        let count = u16::try_from(self.instructions.len());
        let count = count.map_err(|_| LoadError::Unsupported(Unsupported::Instructions))?;
        for index in 0..count {
            visit(index, self.call(index)?)?;
        }
        Ok(())
    }

    /// An instruction's call.
    ///
    /// # Errors
    /// It is no call of an operator of the set.
    pub(crate) fn call(&self, index: u16) -> Result<Call<'p>, LoadError> {
        let instruction = self.instructions.get(usize::from(index))?;
        let Instruction::KernelCall { op_index, args } = instruction else {
            return Err(LoadError::Unsupported(Unsupported::Instruction(index)));
        };
        let op_index = op_index as u32 as usize;
        let known = self.positions.get(op_index).and_then(|position| position.checked_sub(1));
        let known = known.and_then(|position| Some((position, self.operators.loader(position)?)));
        let (position, loader) = match known {
            Some(known) => known,
            None => {
                let name = self.names.get(op_index)?;
                self.operators.find(&name).ok_or_else(|| {
                    let (operator, problem) = refusal(&name);
                    LoadError::Operator { instruction: index, operator, problem }
                })?
            }
        };
        Ok(Call { position, loader, indices: args })
    }
}

impl Context<'_> {
    /// The bytes of a tensor with its value index; `None` for a constant, for one without elements, and for what cannot be read.
    pub(crate) fn span(&self, index: i32, tensor: &Tensor<'_>) -> Option<Span> {
        if matches!(tensor.storage().ok()?, Storage::Constant { .. }) {
            return None;
        }
        let dtype = DType::from_scalar_type(i64::from(tensor.scalar_type().ok()?.0))?;
        let mut bytes = dtype.size_bytes();
        for size in tensor.sizes().ok()?.iter() {
            bytes = bytes.checked_mul(u32::try_from(size).ok()?)?;
        }
        span(self.location(index, tensor, bytes).ok()?, bytes)
    }

    /// What is noted down about a value.
    pub(crate) fn known_note(&self, index: i32) -> Option<Note> {
        Note::unpack(self.notes.get(index as u32 as usize)?.get())
    }

    /// Notes something down about a value, where there is room.
    pub(crate) fn set_note(&self, index: i32, note: Note) {
        if let Some(cell) = self.notes.get(index as u32 as usize) {
            cell.set(note.pack());
        }
    }

    /// The tensor with this value index; see [`Self::tensor`].
    pub(crate) fn tensor_at(&self, index: i32) -> Result<LoadedTensor, ArgumentCause> {
        self.tensor(index, &self.plan.tensor(index).map_err(ArgumentCause::Format)?)
    }

    /// The same for a tensor that was looked up.
    fn tensor(&self, index: i32, tensor: &Tensor<'_>) -> Result<LoadedTensor, ArgumentCause> {
        let mut loaded = LoadedTensor::NOTHING;
        self.read_tensor(index, tensor, &mut loaded)?;
        Ok(loaded)
    }

    /// Reads a tensor with its memory, all of which lies inside of its region or the file and is aligned, into one that is
    /// [nothing](LoadedTensor::NOTHING).
    #[inline(never)]
    pub(crate) fn read_tensor(
        &self,
        index: i32,
        tensor: &Tensor<'_>,
        loaded: &mut LoadedTensor,
    ) -> Result<(), ArgumentCause> {
        let code = tensor.scalar_type().map_err(ArgumentCause::Format)?;
        loaded.dtype = DType::from_scalar_type(i64::from(code.0)).ok_or(ArgumentCause::DType)?;
        read_extents(tensor, loaded)?;
        let size = loaded
            .size_bytes()
            .filter(|size| *size <= i32::MAX as u32)
            .ok_or(ArgumentCause::Extent)?;
        loaded.location = self.location(index, tensor, size)?;
        let alignment = loaded.dtype.size_bytes() as usize;
        if !loaded.location.offset_bytes().is_multiple_of(alignment) {
            return Err(ArgumentCause::Misaligned);
        }
        self.set_note(index, span(loaded.location, size).map_or(Note::Nothing, Note::Tensor));
        Ok(())
    }

    fn location(
        &self,
        index: i32,
        tensor: &Tensor<'_>,
        size: u32,
    ) -> Result<Location, ArgumentCause> {
        let format = ArgumentCause::Format;
        let is_dynamic = tensor.shape_dynamism().map_err(format)? != ShapeDynamism::Static;
        if is_dynamic || tensor.storage_offset().map_err(format)? != 0 {
            return Err(ArgumentCause::Unsupported);
        }
        match tensor.storage().map_err(format)? {
            Storage::Given => self.lent(index),
            Storage::Planned(allocation) => self.planned(allocation, size),
            Storage::Constant { buffer } => self.constant(buffer, size),
            Storage::Initialized { .. } | Storage::External { .. } => {
                Err(ArgumentCause::Unsupported)
            }
        }
    }

    fn planned(&self, allocation: Allocation, size: u32) -> Result<Location, ArgumentCause> {
        let offset = u32::try_from(allocation.offset).map_err(|_| ArgumentCause::OutOfArena)?;
        let end = offset.checked_add(size).ok_or(ArgumentCause::OutOfArena)?;
        let bank = (allocation.memory_id as usize).wrapping_sub(1);
        match self.banks.as_slice().get(bank) {
            Some(bytes) if end <= *bytes => {
                Location::region(bank, offset).ok_or(ArgumentCause::OutOfArena)
            }
            _ => Err(ArgumentCause::OutOfArena),
        }
    }

    /// The region of an input or output that the caller lends: those of the inputs follow the banks, then those of the outputs.
    fn lent(&self, index: i32) -> Result<Location, ArgumentCause> {
        let is_input = self.inputs.iter().any(|input| input == index);
        if is_input && self.outputs.iter().any(|output| output == index) {
            return Err(ArgumentCause::LentTwice);
        }
        let position = self.lent_tensors().position(|lent| lent == index);
        let region = self.banks.as_slice().len() + position.ok_or(ArgumentCause::NoMemory)?;
        Location::region(region, 0).ok_or(ArgumentCause::NoMemory)
    }

    /// The value indices of the inputs that the caller lends, then of the outputs.
    pub(crate) fn lent_tensors(&self) -> impl Iterator<Item = i32> {
        let plan = self.plan;
        self.inputs.iter().chain(self.outputs.iter()).filter(move |index| {
            let storage = plan.tensor(*index).and_then(|tensor| tensor.storage());
            matches!(storage, Ok(Storage::Given))
        })
    }

    fn constant(&self, buffer: u32, size: u32) -> Result<Location, ArgumentCause> {
        let data = self.program.constant(buffer).map_err(ArgumentCause::Format)?;
        if (data.len() as u64) < u64::from(size) {
            return Err(ArgumentCause::OutOfFile);
        }
        // `data` is a part of it, so the difference of both addresses is its offset.
        let offset = (data.as_ptr() as usize).wrapping_sub(self.constants.as_ptr() as usize);
        let offset = u32::try_from(offset).map_err(|_| ArgumentCause::OutOfFile)?;
        Location::program(offset).ok_or(ArgumentCause::OutOfFile)
    }
}

/// The bytes at a location; `None` for a constant, and where there are none.
fn span(location: Location, bytes: u32) -> Option<Span> {
    let start = location.offset_bytes() as u32;
    let region = location.region_index()? as u8;
    (bytes > 0).then_some(Span { region, start, end: start.checked_add(bytes)? })
}

/// Reads the extents and the order of axes, a permutation of `0..rank`, into their places: copies of so many bytes cost more than
/// everything else there is to a tensor.
fn read_extents(tensor: &Tensor<'_>, loaded: &mut LoadedTensor) -> Result<(), ArgumentCause> {
    let sizes = tensor.sizes().map_err(ArgumentCause::Format)?;
    let rank = sizes.len();
    if rank > MAX_RANK {
        return Err(ArgumentCause::Extent);
    }
    for (dim, size) in loaded.dims.iter_mut().zip(sizes.iter()) {
        *dim = u32::try_from(size).map_err(|_| ArgumentCause::Extent)?;
    }
    let order = tensor.dim_order().map_err(ArgumentCause::Format)?;
    if order.len() != rank {
        return Err(ArgumentCause::DimOrder);
    }
    let mut seen = 0u32;
    for (copy, axis) in loaded.dim_order.iter_mut().zip(order) {
        *copy = *axis;
        seen |= 1u32.checked_shl(u32::from(*axis)).unwrap_or(0);
    }
    loaded.rank = rank as u8;
    if seen == (1 << rank) - 1 { Ok(()) } else { Err(ArgumentCause::DimOrder) }
}

/// The sizes of the planned buffers. ExecuTorch counts them from 1; bank 0 is its buffer 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BankSizes {
    sizes: [u32; MAX_REGIONS],
    count: u8,
}

impl BankSizes {
    /// Entry 0 of the file's list is reserved.
    pub(crate) fn of(plan: &Plan<'_>) -> Result<BankSizes, LoadError> {
        let unsupported = LoadError::Unsupported(Unsupported::Regions);
        let mut banks = BankSizes::default();
        for size in plan.non_const_buffer_sizes()?.iter().skip(1) {
            let slot = banks.sizes.get_mut(usize::from(banks.count)).ok_or(unsupported)?;
            let size = u32::try_from(size).ok();
            *slot = size.filter(|size| *size <= Location::REGION_BYTES_MAX).ok_or(unsupported)?;
            banks.count += 1;
        }
        Ok(banks)
    }

    /// So many banks, of these bytes each.
    pub(crate) fn from_fn(count: usize, bytes: impl Fn(usize) -> u32) -> BankSizes {
        let mut banks = BankSizes { count: count.min(MAX_REGIONS) as u8, ..BankSizes::default() };
        let sizes = banks.sizes.iter_mut().take(count).enumerate();
        sizes.for_each(|(bank, size)| *size = bytes(bank));
        banks
    }

    /// The bytes of each bank.
    pub fn as_slice(&self) -> &[u32] {
        self.sizes.get(..usize::from(self.count)).unwrap_or(&[])
    }

    /// The bytes of all banks together, each of them a multiple of [`crate::ALIGNMENT`]: what [`crate::Banks::split`] takes.
    pub fn total_bytes(&self) -> u32 {
        // At most eight times 256 MiB.
        self.as_slice().iter().map(|size| size.next_multiple_of(crate::ALIGNMENT as u32)).sum()
    }
}
