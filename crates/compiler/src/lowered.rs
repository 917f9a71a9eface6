//! The lowered program: calls of Cortado's operators over buffers, for one target.

use cortado_contract::DType;
use cortado_contract::ops::Operator;
use cortado_contract::value::{Domain, IntList, TensorList, TensorMeta};
use std::sync::Arc;

/// The position of a buffer in [`Lowered::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub usize);

/// A program for one target, before memory is planned.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// All tensors.
    pub buffers: Vec<Buffer>,
    /// The operators in execution order.
    pub calls: Vec<Call>,
    /// The program's inputs.
    pub inputs: Vec<BufferId>,
    /// The program's outputs.
    pub outputs: Vec<BufferId>,
    /// By position, what the integers of an input stand for, where its conversion is the caller's. May be shorter than the inputs.
    pub input_affines: Vec<Option<Affine>>,
    /// The same of the outputs.
    pub output_affines: Vec<Option<Affine>>,
}

/// What the integers of a tensor stand for: `real = scale · (integer − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// The scale.
    pub scale: f64,
    /// The zero point.
    pub zero_point: i32,
}

/// A tensor of a lowered program.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// The name in the exported program, or one made from it.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The extents in logical order.
    pub shape: Vec<u32>,
    /// The axes in memory order, outermost first.
    pub dim_order: Vec<u8>,
    /// Where its elements come from.
    pub kind: BufferKind,
}

/// Where a buffer's elements come from.
#[derive(Clone, Debug)]
pub enum BufferKind {
    /// The file: these bytes, in memory order.
    Constant(Arc<[u8]>),
    /// The caller or a call, in the arena.
    Activation,
    /// Another buffer, whose memory this one sees under another shape.
    View(BufferId),
}

/// A call of an operator.
#[derive(Clone, Debug)]
pub struct Call {
    /// The node's name in the exported program.
    pub name: String,
    /// Where the user wrote it.
    pub source: String,
    /// The operator with its arguments.
    pub operator: Operator<LoweredDomain>,
}

/// The domain of lowered programs.
#[derive(Clone, Debug)]
pub struct LoweredDomain;

impl Domain for LoweredDomain {
    type Tensor = LoweredTensor;
    type IntList = Ints;
    type TensorList = Tensors;
}

/// A buffer as an argument.
#[derive(Clone, Debug, PartialEq)]
pub struct LoweredTensor {
    /// The buffer.
    pub id: BufferId,
    /// The buffer's element type.
    pub dtype: DType,
    /// The buffer's extents.
    pub shape: Vec<u32>,
    /// The buffer's memory order.
    pub dim_order: Vec<u8>,
}

impl TensorMeta for LoweredTensor {
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn rank(&self) -> usize {
        self.shape.len()
    }
    fn dim(&self, axis: usize) -> u32 {
        self.shape.get(axis).copied().unwrap_or(0)
    }
    fn dim_order(&self, position: usize) -> usize {
        self.dim_order.get(position).copied().map_or(0, usize::from)
    }
}

/// An `int[]` argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ints(pub Vec<i64>);

impl IntList for Ints {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn get(&self, index: usize) -> Option<i64> {
        self.0.get(index).copied()
    }
}

/// A `Tensor[]` argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensors(pub Vec<LoweredTensor>);

impl TensorList<LoweredTensor> for Tensors {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn get(&self, index: usize) -> Option<LoweredTensor> {
        self.0.get(index).cloned()
    }
}

impl Lowered {
    /// The buffer behind an id.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0]
    }

    /// Adds a buffer.
    pub fn add(&mut self, buffer: Buffer) -> BufferId {
        self.buffers.push(buffer);
        BufferId(self.buffers.len() - 1)
    }

    /// The buffer as an argument.
    pub fn tensor(&self, id: BufferId) -> LoweredTensor {
        let Buffer { dtype, shape, dim_order, .. } = self.buffer(id);
        LoweredTensor { id, dtype: *dtype, shape: shape.clone(), dim_order: dim_order.clone() }
    }

    /// The buffer whose memory this one sees: itself, unless it is a view.
    pub fn storage(&self, mut id: BufferId) -> BufferId {
        while let BufferKind::View(of) = self.buffer(id).kind {
            id = of;
        }
        id
    }
}

impl Buffer {
    /// The size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.shape.iter().map(|extent| u64::from(*extent)).product::<u64>()
            * u64::from(self.dtype.size_bytes())
    }
}
