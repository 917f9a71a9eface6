//! What the integers of a program's inputs and outputs stand for, as a `.pte` says it.
//!
//! A named-data entry with the key [`KEY`], which only files have whose conversions between floats and integers at the border are the
//! caller's. Its content is text, one line for each such input and output: `input 0 SCALE ZERO_POINT`, as in
//! `output 1 0.00390625 -128`. A device reads one line of it with [`find`], without a float parser.

/// The key of the named-data entry.
pub const KEY: &str = "cortado.border";

/// A side of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Inputs.
    Input,
    /// Outputs.
    Output,
}

impl Side {
    /// The word that starts a line.
    pub const fn name(self) -> &'static str {
        match self {
            Side::Input => "input",
            Side::Output => "output",
        }
    }
}

/// What integers stand for: `real = scale · (integer − zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// The real distance between neighbouring integers, greater than 0: the nearest `float32` to what the file says.
    pub scale: f32,
    /// The integer that stands for 0, in the range of the element type.
    pub zero_point: i32,
}

/// What the integers of one input or output stand for, out of the entry's content; `None` where it says nothing of it, or nothing that
/// can be read: a scale of more than 19 digits, or one outside of about `1e-19` to `1e18`.
pub fn find(content: &[u8], side: Side, index: usize) -> Option<Quantization> {
    content.split(|byte| *byte == b'\n').find_map(|line| {
        let mut words = line.split(|byte| *byte == b' ');
        let is_meant = words.next()? == side.name().as_bytes()
            && parse_integer(words.next()?)? == i32::try_from(index).ok()?;
        let scale = parse_scale(words.next()?).filter(|_| is_meant)?;
        let zero_point = parse_integer(words.next()?)?;
        words.next().is_none().then_some(Quantization { scale, zero_point })
    })
}

fn parse_integer(word: &[u8]) -> Option<i32> {
    let (is_negative, digits) = match word.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, word),
    };
    let mut value = 0i32;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = value.checked_mul(10)?.checked_add(i32::from(digit))?;
    }
    (!digits.is_empty()).then_some(if is_negative { -value } else { value })
}

/// The nearest `float32` to a positive decimal number such as `0.25` or `1.5e-7`, ties to even.
///
/// ```text
/// number = digits · 10^exponent = numerator / denominator, both below 2^127                 (1)
/// scale one of both by 2 until 1 <= numerator / denominator < 2, counting in `binary`
/// divide bit by bit: 24 bits of significand, one to round by, and whether anything is left   (2)
/// ```
///
/// 1. That is what bounds the scales that can be read, and every shift below.
/// 2. Shifts and subtractions: a division of 128 bits would be a kilobyte of a small core's flash.
fn parse_scale(word: &[u8]) -> Option<f32> {
    let mut parts = word.split(|byte| *byte == b'e');
    let (decimal, exponent) = (parts.next()?, parts.next());
    let mut exponent = exponent.map_or(Some(0), parse_integer)?;
    let (mut digits, mut is_fraction) = (0u64, false);
    for byte in decimal {
        if *byte == b'.' && !is_fraction {
            is_fraction = true;
            continue;
        }
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        digits = digits.checked_mul(10)?.checked_add(u64::from(digit))?;
        exponent = exponent.checked_sub(i32::from(is_fraction))?;
    }
    if digits == 0 || parts.next().is_some() {
        return None;
    }
    let power = power_of_ten(exponent.unsigned_abs())?;
    let (mut numerator, mut denominator) = (u128::from(digits), 1u128);
    match exponent < 0 {
        true => denominator = power,
        false => numerator = numerator.checked_mul(power).filter(|it| it >> 126 == 0)?,
    }
    let mut binary = 127i32;
    while numerator < denominator {
        numerator <<= 1;
        binary -= 1;
    }
    while denominator <= numerator >> 1 {
        denominator <<= 1;
        binary += 1;
    }
    let mut significand = 1u32;
    let mut rest = numerator - denominator;
    for _ in 0..24 {
        rest <<= 1;
        let bit = rest >= denominator;
        rest -= if bit { denominator } else { 0 };
        significand = significand << 1 | u32::from(bit);
    }
    let is_up = significand & 1 != 0 && (rest != 0 || significand & 2 != 0);
    // A significand that is rounded up to 2^24 carries into the exponent, as it must.
    let rounded = (significand >> 1) - (1 << 23) + u32::from(is_up);
    let bits = (u32::try_from(binary).ok()? << 23).checked_add(rounded)?;
    (binary > 0 && bits < f32::INFINITY.to_bits()).then_some(f32::from_bits(bits))
}

/// `10^exponent`, `None` from `10^39` on.
fn power_of_ten(exponent: u32) -> Option<u128> {
    if exponent > 38 {
        return None;
    }
    Some((0..exponent).fold(1, |power, _| power * 10))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::format;

    #[test]
    fn scales_are_the_nearest_floats() {
        let check = |text: &str| {
            let nearest: f32 = text.parse().unwrap();
            let found = parse_scale(text.as_bytes());
            assert_eq!(found.map(f32::to_bits), Some(nearest.to_bits()), "{text}");
        };
        // Ties, next to them, and carries into the exponent.
        for text in [
            "1",
            "1.0",
            "0.5",
            "0.00390625",
            "16777217",
            "16777219",
            "16777217.000001",
            "16777216.999999",
            "1.00000005960464477",
            "1.000000059604644",
            "0.99999997",
            "0.9999999999",
            "8388607.5",
            "33554431",
            "1e-7",
            "1.5e-7",
            "1e18",
            "1.17549435e-19",
            "9.999999e17",
        ] {
            check(text);
        }
        // Every kind of number that a compiler writes: floats and doubles of any size, in the shortest form.
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let exponent = (state >> 58) as i32 - 50;
            let double = f64::from_bits(((1023 + i64::from(exponent)) << 52) as u64 | state >> 12);
            check(&format!("{double:?}"));
            check(&format!("{:?}", f64::from(double as f32)));
        }
    }

    #[test]
    fn what_is_no_scale_is_refused() {
        for text in [
            "",
            "0",
            "0.0",
            "-1",
            "1.2.3",
            "e5",
            "1e",
            "1e5e5",
            "nan",
            "inf",
            "1e40",
            "1e-40",
            "99999999999999999999",
        ] {
            assert_eq!(parse_scale(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn lines_are_found_by_side_and_position() {
        let content = b"input 0 0.5 -128\ninput 12 0.25 3\noutput 0 1e-7 0";
        let found = |side, index| find(content, side, index).map(|it| (it.scale, it.zero_point));
        assert_eq!(found(Side::Input, 0), Some((0.5, -128)));
        assert_eq!(found(Side::Input, 12), Some((0.25, 3)));
        assert_eq!(found(Side::Input, 1), None);
        assert_eq!(found(Side::Output, 0), Some((1e-7, 0)));
        for wrong in [
            "",
            "input",
            "input 0",
            "input 0 1.0",
            "input 0 1.0 x",
            "input 0 1.0 3 4",
            "input 0 1.0 99999999999",
        ] {
            assert_eq!(find(wrong.as_bytes(), Side::Input, 0), None, "{wrong}");
        }
    }
}
