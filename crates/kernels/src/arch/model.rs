//! Portable models of the assembly blocks: what each computes, in plain Rust.

/// `SXTB16`: bytes 0 and 2 of a word, sign-extended to two halfwords.
#[inline(always)]
pub fn sxtb16(word: u32) -> u32 {
    let low = i32::from(word as i8) as u32 & 0xffff;
    let high = i32::from((word >> 16) as i8) as u32 & 0xffff;
    low | high << 16
}

/// `SXTAB16`: [`sxtb16`] added to two halfwords, each wrapping.
#[inline(always)]
pub fn sxtab16(addend: u32, word: u32) -> u32 {
    let extended = sxtb16(word);
    let low = (addend as u16).wrapping_add(extended as u16);
    let high = ((addend >> 16) as u16).wrapping_add((extended >> 16) as u16);
    u32::from(low) | u32::from(high) << 16
}

/// `SMLAD`: the products of the low and of the high halfwords added to an accumulator, wrapping.
#[inline(always)]
pub fn smlad(a: u32, b: u32, accumulator: i32) -> i32 {
    let low = i32::from(a as i16) * i32::from(b as i16);
    let high = i32::from((a >> 16) as i16) * i32::from((b >> 16) as i16);
    accumulator.wrapping_add(low).wrapping_add(high)
}

/// A tail-predicated `VMLADAVA.S8` loop: the dot product over the shorter of both, added to an accumulator, wrapping.
#[inline(always)]
pub fn vmladava_s8(lhs: &[i8], rhs: &[i8], accumulator: i32) -> i32 {
    lhs.iter()
        .zip(rhs)
        .fold(accumulator, |sum, (lhs, rhs)| sum.wrapping_add(i32::from(*lhs) * i32::from(*rhs)))
}

/// A tail-predicated `VADDVA.S8` loop: the sum of all values, wrapping.
#[inline(always)]
pub fn vaddva_s8(values: &[i8]) -> i32 {
    values.iter().fold(0i32, |sum, value| sum.wrapping_add(i32::from(*value)))
}
