//! Reading a whole program into the owned model.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{
    Chain, CompileSpec, ContainerMetadata, Delegate, ExtraTensorInfo, Frame, Instruction,
    NamedData, Operator, Plan, Program, Tensor, TensorLocation, Value,
};
use crate::budget::Budget;
use crate::error::{Error, ErrorKind};
use crate::flatbuffer::{Scalar, Scalars, Text, Vector, View};

impl Program {
    /// Reads a whole program.
    ///
    /// The file has no lengths for constants. A constant is taken to end where the next one starts,
    /// without the zeros at its end that no tensor covers: these cannot be told from padding.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong in the file; [`ErrorKind::Expansion`] where it unfolds to more
    /// than any compiler writes.
    pub fn from_view(view: &crate::Program<'_>) -> Result<Self, Error> {
        let mut budget = Budget::new(view.file_size());
        let plans =
            list(&mut budget, view.plans()?, |budget, plan| Plan::from_view(budget, view, &plan))?;
        let needed = bytes_needed(&plans);
        let mutable_segments = list(&mut budget, view.mutable_segments()?, |budget, part| {
            let data = view.segment(part.segment_index)?;
            buffers(budget, part.offsets, data, |_, buffer| buffer.len())
        })?;
        let named_data = list(&mut budget, view.named_data()?, |budget, entry| {
            let data = view.segment(entry.segment_index)?;
            Ok(NamedData { key: text(budget, entry.key)?, data: bytes(budget, data)? })
        })?;
        Ok(Self {
            version: view.version()?,
            constants: constants(&mut budget, view, &needed)?,
            plans,
            mutable_segments,
            named_data,
        })
    }
}

impl Plan {
    fn from_view(
        budget: &mut Budget,
        program: &crate::Program<'_>,
        view: &crate::Plan<'_>,
    ) -> Result<Self, Error> {
        Ok(Self {
            name: text(budget, view.name()?)?,
            container: match view.container()? {
                None => None,
                Some(container) => Some(ContainerMetadata {
                    inputs: text(budget, container.inputs)?,
                    outputs: text(budget, container.outputs)?,
                }),
            },
            values: list(budget, view.values(), Value::from_view)?,
            inputs: scalars(budget, view.inputs()?)?,
            outputs: scalars(budget, view.outputs()?)?,
            chains: list(budget, view.chains()?, Chain::from_view)?,
            operators: list(budget, view.operators()?, |budget, operator| {
                let name = text(budget, operator.name)?;
                Ok(Operator { name, overload: text(budget, operator.overload)? })
            })?,
            delegates: list(budget, view.delegates()?, |budget, delegate| {
                Delegate::from_view(budget, program, delegate)
            })?,
            non_const_buffer_sizes: scalars(budget, view.non_const_buffer_sizes()?)?,
            non_const_buffer_devices: list(
                budget,
                view.non_const_buffer_devices()?,
                |_, device| Ok(device),
            )?,
        })
    }
}

impl Value {
    fn from_view(budget: &mut Budget, view: crate::Value<'_>) -> Result<Self, Error> {
        use crate::Value as View;
        Ok(match view {
            View::Null => Self::Null,
            View::Int(int) => Self::Int(int),
            View::Bool(bool) => Self::Bool(bool),
            View::Double(double) => Self::Double(double),
            View::Tensor(tensor) => Self::Tensor(Tensor::from_view(budget, &tensor)?),
            View::String(string) => Self::String(text(budget, string)?),
            View::IntList(items) => Self::IntList(scalars(budget, items)?),
            View::DoubleList(items) => Self::DoubleList(scalars(budget, items)?),
            View::BoolList(items) => Self::BoolList(scalars(budget, items)?),
            View::TensorList(items) => Self::TensorList(scalars(budget, items)?),
            View::OptionalTensorList(items) => Self::OptionalTensorList(scalars(budget, items)?),
        })
    }
}

impl Tensor {
    fn from_view(budget: &mut Budget, view: &crate::Tensor<'_>) -> Result<Self, Error> {
        let extra_tensor_info = match view.extra_tensor_info()? {
            None => None,
            Some(info) => Some(ExtraTensorInfo {
                mutable_data_segments_idx: info.mutable_data_segments_idx,
                fully_qualified_name: match info.fully_qualified_name {
                    None => None,
                    Some(name) => Some(text(budget, name)?),
                },
                location: info.location,
                device_type: info.device_type,
                device_index: info.device_index,
            }),
        };
        Ok(Self {
            scalar_type: view.scalar_type()?,
            storage_offset: view.storage_offset()?,
            sizes: scalars(budget, view.sizes()?)?,
            dim_order: bytes(budget, view.dim_order()?)?,
            requires_grad: view.requires_grad()?,
            data_buffer_idx: view.data_buffer_idx()?,
            allocation: view.allocation()?,
            layout: view.layout()?,
            shape_dynamism: view.shape_dynamism()?,
            extra_tensor_info,
        })
    }
}

impl Chain {
    fn from_view(budget: &mut Budget, view: crate::Chain<'_>) -> Result<Self, Error> {
        Ok(Self {
            inputs: scalars(budget, view.inputs()?)?,
            outputs: scalars(budget, view.outputs()?)?,
            instructions: list(budget, view.instructions()?, Instruction::from_view)?,
            stacktrace: list(budget, view.stacktrace()?, |budget, trace| {
                list(budget, trace.frames, Frame::from_view)
            })?,
        })
    }
}

impl Instruction {
    fn from_view(budget: &mut Budget, view: crate::Instruction<'_>) -> Result<Self, Error> {
        use crate::Instruction as View;
        Ok(match view {
            View::KernelCall { op_index, args } => {
                Self::KernelCall { op_index, args: scalars(budget, args)? }
            }
            View::DelegateCall { delegate_index, args } => {
                Self::DelegateCall { delegate_index, args: scalars(budget, args)? }
            }
            View::MoveCall { move_from, move_to } => Self::MoveCall { move_from, move_to },
            View::JumpFalseCall { cond_value_index, destination_instruction } => {
                Self::JumpFalseCall { cond_value_index, destination_instruction }
            }
            View::FreeCall { value_index } => Self::FreeCall { value_index },
        })
    }
}

impl Frame {
    fn from_view(budget: &mut Budget, view: crate::Frame<'_>) -> Result<Self, Error> {
        Ok(Self {
            filename: text(budget, view.filename)?,
            lineno: view.lineno,
            name: text(budget, view.name)?,
            context: text(budget, view.context)?,
        })
    }
}

impl Delegate {
    fn from_view(
        budget: &mut Budget,
        program: &crate::Program<'_>,
        view: crate::Delegate<'_>,
    ) -> Result<Self, Error> {
        Ok(Self {
            id: text(budget, view.id)?,
            data: bytes(budget, program.delegate_data(view.processed)?)?,
            compile_specs: list(budget, view.compile_specs, |budget, spec| {
                Ok(CompileSpec { key: text(budget, spec.key)?, value: bytes(budget, spec.value)? })
            })?,
        })
    }
}

/// Bytes that the largest tensor over each constant buffer needs.
fn bytes_needed(plans: &[Plan]) -> BTreeMap<usize, usize> {
    let mut needed = BTreeMap::new();
    for value in plans.iter().flat_map(|plan| &plan.values) {
        let Value::Tensor(tensor) = value else { continue };
        let external = tensor
            .extra_tensor_info
            .as_ref()
            .is_some_and(|info| info.location == TensorLocation::External);
        if tensor.allocation.is_none() && !external {
            // A tensor of unknown size needs all that there is.
            let bytes = tensor.size_bytes().unwrap_or(usize::MAX);
            let most = needed.entry(tensor.data_buffer_idx as usize).or_default();
            *most = bytes.max(*most);
        }
    }
    needed
}

fn constants(
    budget: &mut Budget,
    view: &crate::Program<'_>,
    needed: &BTreeMap<usize, usize>,
) -> Result<Vec<Vec<u8>>, Error> {
    let offsets = view.constant_offsets();
    if offsets.is_empty() {
        let inline = view.inline_constants()?;
        let mut constants = list(budget, inline, |budget, buffer| bytes(budget, buffer.bytes))?;
        match constants.first_mut() {
            None => constants.push(vec![]),
            Some(reserved) => reserved.clear(),
        }
        return Ok(constants);
    }
    buffers(budget, offsets, view.constant_data(), |index, buffer| {
        let content = buffer.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        content.max(needed.get(&index).copied().unwrap_or(0))
    })
}

/// The buffers that share `data`. How long one is, `len` says from its index and the bytes up to the
/// next one; it may say more than these where buffers overlap. The reserved buffer 0 stays empty.
fn buffers(
    budget: &mut Budget,
    offsets: Scalars<'_, u64>,
    data: &[u8],
    len: impl Fn(usize, &[u8]) -> usize,
) -> Result<Vec<Vec<u8>>, Error> {
    let outside = Error::new(ErrorKind::Segment, 0);
    let mut buffers = Vec::new();
    for (index, start) in offsets.iter().enumerate() {
        if index == 0 {
            buffers.push(Vec::new());
            continue;
        }
        let rest = usize::try_from(start).ok().and_then(|start| data.get(start..));
        let rest = rest.ok_or(outside)?;
        let gap = offsets.get(index + 1).and_then(|next| next.checked_sub(start));
        let gap = gap.and_then(|gap| usize::try_from(gap).ok()).unwrap_or(usize::MAX);
        let alone = rest.get(..gap).unwrap_or(rest);
        let buffer = rest.get(..len(index, alone)).unwrap_or(rest);
        budget.spend(size_of::<Vec<u8>>())?;
        buffers.push(bytes(budget, buffer)?);
    }
    Ok(buffers)
}

fn list<'a, V: View<'a>, T>(
    budget: &mut Budget,
    vector: Vector<'a, V>,
    mut convert: impl FnMut(&mut Budget, V) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    for item in vector.iter() {
        budget.spend(size_of::<T>())?;
        items.push(convert(budget, item?)?);
    }
    Ok(items)
}

fn scalars<T: Scalar>(budget: &mut Budget, scalars: Scalars<'_, T>) -> Result<Vec<T>, Error> {
    budget.spend(scalars.as_bytes().len())?;
    Ok(scalars.iter().collect())
}

fn bytes(budget: &mut Budget, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    budget.spend(bytes.len())?;
    Ok(bytes.into())
}

fn text(budget: &mut Budget, text: Text<'_>) -> Result<String, Error> {
    budget.spend(text.as_bytes().len())?;
    Ok(text.as_str()?.into())
}
