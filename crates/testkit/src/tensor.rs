//! Tensors of cases: type, extents and order in memory, without elements.

use cortado_contract::DType;
use cortado_contract::strided::MAX_AXES;
use cortado_contract::value::{Domain, IntList, TensorList, TensorMeta};

/// The domain of operators that a case makes up.
#[derive(Clone, Debug)]
pub struct CaseDomain;

impl Domain for CaseDomain {
    type Tensor = Tensor;
    type IntList = Ints;
    type TensorList = Tensors;
}

/// Type, extents and order in memory.
#[derive(Clone, Copy, Debug)]
pub struct Tensor {
    dtype: DType,
    rank: usize,
    dims: [u32; MAX_AXES],
    order: [u8; MAX_AXES],
}

impl Tensor {
    /// A tensor of up to [`MAX_AXES`] axes. Of the order, only the axes that it has count.
    pub fn new(dtype: DType, shape: &[u32], order: &[u8]) -> Self {
        let mut tensor =
            Tensor { dtype, rank: shape.len(), dims: [0; MAX_AXES], order: [0; MAX_AXES] };
        tensor.dims.iter_mut().zip(shape).for_each(|(dim, extent)| *dim = *extent);
        let axes = order.iter().filter(|axis| usize::from(**axis) < shape.len());
        tensor.order.iter_mut().zip(axes).for_each(|(slot, axis)| *slot = *axis);
        tensor
    }

    /// The extents.
    pub fn shape(&self) -> &[u32] {
        &self.dims[..self.rank]
    }

    /// The size in bytes.
    pub fn size_bytes(&self) -> usize {
        self.element_count().unwrap_or(0) as usize * self.dtype.size_bytes() as usize
    }

    /// The extents as a failure shows them.
    pub fn extents(&self) -> [usize; 4] {
        core::array::from_fn(|axis| self.dims[axis] as usize)
    }
}

impl TensorMeta for Tensor {
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn rank(&self) -> usize {
        self.rank
    }
    fn dim(&self, axis: usize) -> u32 {
        self.dims.get(axis).copied().unwrap_or(0)
    }
    fn dim_order(&self, position: usize) -> usize {
        self.order.get(position).copied().map_or(0, usize::from)
    }
}

/// A list of up to two integers per axis.
#[derive(Clone, Copy, Debug)]
pub struct Ints {
    items: [i64; 2 * MAX_AXES],
    length: usize,
}

impl Ints {
    /// A list of these integers.
    pub fn new(items: &[i64]) -> Self {
        let mut list = Ints { items: [0; 2 * MAX_AXES], length: items.len() };
        list.items.iter_mut().zip(items).for_each(|(slot, item)| *slot = *item);
        list
    }
}

impl IntList for Ints {
    fn len(&self) -> usize {
        self.length
    }
    fn get(&self, index: usize) -> Option<i64> {
        self.items.get(..self.length)?.get(index).copied()
    }
}

/// A list of up to [`MAX_AXES`] tensors.
#[derive(Clone, Copy, Debug)]
pub struct Tensors {
    items: [Option<Tensor>; MAX_AXES],
}

impl Tensors {
    /// A list of these tensors.
    pub fn new(items: &[Tensor]) -> Self {
        let mut list = Tensors { items: [None; MAX_AXES] };
        list.items.iter_mut().zip(items).for_each(|(slot, item)| *slot = Some(*item));
        list
    }
}

impl TensorList<Tensor> for Tensors {
    fn len(&self) -> usize {
        self.items.iter().flatten().count()
    }
    fn get(&self, index: usize) -> Option<Tensor> {
        self.items.get(index).copied().flatten()
    }
}
