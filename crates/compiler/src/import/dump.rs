//! Exported programs as text and as JSON.

use super::{Argument, ExportedProgram, InputKind, ScalarType, TensorData, ValueMeta};
use cortado_contract::DType;
use serde::ser::{Serialize, SerializeSeq, SerializeStruct, Serializer};
use std::fmt;

/// Writes a program as text: inputs, nodes in order, outputs.
///
/// ```text
/// torch 2.15.0, schema 8.20
///
/// inputs
///   p_fc_weight: float32 [3, 4], parameter `fc.weight`
///   x: float32 [1, 4], user
///
/// nodes
///   linear: float32 [1, 3]
///     = aten.linear.default(input=%x, weight=%p_fc_weight)
///     at model.py:12, in forward: return self.fc(x)
///
/// outputs
///   linear
/// ```
pub(super) fn program(program: &ExportedProgram, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let value = |name| typed(program, name);
    writeln!(f, "torch {}, schema {}", program.torch_version, program.schema_version)?;
    writeln!(f, "\ninputs")?;
    for input in &program.inputs {
        let kind = match &input.kind {
            InputKind::Parameter { fqn } => format!("parameter `{fqn}`"),
            InputKind::Buffer { fqn } => format!("buffer `{fqn}`"),
            InputKind::Constant { fqn } => format!("constant `{fqn}`"),
            InputKind::User => "user".to_owned(),
        };
        writeln!(f, "  {}, {kind}", value(&input.name))?;
    }
    writeln!(f, "\nnodes")?;
    for node in &program.nodes {
        for output in &node.outputs {
            writeln!(f, "  {}", value(output))?;
        }
        if node.outputs.is_empty() {
            writeln!(f, "  no result")?;
        }
        write!(f, "    = {}(", node.target)?;
        for (index, (name, argument)) in node.arguments.iter().enumerate() {
            write!(f, "{}{name}={}", separator(index), Shown(argument))?;
        }
        writeln!(f, ")\n    at {}", node.source)?;
    }
    writeln!(f, "\noutputs")?;
    program.outputs.iter().try_for_each(|output| writeln!(f, "  {output}"))
}

/// A tensor with its type, and its layout unless that is row-major.
struct Typed<'a> {
    name: &'a str,
    meta: Option<&'a ValueMeta>,
}

fn typed<'a>(program: &'a ExportedProgram, name: &'a str) -> Typed<'a> {
    Typed { name, meta: program.values.get(name) }
}

impl fmt::Display for Typed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        let Some(meta) = self.meta else { return Ok(()) };
        write!(f, ": {} {:?}", meta.dtype, meta.shape)?;
        if !is_row_major(meta) {
            write!(f, " strides {:?}", meta.strides)?;
        }
        if meta.storage_offset != 0 {
            write!(f, " offset {}", meta.storage_offset)?;
        }
        Ok(())
    }
}

fn is_row_major(meta: &ValueMeta) -> bool {
    let mut expected = 1u64;
    meta.shape.iter().zip(&meta.strides).rev().all(|(&size, &stride)| {
        let fits = size <= 1 || stride == expected;
        expected = expected.saturating_mul(u64::from(size));
        fits
    })
}

/// An argument as Python would show it, tensors as `%name`.
struct Shown<'a>(&'a Argument);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Argument::None => f.write_str("None"),
            Argument::Tensor(name) => write!(f, "%{name}"),
            Argument::Tensors(names) => {
                f.write_str("[")?;
                for (index, name) in names.iter().enumerate() {
                    match name {
                        Some(name) => write!(f, "{}%{name}", separator(index))?,
                        None => write!(f, "{}None", separator(index))?,
                    }
                }
                f.write_str("]")
            }
            Argument::Int(value) => write!(f, "{value}"),
            Argument::Ints(values) => write!(f, "{values:?}"),
            Argument::IntLists(lists) => write!(f, "{lists:?}"),
            Argument::Float(value) => write!(f, "{value:?}"),
            Argument::Floats(values) => write!(f, "{values:?}"),
            Argument::Bool(value) => write!(f, "{value}"),
            Argument::Bools(values) => write!(f, "{values:?}"),
            Argument::Text(text) => write!(f, "{text:?}"),
            Argument::Texts(texts) => write!(f, "{texts:?}"),
            Argument::ScalarType(scalar_type) => f.write_str(&scalar_type.name()),
            Argument::MemoryFormat(format) => write!(f, "{format:?}"),
            Argument::StridedLayout => f.write_str("strided"),
            Argument::Device(device) => f.write_str(device),
        }
    }
}

fn separator(index: usize) -> &'static str {
    if index == 0 { "" } else { ", " }
}

/// An element type by its name.
pub(super) fn dtype<S: Serializer>(dtype: &DType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(dtype.name())
}

/// A float; infinities and NaN, which JSON has not, as words.
pub(super) fn float<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() { serializer.serialize_f64(*value) } else { serializer.collect_str(value) }
}

/// A list of floats as [`float`].
pub(super) fn floats<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    struct One(f64);

    impl Serialize for One {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            float(&self.0, serializer)
        }
    }

    let mut list = serializer.serialize_seq(Some(values.len()))?;
    values.iter().try_for_each(|value| list.serialize_element(&One(*value)))?;
    list.end()
}

impl Serialize for ScalarType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// Type, shape, size and checksum, not the elements.
impl Serialize for TensorData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut data = serializer.serialize_struct("TensorData", 5)?;
        data.serialize_field("dtype", self.dtype.name())?;
        data.serialize_field("shape", &self.shape)?;
        data.serialize_field("strides", &self.strides)?;
        data.serialize_field("size_bytes", &self.bytes.len())?;
        data.serialize_field("crc32", &cortado_npz::zip::crc32(&self.bytes))?;
        data.end()
    }
}

/// Type, shape and size, not the elements.
impl fmt::Debug for TensorData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorData")
            .field("dtype", &self.dtype)
            .field("shape", &self.shape)
            .field("strides", &self.strides)
            .field("size_bytes", &self.bytes.len())
            .finish()
    }
}
