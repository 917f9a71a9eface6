//! Dead bytes: what a file carries and no instruction can reach.
//!
//! An instruction reaches the values that it names, the members of lists among them, and the constants of tensors among those; so
//! does the boundary. Constants that nothing reaches, segments that nothing refers to and bytes behind the last segment are dead.
//! Data with a name is not: who knows the name finds it. Padding that alignment asks for is not either.

use cortado_pte::{DataReference, Error, Instruction, Plan, Program, Storage, Value};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What a file carries in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dead {
    /// All dead bytes.
    pub bytes: u64,
    /// Those of constants, the padding behind each counted in.
    pub constant_bytes: u64,
    /// The number of these constants.
    pub constants: usize,
    /// Those of segments that nothing refers to.
    pub segment_bytes: u64,
    /// Those behind the last segment.
    pub trailing_bytes: u64,
    /// The number of values that nothing reaches. Their bytes lie between others and are not counted.
    pub values: usize,
}

/// Counts a file's dead bytes.
///
/// # Errors
/// When the file is not a sound program.
pub fn dead(file: &[u8]) -> Result<Dead, Error> {
    let program = Program::parse(file)?;
    let mut used_buffers = BTreeSet::new();
    let mut values = 0;
    for plan in program.plans()?.iter() {
        let plan = plan?;
        let reached = reached(&plan)?;
        for (index, value) in plan.values().iter().enumerate() {
            let is_reached = reached.contains(&(index as i64));
            values += usize::from(!is_reached);
            if let Value::Tensor(tensor) = value?
                && is_reached
                && let Storage::Constant { buffer } = tensor.storage()?
            {
                used_buffers.insert(buffer);
            }
        }
    }
    let (constants, constant_bytes) = constants(&program, &used_buffers)?;
    let segment_bytes = segments(&program)?;
    let trailing_bytes = trailing(file, &program)?;
    let bytes = constant_bytes.saturating_add(segment_bytes).saturating_add(trailing_bytes);
    Ok(Dead { bytes, constant_bytes, constants, segment_bytes, trailing_bytes, values })
}

/// The values that the boundary and the instructions of a method reach.
fn reached(plan: &Plan<'_>) -> Result<BTreeSet<i64>, Error> {
    let mut reached: BTreeSet<i64> = BTreeSet::new();
    reached.extend(plan.inputs()?.iter().chain(plan.outputs()?.iter()).map(i64::from));
    for chain in plan.chains()?.iter() {
        for instruction in chain?.instructions()?.iter() {
            match instruction? {
                Instruction::KernelCall { args, .. } | Instruction::DelegateCall { args, .. } => {
                    reached.extend(args.iter().map(i64::from));
                }
                Instruction::MoveCall { move_from, move_to } => {
                    reached.extend([i64::from(move_from), i64::from(move_to)]);
                }
                Instruction::JumpFalseCall { cond_value_index, .. } => {
                    reached.insert(i64::from(cond_value_index));
                }
                Instruction::FreeCall { value_index } => {
                    reached.insert(i64::from(value_index));
                }
            }
        }
    }
    // Lists hold no lists, so one step suffices.
    for index in reached.clone() {
        let Ok(index) = i32::try_from(index) else { continue };
        match plan.value(index) {
            Ok(Value::IntList(items)) => reached.extend(items.iter()),
            Ok(Value::TensorList(items) | Value::OptionalTensorList(items)) => {
                reached.extend(items.iter().map(i64::from));
            }
            _ => {}
        }
    }
    Ok(reached)
}

/// The number of constants that no reached tensor uses, and their bytes: each extends to where the next one starts.
fn constants(program: &Program<'_>, used: &BTreeSet<u32>) -> Result<(usize, u64), Error> {
    let offsets = program.constant_offsets();
    if offsets.is_empty() {
        let mut dead = (0, 0);
        for (index, data) in program.inline_constants()?.iter().enumerate().skip(1) {
            if !used.contains(&(index as u32)) {
                dead = (dead.0 + 1, dead.1 + data?.bytes.len() as u64);
            }
        }
        return Ok(dead);
    }
    let Some(segment) = program.constant_segment()? else { return Ok((0, 0)) };
    // A lone offset is the placeholder of a program without constants.
    if offsets.len() <= 1 {
        return Ok((0, 0));
    }
    let size = program.segment(segment.segment_index)?.len() as u64;
    // Of constants that start together, one that is used suffices.
    let mut starts: BTreeMap<u64, bool> = BTreeMap::new();
    for (index, offset) in offsets.iter().enumerate().skip(1) {
        *starts.entry(offset.min(size)).or_default() |= used.contains(&(index as u32));
    }
    let ends = starts.keys().skip(1).copied().chain([size]);
    let spans = starts.iter().zip(ends).filter(|((_, is_used), _)| !**is_used);
    Ok(spans.fold((0, 0), |(count, bytes), ((start, _), end)| (count + 1, bytes + end - start)))
}

/// The bytes of segments that nothing in the program refers to.
fn segments(program: &Program<'_>) -> Result<u64, Error> {
    let mut used = BTreeSet::new();
    if let Some(constants) = program.constant_segment()?
        && constants.offsets.len() > 1
    {
        used.insert(constants.segment_index);
    }
    for part in program.mutable_segments()?.iter() {
        used.insert(part?.segment_index);
    }
    for entry in program.named_data()?.iter() {
        used.insert(entry?.segment_index);
    }
    for plan in program.plans()?.iter() {
        for delegate in plan?.delegates()?.iter() {
            if let DataReference::Segment(index) = delegate?.processed {
                used.insert(index);
            }
        }
    }
    let mut bytes = 0u64;
    for (index, segment) in program.segments().iter().enumerate() {
        if !used.contains(&(index as u32)) {
            bytes = bytes.saturating_add(segment?.size);
        }
    }
    Ok(bytes)
}

/// The bytes behind the program and all of its segments.
fn trailing(file: &[u8], program: &Program<'_>) -> Result<u64, Error> {
    let mut end = program.program_size() as u64;
    for segment in program.segments().iter() {
        let segment = segment?;
        end = end.max(
            (program.segment_base() as u64)
                .saturating_add(segment.offset)
                .saturating_add(segment.size),
        );
    }
    Ok((file.len() as u64).saturating_sub(end))
}
