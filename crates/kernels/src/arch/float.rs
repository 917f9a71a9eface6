//! Real numbers to integers, exactly as the contract has it, on cores with and without a unit for floating point.

#![cfg_attr(
    not(cortado_isa = "model"),
    allow(dead_code, reason = "each instruction set uses one of the ways")
)]

use crate::micro::Integer;
use cortado_contract::quant::{Activation, ZeroPoint};

/// Quantizes in integer arithmetic on the bits: the product of the significands is rounded to 24 bits, as `binary32` has it, and then
/// to an integer, both to even. The inverse scale is a normal number above 0.
pub(super) fn quantize_in_integers<T: Integer>(
    input: &[f32],
    inverse_scale: f32,
    zero_point: ZeroPoint,
    range: Activation,
    out: &mut [T],
) {
    let scale = inverse_scale.to_bits();
    let scale_exponent = (scale >> 23 & 0xff) as i32;
    let scale = scale & 0x7f_ffff | 0x80_0000;
    let (scale_high, scale_low) = (scale >> 16, scale & 0xffff);
    for (out, input) in out.iter_mut().zip(input) {
        let bits = input.to_bits();
        let mut exponent = (bits >> 23 & 0xff) as i32;
        let mut significand = bits & 0x7f_ffff | 0x80_0000;
        if exponent == 0 {
            significand &= 0x7f_ffff;
            if significand == 0 {
                *out = T::from_i32(range.clamp(zero_point.0));
                continue;
            }
            // Subnormal: as a normal number of an exponent that `binary32` does not have.
            exponent = 1;
            while significand < 0x80_0000 {
                (significand, exponent) = (significand << 1, exponent - 1);
            }
        } else if exponent == 0xff {
            if significand != 0x80_0000 {
                *out = T::from_i32(range.clamp(0));
                continue;
            }
            // Infinite: beyond any number.
            exponent = 0x400;
        }
        let (high, low) = (significand >> 16, significand & 0xffff);
        // The product of both significands, 47 or 48 bits, without its lowest 16 and with them.
        let rest = low * scale_low;
        let product =
            ((high * scale_high) << 16) + high * scale_low + low * scale_high + (rest >> 16);
        // Of 32 bits, 24 are kept: the product is `product · 2^-30 · 2^(exponents)`, from 1 up to 4.
        let is_large = product >> 31;
        let kept = product >> (7 + is_large);
        let half = 0x40 << is_large;
        let dropped = product & (2 * half - 1);
        let is_tie = dropped == half && rest & 0xffff == 0;
        let significand = kept + u32::from(if is_tie { kept & 1 == 1 } else { dropped >= half });
        // What is left of the point of a significand of 24 bits.
        let point = 23 - (exponent + scale_exponent - 254 + is_large as i32);
        let magnitude = match point {
            // 0.5 and less rounds to 0; 24 bits and more have long saturated.
            25.. => 0,
            ..=0 => 1 << 24,
            _ => {
                let whole = significand >> point;
                let fraction = significand << (32 - point);
                let up = fraction > 1 << 31 || fraction == 1 << 31 && whole & 1 == 1;
                (whole + u32::from(up)) as i32
            }
        };
        let rounded = if bits >> 31 != 0 { -magnitude } else { magnitude };
        *out = T::from_i32(range.clamp(rounded.saturating_add(zero_point.0)));
    }
}

/// Dequantizes in integer arithmetic: the product of the integer and the scale's significand, rounded to 24 bits to even. Integer and zero
/// point are 16 bits; the scale is one of [`cortado_contract::quant::is_plain_scale`].
pub(super) fn dequantize_in_integers<T: Integer>(
    input: &[T],
    scale: f32,
    zero_point: ZeroPoint,
    out: &mut [f32],
) {
    let bits = scale.to_bits();
    let exponent = bits >> 23;
    let significand = bits & 0x7f_ffff | 0x80_0000;
    let (scale_high, scale_low) = (significand >> 16, significand & 0xffff);
    for (out, input) in out.iter_mut().zip(input) {
        let integer = input.to_i32().wrapping_sub(zero_point.0);
        let magnitude = integer.unsigned_abs() & 0xffff;
        if magnitude == 0 {
            *out = 0.0;
            continue;
        }
        // The product is `high · 2^16 + low`.
        let rest = magnitude * scale_low;
        let (high, low) = (magnitude * scale_high + (rest >> 16), rest & 0xffff);
        // It has 24 bits and `drop` more.
        let mut drop = 0;
        while high >> (8 + drop) != 0 {
            drop += 1;
        }
        let kept = high << (16 - drop) | low >> drop;
        let dropped = low & ((1 << drop) - 1);
        let half = (1 << drop) >> 1;
        let up = dropped > half || dropped == half && drop > 0 && kept & 1 == 1;
        // A significand that rounds up to 2^24 carries into the exponent.
        let magnitude = ((exponent + drop - 1) << 23) + kept + u32::from(up);
        *out = f32::from_bits(magnitude | integer as u32 & 1 << 31);
    }
}

/// Quantizes with the unit for floating point, whose conversion rounds to even and saturates.
#[cfg(all(any(cortado_isa = "dsp", cortado_isa = "mve"), target_abi = "eabihf"))]
pub(super) fn quantize_in_unit<T: Integer>(
    input: &[f32],
    inverse_scale: f32,
    zero_point: ZeroPoint,
    range: Activation,
    out: &mut [T],
) {
    for (out, input) in out.iter_mut().zip(input) {
        let scaled = *input * inverse_scale;
        let rounded: i32;
        // SAFETY: converts a register. The rounding mode is to even as long as nobody changes it, which Rust does not allow.
        unsafe {
            core::arch::asm!(
                "vmov s0, {bits}",
                "vcvtr.s32.f32 s0, s0",
                "vmov {bits}, s0",
                bits = inout(reg) scaled.to_bits() as i32 => rounded,
                out("s0") _,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        let value = if scaled.is_nan() { 0 } else { rounded.saturating_add(zero_point.0) };
        *out = T::from_i32(range.clamp(value));
    }
}

/// Quantizes to `int8`, four elements at a time: products and conversions in the unit for floating point, the rest in vectors.
#[cfg(all(cortado_isa = "mve", target_abi = "eabihf"))]
pub(super) fn quantize_in_vectors(
    input: &[f32],
    inverse_scale: f32,
    zero_point: ZeroPoint,
    range: Activation,
    out: &mut [i8],
) {
    let quads = input.len().min(out.len()) / 4;
    let (quads, input_rest, out_rest) =
        match (input.split_at_checked(4 * quads), out.split_at_mut_checked(4 * quads)) {
            (Some((quads, input_rest)), Some((out, out_rest))) => {
                ((quads, out), input_rest, out_rest)
            }
            _ => return,
        };
    // SAFETY: reads four numbers and writes four bytes for each of `input.len() / 4` rounds, which both slices have.
    unsafe {
        core::arch::asm!(
            "vmov s12, {scale}",
            "vdup.32 q4, {min}",
            "vdup.32 q5, {max}",
            "vdup.32 q6, {nan}",
            "wls lr, {count}, 2f",
            "1:",
            "vldrw.32 q0, [{input}], #16",
            "vmul.f32 s0, s0, s12",
            "vmul.f32 s1, s1, s12",
            "vmul.f32 s2, s2, s12",
            "vmul.f32 s3, s3, s12",
            "vcvtr.s32.f32 s4, s0",
            "vcvtr.s32.f32 s5, s1",
            "vcvtr.s32.f32 s6, s2",
            "vcvtr.s32.f32 s7, s3",
            "vshl.i32 q0, q0, #1",
            "vqadd.s32 q1, q1, {zero_point}",
            "vpt.u32 hi, q0, q6",
            "vmovt.i32 q1, #0",
            "vmax.s32 q1, q1, q4",
            "vmin.s32 q1, q1, q5",
            "vstrb.32 q1, [r0], #4",
            "le lr, 1b",
            "2:",
            scale = in(reg) inverse_scale.to_bits(),
            min = in(reg) range.min,
            max = in(reg) range.max,
            // An infinity without its sign; what is greater is no number.
            nan = in(reg) 0xff00_0000u32,
            zero_point = in(reg) zero_point.0,
            count = in(reg) quads.0.len() / 4,
            input = inout(reg) quads.0.as_ptr() => _,
            inout("r0") quads.1.as_mut_ptr() => _,
            out("lr") _, out("q0") _, out("q1") _, out("q3") _, out("q4") _, out("q5") _, out("q6") _,
            options(nostack),
        );
    }
    quantize_in_unit(input_rest, inverse_scale, zero_point, range, out_rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use cortado_contract::quant::{dequantize, quantize};

    #[test]
    fn products_round_as_binary32_does() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.rotate_left(13) ^ state
        };
        let check = |scale: f32, zero_point: i32, values: &[i16]| {
            for value in values {
                let mut out = [0.0];
                let zero_point = ZeroPoint(zero_point);
                dequantize_in_integers(&[*value], scale, zero_point, &mut out);
                let expected = dequantize(i32::from(*value), scale, zero_point);
                assert_eq!(out[0].to_bits(), expected.to_bits(), "{value} times {scale:e}");
            }
        };
        let all: [i16; 511] = core::array::from_fn(|index| index as i16 - 255);
        for round in 0..3000u32 {
            // Few bits in the significand give ties.
            let mask = if round % 2 == 0 { 0x7f_ffff } else { 0x7f_ffff << (round % 24) };
            let scale = f32::from_bits(next() & mask & 0x7f_ffff | (1 + next() % 236) << 23);
            check(scale, 0, &all);
            let wide = [next() as i16, next() as i16 & 0x1fff, 0, 1, -1, i16::MAX, -i16::MAX];
            check(scale, 0, &wide);
            check(scale, next() as i32 >> 24, &[next() as i16 >> 8, 127, -128]);
        }
    }

    #[test]
    fn integers_round_as_binary32_does() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.rotate_left(13) ^ state
        };
        let int8 = Activation::INT8;
        let wide = Activation { min: -32768, max: 32767 };
        for round in 0..400_000u32 {
            let scale = match round % 4 {
                // Any normal number.
                0 => f32::from_bits(next() & 0x7f_ffff | (1 + next() % 254) << 23),
                1 => 1.0 / 128.0,
                _ => f32::from_bits(next() & 0x7f_ffff | (110 + next() % 30) << 23),
            };
            let value = match round % 3 {
                0 => f32::from_bits(next()),
                // A tie or near one.
                1 => (next() % 2048) as f32 * 0.5 / scale,
                _ => f32::from_bits(next() & 0x807f_ffff | (110 + next() % 30) << 23),
            };
            let zero_point = ZeroPoint(next() as i32 >> 24);
            let mut out = [0i16];
            for range in [int8, wide] {
                quantize_in_integers(&[value], scale, zero_point, range, &mut out);
                let expected = quantize(value, scale, zero_point, range);
                assert_eq!(i32::from(out[0]), expected, "{value:e} times {scale:e}");
            }
        }
        let (least, subnormal) = (f32::from_bits(1), f32::from_bits(0x7f_ffff));
        let subnormals = [least, -least, 3e-39, -3e-39, 5e-40, subnormal];
        let specials = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, f32::MAX, f32::MIN];
        for special in specials.into_iter().chain(subnormals) {
            for scale in [1.0, f32::MIN_POSITIVE, 1e-20, 1e20, 3e38, f32::MAX] {
                let mut out = [0i8];
                quantize_in_integers(&[special], scale, ZeroPoint(3), int8, &mut out);
                assert_eq!(i32::from(out[0]), quantize(special, scale, ZeroPoint(3), int8));
            }
        }
    }
}
