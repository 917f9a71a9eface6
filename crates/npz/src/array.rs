//! The array in memory.

use cortado_contract::DType;

/// The most axes that NumPy allows.
pub(crate) const MAX_RANK: usize = 64;

/// An array of numbers: element type, shape, and the elements in row-major order as little-endian bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Why an array cannot be made or looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayError {
    /// The number of bytes is not what element type and shape ask for.
    #[error("{dtype} of shape {shape:?} does not take {bytes} bytes")]
    Size {
        /// The element type.
        dtype: DType,
        /// The shape.
        shape: Vec<usize>,
        /// The number of bytes at hand.
        bytes: usize,
    },
    /// The shape has more elements than can be addressed, or more axes than NumPy allows.
    #[error("shape {shape:?} is too large")]
    Shape {
        /// The shape.
        shape: Vec<usize>,
    },
    /// A strided view does not have a stride for each axis, or reaches beyond its storage.
    #[error(
        "a {dtype} view of shape {shape:?}, strides {strides:?} and offset {offset} does not lie within {bytes} bytes"
    )]
    View {
        /// The element type.
        dtype: DType,
        /// The shape.
        shape: Vec<usize>,
        /// Elements from one item of an axis to the next.
        strides: Vec<usize>,
        /// Elements before the first one.
        offset: usize,
        /// Size of the storage in bytes.
        bytes: usize,
    },
    /// A byte of a `bool` array is neither 0 nor 1.
    #[error("element {index} of the bool array is {value}, neither 0 nor 1")]
    Bool {
        /// The element's place in row-major order.
        index: usize,
        /// The byte.
        value: u8,
    },
    /// The elements are asked for as another type.
    #[error("the array holds {found}, not {expected}")]
    DType {
        /// The type asked for.
        expected: DType,
        /// The array's type.
        found: DType,
    },
}

impl Array {
    /// An array of row-major little-endian bytes.
    ///
    /// # Errors
    /// [`ArrayError::Shape`], [`ArrayError::Size`], or [`ArrayError::Bool`].
    pub fn new(dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self, ArrayError> {
        if size_bytes(dtype, &shape) != Some(bytes.len()) {
            let bytes = bytes.len();
            return Err(match size_bytes(dtype, &shape) {
                Some(_) => ArrayError::Size { dtype, shape, bytes },
                None => ArrayError::Shape { shape },
            });
        }
        if dtype == DType::Bool
            && let Some(index) = bytes.iter().position(|&byte| byte > 1)
        {
            return Err(ArrayError::Bool { index, value: bytes[index] });
        }
        Ok(Self { dtype, shape, bytes })
    }

    /// An array of the given elements, in row-major order.
    ///
    /// # Errors
    /// [`ArrayError::Size`] or [`ArrayError::Shape`] if there are not as many as the shape asks for.
    pub fn from_values<T: Element>(shape: Vec<usize>, values: &[T]) -> Result<Self, ArrayError> {
        let mut bytes = Vec::with_capacity(size_of_val(values));
        for &value in values {
            value.push_to(&mut bytes);
        }
        Self::new(T::DTYPE, shape, bytes)
    }

    /// The array that a strided view shows of a storage of little-endian elements, made row-major.
    ///
    /// Element `[i, j, …]` is element `offset + i·strides[0] + j·strides[1] + …` of the storage. Strides of 0
    /// repeat elements, so the array can be larger than the storage: the caller bounds the shape.
    ///
    /// # Errors
    /// [`ArrayError::View`] if an element lies outside of the storage, else as [`Array::new`].
    pub fn from_strided(
        dtype: DType,
        shape: Vec<usize>,
        strides: &[usize],
        offset: usize,
        storage: &[u8],
    ) -> Result<Self, ArrayError> {
        let Some(bytes) = size_bytes(dtype, &shape) else {
            return Err(ArrayError::Shape { shape });
        };
        let element = dtype.size_bytes() as usize;
        let fits = strides.len() == shape.len()
            && (bytes == 0
                || last_element(&shape, strides, offset)
                    .and_then(|last| last.checked_add(1)?.checked_mul(element))
                    .is_some_and(|end| end <= storage.len()));
        if !fits {
            let (strides, bytes) = (strides.to_vec(), storage.len());
            return Err(ArrayError::View { dtype, shape, strides, offset, bytes });
        }
        // A view without elements may point anywhere.
        let offset = if bytes == 0 { 0 } else { offset };
        let bytes = gather(storage, element, &shape, strides, offset, bytes);
        Self::new(dtype, shape, bytes)
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The extents of the axes, outermost first; empty for a single number.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements in row-major order, little-endian.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size_bytes() as usize
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// [`ArrayError::DType`] if the array holds another type.
    pub fn values<T: Element>(&self) -> Result<Vec<T>, ArrayError> {
        if self.dtype != T::DTYPE {
            return Err(ArrayError::DType { expected: T::DTYPE, found: self.dtype });
        }
        Ok(self.bytes.chunks_exact(size_of::<T>()).map(T::take_from).collect())
    }

    /// The bytes of one item of the first axis, such as a sample of a batch; `None` beyond the last one and for a
    /// single number.
    pub fn item(&self, index: usize) -> Option<&[u8]> {
        let count = *self.shape.first()?;
        let bytes = self.bytes.len().checked_div(count)?;
        if index < count { self.bytes.get(index * bytes..)?.get(..bytes) } else { None }
    }
}

/// A type of elements.
pub trait Element: Copy + sealed::Sealed {
    /// The element type's name in a file.
    const DTYPE: DType;
    /// Appends the little-endian bytes.
    #[doc(hidden)]
    fn push_to(self, bytes: &mut Vec<u8>);
    /// Reads the element from exactly as many little-endian bytes as it has.
    #[doc(hidden)]
    fn take_from(bytes: &[u8]) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($dtype:ident = $type:ty,)*) => {$(
        impl sealed::Sealed for $type {}

        impl Element for $type {
            const DTYPE: DType = DType::$dtype;

            fn push_to(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }

            fn take_from(bytes: &[u8]) -> Self {
                let mut value = [0; size_of::<Self>()];
                value.copy_from_slice(bytes);
                Self::from_le_bytes(value)
            }
        }
    )*};
}

elements! {
    U8 = u8,
    I8 = i8,
    I16 = i16,
    I32 = i32,
    I64 = i64,
    F32 = f32,
    F64 = f64,
}

impl sealed::Sealed for bool {}

impl Element for bool {
    const DTYPE: DType = DType::Bool;

    fn push_to(self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self));
    }

    fn take_from(bytes: &[u8]) -> Self {
        bytes != [0]
    }
}

/// The number of bytes of an array, `None` if it cannot be addressed or has too many axes.
pub(crate) fn size_bytes(dtype: DType, shape: &[usize]) -> Option<usize> {
    if shape.len() > MAX_RANK {
        return None;
    }
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(dtype.size_bytes() as usize, |bytes, &extent| bytes.checked_mul(extent))
}

/// The storage index of a view's last element; no extent is 0.
fn last_element(shape: &[usize], strides: &[usize], offset: usize) -> Option<usize> {
    shape.iter().zip(strides).try_fold(offset, |last, (&extent, &stride)| {
        last.checked_add((extent - 1).checked_mul(stride)?)
    })
}

/// Elements from one item of an axis to the next, the last axis fastest.
fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        // Only shapes without elements can wrap around, and their strides are not used.
        strides[axis - 1] = strides[axis].wrapping_mul(shape[axis]);
    }
    strides
}

/// Copies the elements of a view that lies within `storage` into row-major order.
fn gather(
    storage: &[u8],
    element: usize,
    shape: &[usize],
    strides: &[usize],
    offset: usize,
    bytes: usize,
) -> Vec<u8> {
    if strides == row_major_strides(shape) {
        return storage[offset * element..][..bytes].to_vec();
    }
    let mut gathered = Vec::with_capacity(bytes);
    let mut index = vec![0; shape.len()];
    let mut at = offset;
    while gathered.len() < bytes {
        gathered.extend_from_slice(&storage[at * element..][..element]);
        // Steps to the next index, the last axis fastest.
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
            at -= shape[axis] * strides[axis];
        }
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        let array = Array::from_values(vec![2, 2], &[1.5f32, -2.0, f32::INFINITY, 0.0]).unwrap();
        assert_eq!((array.dtype(), array.shape(), array.len()), (DType::F32, &[2, 2][..], 4));
        assert_eq!(array.values::<f32>().unwrap(), [1.5, -2.0, f32::INFINITY, 0.0]);
        let error = array.values::<i8>().unwrap_err();
        assert_eq!(error.to_string(), "the array holds float32, not int8");
        let flags = Array::from_values(vec![3], &[true, false, true]).unwrap();
        assert_eq!(flags.values::<bool>().unwrap(), [true, false, true]);
    }

    #[test]
    fn contradictions_are_refused() {
        let message = |result: Result<Array, ArrayError>| result.unwrap_err().to_string();
        let size = Array::new(DType::I16, vec![3], vec![0; 5]);
        assert_eq!(message(size), "int16 of shape [3] does not take 5 bytes");
        let shape = Array::new(DType::I16, vec![usize::MAX, 2], vec![]);
        assert_eq!(message(shape), format!("shape [{}, 2] is too large", usize::MAX));
        let rank = Array::new(DType::I8, vec![1; 65], vec![0]);
        assert!(message(rank).ends_with("] is too large"));
        let bool = Array::new(DType::Bool, vec![2], vec![1, 2]);
        assert_eq!(message(bool), "element 1 of the bool array is 2, neither 0 nor 1");
    }

    #[test]
    fn empty_arrays_and_single_numbers() {
        let empty = Array::new(DType::I64, vec![0, usize::MAX, 7], vec![]).unwrap();
        assert!(empty.is_empty());
        assert_eq!(empty.item(0), None);
        let number = Array::from_values(vec![], &[7i64]).unwrap();
        assert_eq!((number.len(), number.item(0)), (1, None));
    }

    #[test]
    fn items_are_slices_of_the_first_axis() {
        let array = Array::from_values(vec![3, 2], &[1u8, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(array.item(2), Some(&[5, 6][..]));
        assert_eq!(array.item(3), None);
        let hollow = Array::new(DType::U8, vec![2, 0], vec![]).unwrap();
        assert_eq!((hollow.item(1), hollow.item(2)), (Some(&[][..]), None));
    }

    #[test]
    fn views_are_made_row_major() {
        let storage: Vec<u8> = (0..24).collect();
        let view = |shape: &[usize], strides: &[usize], offset| {
            Array::from_strided(DType::U8, shape.to_vec(), strides, offset, &storage)
        };
        // Every other column of rows 1 and 2 of a 4×6 matrix, the transposed matrix, and one element three times.
        assert_eq!(view(&[2, 3], &[6, 2], 6).unwrap().bytes(), [6, 8, 10, 12, 14, 16]);
        assert_eq!(view(&[6, 4], &[1, 6], 0).unwrap().bytes()[..5], [0, 6, 12, 18, 1]);
        assert_eq!(view(&[3], &[0], 23).unwrap().bytes(), [23, 23, 23]);
        assert_eq!(view(&[], &[], 5).unwrap().bytes(), [5]);
        assert!(view(&[0, 4], &[1, 1], 99).unwrap().is_empty());
        assert!(view(&[0, 4], &[4, 1], 99).unwrap().is_empty());
        assert_eq!(view(&[3, 6], &[6, 1], 6).unwrap().bytes(), &storage[6..]);
        let message = "a uint8 view of shape [4, 6], strides [6, 1] and offset 1 does not lie within 24 bytes";
        assert_eq!(view(&[4, 6], &[6, 1], 1).unwrap_err().to_string(), message);
        assert!(view(&[2], &[usize::MAX], 1).is_err());
        assert!(view(&[2], &[], 0).is_err());
    }
}
