//! What flows between the calls of a program: storages, who writes them, who reads them, and which results may take over the
//! memory of an operand.

use super::ALIGNMENT;
use crate::lowered::{BufferId, BufferKind, Ints, Lowered, LoweredDomain, LoweredTensor, Tensors};
use cortado_contract::ops::{Operator, Rules};
use cortado_contract::value::{ArgumentWriter, TensorMeta};

/// The position of a storage in [`Flow::storages`].
pub(super) type StorageId = usize;

/// The calls of a program and the memory between them, constants left out.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) storages: Vec<Storage>,
    /// In the program's order.
    pub(super) calls: Vec<CallFlow>,
}

/// Memory with a content of its own: what a call writes, an input, or scratch.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) buffer: BufferId,
    /// Rounded up to [`ALIGNMENT`].
    pub(super) bytes: u64,
    pub(super) is_input: bool,
    pub(super) is_output: bool,
    /// The caller's memory: it takes none of the arena, and nothing but the result itself is put there.
    pub(super) is_lent: bool,
    /// The call that writes it, `None` for inputs.
    pub(super) writer: Option<usize>,
    /// The calls that read it, each once.
    pub(super) readers: Vec<usize>,
}

/// A call.
#[derive(Clone, Debug)]
pub(super) struct CallFlow {
    /// What it reads, each once, in the order of its arguments.
    pub(super) reads: Vec<StorageId>,
    /// What it uses besides, for itself.
    pub(super) scratch: Vec<StorageId>,
    /// What it writes; most calls write one.
    pub(super) outs: Vec<StorageId>,
    /// Those of `reads` over which the result may be written once nobody else needs them.
    pub(super) may_replace: Vec<Takeover>,
    /// The multiply-accumulates of one execution.
    pub(super) macs: u64,
}

/// A result in the memory of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Takeover {
    /// The operand.
    pub(super) of: StorageId,
    /// Where the operand's memory begins behind that of the result.
    pub(super) operand_offset: u64,
    /// What both take together.
    pub(super) bytes: u64,
}

impl Flow {
    /// The flow of a program. `lent` are the storages whose memory is the caller's.
    pub(super) fn of(program: &Lowered, lent: &[BufferId]) -> Flow {
        let mut flow = Flow { storages: Vec::new(), calls: Vec::new() };
        let roots = |ids: &[BufferId]| -> Vec<BufferId> {
            ids.iter().map(|id| program.storage(*id)).collect()
        };
        let (inputs, outputs) = (roots(&program.inputs), roots(&program.outputs));
        let mut known: Vec<Option<StorageId>> = vec![None; program.buffers.len()];
        let mut storage = |flow: &mut Flow, buffer: BufferId| {
            let root = program.storage(buffer);
            if !matches!(program.buffer(root).kind, BufferKind::Activation) {
                return None;
            }
            Some(*known[root.0].get_or_insert_with(|| {
                flow.storages.push(Storage {
                    buffer: root,
                    bytes: program.buffer(root).size_bytes().next_multiple_of(ALIGNMENT),
                    is_input: inputs.contains(&root),
                    is_output: outputs.contains(&root),
                    is_lent: lent.contains(&root),
                    writer: None,
                    readers: Vec::new(),
                });
                flow.storages.len() - 1
            }))
        };
        for input in &program.inputs {
            storage(&mut flow, *input);
        }
        for (index, call) in program.calls.iter().enumerate() {
            let operands = operands_of(&call.operator);
            let kind = call.operator.kind();
            let is_in = |set: u32, position: &u8| set >> position & 1 != 0;
            let (mut reads, mut scratch, mut outs) = (Vec::new(), Vec::new(), Vec::new());
            for (position, tensor) in &operands {
                let Some(id) = storage(&mut flow, tensor.id) else { continue };
                let list = if is_in(kind.scratch_arguments(), position) {
                    &mut scratch
                } else if is_in(kind.result_arguments(), position) {
                    &mut outs
                } else {
                    &mut reads
                };
                if !list.contains(&id) {
                    list.push(id);
                }
            }
            for id in &reads {
                flow.storages[*id].readers.push(index);
            }
            for id in &outs {
                flow.storages[*id].writer = Some(index);
            }
            let may_replace = match operands.split_last() {
                Some(((_, result), arguments))
                    if outs.len() == 1 && call.operator.is_element_by_element() =>
                {
                    let takeover = |id: &StorageId| flow.takeover(program, arguments, result, *id);
                    reads.iter().filter_map(takeover).collect()
                }
                _ => Vec::new(),
            };
            let macs = call.operator.multiply_accumulates();
            flow.calls.push(CallFlow { reads, scratch, outs, may_replace, macs });
        }
        for output in &program.outputs {
            storage(&mut flow, *output);
        }
        flow
    }

    /// How the result of an operator that goes element by element may lie on one of its operands; see
    /// `cortado_kernels::memory::may_overlap_spans`.
    fn takeover(
        &self,
        program: &Lowered,
        arguments: &[(u8, LoweredTensor)],
        result: &LoweredTensor,
        of: StorageId,
    ) -> Option<Takeover> {
        let storage = &self.storages[of];
        // An input's memory is free once it was read: it is set anew before each execution.
        if storage.is_lent || storage.is_output || !result_may_move(self, program, result) {
            return None;
        }
        let here = arguments.iter().filter(|(_, it)| program.storage(it.id) == storage.buffer);
        let count = result.element_count()?;
        let mut operand_bytes = 0;
        for (_, tensor) in here {
            if tensor.element_count() != Some(count) {
                return None;
            }
            operand_bytes = program.buffer(tensor.id).size_bytes();
        }
        let result_bytes = program.buffer(result.id).size_bytes();
        // Larger elements must not catch up with those that are still to be read.
        let operand_offset = result_bytes.saturating_sub(operand_bytes).next_multiple_of(ALIGNMENT);
        let end = operand_offset + storage.bytes;
        let bytes = end.max(result_bytes.next_multiple_of(ALIGNMENT));
        Some(Takeover { of, operand_offset, bytes })
    }

    /// The planned bytes of a storage.
    pub(super) fn bytes(&self, id: StorageId) -> u64 {
        let storage = &self.storages[id];
        if storage.is_lent { 0 } else { storage.bytes }
    }

    /// An estimate of the bytes that calls move to and from a storage in one execution: all of it once for each call that writes or
    /// reads it, and one byte for each multiply-accumulate of what the call multiplies first.
    pub(super) fn traffic(&self, id: StorageId) -> u64 {
        let bytes = self.storages[id].bytes;
        self.calls.iter().fold(0, |traffic: u64, call| {
            let reads = if call.reads.first() == Some(&id) {
                call.macs.max(bytes)
            } else if call.reads.contains(&id) || call.scratch.contains(&id) {
                bytes
            } else {
                0
            };
            let writes = if call.outs.contains(&id) { bytes } else { 0 };
            traffic.saturating_add(reads).saturating_add(writes)
        })
    }
}

/// Whether the result's memory is the arena's.
fn result_may_move(flow: &Flow, program: &Lowered, result: &LoweredTensor) -> bool {
    let root = program.storage(result.id);
    flow.storages.iter().all(|storage| storage.buffer != root || !storage.is_lent)
}

/// Every tensor argument of an operator.
pub(crate) fn operands(operator: &Operator<LoweredDomain>) -> Vec<BufferId> {
    operands_of(operator).into_iter().map(|(_, tensor)| tensor.id).collect()
}

/// Every tensor argument of an operator, with whether it is a result.
pub fn operands_and_results(operator: &Operator<LoweredDomain>) -> Vec<(BufferId, bool)> {
    let results = operator.kind().result_arguments();
    let operands = operands_of(operator).into_iter();
    operands.map(|(position, tensor)| (tensor.id, results >> position & 1 != 0)).collect()
}

/// Every tensor argument of an operator with its position in the schema; results come last.
fn operands_of(operator: &Operator<LoweredDomain>) -> Vec<(u8, LoweredTensor)> {
    let mut collector = Collector { tensors: Vec::new(), position: 0 };
    operator.encode(&mut collector);
    collector.tensors
}

struct Collector {
    tensors: Vec<(u8, LoweredTensor)>,
    position: u8,
}

impl Collector {
    fn take<'t>(&mut self, tensors: impl IntoIterator<Item = &'t LoweredTensor>) {
        let position = self.position;
        self.tensors.extend(tensors.into_iter().map(|tensor| (position, tensor.clone())));
        self.position += 1;
    }
}

impl ArgumentWriter<LoweredDomain> for Collector {
    fn tensor(&mut self, _: &'static str, value: &LoweredTensor) {
        self.take([value]);
    }
    fn optional_tensor(&mut self, _: &'static str, value: Option<&LoweredTensor>) {
        self.take(value);
    }
    fn tensor_list(&mut self, _: &'static str, value: &Tensors) {
        self.take(&value.0);
    }
    fn int(&mut self, _: &'static str, _: i64) {
        self.take([]);
    }
    fn float(&mut self, _: &'static str, _: f64) {
        self.take([]);
    }
    fn text(&mut self, _: &'static str, _: &'static str) {
        self.take([]);
    }
    fn optional_int(&mut self, _: &'static str, _: Option<i64>) {
        self.take([]);
    }
    fn bool(&mut self, _: &'static str, _: bool) {
        self.take([]);
    }
    fn int_list(&mut self, _: &'static str, _: &Ints) {
        self.take([]);
    }
}
