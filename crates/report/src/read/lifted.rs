//! Programs whose operators Cortado knows.

use super::describe::{self, Affine};
use super::memory::{Place, memory};
use super::{Request, findings};
use crate::model::{Access, Bank, Layer, Operand, Origin, Report, Tensor, Verdict};
use crate::text::clean;
use cortado_compiler::Compiled;
use cortado_compiler::judge::forms::Term;
use cortado_compiler::judge::memory::memory as judge_memory;
use cortado_compiler::judge::suits;
use cortado_compiler::judge::upstream::{Outcome, verdict};
use cortado_compiler::lift::Lifted;
use cortado_compiler::lowered::{
    BufferId, BufferKind, Call, Ints, Lowered, LoweredDomain, LoweredTensor, Tensors,
};
use cortado_compiler::plan::operands_and_results;
use cortado_compiler::stack;
use cortado_contract::ops::{Rules, is_result, is_scratch};
use cortado_contract::value::ArgumentWriter;
use cortado_contract::{ConstantForm, Isa};
use std::collections::HashMap;

/// Fills a report with everything that follows from a lifted program.
pub(super) fn fill(report: &mut Report, lifted: &Lifted, request: &Request<'_>) {
    let program = &lifted.program;
    report.origin = origin(lifted);
    report.tensors = tensors(program);
    report.layers = program.calls.iter().map(|call| layer(program, call)).collect();
    report.inputs = program.inputs.iter().map(|id| id.0).collect();
    report.outputs = program.outputs.iter().map(|id| id.0).collect();
    let mut affines = affines(program);
    if let Some(compiled) = request.compiled {
        name_as_exported(report, program, compiled, &mut affines);
    }
    carry(program, &mut affines);
    for index in 0..report.tensors.len() {
        let known = affines.get(&program.storage(BufferId(index))).copied().unwrap_or_default();
        let tensor = &mut report.tensors[index];
        (tensor.scale, tensor.zero_point) = (known.scale, known.zero_point);
    }
    fill_memory(report, lifted, request.plan_seconds);
    report.stack_bytes = lifted.stamp.and_then(|stamp| {
        let kinds = program.calls.iter().map(|call| call.operator.kind());
        stack::bound(stamp.target.isa(), kinds).map(|bound| u64::from(bound.bytes))
    });
    report.verdicts.extend(Isa::ALL.map(|isa| executorch(lifted, isa)));
    findings::fill(report, lifted);
}

fn origin(lifted: &Lifted) -> Origin {
    let mut origin = Origin::of(lifted.stamp);
    if lifted.stamp.is_none() {
        let isas = Isa::ALL.into_iter().filter(|isa| suits(lifted, *isa));
        origin.isas = isas.map(|isa| isa.name().to_owned()).collect();
    }
    origin
}

fn tensors(program: &Lowered) -> Vec<Tensor> {
    let tensor = |(index, buffer): (usize, &cortado_compiler::lowered::Buffer)| {
        let storage = program.storage(BufferId(index));
        Tensor {
            name: clean(&buffer.name),
            dtype: buffer.dtype.name().to_owned(),
            shape: buffer.shape.iter().copied().map(i64::from).collect(),
            dim_order: buffer.dim_order.clone(),
            size_bytes: buffer.size_bytes(),
            is_constant: matches!(program.buffer(storage).kind, BufferKind::Constant(_)),
            storage: storage.0,
            scale: None,
            zero_point: None,
        }
    };
    program.buffers.iter().enumerate().map(tensor).collect()
}

fn layer(program: &Lowered, call: &Call) -> Layer {
    let operator = &call.operator;
    let mut arguments = Arguments::default();
    operator.encode(&mut arguments);
    Layer {
        title: describe::title(operator),
        operator: operator.kind().name().to_owned(),
        family: describe::family(operator.kind(), operator.is_float()),
        node: None,
        source: Some(clean(&call.source)).filter(|source| !source.is_empty()),
        operands: arguments.operands,
        arguments: arguments.others,
        rescale: describe::rescale(program, operator),
        constant_term: Term::of(operator).map(|term| {
            let kernels = match operator.constant_form() {
                Some(ConstantForm::KernelSum) => "mve kernels",
                Some(ConstantForm::Bias) => "dsp and scalar kernels",
                None => return term.name().to_owned(),
            };
            match term {
                Term::Bias | Term::KernelSum => format!("{}, read by {kernels}", term.name()),
                Term::Neither | Term::Both => term.name().to_owned(),
            }
        }),
        macs: Some(operator.multiply_accumulates()),
        is_transpose: describe::is_transpose(operator),
        computes_float: operator.is_float(),
    }
}

/// Collects an operator's arguments.
#[derive(Default)]
struct Arguments {
    operands: Vec<Operand>,
    others: Vec<(String, String)>,
}

impl Arguments {
    fn operand(&mut self, name: &'static str, tensor: &LoweredTensor) {
        let access = match name {
            name if is_result(name) => Access::Write,
            name if is_scratch(name) => Access::Scratch,
            _ => Access::Read,
        };
        self.operands.push(Operand { role: name.to_owned(), tensor: tensor.id.0, access });
    }

    fn other(&mut self, name: &'static str, value: String) {
        self.others.push((name.to_owned(), value));
    }
}

impl ArgumentWriter<LoweredDomain> for Arguments {
    fn tensor(&mut self, name: &'static str, value: &LoweredTensor) {
        self.operand(name, value);
    }
    fn optional_tensor(&mut self, name: &'static str, value: Option<&LoweredTensor>) {
        match value {
            Some(tensor) => self.operand(name, tensor),
            None => self.other(name, "none".to_owned()),
        }
    }
    fn int(&mut self, name: &'static str, value: i64) {
        self.other(name, value.to_string());
    }
    fn float(&mut self, name: &'static str, value: f64) {
        self.other(name, value.to_string());
    }
    fn text(&mut self, name: &'static str, value: &'static str) {
        self.other(name, value.to_owned());
    }
    fn optional_int(&mut self, name: &'static str, value: Option<i64>) {
        self.other(name, value.map_or("none".to_owned(), |value| value.to_string()));
    }
    fn tensor_list(&mut self, name: &'static str, value: &Tensors) {
        value.0.iter().for_each(|tensor| self.operand(name, tensor));
    }
    fn bool(&mut self, name: &'static str, value: bool) {
        self.other(name, value.to_string());
    }
    fn int_list(&mut self, name: &'static str, value: &Ints) {
        const ITEMS_MAX: usize = 8;
        let mut items: Vec<String> = value.0.iter().take(ITEMS_MAX).map(i64::to_string).collect();
        if value.0.len() > ITEMS_MAX {
            items.push(format!("… {} in all", value.0.len()));
        }
        self.other(name, items.join(", "));
    }
}

/// What the program's own arguments and its border say of its integers, by storage.
fn affines(program: &Lowered) -> HashMap<BufferId, Affine> {
    let mut known: HashMap<BufferId, Affine> = HashMap::new();
    let mut learn = |id: BufferId, affine: Affine| {
        let entry = known.entry(program.storage(id)).or_default();
        entry.scale = entry.scale.or(affine.scale);
        entry.zero_point = entry.zero_point.or(affine.zero_point);
    };
    for call in &program.calls {
        for (id, affine) in describe::affines(&call.operator) {
            learn(id, affine);
        }
    }
    let sides =
        [(&program.inputs, &program.input_affines), (&program.outputs, &program.output_affines)];
    for (ids, affines) in sides {
        for (id, affine) in ids.iter().zip(affines) {
            let Some(affine) = affine else { continue };
            let (scale, zero_point) = (Some(affine.scale), Some(i64::from(affine.zero_point)));
            learn(*id, Affine { scale, zero_point });
        }
    }
    known
}

/// Carries what is known through operators that do not change it, forwards and backwards.
fn carry(program: &Lowered, known: &mut HashMap<BufferId, Affine>) {
    let mut pass = |from: BufferId, to: BufferId| {
        let (from, to) = (program.storage(from), program.storage(to));
        let Some(affine) = known.get(&from).copied() else { return };
        let entry = known.entry(to).or_default();
        entry.scale = entry.scale.or(affine.scale);
        entry.zero_point = entry.zero_point.or(affine.zero_point);
    };
    for call in &program.calls {
        describe::carried(&call.operator).into_iter().for_each(|(from, to)| pass(from, to));
    }
    for call in program.calls.iter().rev() {
        describe::carried(&call.operator).into_iter().for_each(|(from, to)| pass(to, from));
    }
}

/// Takes names, source lines and scales from the compilation that made the file: its calls are those of the file, in the same order.
fn name_as_exported(
    report: &mut Report,
    program: &Lowered,
    compiled: &Compiled,
    affines: &mut HashMap<BufferId, Affine>,
) {
    let theirs = &compiled.scheduled;
    if theirs.calls.len() != program.calls.len() {
        return;
    }
    let scales: HashMap<&str, (f64, i32)> = compiled
        .graph
        .values
        .iter()
        .filter_map(|value| Some((value.name.as_str(), value.quantization.as_ref()?.per_tensor()?)))
        .collect();
    let calls = program.calls.iter().zip(&theirs.calls);
    for ((call, their), layer) in calls.zip(&mut report.layers) {
        layer.node = Some(clean(&their.name));
        layer.source = Some(clean(&their.source)).filter(|source| !source.is_empty());
        let operands = operands_and_results(&call.operator);
        for ((id, _), (their_id, _)) in
            operands.into_iter().zip(operands_and_results(&their.operator))
        {
            let name = &theirs.buffer(their_id).name;
            report.tensors[id.0].name = clean(name);
            let storage = &theirs.buffer(theirs.storage(their_id)).name;
            let scale = scales.get(name.as_str()).or_else(|| scales.get(storage.as_str()));
            if let Some((scale, zero_point)) = scale {
                let entry = affines.entry(program.storage(id)).or_default();
                // The arguments say what the file computes with; names only add to that.
                if entry.zero_point.is_none_or(|known| known == i64::from(*zero_point)) {
                    entry.scale = entry.scale.or(Some(*scale));
                    entry.zero_point = Some(i64::from(*zero_point));
                }
            }
        }
    }
}

fn fill_memory(report: &mut Report, lifted: &Lifted, plan_seconds: f64) {
    let place = |place: &cortado_compiler::lift::Place| -> Option<Place> {
        let bank = (place.memory_id as usize).checked_sub(1)?;
        Some((bank, place.offset_bytes, place.size_bytes))
    };
    let places: Vec<Option<Place>> =
        lifted.places.iter().map(|it| it.as_ref().and_then(place)).collect();
    let banks = lifted.banks().into_iter().map(|bank| Bank {
        name: clean(&bank.name),
        capacity_bytes: bank.capacity_bytes,
        bytes: bank.bytes,
    });
    report.memory = memory(report, banks.collect(), &places);
    let judged = judge_memory(lifted, plan_seconds);
    report.memory.lower_bound_bytes = Some(judged.lower_bound_bytes);
    report.memory.is_proven = judged.proven;
    report.memory.cortado_bytes = Some(judged.cortado_bytes);
}

fn executorch(lifted: &Lifted, isa: Isa) -> Verdict {
    let verdict = verdict(lifted, isa);
    let mut findings: Vec<_> = verdict.findings.iter().collect();
    // What decides comes first.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.outcome));
    let reason = |finding: &&cortado_compiler::judge::upstream::Finding| {
        clean_long(&format!("layer {}, {}: {}", finding.instruction, finding.operator, finding.why))
    };
    Verdict {
        runtime: "ExecuTorch",
        isa: verdict.isa.to_owned(),
        is_right: verdict.outcome == Outcome::Equal,
        outcome: verdict.outcome.describe().to_owned(),
        reasons: findings
            .iter()
            .filter(|finding| finding.outcome != Outcome::Equal)
            .map(reason)
            .collect(),
    }
}

/// As [`clean`], for sentences of this program's with parts of a file in them.
fn clean_long(text: &str) -> String {
    let lines: Vec<String> = text.split(' ').map(clean).collect();
    lines.join(" ")
}
