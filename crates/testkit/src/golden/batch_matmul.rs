//! `batch_matmul_s8`.

use super::Case;
use crate::suite::{What, compare};
use crate::workspace::Workspace;
use cortado_contract::Isa;
use cortado_contract::ops::quantized_batch_matmul::{
    BatchMatmulParams, BatchMatmulShape, scratch_bytes,
};
use cortado_contract::quant::{Activation, FilterOffset, InputOffset, OutputOffset, Requantize};
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_batch_matmul::batch_matmul_s8;

/// CMSIS-NN broadcasts two axes of matrices, the operator one: the outer axis is walked through here.
pub(super) fn s8<M: Micro>(
    case: &Case<'_>,
    workspace: &mut Workspace<'_>,
) -> Option<Result<(), What>> {
    let shape = BatchMatmulShape {
        lhs_batches: case.count("input_lhs_dims.h")?,
        rhs_batches: case.count("input_rhs_dims.h")?,
        rows: case.count("input_lhs_dims.w")?,
        cols: case.count("input_rhs_dims.w")?,
        depth: case.count("input_lhs_dims.c")?,
    };
    for isa in Isa::ALL {
        let recorded = case.number_at(&["scratch_bytes", isa.name()])?;
        let needed = scratch_bytes(&shape, isa);
        if let Some(what) = compare(&[i64::from(needed)], &[i64::from(recorded)]) {
            return Some(Err(what));
        }
    }
    let params = params(case)?;
    let lhs = case.tensor::<i8>("inputs.input_lhs")?;
    let rhs = case.tensor::<i8>("inputs.input_rhs")?;
    let expected = case.tensor::<i8>("expected.output")?;
    let (lhs_outer, rhs_outer) = (case.count("input_lhs_dims.n")?, case.count("input_rhs_dims.n")?);
    let mut memory = workspace.start();
    let out = memory.guarded::<i8>(expected.len(), 0x5a);
    let size = shape.batches() * shape.rows * shape.cols;
    for (outer, out) in out.values.chunks_mut(size).enumerate() {
        let lhs = lhs.get(outer % lhs_outer * shape.lhs_batches * shape.rows * shape.depth..)?;
        let rhs = rhs.get(outer % rhs_outer * shape.rhs_batches * shape.cols * shape.depth..)?;
        if batch_matmul_s8::<M>(&shape, &params, lhs, rhs, out).is_none() {
            return Some(Err(What::Refused));
        }
    }
    if !out.is_intact() {
        return Some(Err(What::Guard));
    }
    Some(compare(out.values, expected).map_or(Ok(()), Err))
}

fn params(case: &Case<'_>) -> Option<BatchMatmulParams> {
    Some(BatchMatmulParams {
        lhs_offset: InputOffset(case.number("bmm_params.fc_params.input_offset")?),
        rhs_offset: FilterOffset(case.number("bmm_params.fc_params.filter_offset")?),
        output_offset: OutputOffset(case.number("bmm_params.fc_params.output_offset")?),
        requantize: Requantize {
            multiplier: case.number("quant_params.multiplier")?,
            shift: case.number("quant_params.shift")?,
        },
        activation: Activation {
            min: case.number("bmm_params.fc_params.activation.min")?,
            max: case.number("bmm_params.fc_params.activation.max")?,
        },
    })
}
