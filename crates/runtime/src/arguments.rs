//! An instruction's arguments, read from the file and checked.

use crate::error::{ArgumentCause, OperatorProblem};
use core::marker::PhantomData;
use cortado_contract::DType;
use cortado_contract::value::{ArgumentReader, IntArgument, IntList, TensorList, TextArgument};
use cortado_kernels::memory::Location;
use cortado_kernels::operand::{Lists, Loaded, LoadedTensor, MAX_RANK};
use cortado_pte::{Allocation, Plan, Scalars, ShapeDynamism, Storage, Tensor, Value};

/// What a tensor's memory is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'p> {
    pub(crate) file: &'p [u8],
    pub(crate) program: cortado_pte::Program<'p>,
    pub(crate) plan: Plan<'p>,
    /// The size of the planned buffer.
    pub(crate) arena_bytes: u32,
}

/// An `int[]` in the file, each item of which is the index of an integer value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileInts<'p> {
    plan: Plan<'p>,
    items: Scalars<'p, i64>,
}

impl IntList for FileInts<'_> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn get(&self, index: usize) -> Option<i64> {
        match self.plan.value(i32::try_from(self.items.get(index)?).ok()?) {
            Ok(Value::Int(value)) => Some(value),
            _ => None,
        }
    }
}

/// A `Tensor[]` in the file, each item of which is the index of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileTensors<'p> {
    context: Context<'p>,
    items: Scalars<'p, i32>,
}

impl TensorList<LoadedTensor> for FileTensors<'_> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn get(&self, index: usize) -> Option<LoadedTensor> {
        let tensor = self.context.plan.tensor(self.items.get(index)?).ok()?;
        self.context.tensor(&tensor).ok()
    }
}

/// What stands for lists in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileLists<'p>(PhantomData<&'p ()>);

impl<'p> Lists for FileLists<'p> {
    type Ints = FileInts<'p>;
    type Tensors = FileTensors<'p>;
}

/// Reads one argument after the other.
pub(crate) struct Arguments<'p> {
    context: Context<'p>,
    indices: Scalars<'p, i32>,
    position: u8,
}

impl<'p> Arguments<'p> {
    pub(crate) fn new(context: Context<'p>, indices: Scalars<'p, i32>) -> Self {
        Arguments { context, indices, position: 0 }
    }

    fn next<T>(
        &mut self,
        convert: impl FnOnce(&Context<'p>, Value<'p>) -> Result<T, ArgumentCause>,
    ) -> Result<T, OperatorProblem> {
        let position = self.position;
        let index =
            self.indices.get(usize::from(position)).ok_or(OperatorProblem::ArgumentCount)?;
        self.position += 1;
        let value = self.context.plan.value(index).map_err(ArgumentCause::Format);
        value
            .and_then(|value| convert(&self.context, value))
            .map_err(|cause| OperatorProblem::Argument { position, cause })
    }
}

impl<'p> ArgumentReader<Loaded<FileLists<'p>>> for Arguments<'p> {
    type Error = OperatorProblem;

    fn tensor(&mut self) -> Result<LoadedTensor, OperatorProblem> {
        self.next(|context, value| match value {
            Value::Tensor(tensor) => context.tensor(&tensor),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn optional_tensor(&mut self) -> Result<Option<LoadedTensor>, OperatorProblem> {
        self.next(|context, value| match value {
            Value::Null => Ok(None),
            Value::Tensor(tensor) => context.tensor(&tensor).map(Some),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn int<T: IntArgument>(&mut self) -> Result<T, OperatorProblem> {
        self.next(|_, value| match value {
            Value::Int(value) => T::from_i64(value).ok_or(ArgumentCause::Range),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn optional_int<T: IntArgument>(&mut self) -> Result<Option<T>, OperatorProblem> {
        self.next(|_, value| match value {
            Value::Null => Ok(None),
            Value::Int(value) => T::from_i64(value).map(Some).ok_or(ArgumentCause::Range),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn float(&mut self) -> Result<f64, OperatorProblem> {
        self.next(|_, value| match value {
            Value::Double(value) => Ok(value),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn scalar(&mut self) -> Result<f64, OperatorProblem> {
        self.next(|_, value| number(value))
    }

    fn optional_scalar(&mut self) -> Result<Option<f64>, OperatorProblem> {
        self.next(|_, value| match value {
            Value::Null => Ok(None),
            value => number(value).map(Some),
        })
    }

    fn text<T: TextArgument>(&mut self) -> Result<T, OperatorProblem> {
        self.next(|_, value| match value {
            Value::String(text) => {
                let text = text.as_str().map_err(ArgumentCause::Format)?;
                T::from_text(text).ok_or(ArgumentCause::Range)
            }
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn bool(&mut self) -> Result<bool, OperatorProblem> {
        self.next(|_, value| match value {
            Value::Bool(value) => Ok(value),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn tensor_list(&mut self) -> Result<FileTensors<'p>, OperatorProblem> {
        self.next(|context, value| match value {
            Value::TensorList(items) => {
                let list = FileTensors { context: *context, items };
                for item in items.iter() {
                    context.tensor(&context.plan.tensor(item).map_err(ArgumentCause::Format)?)?;
                }
                Ok(list)
            }
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn optional_int_list(&mut self) -> Result<Option<FileInts<'p>>, OperatorProblem> {
        self.next(|context, value| match value {
            Value::Null => Ok(None),
            Value::IntList(items) => Ok(Some(FileInts { plan: context.plan, items })),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn int_list(&mut self) -> Result<FileInts<'p>, OperatorProblem> {
        self.next(|context, value| match value {
            Value::IntList(items) => Ok(FileInts { plan: context.plan, items }),
            _ => Err(ArgumentCause::Kind),
        })
    }
}

/// A number, whether it is stored as an integer or not.
fn number(value: Value<'_>) -> Result<f64, ArgumentCause> {
    match value {
        Value::Double(value) => Ok(value),
        Value::Int(value) => Ok(value as f64),
        _ => Err(ArgumentCause::Kind),
    }
}

impl Context<'_> {
    /// A tensor with its memory, all of which lies inside of the arena or the file and is aligned.
    pub(crate) fn tensor(&self, tensor: &Tensor<'_>) -> Result<LoadedTensor, ArgumentCause> {
        let code = tensor.scalar_type().map_err(ArgumentCause::Format)?;
        let dtype = DType::from_scalar_type(i64::from(code.0)).ok_or(ArgumentCause::DType)?;
        let (rank, dims) = extents(tensor)?;
        let dim_order = dim_order(tensor, rank)?;
        let location = Location::arena(0).ok_or(ArgumentCause::NoMemory)?;
        let mut loaded = LoadedTensor { dtype, rank: rank as u8, dims, dim_order, location };
        let size = loaded
            .size_bytes()
            .filter(|size| *size <= i32::MAX as u32)
            .ok_or(ArgumentCause::Extent)?;
        loaded.location = self.location(tensor, size)?;
        let is_aligned = loaded.location.offset_bytes().is_multiple_of(dtype.size_bytes() as usize);
        if is_aligned { Ok(loaded) } else { Err(ArgumentCause::Misaligned) }
    }

    fn location(&self, tensor: &Tensor<'_>, size: u32) -> Result<Location, ArgumentCause> {
        let format = ArgumentCause::Format;
        let is_dynamic = tensor.shape_dynamism().map_err(format)? != ShapeDynamism::Static;
        if is_dynamic || tensor.storage_offset().map_err(format)? != 0 {
            return Err(ArgumentCause::Unsupported);
        }
        match tensor.storage().map_err(format)? {
            Storage::Given => Err(ArgumentCause::NoMemory),
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
        if allocation.memory_id != 1 || end > self.arena_bytes {
            return Err(ArgumentCause::OutOfArena);
        }
        Location::arena(offset).ok_or(ArgumentCause::OutOfArena)
    }

    fn constant(&self, buffer: u32, size: u32) -> Result<Location, ArgumentCause> {
        let data = self.program.constant(buffer).map_err(ArgumentCause::Format)?;
        if (data.len() as u64) < u64::from(size) {
            return Err(ArgumentCause::OutOfFile);
        }
        // `data` is a part of the file, so the difference of both addresses is its offset.
        let offset = (data.as_ptr() as usize).wrapping_sub(self.file.as_ptr() as usize);
        let offset = u32::try_from(offset).map_err(|_| ArgumentCause::OutOfFile)?;
        Location::program(offset).ok_or(ArgumentCause::OutOfFile)
    }
}

fn extents(tensor: &Tensor<'_>) -> Result<(usize, [u32; MAX_RANK]), ArgumentCause> {
    let sizes = tensor.sizes().map_err(ArgumentCause::Format)?;
    let mut dims = [0; MAX_RANK];
    if sizes.len() > MAX_RANK {
        return Err(ArgumentCause::Extent);
    }
    for (dim, size) in dims.iter_mut().zip(sizes.iter()) {
        *dim = u32::try_from(size).map_err(|_| ArgumentCause::Extent)?;
    }
    Ok((sizes.len(), dims))
}

/// The order of axes; a permutation of `0..rank`.
fn dim_order(tensor: &Tensor<'_>, rank: usize) -> Result<[u8; MAX_RANK], ArgumentCause> {
    let order = tensor.dim_order().map_err(ArgumentCause::Format)?;
    let mut copy = [0; MAX_RANK];
    let mut seen = 0u32;
    if order.len() != rank {
        return Err(ArgumentCause::DimOrder);
    }
    for (copy, axis) in copy.iter_mut().zip(order) {
        *copy = *axis;
        seen |= 1u32.checked_shl(u32::from(*axis)).unwrap_or(0);
    }
    if seen == (1 << rank) - 1 { Ok(copy) } else { Err(ArgumentCause::DimOrder) }
}
