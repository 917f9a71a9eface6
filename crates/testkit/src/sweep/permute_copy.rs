//! Permutations of axes over other element types.

use super::transpose::sweep;
use crate::suite::Suite;
use crate::tensor::CaseDomain;
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{PermuteCopy, Rules};
use cortado_kernels::Micro;

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    for dtype in [DType::I16, DType::F32, DType::I64] {
        sweep::<M>(workspace, suite, "aten::permute_copy", dtype, |input, dims, out| {
            let operator = PermuteCopy::<CaseDomain> { input, dims, out };
            operator.check().map(|()| operator.gather())
        });
    }
}
