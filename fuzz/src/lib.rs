//! Mutations that keep a zip archive whole.
//!
//! The checksums of an archive make nearly every change of one byte a broken archive. So entries are taken out, one of them is
//! changed, and the archive is built around it anew. One change in eight is to the archive's own bytes.

use cortado_npz::zip::{Limits, ZipArchive, write_stored};
use libfuzzer_sys::fuzzer_mutate;

/// Changes `data[..size]`, an archive, in place, and returns its new size of at most `max_size`.
pub fn mutate_archive(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Random(u64::from(seed) | 1 << 40);
    if random.below(8) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    match entry_changed(&data[..size], &mut random) {
        Some(archive) if archive.len() <= max_size.min(data.len()) => {
            data[..archive.len()].copy_from_slice(&archive);
            archive.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
}

fn entry_changed(data: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let limits = Limits { entries: 64, total_bytes: 1 << 20 };
    let archive = ZipArchive::new(data, &limits).ok()?;
    let mut entries: Vec<(String, Vec<u8>)> = archive
        .entries()
        .map(|entry| Some((entry.name().to_owned(), entry.read().ok()?.into_owned())))
        .collect::<Option<_>>()?;
    let count = entries.len();
    if count == 0 {
        return None;
    }
    // The description of a program is worth more than the bytes of its weights.
    let texts: Vec<usize> = (0..count).filter(|at| entries[*at].0.ends_with(".json")).collect();
    let at = if !texts.is_empty() && random.below(4) != 0 {
        texts[random.below(texts.len())]
    } else {
        random.below(count)
    };
    match random.below(16) {
        0 => drop(entries.remove(at)),
        1 => {
            let other = entries[random.below(count)].1.clone();
            entries[at].1 = other;
        }
        _ if entries[at].0.ends_with(".json") && random.below(8) != 0 => {
            for _ in 0..1 + random.below(3) {
                entries[at].1 = text_changed(&entries[at].1, random)?;
            }
        }
        _ => {
            let mut content = entries[at].1.clone();
            let size = content.len();
            content.resize(size + 64, 0);
            let room = content.len();
            let changed = fuzzer_mutate(&mut content, size, room);
            content.truncate(changed);
            entries[at].1 = content;
        }
    }
    write_stored(entries.iter().map(|(name, content)| (name.as_str(), content.as_slice()))).ok()
}

/// Numbers that are worth trying.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "4",
    "7",
    "8",
    "127",
    "128",
    "-128",
    "255",
    "256",
    "32767",
    "65535",
    "65536",
    "1048576",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "0.0",
    "-0.0",
    "0.5",
    "1e-30",
    "1e30",
    "1e400",
    "\"NaN\"",
    "\"Infinity\"",
    "null",
    "true",
    "[]",
    "{}",
];

/// A text of JSON with one number, word or part replaced by another one.
fn text_changed(text: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let tokens = tokens(text);
    let number = |token: &&(usize, usize)| matches!(text[token.0], b'0'..=b'9' | b'-');
    let word = |token: &&(usize, usize)| text[token.0] == b'"';
    let numbers: Vec<_> = tokens.iter().filter(number).copied().collect();
    let words: Vec<_> = tokens.iter().filter(word).copied().collect();
    let pick = |from: &[(usize, usize)], random: &mut Random| {
        (!from.is_empty()).then(|| from[random.below(from.len())])
    };
    let (span, new) = match random.below(8) {
        0..4 => {
            let span = pick(&numbers, random)?;
            (span, NUMBERS[random.below(NUMBERS.len())].as_bytes().to_vec())
        }
        4 => {
            let (from, span) = (pick(&numbers, random)?, pick(&numbers, random)?);
            (span, text[from.0..from.1].to_vec())
        }
        5 | 6 => {
            let (from, span) = (pick(&words, random)?, pick(&words, random)?);
            (span, text[from.0..from.1].to_vec())
        }
        _ => {
            let span = pick(&tokens, random)?;
            (span, NUMBERS[random.below(NUMBERS.len())].as_bytes().to_vec())
        }
    };
    Some([&text[..span.0], &new, &text[span.1..]].concat())
}

/// Where numbers, words and names are in a text of JSON.
fn tokens(text: &[u8]) -> Vec<(usize, usize)> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let start = at;
        match text[at] {
            b'"' => {
                at += 1;
                while at < text.len() && text[at] != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(text.len());
                tokens.push((start, at));
            }
            b'0'..=b'9' | b'-' | b'a'..=b'z' => {
                let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                while at < text.len() && is_part(&text[at]) {
                    at += 1;
                }
                tokens.push((start, at));
            }
            _ => at += 1,
        }
    }
    tokens
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}
