//! What layers over 16-bit activations have in common: their numbers, and what becomes of their sums.

use cortado_contract::quant::{Activation, reduce_multiplier, requantize_s64};

/// What layers over `int16` do to their sums.
#[derive(Clone, Copy, Debug)]
pub struct Int16Params<'a> {
    /// A number per output channel, or `None` for zero.
    pub bias: Option<&'a [i64]>,
    /// One multiplier per output channel.
    pub multipliers: &'a [i32],
    /// One shift per output channel, at most [`cortado_contract::quant::SHIFT_MAX_S64`].
    pub shifts: &'a [i32],
    /// The range of results.
    pub activation: Activation,
}

/// Stores the results of output channels from `channel` on.
///
/// Never inlined: it is the same for all kernels, and large.
#[inline(never)]
pub(super) fn finish<S: Copy + Into<i64>>(
    params: &Int16Params<'_>,
    sums: &[S],
    channel: usize,
    out: &mut [i16],
) -> Option<()> {
    let count = sums.len().min(out.len());
    let of_channels = |table: &'_ [i32]| table.get(channel..).is_some_and(|it| it.len() >= count);
    if !of_channels(params.multipliers) || !of_channels(params.shifts) {
        return None;
    }
    let factors = params.multipliers.iter().zip(params.shifts).skip(channel);
    let mut biases = params.bias.map(|bias| bias.iter().skip(channel));
    for ((out, sum), (multiplier, shift)) in out.iter_mut().zip(sums).zip(factors) {
        let bias = match &mut biases {
            Some(biases) => *biases.next()?,
            None => 0,
        };
        let multiplier = reduce_multiplier(*multiplier);
        let sum: i64 = (*sum).into();
        let value = requantize_s64(sum.wrapping_add(bias), multiplier, *shift);
        *out = params.activation.clamp(value) as i16;
    }
    Some(())
}
