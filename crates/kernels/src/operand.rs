//! Operands as a loader sees them: type, extents and location.

use crate::memory::Location;
use core::ops::Range;
use cortado_contract::DType;
use cortado_contract::value::{Domain, IntList, TensorList, TensorMeta};

/// The most axes that a tensor may have.
pub const MAX_RANK: usize = 6;

/// A tensor of a program that is being loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadedTensor {
    /// The element type.
    pub dtype: DType,
    /// The number of axes; at most [`MAX_RANK`].
    pub rank: u8,
    /// The extents in logical order; 0 past the last axis.
    pub dims: [u32; MAX_RANK],
    /// The axes in memory order, outermost first: a permutation of `0..rank`; anything past that.
    pub dim_order: [u8; MAX_RANK],
    /// Where the elements are. The loader has checked that all of them lie inside of the region or the file.
    pub location: Location,
}

impl LoadedTensor {
    /// A tensor without axes at the start of the first region: what others are read into.
    pub const NOTHING: LoadedTensor = LoadedTensor {
        dtype: DType::U8,
        rank: 0,
        dims: [0; MAX_RANK],
        dim_order: [0; MAX_RANK],
        location: Location::START,
    };

    /// The size of all elements in bytes, or `None` when it does not fit 32 bits.
    pub fn size_bytes(&self) -> Option<u32> {
        self.element_count()?.checked_mul(self.dtype.size_bytes())
    }

    /// The bytes of the region, or of the file, that the elements take.
    pub fn span(&self) -> Range<usize> {
        let start = self.location.offset_bytes();
        start..start.saturating_add(self.size_bytes().unwrap_or(u32::MAX) as usize)
    }

    /// Whether both tensors lie in the same region, or both in the file.
    pub fn is_in_memory_of(&self, other: &LoadedTensor) -> bool {
        self.location.region_index() == other.location.region_index()
    }

    /// Whether both tensors lie in the same region, or both in the file, and share a byte there.
    pub fn overlaps(&self, other: &LoadedTensor) -> bool {
        let (a, b) = (self.span(), other.span());
        self.is_in_memory_of(other) && a.start < b.end && b.start < a.end
    }
}

impl TensorMeta for LoadedTensor {
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn rank(&self) -> usize {
        usize::from(self.rank)
    }
    fn dim(&self, axis: usize) -> u32 {
        self.dims.get(axis).copied().unwrap_or(0)
    }
    fn dim_order(&self, position: usize) -> usize {
        self.dim_order.get(position).copied().map_or(0, usize::from)
    }
}

/// What stands for lists while a program is being loaded.
pub trait Lists: Copy + core::fmt::Debug {
    /// An `int[]` in the file.
    type Ints: IntList + Clone + core::fmt::Debug;
    /// A `Tensor[]` in the file.
    type Tensors: TensorList<LoadedTensor> + Clone + core::fmt::Debug;
}

/// The domain of a program that is being loaded; `L` reads the file's lists.
#[derive(Clone, Copy, Debug)]
pub struct Loaded<L>(core::marker::PhantomData<L>);

impl<L: Lists> Domain for Loaded<L> {
    type Tensor = LoadedTensor;
    type IntList = L::Ints;
    type TensorList = L::Tensors;
}
