//! Scratch buffers against the rules of the instruction sets.

use crate::lowered::LoweredDomain;
use crate::retarget::operands;
use cortado_contract::Isa;
use cortado_contract::ops::{Operator, Rules, is_scratch};

/// An operator's scratch buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scratch {
    /// The sizes that the file has, in the order of the scratch arguments: one or two.
    pub bytes: Vec<u32>,
    rules: [[u32; 2]; 3],
}

impl Scratch {
    /// The scratch buffers of an operator, `None` where it has none or breaks its own rules.
    pub fn of(operator: &Operator<LoweredDomain>) -> Option<Scratch> {
        let size = |(_, tensor): &(&str, crate::lowered::LoweredTensor)| {
            let elements = tensor.shape.iter().product::<u32>();
            elements.saturating_mul(tensor.dtype.size_bytes())
        };
        let operands = operands(operator);
        let bytes: Vec<u32> =
            operands.iter().filter(|(name, _)| is_scratch(name)).map(size).collect();
        if bytes.is_empty() || operator.check().is_err() {
            return None;
        }
        Some(Scratch { bytes, rules: Isa::ALL.map(|isa| operator.scratch_bytes(isa)) })
    }

    /// The sizes that ExecuTorch's kernels of an instruction set ask for.
    pub fn rule(&self, isa: Isa) -> [u32; 2] {
        self.rules[isa as usize]
    }
}
