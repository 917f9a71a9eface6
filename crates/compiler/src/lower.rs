//! Lowering: from the quantized graph to operators of one target.
//!
//! Each file of this module lowers the nodes of one operator; [`for_each_operator!`](cortado_contract::for_each_operator)
//! lists them. A file offers `lower`, which returns `None` for a node that is not its business. Nodes that only see the
//! same elements under another shape are lowered by `views`.

use crate::error::{CompileError, Unsupported};
use crate::graph::{Graph, Node, Quantization, ValueId};
use crate::lowered::{Buffer, BufferId, BufferKind, Call, Lowered, LoweredDomain, LoweredTensor};
use cortado_contract::ops::{Operator, Rules};
use cortado_contract::quant::Activation;
use cortado_contract::{DType, Target, for_each_operator};
use std::collections::HashMap;
use std::sync::Arc;

mod convolution;
mod elementwise;
mod float;
mod movement;
mod requantize;
mod shuffle;
mod views;
mod weights;

/// What a lowering returns: nothing when the node is another's business, else whether it could be lowered.
pub(crate) type Outcome = Option<Result<(), Unsupported>>;

macro_rules! declare_lowerings {
    ($($variant:ident = $module:ident,)*) => {
        $(mod $module;)*
        const LOWERINGS: &[fn(&mut Lowerer<'_>, &Node) -> Outcome] = &[$($module::lower,)* requantize::lower, shuffle::lower, views::lower];
    };
}
for_each_operator!(declare_lowerings);

/// Lowers a graph for a target.
///
/// # Errors
/// [`CompileError::Unsupported`] with every node that cannot be lowered, or whose call breaks its operator's own rules.
pub fn lower(graph: &Graph, target: Target) -> Result<Lowered, CompileError> {
    let mut lowerer = Lowerer {
        graph,
        target,
        program: Lowered::default(),
        buffers: HashMap::new(),
        constants: HashMap::new(),
    };
    let mut problems = Vec::new();
    for input in &graph.inputs {
        let id = lowerer.buffer(*input);
        lowerer.program.inputs.push(id);
    }
    for node in &graph.nodes {
        let before = lowerer.program.calls.len();
        let outcome = LOWERINGS.iter().find_map(|lower| lower(&mut lowerer, node));
        let lowered = outcome.unwrap_or_else(|| Err(unknown(graph, node)));
        let calls = lowerer.program.calls.get(before..).unwrap_or(&[]);
        if let Err(problem) = lowered.and_then(|()| check(node, calls)) {
            problems.push(problem);
        }
    }
    if !problems.is_empty() {
        return Err(CompileError::Unsupported(problems));
    }
    for output in &graph.outputs {
        let id = lowerer.buffer(*output);
        lowerer.program.outputs.push(id);
    }
    Ok(lowerer.program)
}

fn unknown(graph: &Graph, node: &Node) -> Unsupported {
    let is_integer = |id: &ValueId| !graph.value(*id).dtype.is_float();
    if node.outputs.iter().all(is_integer) {
        return Unsupported::new(node, "Cortado has no such operator yet")
            .with_remedy("replace the operation, or move it out of the model");
    }
    Unsupported::new(node, "the operator was left in float, and Cortado has no float kernel for it")
        .with_remedy("quantize it (its inputs and its result), or move it out of the model")
}

/// Holds a node's calls against their operators' own rules: a model may ask for what its operator does not take, such as a range that
/// its type does not have.
fn check(node: &Node, calls: &[Call]) -> Result<(), Unsupported> {
    for call in calls {
        if let Err(violation) = call.operator.check() {
            let kind = call.operator.kind();
            let argument = kind.argument_name(violation.argument);
            let reason = format!("as {}, `{argument}` {}", kind.name(), violation.rule.explain());
            return Err(Unsupported::new(node, reason));
        }
    }
    Ok(())
}

/// The integers that a node's fused activation clamps to, within the limits of its result.
pub(crate) fn quantized_activation(node: &Node, quantization: &Quantization) -> Activation {
    let limits = Activation { min: quantization.quant_min, max: quantization.quant_max };
    let (Some(range), Some((scale, zero_point))) = (node.activation, quantization.per_tensor())
    else {
        return limits;
    };
    // Casting saturates, so an infinite bound becomes the limit.
    let quantize = |bound: f64| (bound / scale + f64::from(zero_point)).round_ties_even() as i32;
    Activation { min: limits.clamp(quantize(range.min)), max: limits.clamp(quantize(range.max)) }
}

/// What makes two constants the same one: type, extents, order in memory and elements.
type ConstantKey = (DType, Vec<u32>, Vec<u8>, Arc<[u8]>);

/// Elements in logical order, in memory order.
fn in_memory_order(dtype: DType, shape: &[u32], dim_order: &[u8], data: Arc<[u8]>) -> Arc<[u8]> {
    if dim_order.is_sorted() {
        return data;
    }
    let size = dtype.size_bytes() as usize;
    let positions = crate::order::logical_positions(shape, dim_order);
    positions.into_iter().flat_map(|position| &data[position * size..][..size]).copied().collect()
}

/// The program under construction, with what has been lowered so far.
pub(crate) struct Lowerer<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) target: Target,
    pub(crate) program: Lowered,
    buffers: HashMap<ValueId, BufferId>,
    /// Constants by content, so that equal ones are stored once.
    constants: HashMap<ConstantKey, BufferId>,
}

impl Lowerer<'_> {
    /// The buffer of a value, which is made when it is first asked for.
    pub(crate) fn buffer(&mut self, id: ValueId) -> BufferId {
        if let Some(buffer) = self.buffers.get(&id) {
            return *buffer;
        }
        let value = self.graph.value(id);
        let buffer = match &value.data {
            Some(data) => self.ordered_constant(
                &value.name,
                value.dtype,
                value.shape.clone(),
                value.dim_order.clone(),
                data.clone(),
            ),
            None => self.program.add(Buffer {
                name: value.name.clone(),
                dtype: value.dtype,
                shape: value.shape.clone(),
                dim_order: value.dim_order.clone(),
                kind: BufferKind::Activation,
            }),
        };
        self.buffers.insert(id, buffer);
        buffer
    }

    /// The value as an argument.
    pub(crate) fn tensor(&mut self, id: ValueId) -> LoweredTensor {
        let buffer = self.buffer(id);
        self.program.tensor(buffer)
    }

    /// A constant with elements in logical order, stored row-major.
    pub(crate) fn constant(
        &mut self,
        name: &str,
        dtype: DType,
        shape: Vec<u32>,
        data: Arc<[u8]>,
    ) -> BufferId {
        let dim_order = (0..shape.len() as u8).collect();
        self.ordered_constant(name, dtype, shape, dim_order, data)
    }

    /// A constant with elements in logical order, stored with its axes in the order `dim_order`.
    pub(crate) fn ordered_constant(
        &mut self,
        name: &str,
        dtype: DType,
        shape: Vec<u32>,
        dim_order: Vec<u8>,
        data: Arc<[u8]>,
    ) -> BufferId {
        let data = in_memory_order(dtype, &shape, &dim_order, data);
        let program = &mut self.program;
        let key = (dtype, shape, dim_order, data);
        *self.constants.entry(key).or_insert_with_key(|(dtype, shape, dim_order, data)| {
            program.add(Buffer {
                name: name.to_owned(),
                dtype: *dtype,
                shape: shape.clone(),
                dim_order: dim_order.clone(),
                kind: BufferKind::Constant(data.clone()),
            })
        })
    }

    /// A constant row of 32-bit integers, as an argument.
    pub(crate) fn int32_row(
        &mut self,
        name: &str,
        shape: Vec<u32>,
        values: &[i32],
    ) -> LoweredTensor {
        let bytes: Arc<[u8]> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let id = self.constant(name, DType::I32, shape, bytes);
        self.program.tensor(id)
    }

    /// A constant row of 64-bit integers, as an argument.
    pub(crate) fn int64_row(
        &mut self,
        name: &str,
        shape: Vec<u32>,
        values: &[i64],
    ) -> LoweredTensor {
        let bytes: Arc<[u8]> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let id = self.constant(name, DType::I64, shape, bytes);
        self.program.tensor(id)
    }

    /// Memory of this many bytes that ExecuTorch's kernels ask for, for one call.
    pub(crate) fn scratch(&mut self, node: &Node, bytes: u32) -> LoweredTensor {
        let id = self.program.add(Buffer {
            name: format!("{}_scratch", node.name),
            dtype: DType::U8,
            shape: vec![bytes],
            dim_order: vec![0],
            kind: BufferKind::Activation,
        });
        self.program.tensor(id)
    }

    /// Makes a value a view of another one's memory.
    pub(crate) fn view(&mut self, id: ValueId, of: ValueId) {
        let of = self.buffer(of);
        let value = self.graph.value(id);
        let view = self.program.add(Buffer {
            name: value.name.clone(),
            dtype: value.dtype,
            shape: value.shape.clone(),
            dim_order: value.dim_order.clone(),
            kind: BufferKind::View(of),
        });
        self.buffers.insert(id, view);
    }

    /// Adds the call that a node becomes.
    pub(crate) fn call(&mut self, node: &Node, operator: Operator<LoweredDomain>) {
        self.program.calls.push(Call {
            name: node.name.clone(),
            source: node.source.to_string(),
            operator,
        });
    }

    /// The quantization of a value, or a problem of the node that needs it.
    pub(crate) fn quantization(
        &self,
        node: &Node,
        id: ValueId,
    ) -> Result<&Quantization, Unsupported> {
        let value = self.graph.value(id);
        value.quantization.as_ref().ok_or_else(|| {
            Unsupported::new(node, format!("`{}` is not quantized", value.name)).with_remedy(
                "quantize the operator with all of its inputs, or leave it in float altogether",
            )
        })
    }

    /// Scale and zero point of an `int8` activation, or a problem of the node that needs them.
    pub(crate) fn int8_activation(
        &self,
        node: &Node,
        id: ValueId,
    ) -> Result<(f64, i32), Unsupported> {
        let value = self.graph.value(id);
        let quantization = self.quantization(node, id)?;
        if quantization.dtype != DType::I8 {
            let why = format!(
                "`{}` is quantized as {}; the kernels take int8",
                value.name, quantization.dtype
            );
            return Err(Unsupported::new(node, why).with_remedy("quantize activations as int8"));
        }
        self.per_tensor(node, id)
    }

    /// The scale of an activation of a layer over `int16`, whose zero point is 0, or a problem of the node that needs it.
    pub(crate) fn int16_activation(&self, node: &Node, id: ValueId) -> Result<f64, Unsupported> {
        let value = self.graph.value(id);
        let quantization = self.quantization(node, id)?;
        if quantization.dtype != DType::I16 {
            let why = format!(
                "its result is quantized as int16, but `{}` as {}",
                value.name, quantization.dtype
            );
            return Err(Unsupported::new(node, why)
                .with_remedy("quantize a layer's input and its result alike: both as int16"));
        }
        let (scale, zero_point) = self.per_tensor(node, id)?;
        if zero_point != 0 {
            let why = format!(
                "`{}` has the zero point {zero_point}; the int16 kernels take 0 only",
                value.name
            );
            return Err(Unsupported::new(node, why).with_remedy(
                "quantize int16 activations symmetrically (torch.per_tensor_symmetric)",
            ));
        }
        Ok(scale)
    }

    /// The positive scale and the zero point of an activation that has one of each.
    fn per_tensor(&self, node: &Node, id: ValueId) -> Result<(f64, i32), Unsupported> {
        let value = self.graph.value(id);
        let quantization = self.quantization(node, id)?;
        quantization.per_tensor().filter(|(scale, _)| *scale > 0.0 && scale.is_finite()).ok_or_else(
            || {
                let why = format!(
                    "`{}` has other than one positive scale and one zero point",
                    value.name
                );
                Unsupported::new(node, why).with_remedy("quantize activations per tensor")
            },
        )
    }
}
