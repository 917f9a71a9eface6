//! Limits that are both given, in `float32`.

use super::float_clamp::{self, execute_limits, prepare_limits};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatHardtanh;
use cortado_contract::ops::float_hardtanh::argument;
use cortado_contract::value::Violation;

/// Those of the operator with optional limits.
pub const STATE_WORDS: usize = float_clamp::STATE_WORDS;

pub(super) fn prepare<L: Lists>(
    arguments: &FloatHardtanh<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let limits = [arguments.min_val, arguments.max_val];
    prepare_limits(&arguments.input, limits, &arguments.out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_limits::<M>(state, memory)
}
