//! Programs that take and give `int8`: the conversions at their border are the caller's.
//!
//! ```text
//! float input x ─▶ view? ─▶ quantize ─▶ q      becomes      int8 input x ─▶ q, a view of it
//! q ─▶ dequantize ─▶ view? ─▶ float output y   becomes      q ─▶ int8 output y, a view of it
//! ```
//!
//! Memory order does not change: both conversions go element by element. A float input that anything else reads, or that is quantized
//! in two ways, stays as it is, and so does an output that is not the result of a dequantize.

use crate::lowered::{Affine, Buffer, BufferId, BufferKind, Call, Lowered};
use crate::plan::operands_and_results;
use cortado_contract::DType;
use cortado_contract::ops::Operator;

/// Drops the conversions at a program's border that can be dropped.
pub fn drop_conversions(program: &mut Lowered) {
    program.input_affines =
        (0..program.inputs.len()).map(|at| drop_quantize(program, at)).collect();
    program.output_affines =
        (0..program.outputs.len()).map(|at| drop_dequantize(program, at)).collect();
}

/// Makes an input `int8`, if all that reads it quantizes it alike.
fn drop_quantize(program: &mut Lowered, position: usize) -> Option<Affine> {
    let input = program.inputs[position];
    let is_returned = program.outputs.iter().any(|output| program.storage(*output) == input);
    if program.buffer(input).dtype != DType::F32 || is_returned {
        return None;
    }
    let mut found: Option<Affine> = None;
    let mut quantized = Vec::new();
    for (index, call) in program.calls.iter().enumerate() {
        if !reads(program, call, input) {
            continue;
        }
        let Operator::QuantizePerTensor(quantize) = &call.operator else { return None };
        let is_whole = (quantize.quant_min, quantize.quant_max) == (-128, 127);
        let affine = Affine { scale: quantize.scale, zero_point: quantize.zero_point.0 };
        if quantize.dtype != DType::I8 || !is_whole || found.is_some_and(|it| it != affine) {
            return None;
        }
        found = Some(affine);
        quantized.push((index, quantize.out.id));
    }
    let affine = found?;
    let new = program.add(Buffer { dtype: DType::I8, ..program.buffer(input).clone() });
    for (_, out) in &quantized {
        program.buffers[out.0].kind = BufferKind::View(new);
    }
    for (index, _) in quantized.iter().rev() {
        program.calls.remove(*index);
    }
    program.inputs[position] = new;
    Some(affine)
}

/// Makes an output `int8`, if it is what a dequantize gives. The call itself stays where something else reads its result.
fn drop_dequantize(program: &mut Lowered, position: usize) -> Option<Affine> {
    let output = program.outputs[position];
    let storage = program.storage(output);
    let (dequantize, index) =
        program.calls.iter().enumerate().find_map(|(index, call)| match &call.operator {
            Operator::DequantizePerTensor(it) if program.storage(it.out.id) == storage => {
                Some((it.clone(), index))
            }
            _ => None,
        })?;
    if dequantize.dtype != DType::I8 {
        return None;
    }
    let kind = BufferKind::View(dequantize.input.id);
    let new = program.add(Buffer { dtype: DType::I8, kind, ..program.buffer(output).clone() });
    program.outputs[position] = new;
    let is_needed = program.outputs.iter().any(|output| program.storage(*output) == storage)
        || program.calls.iter().any(|call| reads(program, call, storage));
    if !is_needed {
        program.calls.remove(index);
    }
    Some(Affine { scale: dequantize.scale, zero_point: dequantize.zero_point.0 })
}

/// Whether a call reads a storage, through whatever view.
fn reads(program: &Lowered, call: &Call, storage: BufferId) -> bool {
    let mut operands = operands_and_results(&call.operator).into_iter();
    operands.any(|(id, is_result)| !is_result && program.storage(id) == storage)
}
