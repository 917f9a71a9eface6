//! What the loops of DSP and scalar cores share that rescale by short factors.

/// Twice each multiplier, or with Thumb-1 itself, and one less than each shift to the right. Factors must be short.
pub(super) fn prepared<const N: usize>(
    multipliers: &[i32; N],
    shifts: &[i32; N],
) -> ([u32; N], [u32; N]) {
    let doubling = if cfg!(cortado_thumb = "1") { 0 } else { 1 };
    (
        multipliers.map(|multiplier| (multiplier as u32) << doubling),
        shifts.map(|shift| !shift as u32),
    )
}
