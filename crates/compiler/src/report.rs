//! What a compilation made, as numbers; the content of `cortado compile --json`.

use crate::Compiled;
use crate::lowered::{BufferId, BufferKind, Lowered};
use cortado_contract::ops::Rules;
use cortado_kernels::state_words;
use serde::Serialize;

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
    /// The size of the arena.
    pub arena_bytes: u64,
    /// The most bytes that are live at one time: no plan of this schedule can need less.
    pub arena_lower_bound_bytes: u64,
    /// The size of a loaded method's state.
    pub state_bytes: usize,
    /// Multiply-accumulates of one execution.
    pub macs: u64,
    /// The share of them that is computed in int8, from 0 to 1; 1 where there are none.
    pub int8_share: f64,
    /// The program's inputs.
    pub inputs: Vec<TensorReport>,
    /// The program's outputs.
    pub outputs: Vec<TensorReport>,
    /// The operators in execution order.
    pub operators: Vec<OperatorReport>,
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

impl Report {
    /// The report of a compilation.
    pub fn new(compiled: &Compiled) -> Self {
        let Compiled { target, lowered, plan, pte, .. } = compiled;
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
        let macs = operators.iter().map(|operator| operator.macs).sum();
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
            state_bytes: 4 * lowered
                .calls
                .iter()
                .map(|call| state_words(call.operator.kind()))
                .sum::<usize>(),
            macs,
            // Every operator that multiplies and accumulates does so in int8; others are refused before.
            int8_share: 1.0,
            inputs: tensors(lowered, &lowered.inputs),
            outputs: tensors(lowered, &lowered.outputs),
            operators,
        }
    }
}

fn tensors(program: &Lowered, ids: &[BufferId]) -> Vec<TensorReport> {
    let report = |id: &BufferId| {
        let buffer = program.buffer(*id);
        TensorReport {
            name: buffer.name.clone(),
            dtype: buffer.dtype.name(),
            shape: buffer.shape.clone(),
            dim_order: buffer.dim_order.clone(),
        }
    };
    ids.iter().map(report).collect()
}
