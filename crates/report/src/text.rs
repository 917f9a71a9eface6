//! Texts: what comes from a file made fit to be seen, and numbers.

/// The most characters of a text from a file that are shown.
const CHARACTERS_MAX: usize = 160;

/// A text from a file without what a reader cannot see or what would turn the text around it: control characters, among them those
/// that set the direction of writing, stand as their code points. Long texts end in an ellipsis. Escaping for HTML is the template's.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == CHARACTERS_MAX {
            clean.push('…');
            break;
        }
        let is_direction = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let is_break = matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}');
        match character.is_control() || is_direction || is_break {
            true => clean.extend(character.escape_unicode()),
            false => clean.push(character),
        }
    }
    clean
}

/// A whole number with commas: `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size, to the byte: `12,345 bytes`.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        1 => "1 byte".to_owned(),
        _ => format!("{} bytes", count(number)),
    }
}

/// A size in three digits with a unit, as two words: `52.3` and `KiB`.
pub(crate) fn short_bytes(number: u64) -> (String, &'static str) {
    match number {
        0..10_000 => (count(number), if number == 1 { "byte" } else { "bytes" }),
        10_000..1_048_576 => (digits(number as f64 / 1024.0), "KiB"),
        _ => (digits(number as f64 / 1_048_576.0), "MiB"),
    }
}

/// A number in three digits with a unit, as two words: `1.24` and `M`.
pub(crate) fn short_count(number: u64) -> (String, &'static str) {
    match number {
        0..10_000 => (count(number), ""),
        10_000..1_000_000 => (digits(number as f64 / 1e3), "k"),
        1_000_000..1_000_000_000 => (digits(number as f64 / 1e6), "M"),
        _ => (digits(number as f64 / 1e9), "G"),
    }
}

/// Three digits.
fn digits(number: f64) -> String {
    match number {
        ..10.0 => format!("{number:.2}"),
        ..100.0 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// A factor or a scale in four digits.
pub(crate) fn real(number: f64) -> String {
    if number == 0.0 || (1e-4..1e6).contains(&number.abs()) {
        let text = format!("{number:.*}", decimals(number));
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    } else {
        format!("{number:.3e}")
    }
}

/// The decimals that make four digits.
fn decimals(number: f64) -> usize {
    if number == 0.0 {
        return 0;
    }
    (3 - number.abs().log10().floor() as i32).clamp(0, 8) as usize
}

/// A whole number with its sign as people write it.
pub(crate) fn signed(number: i64) -> String {
    match number < 0 {
        true => format!("−{}", number.unsigned_abs()),
        false => number.to_string(),
    }
}

/// Extents: `1×3×32×32`, or `scalar`.
pub(crate) fn shape(shape: &[i64]) -> String {
    match shape {
        [] => "scalar".to_owned(),
        _ => shape.iter().map(i64::to_string).collect::<Vec<_>>().join("×"),
    }
}

/// The order of axes in memory, where it is not the logical one.
pub(crate) fn memory_order(dim_order: &[u8]) -> Option<String> {
    match dim_order {
        order if order.is_sorted() => None,
        [0, 2, 3, 1] => Some("NHWC in memory".to_owned()),
        order => {
            let axes: Vec<String> = order.iter().map(u8::to_string).collect();
            Some(format!("axes {} in memory", axes.join(" ")))
        }
    }
}

/// How many of something: `1 layer`, `3 layers`.
pub(crate) fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", count(number as u64)),
    }
}

/// A list for people: `a`, `a and b`, `a, b and c`; of more than `max` the rest is counted.
pub(crate) fn list(items: &[String], max: usize) -> String {
    if items.len() > max + 1 {
        return format!("{} and {} more", items[..max].join(", "), items.len() - max);
    }
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_files_are_made_visible() {
        assert_eq!(clean("conv\u{202e}\u{0}\n"), "conv\\u{202e}\\u{0}\\u{a}");
        assert_eq!(clean(&"a".repeat(200)).chars().count(), CHARACTERS_MAX + 1);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123), "123");
        assert_eq!(short_bytes(53_552), ("52.3".to_owned(), "KiB"));
        assert_eq!(short_count(7_490_000), ("7.49".to_owned(), "M"));
        assert_eq!(
            [0.0, 0.5, 0.003_921_568, 12.0, 1234.5, -0.25, 1e-9].map(real).join(" "),
            "0 0.5 0.003922 12 1234 -0.25 1.000e-9"
        );
        assert_eq!(signed(-128), "−128");
        assert_eq!(list(&["a", "b", "c", "d"].map(str::to_owned), 2), "a, b and 2 more");
        assert_eq!(list(&["a", "b", "c"].map(str::to_owned), 2), "a, b and c");
    }
}
