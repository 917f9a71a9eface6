//! A program as plain data: what compilers build, tools edit and [`write`](crate::write()) writes.
//!
//! The model holds what a program says and not where the file puts it: constants, named data and the
//! data of delegates are bytes here, and the writer decides on segments and offsets. So reading,
//! writing and reading again gives an equal model. What two files can differ in without a difference
//! here: order and placement of their parts, an absent list or string against an empty one, inline
//! data against segments, and segments that nothing refers to.

mod from_view;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

pub use crate::plan::BufferDevice;
pub use crate::value::{Allocation, ScalarType, ShapeDynamism, TensorLocation};

/// A whole program.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Program {
    /// Version of the schema, [`MAX_VERSION`](crate::MAX_VERSION) in new programs.
    pub version: u32,
    /// The methods.
    pub plans: Vec<Plan>,
    /// Data of constant tensors by [`Tensor::data_buffer_idx`]. The format reserves buffer 0 for
    /// tensors without data: it is always there and always empty.
    pub constants: Vec<Vec<u8>>,
    /// Initial data of tensors that the program changes, by segment and buffer; buffer 0 of each is
    /// reserved likewise. Upstream's runtime reads only one segment.
    pub mutable_segments: Vec<Vec<Vec<u8>>>,
    /// Data with a name.
    pub named_data: Vec<NamedData>,
}

impl Default for Program {
    /// A program with no methods, and of constants only the reserved buffer.
    fn default() -> Self {
        Self {
            version: crate::MAX_VERSION,
            plans: Vec::new(),
            constants: vec![Vec::new()],
            mutable_segments: Vec::new(),
            named_data: Vec::new(),
        }
    }
}

impl Program {
    /// Adds the data of a constant and returns its index for [`Tensor::data_buffer_idx`].
    pub fn add_constant(&mut self, data: Vec<u8>) -> u32 {
        if self.constants.is_empty() {
            self.constants.push(Vec::new());
        }
        self.constants.push(data);
        (self.constants.len() - 1) as u32
    }

    /// The data of this name.
    pub fn named(&self, key: &str) -> Option<&[u8]> {
        self.named_data.iter().find(|entry| entry.key == key).map(|entry| entry.data.as_slice())
    }
}

/// Data with a name.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NamedData {
    /// The name, unique in the program.
    pub key: String,
    /// The data. Entries with the same data share it in the file.
    pub data: Vec<u8>,
}

/// One method of a program; see [`crate::Plan`].
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Plan {
    /// Name of the method.
    pub name: String,
    /// How the model's own inputs and outputs are laid out as flat lists.
    pub container: Option<ContainerMetadata>,
    /// All values.
    pub values: Vec<Value>,
    /// Indices of the values that the caller gives.
    pub inputs: Vec<i32>,
    /// Indices of the values that the caller gets.
    pub outputs: Vec<i32>,
    /// Sequences of instructions. Upstream's runtime wants at least one.
    pub chains: Vec<Chain>,
    /// Operators that the instructions call.
    pub operators: Vec<Operator>,
    /// Parts of the program that were compiled for some other backend.
    pub delegates: Vec<Delegate>,
    /// Bytes of each buffer of planned memory; entry 0 is reserved.
    pub non_const_buffer_sizes: Vec<i64>,
    /// Devices of those buffers that are not on the CPU.
    pub non_const_buffer_devices: Vec<BufferDevice>,
}

/// How a model's own inputs and outputs are laid out as flat lists.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ContainerMetadata {
    /// PyTorch's tree specification of the inputs.
    pub inputs: String,
    /// PyTorch's tree specification of the outputs.
    pub outputs: String,
}

/// One value of a plan; see [`crate::Value`] for what the lists hold.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Value {
    /// Python's `None`.
    Null,
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A floating-point number.
    Double(f64),
    /// A tensor.
    Tensor(Tensor),
    /// A string.
    String(String),
    /// A list of integers: indices of `Int` values.
    IntList(Vec<i64>),
    /// A list of floating-point numbers.
    DoubleList(Vec<f64>),
    /// A list of truth values.
    BoolList(Vec<bool>),
    /// A list of tensors: indices of `Tensor` values.
    TensorList(Vec<i32>),
    /// A list of tensors, −1 for `None`.
    OptionalTensorList(Vec<i32>),
}

/// A tensor; see [`crate::Tensor`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Tensor {
    /// Type of the elements.
    pub scalar_type: ScalarType,
    /// Elements between the start of the storage and the tensor's first.
    pub storage_offset: i32,
    /// Elements along each dimension in logical order.
    pub sizes: Vec<i32>,
    /// Dimensions in the order in which memory holds them, outermost first.
    pub dim_order: Vec<u8>,
    /// Whether the tensor took part in training.
    pub requires_grad: bool,
    /// Index into [`Program::constants`], or with an allocation into a mutable segment; 0 for none.
    pub data_buffer_idx: u32,
    /// Where the memory plan puts the tensor.
    pub allocation: Option<Allocation>,
    /// PyTorch's layout code, 0 for strided.
    pub layout: i8,
    /// Whether the shape may change between runs.
    pub shape_dynamism: ShapeDynamism,
    /// What most tensors do not need.
    pub extra_tensor_info: Option<ExtraTensorInfo>,
}

impl Tensor {
    /// A static tensor of this type and shape, contiguous in the order of its dimensions, not yet
    /// placed anywhere.
    pub fn new(scalar_type: ScalarType, sizes: &[i32]) -> Self {
        Self {
            scalar_type,
            storage_offset: 0,
            sizes: sizes.into(),
            dim_order: (0..sizes.len()).map(|dimension| dimension as u8).collect(),
            requires_grad: false,
            data_buffer_idx: 0,
            allocation: None,
            layout: 0,
            shape_dynamism: ShapeDynamism::Static,
            extra_tensor_info: None,
        }
    }

    /// Bytes of the tensor's data, `None` where the type is unknown, a size is negative or the
    /// product does not fit.
    pub fn size_bytes(&self) -> Option<usize> {
        self.sizes.iter().try_fold(self.scalar_type.size_bytes()?, |bytes, &size| {
            bytes.checked_mul(usize::try_from(size).ok()?)
        })
    }
}

/// What most tensors do not need; see [`crate::ExtraTensorInfo`].
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ExtraTensorInfo {
    /// Which of the program's mutable segments holds the initial data.
    pub mutable_data_segments_idx: u64,
    /// Unique name of the tensor in the model.
    pub fully_qualified_name: Option<String>,
    /// Where the data is stored.
    pub location: TensorLocation,
    /// Type of the device that the tensor is for: 0 is the CPU, 1 is CUDA.
    pub device_type: i8,
    /// Number of that device among those of its type.
    pub device_index: i8,
}

/// A sequence of instructions.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Chain {
    /// Indices of the values that the chain takes. Upstream leaves this empty.
    pub inputs: Vec<i32>,
    /// Indices of the values that the chain gives. Upstream leaves this empty.
    pub outputs: Vec<i32>,
    /// The instructions, in the order of execution.
    pub instructions: Vec<Instruction>,
    /// The source lines of each instruction, empty for none.
    pub stacktrace: Vec<Vec<Frame>>,
}

/// One step of a chain; see [`crate::Instruction`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Instruction {
    /// Call an operator.
    KernelCall {
        /// Index of the operator.
        op_index: i32,
        /// Values of the arguments, `out` included, then of the results: `out` again.
        args: Vec<i32>,
    },
    /// Call a delegate.
    DelegateCall {
        /// Index of the delegate.
        delegate_index: i32,
        /// Values of the inputs, then of the outputs.
        args: Vec<i32>,
    },
    /// Copy one value to another.
    MoveCall {
        /// Value to copy from.
        move_from: i32,
        /// Value to copy to.
        move_to: i32,
    },
    /// Continue at another instruction if a value is false.
    JumpFalseCall {
        /// Value with the condition.
        cond_value_index: i32,
        /// Index of the instruction to continue at.
        destination_instruction: i32,
    },
    /// Free the memory of a tensor.
    FreeCall {
        /// Value of the tensor.
        value_index: i32,
    },
}

/// The name of an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Operator {
    /// Name with namespace.
    pub name: String,
    /// Overload, may be empty.
    pub overload: String,
}

/// One source line of the model.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Frame {
    /// File of the line.
    pub filename: String,
    /// Number of the line, from 1.
    pub lineno: i32,
    /// Function that it is in.
    pub name: String,
    /// The line itself.
    pub context: String,
}

/// A part of the program that was compiled for some other backend.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Delegate {
    /// Name of the backend.
    pub id: String,
    /// The backend's own program. Delegates with the same data share it in the file.
    pub data: Vec<u8>,
    /// Options of the compilation.
    pub compile_specs: Vec<CompileSpec>,
}

/// An option that a delegate was compiled with.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct CompileSpec {
    /// Name of the option.
    pub key: String,
    /// Its value, in the backend's own encoding.
    pub value: Vec<u8>,
}
