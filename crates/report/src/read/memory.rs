//! Who is in memory when.

use crate::model::{Access, Bank, Buffer, Memory, Report};
use std::collections::{BTreeSet, HashMap};

/// The alignment that planned memory has as a rule, in bytes.
const ALIGNMENT: u64 = 16;

/// Where a file has a tensor: bank, offset and size in bytes.
pub(super) type Place = (usize, u64, u64);

/// The memory of a report's layers and tensors, by where the file has each storage.
pub(super) fn memory(report: &Report, banks: Vec<Bank>, places: &[Option<Place>]) -> Memory {
    let times = report.layers.len();
    // Sizes are rounded up to the alignment only where the file keeps to it.
    let is_aligned = places.iter().flatten().all(|(_, offset, _)| offset.is_multiple_of(ALIGNMENT));
    let mut buffers: Vec<Option<Buffer>> = vec![None; report.tensors.len()];
    for (index, place) in places.iter().enumerate() {
        let Some((bank, offset_bytes, size)) = *place else { continue };
        if report.tensors[index].storage != index {
            continue;
        }
        let room = banks.get(bank).map_or(size, |bank| bank.bytes.saturating_sub(offset_bytes));
        let rounded = if is_aligned { size.next_multiple_of(ALIGNMENT).min(room) } else { size };
        buffers[index] = Some(Buffer {
            tensor: index,
            bank,
            offset_bytes,
            size_bytes: rounded.max(size),
            writer: None,
            readers: Vec::new(),
            is_output: false,
            is_scratch: false,
            first: 0,
            last: 0,
            over: None,
        });
    }
    let storage = |tensor: usize| report.tensors[tensor].storage;
    for (index, layer) in report.layers.iter().enumerate() {
        for operand in &layer.operands {
            let Some(buffer) = &mut buffers[storage(operand.tensor)] else { continue };
            match operand.access {
                Access::Read => {
                    if buffer.readers.last() != Some(&index) {
                        buffer.readers.push(index);
                    }
                }
                Access::Write | Access::Scratch => {
                    if buffer.writer.is_none() {
                        (buffer.writer, buffer.first) = (Some(index), index + 1);
                    }
                    buffer.is_scratch = operand.access == Access::Scratch;
                }
            }
            buffer.last = index + 1;
        }
    }
    let is_input = |index: usize| report.inputs.iter().any(|input| storage(*input) == index);
    for (index, buffer) in buffers.iter_mut().enumerate() {
        let Some(buffer) = buffer else { continue };
        buffer.is_output = report.outputs.iter().any(|output| storage(*output) == index);
        // What nobody writes and the caller does not give is kept from one execution to the next.
        let is_kept = buffer.writer.is_none() && !is_input(index);
        if buffer.is_output || is_kept {
            buffer.last = times;
        }
    }
    let is_something = |it: &Buffer| it.size_bytes > 0 || !it.is_scratch;
    let mut buffers: Vec<Buffer> = buffers.into_iter().flatten().filter(is_something).collect();
    buffers.sort_by_key(|it| (it.bank, it.first, it.offset_bytes, it.tensor));
    mark_replacements(&mut buffers);
    let live_bytes = live_bytes(&buffers, times);
    let peak = (0..live_bytes.len()).rev().max_by_key(|time| live_bytes[*time]).unwrap_or(0);
    let lent = report.inputs.iter().chain(&report.outputs).copied();
    let lent = lent.filter(|id| {
        let storage = storage(*id);
        !report.tensors[storage].is_constant && places[storage].is_none()
    });
    Memory { banks, live_bytes, peak, lent: lent.collect(), buffers, ..Memory::default() }
}

/// A result in the memory of an operand that ends with the same layer is written over it.
fn mark_replacements(buffers: &mut [Buffer]) {
    let mut ends: HashMap<usize, Vec<usize>> = HashMap::new();
    for (index, it) in buffers.iter().enumerate().filter(|(_, it)| it.size_bytes > 0) {
        ends.entry(it.last).or_default().push(index);
    }
    for index in 0..buffers.len() {
        let it = &buffers[index];
        let (Some(_), false) = (it.writer, it.is_scratch) else { continue };
        let shares = |other: &Buffer| {
            other.bank == it.bank
                && other.offset_bytes < it.end_bytes()
                && it.offset_bytes < other.end_bytes()
        };
        let mut ended = ends.get(&it.first).into_iter().flatten();
        let over = ended.find(|at| {
            let other = &buffers[**at];
            other.first < it.first && shares(other) && !other.is_scratch
        });
        buffers[index].over = over.copied();
    }
}

/// The bytes that are live at each time; what shares memory counts once.
fn live_bytes(buffers: &[Buffer], times: usize) -> Vec<u64> {
    let mut starts: Vec<Vec<usize>> = vec![Vec::new(); times + 1];
    let mut ends = starts.clone();
    for (index, it) in buffers.iter().enumerate().filter(|(_, it)| it.size_bytes > 0) {
        starts[it.first].push(index);
        ends[it.last].push(index);
    }
    let mut live: BTreeSet<(usize, u64, u64, usize)> = BTreeSet::new();
    let key = |index: usize| {
        let it = &buffers[index];
        (it.bank, it.offset_bytes, it.end_bytes(), index)
    };
    let count = |live: &BTreeSet<(usize, u64, u64, usize)>| {
        let (mut bytes, mut bank, mut covered) = (0u64, 0, 0);
        for (at, start, end, _) in live {
            if *at != bank {
                (bank, covered) = (*at, 0);
            }
            bytes = bytes.saturating_add(end.saturating_sub(covered.max(*start)));
            covered = covered.max(*end);
        }
        bytes
    };
    (0..=times)
        .map(|time| {
            live.extend(starts[time].iter().map(|index| key(*index)));
            let bytes = count(&live);
            ends[time].iter().for_each(|index| {
                live.remove(&key(*index));
            });
            bytes
        })
        .collect()
}
