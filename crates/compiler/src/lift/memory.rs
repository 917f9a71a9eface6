//! Who is where in memory, call by call.

use super::{LiftError, Overlap, arguments};
use crate::lowered::{Buffer, BufferId, BufferKind, Lowered, LoweredDomain, LoweredTensor};
use cortado_contract::DType;
use cortado_contract::ops::{Operator, OperatorKind};
use cortado_kernels::operand::MAX_RANK;
use cortado_pte::ShapeDynamism;
use cortado_pte::owned::{Plan, Tensor, TensorLocation, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Where the file has a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The planned memory, from 1.
    pub memory_id: u32,
    /// The offset into it.
    pub offset_bytes: u64,
    /// The size.
    pub size_bytes: u64,
}

impl Place {
    /// The offset of the first byte behind the buffer.
    pub fn end(&self) -> u64 {
        self.offset_bytes + self.size_bytes
    }

    /// Whether both have a byte in common.
    pub fn overlaps(&self, other: &Place) -> bool {
        self.memory_id == other.memory_id
            && self.offset_bytes < other.end()
            && other.offset_bytes < self.end()
    }
}

/// What a file may unfold to, in bytes of constants and items of lists: this much, and as much for each of its bytes. Parts of a
/// file may be referred to many times over; no compiler comes near this.
const UNFOLDED_MAX: usize = 16 << 20;
const UNFOLDED_PER_BYTE: usize = 64;

/// The program under construction.
pub(super) struct Lifter<'p> {
    view: &'p cortado_pte::Program<'p>,
    plan: &'p Plan,
    pub(super) program: Lowered,
    pub(super) places: Vec<Option<Place>>,
    pub(super) overlaps: Vec<Overlap>,
    values: Vec<Known>,
    /// The buffers that have memory now, by their place's start; no two overlap.
    live: BTreeMap<(u32, u64), (u64, BufferId)>,
    /// The constants so far, by index and size.
    constants: HashMap<(u32, u64), BufferId>,
    budget: usize,
}

/// What is known of a value.
#[derive(Clone, Copy, Default)]
struct Known {
    buffer: Option<BufferId>,
    /// The last call that wrote it, counted from 1; 0 for an input.
    written: Option<usize>,
}

/// A tensor of the file, checked.
struct Checked {
    dtype: DType,
    shape: Vec<u32>,
    dim_order: Vec<u8>,
    size_bytes: u64,
    memory: Memory,
}

enum Memory {
    Constant(u32),
    Planned(Place),
    Given,
}

impl<'p> Lifter<'p> {
    pub(super) fn new(
        view: &'p cortado_pte::Program<'p>,
        plan: &'p Plan,
        file_bytes: usize,
    ) -> Self {
        Lifter {
            view,
            plan,
            program: Lowered::default(),
            places: Vec::new(),
            overlaps: Vec::new(),
            values: vec![Known::default(); plan.values.len()],
            live: BTreeMap::new(),
            constants: HashMap::new(),
            budget: UNFOLDED_MAX.saturating_add(file_bytes.saturating_mul(UNFOLDED_PER_BYTE)),
        }
    }

    pub(super) fn inputs(&mut self, names: &[String]) -> Result<(), LiftError> {
        for (index, value) in self.plan.inputs.iter().enumerate() {
            let name = names.get(index).cloned().unwrap_or_default();
            let buffer = self.write(*value, 0, name).map_err(|what| LiftError::Boundary {
                side: "input",
                index,
                what,
            })?;
            self.program.inputs.push(buffer.id);
        }
        Ok(())
    }

    pub(super) fn outputs(&mut self) -> Result<(), LiftError> {
        for (index, value) in self.plan.outputs.iter().enumerate() {
            let tensor = self.read(*value).map_err(|what| LiftError::Boundary {
                side: "output",
                index,
                what,
            })?;
            self.program.outputs.push(tensor.id);
        }
        Ok(())
    }

    /// Reads the arguments of a call.
    pub(super) fn call(
        &mut self,
        index: usize,
        kind: OperatorKind,
        args: &[i32],
    ) -> Result<Operator<LoweredDomain>, LiftError> {
        let mut reader = arguments::Arguments::new(self, index, kind, args);
        let operator = Operator::decode(kind, &mut reader);
        let operands = reader.into_operands();
        let operator = operator.map_err(|what| LiftError::Call {
            instruction: index,
            operator: kind.name(),
            what,
        })?;
        self.note_overlaps(index, &operands);
        Ok(operator)
    }

    fn note_overlaps(&mut self, call: usize, operands: &[arguments::Operand]) {
        let place = |id: BufferId| self.places.get(self.program.storage(id).0).copied().flatten();
        for (position, written) in operands.iter().enumerate().filter(|(_, it)| it.is_written) {
            for (at, other) in operands.iter().enumerate() {
                // Of two that are written, the later one counts.
                if at == position || other.is_written && at > position {
                    continue;
                }
                if let (Some(a), Some(b)) = (place(written.id), place(other.id))
                    && a.overlaps(&b)
                {
                    let (written, other) = (written.name, other.name);
                    self.overlaps.push(Overlap { call, written, other, is_whole: a == b });
                }
            }
        }
    }

    /// A value of the plan.
    pub(super) fn value(&self, index: i32) -> Result<&'p Value, String> {
        let value = usize::try_from(index).ok().and_then(|at| self.plan.values.get(at));
        value.ok_or_else(|| format!("there is no value {index}"))
    }

    /// Counts what the file unfolds to.
    pub(super) fn spend(&mut self, units: usize) -> Result<(), String> {
        let left = self.budget.checked_sub(units);
        self.budget = left.ok_or("the program unfolds to far more than the size of its file")?;
        Ok(())
    }

    fn known(&mut self, index: i32) -> &mut Known {
        // `value` has looked at the index.
        &mut self.values[index as usize]
    }

    /// The tensor that a value holds now.
    pub(super) fn read(&mut self, index: i32) -> Result<LoweredTensor, String> {
        let Value::Tensor(tensor) = self.value(index)? else {
            return Err("it is no tensor".to_owned());
        };
        self.spend(1)?;
        let checked = self.check(tensor)?;
        let known = *self.known(index);
        let id = match checked.memory {
            Memory::Constant(buffer) => match known.buffer {
                Some(id) => id,
                None => self.constant(index, buffer, checked)?,
            },
            Memory::Given => known.buffer.ok_or("nothing has written it")?,
            Memory::Planned(place) => self.planned(index, known, place, checked)?,
        };
        self.known(index).buffer = Some(id);
        Ok(self.program.tensor(id))
    }

    /// The tensor that is at a place now.
    fn planned(
        &mut self,
        index: i32,
        known: Known,
        place: Place,
        checked: Checked,
    ) -> Result<BufferId, String> {
        let there = self.live.get(&(place.memory_id, place.offset_bytes)).copied();
        if place.size_bytes == 0 {
            return match known.buffer {
                Some(id) => Ok(id),
                None => Ok(self.add(index, checked, BufferKind::Activation, Some(place))),
            };
        }
        let storage = there.filter(|(end, _)| *end == place.end()).map(|(_, id)| id);
        if let (Some(id), Some(storage)) = (known.buffer, storage)
            && self.program.storage(id) == storage
        {
            return Ok(id);
        }
        if known.written.is_some() {
            return Err(format!(
                "its memory ({}) was given to another tensor before it was read",
                describe(place)
            ));
        }
        let Some(storage) = storage else {
            let what = if self.neighbours(place).is_empty() {
                "nothing has written its memory"
            } else {
                "its memory is a part of another tensor's, or of several"
            };
            return Err(format!("{what} ({})", describe(place)));
        };
        Ok(self.add(index, checked, BufferKind::View(storage), Some(place)))
    }

    /// The starts of all buffers that have a byte in common with a place.
    fn neighbours(&self, place: Place) -> Vec<(u32, u64)> {
        let before = (place.memory_id, 0)..(place.memory_id, place.end());
        let starts = self.live.range(before).rev();
        // Buffers do not overlap, so further ones end earlier.
        starts
            .take_while(|(_, (end, _))| *end > place.offset_bytes)
            .map(|(start, _)| *start)
            .collect()
    }

    /// A new tensor in a value's memory; those that were there end.
    pub(super) fn write(
        &mut self,
        index: i32,
        time: usize,
        name: String,
    ) -> Result<LoweredTensor, String> {
        let Value::Tensor(tensor) = self.value(index)? else {
            return Err("it is no tensor".to_owned());
        };
        let checked = self.check(tensor)?;
        let place = match checked.memory {
            Memory::Constant(_) => {
                return Err("it is a constant, which nothing may write".to_owned());
            }
            Memory::Planned(place) => Some(place),
            Memory::Given => None,
        };
        if let Some(place) = place {
            for start in self.neighbours(place) {
                self.live.remove(&start);
            }
        }
        let id = self.add_named(name, checked, BufferKind::Activation, place);
        if let Some(place) = place.filter(|place| place.size_bytes > 0) {
            self.live.insert((place.memory_id, place.offset_bytes), (place.end(), id));
        }
        *self.known(index) = Known { buffer: Some(id), written: Some(time) };
        Ok(self.program.tensor(id))
    }

    fn constant(&mut self, index: i32, buffer: u32, checked: Checked) -> Result<BufferId, String> {
        let key = (buffer, checked.size_bytes);
        if let Some(id) = self.constants.get(&key) {
            return Ok(self.add(index, checked, BufferKind::View(*id), None));
        }
        let data = self.view.constant(buffer).map_err(|error| error.to_string())?;
        let data = usize::try_from(checked.size_bytes).ok().and_then(|size| data.get(..size));
        let data: Arc<[u8]> = data.ok_or("it ends outside of the file")?.into();
        self.spend(data.len())?;
        let id = self.add(index, checked, BufferKind::Constant(data), None);
        self.constants.insert(key, id);
        Ok(id)
    }

    fn add(
        &mut self,
        index: i32,
        checked: Checked,
        kind: BufferKind,
        place: Option<Place>,
    ) -> BufferId {
        self.add_named(format!("value{index}"), checked, kind, place)
    }

    fn add_named(
        &mut self,
        name: String,
        checked: Checked,
        kind: BufferKind,
        place: Option<Place>,
    ) -> BufferId {
        let Checked { dtype, shape, dim_order, .. } = checked;
        self.places.push(place);
        self.program.add(Buffer { name, dtype, shape, dim_order, kind })
    }

    /// Type, extents and memory of a tensor, as the loader checks them.
    fn check(&self, tensor: &Tensor) -> Result<Checked, String> {
        let code = i64::from(tensor.scalar_type.0);
        let dtype = DType::from_scalar_type(code).ok_or_else(|| {
            let name =
                tensor.scalar_type.name().map_or_else(|| format!("code {code}"), str::to_owned);
            format!("it has the element type {name}, which Cortado does not have")
        })?;
        let shape: Option<Vec<u32>> =
            tensor.sizes.iter().map(|size| u32::try_from(*size).ok()).collect();
        let shape = shape.filter(|shape| shape.len() <= MAX_RANK).ok_or_else(|| {
            format!(
                "it has the extents {:?}; at most {MAX_RANK} that are not negative are supported",
                tensor.sizes
            )
        })?;
        let mut sorted = tensor.dim_order.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..shape.len() as u8) {
            return Err(format!("its order of axes {:?} is no permutation", tensor.dim_order));
        }
        let size_bytes = shape
            .iter()
            .try_fold(u64::from(dtype.size_bytes()), |size, extent| {
                size.checked_mul(u64::from(*extent))
            })
            .filter(|size| *size <= i32::MAX as u64)
            .ok_or("it has more than 2 GiB")?;
        if tensor.shape_dynamism != ShapeDynamism::Static {
            return Err("its shape is dynamic".to_owned());
        }
        if tensor.storage_offset != 0 {
            return Err("it has a storage offset".to_owned());
        }
        let memory = self.memory(tensor, size_bytes)?;
        let dim_order = tensor.dim_order.clone();
        Ok(Checked { dtype, shape, dim_order, size_bytes, memory })
    }

    fn memory(&self, tensor: &Tensor, size_bytes: u64) -> Result<Memory, String> {
        let info = tensor.extra_tensor_info.as_ref();
        if info.is_some_and(|info| info.location == TensorLocation::External) {
            return Err("its data is outside of the file".to_owned());
        }
        let Some(allocation) = tensor.allocation else {
            return Ok(match tensor.data_buffer_idx {
                0 => Memory::Given,
                buffer => Memory::Constant(buffer),
            });
        };
        if tensor.data_buffer_idx != 0 {
            return Err("its memory is planned and has initial data".to_owned());
        }
        let place =
            Place { memory_id: allocation.memory_id, offset_bytes: allocation.offset, size_bytes };
        let size = self.plan.non_const_buffer_sizes.get(place.memory_id as usize);
        let size = size.and_then(|size| u64::try_from(*size).ok()).filter(|_| place.memory_id > 0);
        let end = place.offset_bytes.checked_add(size_bytes);
        match (size, end) {
            (Some(size), Some(end)) if end <= size => Ok(Memory::Planned(place)),
            _ => Err("it lies outside of the planned memory".to_owned()),
        }
    }
}

fn describe(place: Place) -> String {
    format!("memory {}, bytes {} to {}", place.memory_id, place.offset_bytes, place.end())
}
