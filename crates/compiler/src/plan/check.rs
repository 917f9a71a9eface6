//! Checks a plan against its program, independently of how it was made.

use super::{ALIGNMENT, MemoryPlan, Placement, operands, operands_and_results};
use crate::lowered::{BufferId, BufferKind, Lowered};
use cortado_contract::ops::Rules;
use cortado_kernels::memory::may_overlap_spans;

/// Everything that is wrong with a plan: buffers without memory while they are needed, misaligned, outside of their bank, or
/// sharing bytes while both are needed.
pub fn check(program: &Lowered, plan: &MemoryPlan) -> Vec<String> {
    let mut defects = Vec::new();
    let name = |id: BufferId| &program.buffer(id).name;
    let total: u64 = plan.banks.iter().map(|bank| bank.bytes).sum();
    if total != plan.arena_bytes {
        defects.push(format!("the banks take {total} bytes and the arena {}", plan.arena_bytes));
    }
    for bank in &plan.banks {
        if bank.capacity_bytes.is_some_and(|capacity| bank.bytes > capacity) {
            defects.push(format!("bank `{}` takes {} bytes and has fewer", bank.name, bank.bytes));
        }
    }
    for (index, a) in plan.placements.iter().enumerate() {
        let bank = plan.banks.get(a.bank).map_or(0, |bank| bank.bytes);
        if a.offset_bytes % ALIGNMENT != 0 || a.end() > bank {
            defects.push(format!("`{}` is misaligned or ends outside of its bank", name(a.buffer)));
        }
        if a.size_bytes < program.buffer(a.buffer).size_bytes() {
            defects.push(format!("`{}` has too little memory", name(a.buffer)));
        }
        for b in &plan.placements[index + 1..] {
            let meets = a.bank == b.bank && a.offset_bytes < b.end() && b.offset_bytes < a.end();
            if meets && a.lives_with(b) && !is_taken_over(program, a, b) {
                let (a, b) = (name(a.buffer), name(b.buffer));
                defects.push(format!("`{a}` and `{b}` are live together and overlap"));
            }
        }
    }
    for (time, needed) in needed(program) {
        for id in needed {
            let storage = program.storage(id);
            let is_constant = matches!(program.buffer(storage).kind, BufferKind::Constant(_));
            if is_constant || plan.lent.contains(&storage) {
                continue;
            }
            let covers =
                |it: &Placement| it.buffer == storage && it.first <= time && time <= it.last;
            if !plan.placements.iter().any(covers) {
                defects.push(format!("`{}` has no memory at time {time}", name(id)));
            }
        }
    }
    defects
}

/// Each time with the buffers that are needed then: inputs before the first call, operands and results during a call, outputs
/// after the last; and whatever is read later, once it has been written.
fn needed(program: &Lowered) -> Vec<(usize, Vec<BufferId>)> {
    let calls = program.calls.len();
    let mut needed: Vec<(usize, Vec<BufferId>)> = vec![(0, program.inputs.clone())];
    let mut written: Vec<(BufferId, usize)> =
        program.inputs.iter().map(|id| (program.storage(*id), 0)).collect();
    for (index, call) in program.calls.iter().enumerate() {
        let ids = operands_and_results(&call.operator);
        let results = ids.iter().filter(|(_, is_result)| *is_result);
        written.extend(results.map(|(id, _)| (program.storage(*id), index + 1)));
        for (id, _) in &ids {
            let since = written.iter().find(|(storage, _)| *storage == program.storage(*id));
            let since = since.map_or(index + 1, |(_, time)| *time);
            needed.extend((since..=index + 1).map(|time| (time, vec![*id])));
        }
    }
    for id in &program.outputs {
        let since = written.iter().find(|(storage, _)| *storage == program.storage(*id));
        let since = since.map_or(0, |(_, time)| *time);
        needed.extend((since..=calls).map(|time| (time, vec![*id])));
    }
    needed
}

/// Whether one buffer is written over the other by the call that reads that one last, and the operator allows it.
fn is_taken_over(program: &Lowered, a: &Placement, b: &Placement) -> bool {
    let (operand, result) = if b.over == Some(a.buffer) {
        (a, b)
    } else if a.over == Some(b.buffer) {
        (b, a)
    } else {
        return false;
    };
    let Some(call) = result.first.checked_sub(1).and_then(|call| program.calls.get(call)) else {
        return false;
    };
    let ids = operands(&call.operator);
    let Some((out, arguments)) = ids.split_last() else { return false };
    let count = |id: &BufferId| {
        program.buffer(*id).shape.iter().map(|extent| u64::from(*extent)).product::<u64>()
    };
    let mut reads = arguments.iter().filter(|id| program.storage(**id) == operand.buffer);
    let span = |placement: &Placement| {
        let start = placement.offset_bytes as usize;
        start..start + program.buffer(placement.buffer).size_bytes() as usize
    };
    let is_last = operand.last == result.first && !program.outputs.contains(&operand.buffer);
    let is_read_whole = reads.clone().next().is_some() && reads.all(|id| count(id) == count(out));
    is_last
        && is_read_whole
        && program.storage(*out) == result.buffer
        && call.operator.is_element_by_element()
        && may_overlap_spans(span(operand), span(result))
}
