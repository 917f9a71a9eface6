//! What an operator's arguments are made of, and what its rules may ask of a tensor.
//!
//! Compiler and runtime hold tensors differently (a node of a graph; an offset in an arena), so argument
//! structs are generic over a [`Domain`], and rules over [`TensorMeta`].

use crate::dtype::DType;
use core::fmt::Debug;

/// The types that stand for tensors and lists at one stage, such as lowering or loading.
pub trait Domain: Clone + Debug {
    /// A tensor argument.
    type Tensor: TensorMeta + Clone + Debug;
    /// An `int[]` argument.
    type IntList: IntList + Clone + Debug;
    /// A `Tensor[]` argument.
    type TensorList: TensorList<Self::Tensor> + Clone + Debug;
}

/// Type and extent of a tensor.
pub trait TensorMeta {
    /// The element type.
    fn dtype(&self) -> DType;
    /// The number of axes.
    fn rank(&self) -> usize;
    /// The extent of an axis counted from the first, in logical order (NCHW for images); 0 past the last.
    fn dim(&self, axis: usize) -> u32;
    /// The axis at a position of the memory order, outermost first: `[0, 2, 3, 1]` is NHWC memory of an NCHW tensor.
    fn dim_order(&self, position: usize) -> usize;

    /// Whether memory holds the axes in this order, outermost first; axes of extent 1 may stand anywhere.
    fn is_ordered_as(&self, order: impl IntoIterator<Item = usize>) -> bool {
        let mut wanted = order.into_iter().filter(|axis| self.dim(*axis) != 1);
        let mut found = (0..self.rank())
            .map(|position| self.dim_order(position))
            .filter(|axis| self.dim(*axis) != 1);
        loop {
            match (found.next(), wanted.next()) {
                (None, None) => return true,
                (found, wanted) if found == wanted => {}
                _ => return false,
            }
        }
    }

    /// Whether elements follow each other in memory in logical order.
    fn is_row_major(&self) -> bool {
        self.is_ordered_as(0..self.rank())
    }

    /// Whether this is an image (logical order NCHW) whose memory is NHWC.
    fn is_channels_last(&self) -> bool {
        self.rank() == 4 && self.is_ordered_as([0, 2, 3, 1])
    }

    /// Whether both tensors have the same extents and the same order in memory.
    fn same_layout(&self, other: &impl TensorMeta) -> bool {
        self.same_shape(other)
            && self.is_ordered_as((0..other.rank()).map(|position| other.dim_order(position)))
    }

    /// The number of elements, or `None` when it does not fit 32 bits.
    fn element_count(&self) -> Option<u32> {
        (0..self.rank()).try_fold(1u32, |count, axis| count.checked_mul(self.dim(axis)))
    }

    /// The extent of the last axis; 1 for a scalar.
    fn last_dim(&self) -> u32 {
        match self.rank() {
            0 => 1,
            rank => self.dim(rank - 1),
        }
    }

    /// Whether both tensors have the same extents.
    fn same_shape(&self, other: &impl TensorMeta) -> bool {
        self.rank() == other.rank()
            && (0..self.rank()).all(|axis| self.dim(axis) == other.dim(axis))
    }
}

/// An `int[]` argument.
pub trait IntList {
    /// The number of items.
    fn len(&self) -> usize;
    /// The item at `index`, or `None` past the end or when it cannot be read.
    fn get(&self, index: usize) -> Option<i64>;
    /// Whether there are no items.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A `Tensor[]` argument.
pub trait TensorList<T> {
    /// The number of tensors.
    fn len(&self) -> usize;
    /// The tensor at `index`, or `None` past the end or when it cannot be read.
    fn get(&self, index: usize) -> Option<T>;
    /// Whether there are no tensors.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A scalar argument type that is written as `int` in a schema.
pub trait IntArgument: Sized {
    /// The value behind a file's 64-bit integer, or `None` when it is out of range.
    fn from_i64(value: i64) -> Option<Self>;
    /// The value as a file stores it.
    fn to_i64(&self) -> i64;
}

impl IntArgument for i32 {
    fn from_i64(value: i64) -> Option<Self> {
        i32::try_from(value).ok()
    }
    fn to_i64(&self) -> i64 {
        i64::from(*self)
    }
}

impl IntArgument for i64 {
    fn from_i64(value: i64) -> Option<Self> {
        Some(value)
    }
    fn to_i64(&self) -> i64 {
        *self
    }
}

impl IntArgument for DType {
    fn from_i64(value: i64) -> Option<Self> {
        DType::from_scalar_type(value)
    }
    fn to_i64(&self) -> i64 {
        i64::from(self.scalar_type())
    }
}

macro_rules! int_argument_newtype {
    ($($name:ident),*) => {$(
        impl IntArgument for crate::quant::$name {
            fn from_i64(value: i64) -> Option<Self> {
                i32::try_from(value).ok().map(Self)
            }
            fn to_i64(&self) -> i64 {
                i64::from(self.0)
            }
        }
    )*};
}
int_argument_newtype!(ZeroPoint, InputOffset, FilterOffset, OutputOffset);

/// An argument type that is written as `str` in a schema.
pub trait TextArgument: Sized {
    /// The value behind a word, or `None` when there is none.
    fn from_text(text: &str) -> Option<Self>;
    /// The value as a file stores it.
    fn to_text(&self) -> &'static str;
}

/// Where an operator's arguments come from, one after the other in schema order.
pub trait ArgumentReader<D: Domain> {
    /// Why an argument could not be read.
    type Error;
    /// Reads a `Tensor`.
    fn tensor(&mut self) -> Result<D::Tensor, Self::Error>;
    /// Reads a `Tensor?`.
    fn optional_tensor(&mut self) -> Result<Option<D::Tensor>, Self::Error>;
    /// Reads an `int` or a `ScalarType`.
    fn int<T: IntArgument>(&mut self) -> Result<T, Self::Error>;
    /// Reads an `int?`.
    fn optional_int<T: IntArgument>(&mut self) -> Result<Option<T>, Self::Error>;
    /// Reads a `float`.
    fn float(&mut self) -> Result<f64, Self::Error>;
    /// Reads a `Scalar`.
    fn scalar(&mut self) -> Result<f64, Self::Error>;
    /// Reads a `Scalar?`.
    fn optional_scalar(&mut self) -> Result<Option<f64>, Self::Error>;
    /// Reads a `str`.
    fn text<T: TextArgument>(&mut self) -> Result<T, Self::Error>;
    /// Reads a `bool`.
    fn bool(&mut self) -> Result<bool, Self::Error>;
    /// Reads an `int[]`.
    fn int_list(&mut self) -> Result<D::IntList, Self::Error>;
    /// Reads an `int[]?`.
    fn optional_int_list(&mut self) -> Result<Option<D::IntList>, Self::Error>;
    /// Reads a `Tensor[]`.
    fn tensor_list(&mut self) -> Result<D::TensorList, Self::Error>;
}

/// Where an operator's arguments go, one after the other in schema order.
pub trait ArgumentWriter<D: Domain> {
    /// Writes a `Tensor`.
    fn tensor(&mut self, name: &'static str, value: &D::Tensor);
    /// Writes a `Tensor?`.
    fn optional_tensor(&mut self, name: &'static str, value: Option<&D::Tensor>);
    /// Writes an `int` or a `ScalarType`.
    fn int(&mut self, name: &'static str, value: i64);
    /// Writes an `int?`.
    fn optional_int(&mut self, name: &'static str, value: Option<i64>);
    /// Writes a `float`.
    fn float(&mut self, name: &'static str, value: f64);
    /// Writes a `Scalar`, as a `float`.
    fn scalar(&mut self, name: &'static str, value: f64) {
        self.float(name, value);
    }
    /// Writes a `Scalar?`.
    fn optional_scalar(&mut self, name: &'static str, value: Option<f64>) {
        match value {
            Some(number) => self.scalar(name, number),
            // Whatever is absent is written alike.
            None => self.optional_tensor(name, None),
        }
    }
    /// Writes a `str`.
    fn text(&mut self, name: &'static str, value: &'static str);
    /// Writes a `bool`.
    fn bool(&mut self, name: &'static str, value: bool);
    /// Writes an `int[]`.
    fn int_list(&mut self, name: &'static str, value: &D::IntList);
    /// Writes an `int[]?`.
    fn optional_int_list(&mut self, name: &'static str, value: Option<&D::IntList>) {
        match value {
            Some(list) => self.int_list(name, list),
            // Whatever is absent is written alike.
            None => self.optional_tensor(name, None),
        }
    }
    /// Writes a `Tensor[]`.
    fn tensor_list(&mut self, name: &'static str, value: &D::TensorList);
}

/// A rule of an operator that its arguments break.
///
/// Small and without text, so that a device can return it; the host prints it with the argument's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Violation {
    /// The position of the offending argument in the schema; `out` is the last.
    pub argument: u8,
    /// What is wrong with it.
    pub rule: Rule,
}

/// What can be wrong with an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Rule {
    /// The element type is not one that the operator takes here.
    DType,
    /// The number of axes is wrong.
    Rank,
    /// The extents do not fit those of the other arguments.
    Shape,
    /// The order of the axes in memory is not one that the operator takes.
    Layout,
    /// The number of elements or bytes exceeds what the kernels count with.
    TooLarge,
    /// A number is outside of its range.
    Range,
    /// A list has the wrong number of items.
    Length,
    /// Both forms of a constant are present.
    BothForms,
    /// The tensor must be a constant in the file.
    NotConstant,
    /// The scratch buffer is smaller than the kernel needs.
    Scratch,
    /// The output overlaps an operand that the kernel still reads.
    Overlap,
    /// The output is a constant of the program.
    NotWritable,
}

impl Rule {
    /// One clause that completes "argument `x` …".
    pub const fn explain(self) -> &'static str {
        match self {
            Rule::DType => "has an element type that the operator does not take",
            Rule::Rank => "has the wrong number of axes",
            Rule::Shape => "has extents that do not fit the other arguments",
            Rule::Layout => "has its axes in an order in memory that the operator does not take",
            Rule::TooLarge => "is larger than the kernels can count",
            Rule::Range => "is outside of its range",
            Rule::Length => "has the wrong number of items",
            Rule::BothForms => "is present together with the other form of the same constant",
            Rule::NotConstant => "must be a constant of the program",
            Rule::Scratch => "is a smaller scratch buffer than the kernel needs",
            Rule::Overlap => "overlaps another operand in memory",
            Rule::NotWritable => "is a constant, which nothing may write",
        }
    }
}

/// Shorthand for rules: `Err` with the argument's position when `holds` is false.
pub const fn require(holds: bool, argument: u8, rule: Rule) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { argument, rule }) }
}

/// Shorthand for rules: the value, or the argument's position when there is none.
pub fn require_some<T>(value: Option<T>, argument: u8, rule: Rule) -> Result<T, Violation> {
    value.ok_or(Violation { argument, rule })
}
