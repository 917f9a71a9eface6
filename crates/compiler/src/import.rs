//! Reading exported programs: the `.pt2` files that `torch.export.save` writes.
//!
//! [`ExportedProgram`] is the program as Cortado sees it: nodes in execution order, named tensors with type and layout,
//! the constants' elements, and for every node where the user wrote it. It is not the shape of the file, which
//! `schema` mirrors; nothing after this module knows the file. Everything that the file says is checked here:
//! a program that has been read is consistent (every tensor is defined once and before it is read, and has a known
//! type and static size), and what PyTorch can express and Cortado cannot is refused by name. Which operators
//! exist, and what their arguments mean, is left to later stages.
//!
//! The format is that of torch 2.9 and later, schema version 8 (`torch/_export/serde/schema.py` and
//! `torch/export/pt2_archive/_package.py`); older layouts are recognized and named.

mod aliasing;
mod archive;
mod dump;
mod error;
mod program;
mod schema;
mod source;
mod tensor;

pub use error::{DynamicDimension, ErrorClass, ImportError, OldLayout};
pub use source::{Frame, Module, SourceLocation};

use cortado_contract::DType;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The most bytes of a file that are read, and of all entries or all constants of a program together.
pub const MAX_PROGRAM_BYTES: u64 = 1 << 30;

/// A program that PyTorch exported.
///
/// A node that works in place ([`Node::is_in_place`]) can be taken for one that makes a new tensor: programs in which
/// the difference would be seen are not read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportedProgram {
    /// The version of torch that wrote the file, such as `2.15.0+cpu`.
    pub torch_version: String,
    /// The version of the file's schema.
    pub schema_version: SchemaVersion,
    /// The inputs in the order of the graph's signature: first what the model brings along, then the user's.
    ///
    /// Only tensors: arguments of other kinds are fixed when a model is exported.
    pub inputs: Vec<Input>,
    /// The operations in execution order.
    pub nodes: Vec<Node>,
    /// The names of the tensors that the model returns, in order. A name can occur more than once, and be an input's.
    pub outputs: Vec<String>,
    /// Type and layout of every tensor that is an input or the result of a node.
    pub values: BTreeMap<String, ValueMeta>,
    /// The elements of every input that the model brings along, by the input's name.
    pub constants: BTreeMap<String, TensorData>,
}

/// The version of the schema in which a program is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SchemaVersion {
    /// Changes when older readers cannot read the file.
    pub major: u32,
    /// Changes when the schema grows.
    pub minor: u32,
}

/// An input of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Input {
    /// The tensor's name in the graph.
    pub name: String,
    /// Where its elements come from.
    #[serde(flatten)]
    pub kind: InputKind,
}

/// Where the elements of an input come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputKind {
    /// A parameter of the model.
    Parameter {
        /// The parameter's path in the model, such as `fc.weight`.
        fqn: String,
    },
    /// A buffer of the model.
    Buffer {
        /// The buffer's path in the model.
        fqn: String,
    },
    /// A tensor that the model's code holds or makes.
    Constant {
        /// The tensor's path in the model.
        fqn: String,
    },
    /// The caller, at run time.
    User,
}

impl InputKind {
    /// The path in the model, `None` for the user's inputs.
    pub fn fqn(&self) -> Option<&str> {
        match self {
            InputKind::Parameter { fqn }
            | InputKind::Buffer { fqn }
            | InputKind::Constant { fqn } => Some(fqn),
            InputKind::User => None,
        }
    }
}

/// Type and layout of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueMeta {
    /// The element type.
    #[serde(serialize_with = "dump::dtype")]
    pub dtype: DType,
    /// The extents in logical order (NCHW for images).
    pub shape: Vec<u32>,
    /// Elements from one item of an axis to the next.
    pub strides: Vec<u64>,
    /// Elements of the storage before the first one.
    pub storage_offset: u64,
}

impl ValueMeta {
    /// The axes in memory order, outermost first: `[0, 2, 3, 1]` is channels-last.
    ///
    /// Axes of equal stride keep their logical order, as in ExecuTorch's `dim_order_from_stride`.
    pub fn dim_order(&self) -> Vec<u8> {
        tensor::dim_order(&self.strides)
    }
}

/// The elements of a constant.
#[derive(Clone, PartialEq, Eq)]
pub struct TensorData {
    /// The element type.
    pub dtype: DType,
    /// The extents in logical order.
    pub shape: Vec<u32>,
    /// The strides with which the tensor was stored; [`TensorData::bytes`] no longer has them.
    pub strides: Vec<u64>,
    /// The elements in row-major order of the logical axes, little-endian.
    pub bytes: Arc<[u8]>,
}

impl TensorData {
    /// The axes in the order in which the tensor was stored, as [`ValueMeta::dim_order`].
    pub fn dim_order(&self) -> Vec<u8> {
        tensor::dim_order(&self.strides)
    }
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// The node's name.
    pub name: String,
    /// The operator with its overload, such as `aten.linear.default`; without the `torch.ops.` of the file.
    pub target: String,
    /// The arguments by name, in the order of the file. Arguments that have their default value may be absent.
    pub arguments: Vec<(String, Argument)>,
    /// The names of the resulting tensors; lists of results are flattened.
    pub outputs: Vec<String>,
    /// Where the user wrote it.
    pub source: SourceLocation,
}

impl Node {
    /// The argument of this name, `None` when the file leaves it to its default.
    pub fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|(given, _)| given == name).map(|(_, argument)| argument)
    }

    /// The names of all tensors that the node reads, in order.
    pub fn operands(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().flat_map(|(_, argument)| argument.tensors())
    }

    /// Whether the operator writes to its first argument, as ATen's operators with a trailing underscore do.
    pub fn is_in_place(&self) -> bool {
        let operator = self.target.split('.').nth(1).unwrap_or_default();
        operator.ends_with('_') && !operator.ends_with("__")
    }
}

/// An argument of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Argument {
    /// Python's `None`.
    None,
    /// A tensor, by name.
    Tensor(String),
    /// A list of tensors, by name; `None` where an optional one is absent.
    Tensors(Vec<Option<String>>),
    /// An integer.
    Int(i64),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A list of lists of integers.
    IntLists(Vec<Vec<i64>>),
    /// A float, perhaps infinite or not a number.
    Float(#[serde(serialize_with = "dump::float")] f64),
    /// A list of floats.
    Floats(#[serde(serialize_with = "dump::floats")] Vec<f64>),
    /// A truth value.
    Bool(bool),
    /// A list of truth values.
    Bools(Vec<bool>),
    /// A word, such as a padding mode.
    Text(String),
    /// A list of words.
    Texts(Vec<String>),
    /// An element type.
    ScalarType(ScalarType),
    /// An order of axes in memory.
    MemoryFormat(MemoryFormat),
    /// The only layout there is: elements at strides.
    StridedLayout,
    /// A device, such as `cpu` or `cuda:0`.
    Device(String),
}

impl Argument {
    /// The name of the tensor.
    pub fn as_tensor(&self) -> Option<&str> {
        match self {
            Argument::Tensor(name) => Some(name),
            _ => None,
        }
    }

    /// The integer.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Argument::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The integers.
    pub fn as_ints(&self) -> Option<&[i64]> {
        match self {
            Argument::Ints(values) => Some(values),
            _ => None,
        }
    }

    /// The number, whether written as a float or as an integer.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Argument::Float(value) => Some(*value),
            Argument::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Argument::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The word.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Argument::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The element type, `None` also for those that Cortado does not handle.
    pub fn as_dtype(&self) -> Option<DType> {
        match self {
            Argument::ScalarType(scalar_type) => scalar_type.dtype(),
            _ => None,
        }
    }

    /// The names of the tensors in the argument.
    pub fn tensors(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match self {
            Argument::Tensor(name) => (Some(name), &[][..]),
            Argument::Tensors(names) => (None, names.as_slice()),
            _ => (None, &[][..]),
        };
        one.into_iter().chain(many.iter().flatten()).map(String::as_str)
    }
}

/// An element type as exported programs count them, which differs from how `.pte` files do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScalarType(i64);

/// The order of axes in memory that an operator is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryFormat {
    /// Row-major (`torch.contiguous_format`).
    Contiguous,
    /// The second of four axes innermost (`torch.channels_last`).
    ChannelsLast,
    /// The second of five axes innermost (`torch.channels_last_3d`).
    ChannelsLast3d,
    /// That of the operand (`torch.preserve_format`).
    Preserve,
}

impl ExportedProgram {
    /// Reads a `.pt2` file of at most [`MAX_PROGRAM_BYTES`].
    ///
    /// # Errors
    /// As [`ExportedProgram::read`], or the operating system's.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ImportError> {
        Self::read(&cortado_npz::file::read_bounded(path.as_ref(), MAX_PROGRAM_BYTES)?)
    }

    /// Reads the bytes of a `.pt2` file.
    ///
    /// # Errors
    /// What is wrong with the file or unsupported in the program, where, and what to do about it. Dynamic dimensions of
    /// inputs are reported all together, else the first error is.
    pub fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        let archive = archive::Archive::new(bytes)?;
        program::convert(&archive)
    }

    /// The inputs that the caller gives at run time, in order.
    pub fn user_inputs(&self) -> impl Iterator<Item = &Input> {
        self.inputs.iter().filter(|input| input.kind == InputKind::User)
    }
}

/// The program as text: inputs, nodes with their source, outputs.
impl fmt::Display for ExportedProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dump::program(self, f)
    }
}

#[cfg(test)]
mod tests;
