//! Maximum pooling over `int8` images in NHWC.
//!
//! ```text
//! for each window:
//!     out = input[first position that the window covers], or −128
//!     for each other position:
//!         out = max(out, input[position])                        (1)
//!     out = clamp(out)                                           (2)
//! ```
//!
//! 1. All channels of a pixel at once: the result's pixel is the accumulator.
//! 2. Skipped where the range of results is that of `int8`.

use super::quantized_avg_pool2d::{POOL_WORDS, execute_pool, for_each_run, pack};
use crate::memory::Memory;
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::QuantizedMaxPool2d;
use cortado_contract::ops::quantized_avg_pool2d::Pool;
use cortado_contract::ops::quantized_max_pool2d::argument;
use cortado_contract::quant::Activation;
use cortado_contract::value::Violation;

/// The pool's words.
pub const STATE_WORDS: usize = POOL_WORDS;

/// The greatest value of each window; see the operator's contract for its meaning and
/// [`cortado_contract::ops::quantized_max_pool2d::reference`] for its bits.
///
/// `None` when a slice is shorter than the extents say.
pub fn max_pool<M: Micro>(
    pool: &Pool,
    activation: Activation,
    input: &[i8],
    out: &mut [i8],
) -> Option<()> {
    for_each_run(pool, input, out, |windows, out| M::raise_windows(windows, activation, out))
}

pub(super) fn prepare<L: Lists>(
    arguments: &QuantizedMaxPool2d<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let QuantizedMaxPool2d { input, out, activation_min: min, activation_max: max, .. } = arguments;
    let activation = Activation { min: *min, max: *max };
    pack(&arguments.pool()?, activation, input, out, argument::out, state)
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    execute_pool(state, memory, max_pool::<M>)
}
