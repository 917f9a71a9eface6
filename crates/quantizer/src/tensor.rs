//! Tensors in binary32, which is what a model is executed in.

use cortado_compiler::graph::Value;
use cortado_contract::DType;
use std::sync::Arc;

/// Numbers in row-major order of the logical axes. Copies share their elements until one of them is changed.
///
/// Truth values are 0 and 1. Integers are exact up to `2^24`, which is more than indices, masks and quantized activations need.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Arc<Vec<f32>>,
}

impl Tensor {
    /// A tensor of these extents.
    ///
    /// # Panics
    /// When there are more or fewer elements than the extents ask for.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "extents {shape:?}");
        Tensor { shape, data: Arc::new(data) }
    }

    /// The same elements under other extents, `None` when there are not as many.
    pub fn reshaped(&self, shape: Vec<usize>) -> Option<Self> {
        (shape.iter().product::<usize>() == self.data.len())
            .then(|| Tensor { shape, data: Arc::clone(&self.data) })
    }

    /// The elements of a constant, `None` for a value that is none.
    pub fn of_constant(value: &Value) -> Option<Self> {
        let bytes = value.data.as_deref()?;
        let shape = value.shape.iter().map(|extent| *extent as usize).collect();
        Some(Tensor { shape, data: Arc::new(numbers(value.dtype, bytes)) })
    }

    /// The extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The elements, to be changed.
    pub fn data_mut(&mut self) -> &mut [f32] {
        Arc::make_mut(&mut self.data).as_mut_slice()
    }
}

/// Little-endian elements of any type as numbers.
pub fn numbers(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
    }
    match dtype {
        DType::U8 | DType::Bool => each(bytes, |[byte]| f32::from(byte)),
        DType::I8 => each(bytes, |[byte]| f32::from(byte as i8)),
        DType::I16 => each(bytes, |chunk| f32::from(i16::from_le_bytes(chunk))),
        DType::I32 => each(bytes, |chunk| i32::from_le_bytes(chunk) as f32),
        DType::I64 => each(bytes, |chunk| i64::from_le_bytes(chunk) as f32),
        DType::F32 => each(bytes, f32::from_le_bytes),
        DType::F64 => each(bytes, |chunk| f64::from_le_bytes(chunk) as f32),
    }
}

/// Elements from one item of an axis to the next, in row-major order.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}
