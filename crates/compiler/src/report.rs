//! What a compilation made, as numbers; the content of `cortado compile --json`.

use crate::Compiled;
use crate::lowered::{Affine, BufferId, BufferKind, Call, Lowered, LoweredDomain};
use crate::plan::{ALIGNMENT, MemoryPlan, Placement, operands};
use crate::stack::{self, StackBound};
use cortado_contract::ops::{Operator, OperatorKind, Rules};
use serde::Serialize;
use std::collections::HashMap;

/// The report of a compilation. Fields are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The core.
    pub cpu: &'static str,
    /// The instruction set of the kernels.
    pub isa: &'static str,
    /// The form of linear layers' constant terms.
    pub constant_form: &'static str,
    /// The size of the file.
    pub pte_bytes: usize,
    /// The share of it that constants take.
    pub constant_bytes: u64,
    /// The size of the arena: all banks together.
    pub arena_bytes: u64,
    /// The most bytes that are live at one time: no plan of this schedule can need less.
    pub arena_lower_bound_bytes: u64,
    /// How the arena is planned.
    pub memory: MemoryReport,
    /// The size of a loaded method's state.
    pub state_bytes: usize,
    /// The stack that loading and executing take, `None` where it was not measured.
    pub stack: Option<StackBound>,
    /// Multiply-accumulates of one execution.
    pub macs: u64,
    /// The share of them that is computed in integers (int8, or int16 where that was asked for), from 0 to 1; 1 where there are none.
    pub int8_share: f64,
    /// The number of operators that compute in float.
    pub float_operators: usize,
    /// Groups of operators that pass floats to each other, in execution order.
    pub float_islands: Vec<FloatIsland>,
    /// The program's inputs.
    pub inputs: Vec<TensorReport>,
    /// The program's outputs.
    pub outputs: Vec<TensorReport>,
    /// The operators in execution order.
    pub operators: Vec<OperatorReport>,
}

/// A memory plan.
#[derive(Clone, Debug, Serialize)]
pub struct MemoryReport {
    /// The bytes of all banks together.
    pub arena_bytes: u64,
    /// The most bytes that are live at one time: no plan of this schedule can need less.
    pub lower_bound_bytes: u64,
    /// The arena less the bound.
    pub gap_bytes: u64,
    /// Whether it is certain that no plan of this schedule needs less.
    pub proven: bool,
    /// Whether it is certain that no order of calls has a lower bound; `None` where nobody looked for one.
    pub schedule_proven: Option<bool>,
    /// The alignment of each bank and of lent memory, in bytes.
    pub alignment: u64,
    /// The banks, at least one.
    pub banks: Vec<BankReport>,
    /// When most bytes are live.
    pub peak: PeakReport,
    /// Every buffer, in the order of bank and offset.
    pub buffers: Vec<BufferReport>,
    /// The names of the inputs and outputs that are in the caller's memory.
    pub lent: Vec<String>,
}

/// A bank of memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BankReport {
    /// The name; empty where there are no banks but one arena.
    pub name: String,
    /// The bytes that it has, `None` where no limit was given.
    pub capacity_bytes: Option<u64>,
    /// The bytes that the plan takes.
    pub bytes: u64,
}

/// The time at which most bytes are live.
#[derive(Clone, Debug, Serialize)]
pub struct PeakReport {
    /// The position of the call in execution order, `None` before the first one.
    pub call: Option<usize>,
    /// The call's name, `None` before the first one.
    pub name: Option<String>,
    /// The bytes that are live.
    pub bytes: u64,
    /// The names of the buffers that are live, the largest first.
    pub live: Vec<String>,
}

/// A buffer in the arena.
#[derive(Clone, Debug, Serialize)]
pub struct BufferReport {
    /// The name in the exported program, or one made from it.
    pub name: String,
    /// The position of its bank.
    pub bank: usize,
    /// The offset into the bank.
    pub offset_bytes: u64,
    /// The size, rounded up to the alignment.
    pub size_bytes: u64,
    /// The first time at which it is live: 0 is before the first call, `n` is during the `n`th call.
    pub first: usize,
    /// The last time at which it is live.
    pub last: usize,
    /// The operand over which it is written.
    pub over: Option<String>,
}

impl MemoryReport {
    /// The report of a plan.
    pub fn new(program: &Lowered, plan: &MemoryPlan) -> Self {
        let name = |id: BufferId| program.buffer(id).name.clone();
        let calls = program.calls.len();
        let time = plan.peak_time(calls);
        let is_live = |it: &&Placement| it.size_bytes > 0 && it.first <= time && time <= it.last;
        let mut live: Vec<&Placement> = plan.placements.iter().filter(is_live).collect();
        live.sort_by_key(|it| std::cmp::Reverse(it.size_bytes));
        let call = time.checked_sub(1);
        let mut placements = plan.placements.clone();
        placements.sort_by_key(|it| (it.bank, it.offset_bytes, it.first, it.buffer));
        MemoryReport {
            arena_bytes: plan.arena_bytes,
            lower_bound_bytes: plan.lower_bound_bytes,
            gap_bytes: plan.arena_bytes.saturating_sub(plan.lower_bound_bytes),
            proven: plan.proven,
            schedule_proven: plan.schedule_proven,
            alignment: ALIGNMENT,
            banks: plan
                .banks
                .iter()
                .map(|bank| BankReport {
                    name: bank.name.clone(),
                    capacity_bytes: bank.capacity_bytes,
                    bytes: bank.bytes,
                })
                .collect(),
            peak: PeakReport {
                call,
                name: call.map(|call| program.calls[call].name.clone()),
                bytes: plan.live_bytes(calls).get(time).copied().unwrap_or(0),
                live: live.into_iter().map(|it| name(it.buffer)).collect(),
            },
            buffers: placements
                .into_iter()
                .map(|it| BufferReport {
                    name: name(it.buffer),
                    bank: it.bank,
                    offset_bytes: it.offset_bytes,
                    size_bytes: it.size_bytes,
                    first: it.first,
                    last: it.last,
                    over: it.over.map(name),
                })
                .collect(),
            lent: plan.lent.iter().map(|id| name(*id)).collect(),
        }
    }
}

/// An input or output.
#[derive(Clone, Debug, Serialize)]
pub struct TensorReport {
    /// The name in the exported program.
    pub name: String,
    /// The element type.
    pub dtype: &'static str,
    /// The extents in logical order.
    pub shape: Vec<u32>,
    /// The axes in memory order, outermost first.
    pub dim_order: Vec<u8>,
    /// What its integers stand for, where converting them is the caller's: `real = scale · (integer − zero_point)`.
    pub scale: Option<f64>,
    /// See `scale`.
    pub zero_point: Option<i32>,
}

impl TensorReport {
    /// The number of elements.
    pub fn element_count(&self) -> u64 {
        self.shape.iter().map(|extent| u64::from(*extent)).product()
    }
}

/// A call of an operator.
#[derive(Clone, Debug, Serialize)]
pub struct OperatorReport {
    /// The node's name in the exported program.
    pub name: String,
    /// The operator.
    pub operator: &'static str,
    /// Where the user wrote it.
    pub source: String,
    /// The form of the constant term, `None` for operators that have only one.
    pub constant_form: Option<&'static str>,
    /// Multiply-accumulates of one execution.
    pub macs: u64,
}

/// Operators that compute in float and pass floats to each other, possibly through operators that move them.
#[derive(Clone, Debug, Serialize)]
pub struct FloatIsland {
    /// Multiply-accumulates of one execution.
    pub macs: u64,
    /// The operators in execution order, those that move floats among them.
    pub operators: Vec<FloatOperator>,
}

/// An operator of a [`FloatIsland`].
#[derive(Clone, Debug, Serialize)]
pub struct FloatOperator {
    /// The node's name in the exported program.
    pub name: String,
    /// The operator.
    pub operator: &'static str,
    /// Where the user wrote it.
    pub source: String,
    /// Whether it computes; others only move floats.
    pub computes: bool,
}

impl Report {
    /// The report of a compilation.
    pub fn new(compiled: &Compiled) -> Self {
        let Compiled { target, scheduled: lowered, plan, pte, linked, .. } = compiled;
        let operators: Vec<OperatorReport> = lowered
            .calls
            .iter()
            .map(|call| OperatorReport {
                name: call.name.clone(),
                operator: call.operator.kind().name(),
                source: call.source.clone(),
                constant_form: call.operator.constant_form().map(|form| form.name()),
                macs: call.operator.multiply_accumulates(),
            })
            .collect();
        let macs: u64 = operators.iter().map(|operator| operator.macs).sum();
        let float_islands = float_islands(lowered);
        let float_macs: u64 = float_islands.iter().map(|island| island.macs).sum();
        let int8_share = if macs == 0 { 1.0 } else { 1.0 - float_macs as f64 / macs as f64 };
        let is_constant = |kind: &BufferKind| matches!(kind, BufferKind::Constant(_));
        let constants = lowered.buffers.iter().filter(|buffer| is_constant(&buffer.kind));
        Report {
            cpu: target.cpu().name(),
            isa: target.isa().name(),
            constant_form: target.isa().constant_form().name(),
            pte_bytes: pte.len(),
            constant_bytes: constants.map(|buffer| buffer.size_bytes()).sum(),
            arena_bytes: plan.arena_bytes,
            arena_lower_bound_bytes: plan.lower_bound_bytes,
            memory: MemoryReport::new(lowered, plan),
            state_bytes: 4 * linked.state.len(),
            stack: stack::bound(target.isa(), lowered.calls.iter().map(|it| it.operator.kind())),
            macs,
            int8_share,
            float_operators: lowered.calls.iter().filter(|call| call.operator.is_float()).count(),
            float_islands,
            inputs: tensors(lowered, &lowered.inputs, &lowered.input_affines),
            outputs: tensors(lowered, &lowered.outputs, &lowered.output_affines),
            operators,
        }
    }
}

/// The groups of operators that pass floats to each other; those that only move floats count where they are between others.
pub fn float_islands(program: &Lowered) -> Vec<FloatIsland> {
    let mut islands: Vec<Vec<usize>> = Vec::new();
    // Of each buffer of floats that a call has written, the island that it belongs to.
    let mut buffers: HashMap<BufferId, usize> = HashMap::new();
    for (index, call) in program.calls.iter().enumerate() {
        let floats: Vec<BufferId> = float_activations(program, &call.operator);
        let Some(out) = floats.last().filter(|_| is_float_to_float(&call.operator, &floats)) else {
            continue;
        };
        let mut joined: Vec<usize> =
            floats.iter().filter_map(|buffer| buffers.get(buffer).copied()).collect();
        joined.sort_unstable();
        joined.dedup();
        let island = joined.first().copied().unwrap_or_else(|| {
            islands.push(Vec::new());
            islands.len() - 1
        });
        for other in joined.into_iter().skip(1) {
            let calls = std::mem::take(&mut islands[other]);
            islands[island].extend(calls);
            buffers.values_mut().filter(|at| **at == other).for_each(|at| *at = island);
        }
        islands[island].push(index);
        // Operators that read the same floats belong together, whoever computed them.
        let shared = if call.operator.is_float() { floats.as_slice() } else { &[*out] };
        buffers.extend(shared.iter().map(|buffer| (*buffer, island)));
    }
    let computes = |index: &usize| program.calls[*index].operator.is_float();
    islands.retain(|island| island.iter().any(computes));
    islands.iter_mut().for_each(|island| island.sort_unstable());
    islands.sort();
    islands.iter().map(|island| float_island(program, island)).collect()
}

fn float_island(program: &Lowered, island: &[usize]) -> FloatIsland {
    let calls = || island.iter().map(|index| &program.calls[*index]);
    let operator = |call: &Call| FloatOperator {
        name: call.name.clone(),
        operator: call.operator.kind().name(),
        source: call.source.clone(),
        computes: call.operator.is_float(),
    };
    FloatIsland {
        macs: calls().map(|call| call.operator.multiply_accumulates()).sum(),
        operators: calls().map(operator).collect(),
    }
}

/// The floats among an operator's tensors that are no constants, as storage; the result is the last if it is one.
fn float_activations(program: &Lowered, operator: &Operator<LoweredDomain>) -> Vec<BufferId> {
    let storage = operands(operator).into_iter().map(|buffer| program.storage(buffer));
    let is_float = |buffer: &BufferId| {
        let buffer = program.buffer(*buffer);
        buffer.dtype.is_float() && matches!(buffer.kind, BufferKind::Activation)
    };
    storage.filter(is_float).collect()
}

/// Whether an operator computes floats, or makes floats of floats; not so quantizing and dequantizing.
fn is_float_to_float(operator: &Operator<LoweredDomain>, floats: &[BufferId]) -> bool {
    let is_border = matches!(
        operator.kind(),
        OperatorKind::QuantizePerTensor | OperatorKind::DequantizePerTensor
    );
    operator.is_float() || !is_border && floats.len() > 1
}

fn tensors(program: &Lowered, ids: &[BufferId], affines: &[Option<Affine>]) -> Vec<TensorReport> {
    let report = |(index, id): (usize, &BufferId)| {
        let affine = affines.get(index).copied().flatten();
        let buffer = program.buffer(*id);
        TensorReport {
            name: buffer.name.clone(),
            dtype: buffer.dtype.name(),
            shape: buffer.shape.clone(),
            dim_order: buffer.dim_order.clone(),
            scale: affine.map(|affine| affine.scale),
            zero_point: affine.map(|affine| affine.zero_point),
        }
    };
    ids.iter().enumerate().map(report).collect()
}
