//! Values of a plan: what instructions read and write.

use crate::MAX_RANK;
use crate::error::{Error, ErrorKind};
use crate::flatbuffer::{Scalars, Table, Text, View};
use crate::schema::{allocation_details, boxed, e_value, extra_tensor_info, kernel_types, tensor};

/// One value of a plan (schema `EValue`).
///
/// Lists of integers and of tensors are *boxed*: their items are indices of other values of the
/// plan, because an item may be computed while the program runs. The other lists hold their items.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Python's `None`.
    Null,
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A floating-point number.
    Double(f64),
    /// A tensor.
    Tensor(Tensor<'a>),
    /// A string.
    String(Text<'a>),
    /// A list of integers, each item the index of an [`Int`](Self::Int) value. Upstream's emitter
    /// gives even constant items values of their own (`_emit_int_list`), and its runtime reads all
    /// through them. [`Plan::ints`](crate::Plan::ints) resolves the list.
    IntList(Scalars<'a, i64>),
    /// A list of floating-point numbers.
    DoubleList(Scalars<'a, f64>),
    /// A list of truth values.
    BoolList(Scalars<'a, bool>),
    /// A list of tensors, each item the index of a [`Tensor`](Self::Tensor) value.
    /// [`Plan::tensor`](crate::Plan::tensor) resolves an item.
    TensorList(Scalars<'a, i32>),
    /// A list of tensors where −1 stands for `None`.
    /// [`Plan::optional_tensor`](crate::Plan::optional_tensor) resolves an item.
    OptionalTensorList(Scalars<'a, i32>),
}

impl<'a> View<'a> for Value<'a> {
    // Loading a program is mostly this: inline, a value costs half as much to look up.
    #[inline(always)]
    fn view(table: Table<'a>) -> Result<Self, Error> {
        let code: u8 = table.scalar_inline(e_value::VAL_TYPE, 0)?;
        // Upstream's runtime, too, takes a `Null` without a table behind it.
        if code == kernel_types::NULL {
            return Ok(Self::Null);
        }
        let content = table.required_table_inline(e_value::VAL)?;
        Ok(match code {
            kernel_types::INT => Self::Int(content.scalar_inline(boxed::CONTENT, 0)?),
            kernel_types::BOOL => Self::Bool(content.scalar_inline(boxed::CONTENT, false)?),
            kernel_types::DOUBLE => Self::Double(content.scalar_inline(boxed::CONTENT, 0.0)?),
            kernel_types::TENSOR => Self::Tensor(Tensor { table: content }),
            kernel_types::STRING => Self::String(content.text(boxed::CONTENT)?),
            kernel_types::INT_LIST => Self::IntList(content.scalars(boxed::CONTENT)?),
            kernel_types::DOUBLE_LIST => Self::DoubleList(content.scalars(boxed::CONTENT)?),
            kernel_types::BOOL_LIST => Self::BoolList(content.scalars(boxed::CONTENT)?),
            kernel_types::TENSOR_LIST => Self::TensorList(content.scalars(boxed::CONTENT)?),
            kernel_types::OPTIONAL_TENSOR_LIST => {
                Self::OptionalTensorList(content.scalars(boxed::CONTENT)?)
            }
            _ => return Err(table.error(ErrorKind::Code)),
        })
    }
}

/// A tensor: dtype, shape and where its data is.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    table: Table<'a>,
}

impl<'a> Tensor<'a> {
    /// Byte position of the tensor in the file, to tell tensors apart in messages.
    pub fn position(&self) -> usize {
        self.table.at()
    }

    /// Type of the elements.
    pub fn scalar_type(&self) -> Result<ScalarType, Error> {
        Ok(ScalarType(self.table.scalar(tensor::SCALAR_TYPE, 0)?))
    }

    /// Elements between the start of the storage and the tensor's first. Upstream's runtime refuses
    /// all but 0.
    pub fn storage_offset(&self) -> Result<i32, Error> {
        self.table.scalar(tensor::STORAGE_OFFSET, 0)
    }

    /// Elements along each dimension in logical order; upper bounds where the shape is dynamic.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Rank`] above [`MAX_RANK`] dimensions.
    pub fn sizes(&self) -> Result<Scalars<'a, i32>, Error> {
        let sizes = self.table.scalars(tensor::SIZES)?;
        if sizes.len() > MAX_RANK {
            return Err(self.table.error(ErrorKind::Rank));
        }
        Ok(sizes)
    }

    /// Dimensions in the order in which memory holds them, outermost first: a permutation of
    /// `0..rank` in a sound file. `[0, 2, 3, 1]` is NHWC memory of a logical NCHW tensor.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Rank`] above [`MAX_RANK`] dimensions.
    pub fn dim_order(&self) -> Result<&'a [u8], Error> {
        let dim_order = self.table.bytes(tensor::DIM_ORDER)?;
        if dim_order.len() > MAX_RANK {
            return Err(self.table.error(ErrorKind::Rank));
        }
        Ok(dim_order)
    }

    /// Whether the tensor took part in training.
    pub fn requires_grad(&self) -> Result<bool, Error> {
        self.table.scalar(tensor::REQUIRES_GRAD, false)
    }

    /// Index of the buffer with the tensor's data or initial data, 0 for none. See
    /// [`storage`](Self::storage) for which buffers are meant.
    pub fn data_buffer_idx(&self) -> Result<u32, Error> {
        self.table.scalar(tensor::DATA_BUFFER_IDX, 0)
    }

    /// Where the memory plan puts the tensor, `None` where it does not.
    pub fn allocation(&self) -> Result<Option<Allocation>, Error> {
        let Some(details) = self.table.table(tensor::ALLOCATION_INFO)? else { return Ok(None) };
        let low: u32 = details.scalar(allocation_details::MEMORY_OFFSET_LOW, 0)?;
        let high: u32 = details.scalar(allocation_details::MEMORY_OFFSET_HIGH, 0)?;
        Ok(Some(Allocation {
            memory_id: details.scalar(allocation_details::MEMORY_ID, 0)?,
            offset: u64::from(high) << 32 | u64::from(low),
        }))
    }

    /// PyTorch's layout code; 0 (strided) in all that upstream writes.
    pub fn layout(&self) -> Result<i8, Error> {
        self.table.scalar(tensor::LAYOUT, 0)
    }

    /// Whether the shape may change between runs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Code`] for an unknown enumerator.
    pub fn shape_dynamism(&self) -> Result<ShapeDynamism, Error> {
        match self.table.scalar::<i8>(tensor::SHAPE_DYNAMISM, 0)? {
            0 => Ok(ShapeDynamism::Static),
            1 => Ok(ShapeDynamism::DynamicBound),
            2 => Ok(ShapeDynamism::DynamicUnbound),
            _ => Err(self.table.error(ErrorKind::Code)),
        }
    }

    /// What most tensors do not need, `None` where it is absent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Code`] for an unknown location.
    pub fn extra_tensor_info(&self) -> Result<Option<ExtraTensorInfo<'a>>, Error> {
        let Some(info) = self.table.table(tensor::EXTRA_TENSOR_INFO)? else { return Ok(None) };
        Ok(Some(ExtraTensorInfo {
            mutable_data_segments_idx: info
                .scalar(extra_tensor_info::MUTABLE_DATA_SEGMENTS_IDX, 0)?,
            fully_qualified_name: info.optional_text(extra_tensor_info::FULLY_QUALIFIED_NAME)?,
            location: match info.scalar::<i8>(extra_tensor_info::LOCATION, 0)? {
                0 => TensorLocation::Segment,
                1 => TensorLocation::External,
                _ => return Err(info.error(ErrorKind::Code)),
            },
            device_type: info.scalar(extra_tensor_info::DEVICE_TYPE, 0)?,
            device_index: info.scalar(extra_tensor_info::DEVICE_INDEX, 0)?,
        }))
    }

    /// Where the tensor's data is or comes from, decided as the schema's comments and upstream's
    /// runtime (`getTensorDataPtr`) do.
    pub fn storage(&self) -> Result<Storage<'a>, Error> {
        let allocation = self.allocation()?;
        let buffer = self.data_buffer_idx()?;
        let info = self.extra_tensor_info()?;
        if let Some(info) = info
            && info.location == TensorLocation::External
        {
            let key = info.fully_qualified_name.ok_or(self.table.error(ErrorKind::Missing))?;
            return Ok(Storage::External { key, allocation });
        }
        Ok(match (buffer, allocation) {
            (0, None) => Storage::Given,
            (0, Some(allocation)) => Storage::Planned(allocation),
            (buffer, None) => Storage::Constant { buffer },
            (buffer, Some(allocation)) => Storage::Initialized {
                allocation,
                segment: info.map_or(0, |info| info.mutable_data_segments_idx),
                buffer,
            },
        })
    }
}

/// Type of a tensor's elements: PyTorch's `ScalarType` codes (schema `scalar_type.fbs`).
///
/// A code that has no constant here reads and writes like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ScalarType(pub i8);

macro_rules! scalar_types {
    ($($name:ident = $code:literal, $text:literal, $bytes:literal;)*) => {
        impl ScalarType {
            $(#[doc = concat!("`", $text, "`, ", $bytes, " bytes.")]
            pub const $name: Self = Self($code);)*

            /// Name as in PyTorch (`int8` for [`CHAR`](Self::CHAR)), `None` for a code that
            /// ExecuTorch does not have.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($text),)*
                    _ => None,
                }
            }

            /// Bytes of one element, `None` for a code that ExecuTorch does not have.
            pub const fn size_bytes(self) -> Option<usize> {
                match self {
                    $(Self::$name => Some($bytes),)*
                    _ => None,
                }
            }
        }
    };
}

scalar_types! {
    BYTE = 0, "uint8", 1;
    CHAR = 1, "int8", 1;
    SHORT = 2, "int16", 2;
    INT = 3, "int32", 4;
    LONG = 4, "int64", 8;
    HALF = 5, "float16", 2;
    FLOAT = 6, "float32", 4;
    DOUBLE = 7, "float64", 8;
    BOOL = 11, "bool", 1;
    QINT8 = 12, "qint8", 1;
    QUINT8 = 13, "quint8", 1;
    QINT32 = 14, "qint32", 4;
    BFLOAT16 = 15, "bfloat16", 2;
    QUINT4X2 = 16, "quint4x2", 1;
    QUINT2X4 = 17, "quint2x4", 1;
    BITS16 = 22, "bits16", 2;
    FLOAT8E5M2 = 23, "float8_e5m2", 1;
    FLOAT8E4M3FN = 24, "float8_e4m3fn", 1;
    FLOAT8E5M2FNUZ = 25, "float8_e5m2fnuz", 1;
    FLOAT8E4M3FNUZ = 26, "float8_e4m3fnuz", 1;
    UINT16 = 27, "uint16", 2;
    UINT32 = 28, "uint32", 4;
    UINT64 = 29, "uint64", 8;
}

/// A place in the planned memory (schema `AllocationDetails`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Allocation {
    /// Index into [`Plan::non_const_buffer_sizes`](crate::Plan::non_const_buffer_sizes). Buffers for
    /// activations count from 1: entry 0 there is reserved.
    pub memory_id: u32,
    /// Bytes from the start of that buffer. The file has its halves in two fields.
    pub offset: u64,
}

/// Whether and how far a tensor's shape may change between runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ShapeDynamism {
    /// The sizes are what they are.
    #[default]
    Static,
    /// The sizes are upper bounds.
    DynamicBound,
    /// The sizes mean nothing.
    DynamicUnbound,
}

/// Where a tensor's data is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TensorLocation {
    /// In the program's file.
    #[default]
    Segment,
    /// Outside of it, under the tensor's fully qualified name.
    External,
}

/// What most tensors do not need (schema `ExtraTensorInfo`).
#[derive(Clone, Copy, Debug)]
pub struct ExtraTensorInfo<'a> {
    /// Which of the program's mutable segments holds the initial data.
    pub mutable_data_segments_idx: u64,
    /// Unique name of the tensor in the model, such as `mod.linear.weight`.
    pub fully_qualified_name: Option<Text<'a>>,
    /// Where the data is stored.
    pub location: TensorLocation,
    /// Type of the device that the tensor is for: 0 is the CPU, 1 is CUDA.
    pub device_type: i8,
    /// Number of that device among those of its type.
    pub device_index: i8,
}

/// Where a tensor's data is or comes from.
#[derive(Clone, Copy, Debug)]
pub enum Storage<'a> {
    /// Constant, in the program: [`Program::constant`](crate::Program::constant) of this buffer.
    Constant {
        /// Index of the buffer, at least 1.
        buffer: u32,
    },
    /// In planned memory, without initial data.
    Planned(Allocation),
    /// In planned memory, with initial data to copy there from
    /// [`Program::mutable_data`](crate::Program::mutable_data).
    Initialized {
        /// Where it goes.
        allocation: Allocation,
        /// Which of the program's mutable segments. Upstream's runtime reads 0 in any case.
        segment: u64,
        /// Index of the buffer in that segment, at least 1.
        buffer: u32,
    },
    /// Outside of the program's file, under this key.
    External {
        /// Name of the data.
        key: Text<'a>,
        /// Where it is copied to, `None` for a constant.
        allocation: Option<Allocation>,
    },
    /// Given by the caller, as inputs outside of the memory plan are.
    Given,
}
