//! The functions of an image: their sizes, their calls, and where their code is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

use super::{BoardError, Image};

/// The functions of an image and their calls.
#[derive(Clone, Debug)]
pub struct Code {
    pub(super) functions: BTreeMap<u32, Function>,
}

#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) name: String,
    bytes: u32,
    /// Where in it code is, as offsets of halfwords: no constants, no padding.
    pub(super) code: Vec<u32>,
    /// The addresses of functions that it calls or jumps to.
    pub(super) calls: Vec<u32>,
}

/// What loops are aligned with.
const NO_OPERATION: [u8; 2] = 0xbf00_u16.to_le_bytes();

impl Image {
    /// The functions of the image.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn code(&self) -> Result<Code, BoardError> {
        let bytes = fs::read(&self.path).map_err(BoardError::io("read", &self.path))?;
        let bad = |reason: String| BoardError::BadImage { path: self.path.clone(), reason };
        let file = object::File::parse(&*bytes).map_err(|error| bad(error.to_string()))?;
        let mut functions = BTreeMap::new();
        // Marks of the Arm ELF ABI, 4.5.5: code or data starts here.
        let marks: BTreeMap<u64, bool> = file
            .symbols()
            .filter_map(|symbol| {
                let name = symbol.name().ok()?;
                let is_code = name.starts_with("$t");
                (is_code || name.starts_with("$d")).then_some((symbol.address() & !1, is_code))
            })
            .collect();
        for symbol in file.symbols() {
            if symbol.kind() != SymbolKind::Text || symbol.size() == 0 {
                continue;
            }
            // The lowest bit of a function's address says Thumb.
            let start = symbol.address() & !1;
            let body = file
                .sections()
                .find_map(|section| section.data_range(start, symbol.size()).ok().flatten());
            let name = symbol.name().unwrap_or_default().to_owned();
            let body = body.unwrap_or_default();
            let is_code = |offset: &u32| {
                let mark = marks.range(..=start + u64::from(*offset)).next_back();
                mark.is_none_or(|(_, is_code)| *is_code)
            };
            let padding = |offset: &u32| body[*offset as usize..].starts_with(&NO_OPERATION);
            let halfwords = (0..body.len() as u32 / 2).map(|index| 2 * index);
            let code = halfwords.filter(|offset| is_code(offset) && !padding(offset)).collect();
            let calls = calls(start as u32, body);
            let bytes = symbol.size() as u32;
            functions.insert(start as u32, Function { name, bytes, code, calls });
        }
        Ok(Code { functions })
    }
}

impl Code {
    /// The bytes of all functions that are chosen by name.
    pub fn bytes_of(&self, chosen: impl Fn(&str) -> bool) -> u32 {
        let chosen = self.functions.values().filter(|function| chosen(&function.name));
        chosen.map(|function| function.bytes).sum()
    }

    /// The names and bytes of all functions, the largest first.
    pub fn functions(&self) -> Vec<(&str, u32)> {
        let mut functions: Vec<(&str, u32)> =
            self.functions.values().map(|it| (it.name.as_str(), it.bytes)).collect();
        functions.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        functions
    }

    /// The functions in whose names one of `parts` occurs, each with the names of those that call it.
    pub fn callers(&self, parts: &[&str]) -> Vec<(String, Vec<String>)> {
        let is_meant = |function: &Function| parts.iter().any(|part| function.name.contains(part));
        let callers = |start: &u32| {
            let calls = self.functions.values().filter(|function| function.calls.contains(start));
            calls.map(|function| function.name.clone()).collect()
        };
        let meant = self.functions.iter().filter(|(_, function)| is_meant(function));
        meant.map(|(start, function)| (function.name.clone(), callers(start))).collect()
    }

    /// The bytes of all functions in whose names one of `roots` occurs, together with all that they call: code and the constants
    /// between it, but no tables elsewhere. `None` when a root is no function.
    pub fn closure_bytes(&self, roots: &[&str]) -> Option<u32> {
        let mut open = Vec::new();
        for root in roots {
            let found = self.functions.iter().filter(|(_, function)| function.name.contains(root));
            let before = open.len();
            open.extend(found.map(|(start, _)| *start));
            if open.len() == before {
                return None;
            }
        }
        let mut reached = BTreeSet::new();
        while let Some(start) = open.pop() {
            if let Some(function) = self.functions.get(&start)
                && reached.insert(start)
            {
                open.extend(&function.calls);
            }
        }
        Some(reached.iter().map(|start| self.functions[start].bytes).sum())
    }
}

/// Where `BL` and `B.W` of a function's body go to. Constants between the code may look like either; such a target is hardly ever
/// a function's start.
fn calls(start: u32, body: &[u8]) -> Vec<u32> {
    let halfwords: Vec<u32> = body
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]])))
        .collect();
    let mut targets = Vec::new();
    for (index, pair) in halfwords.windows(2).enumerate() {
        let (first, second) = (pair[0], pair[1]);
        // Encodings T4 of B and T1 of BL, Armv7-M Architecture Reference Manual, A7.7.12 and A7.7.18.
        if first >> 11 != 0b11110
            || second >> 12 & 0b1101 != 0b1001 && second >> 12 & 0b1101 != 0b1101
        {
            continue;
        }
        let sign = first >> 10 & 1;
        let i1 = !(second >> 13 & 1 ^ sign) & 1;
        let i2 = !(second >> 11 & 1 ^ sign) & 1;
        let offset =
            (sign << 24 | i1 << 23 | i2 << 22 | (first & 0x3ff) << 12 | (second & 0x7ff) << 1)
                .wrapping_shl(7) as i32
                >> 7;
        targets.push((start + 2 * index as u32 + 4).wrapping_add_signed(offset));
    }
    targets
}

#[cfg(test)]
impl Code {
    /// Code of these functions, by their addresses.
    pub(super) fn for_tests(functions: impl Into<BTreeMap<u32, Function>>) -> Code {
        Code { functions: functions.into() }
    }
}

#[cfg(test)]
impl Function {
    /// A function whose code is at these offsets.
    pub(super) fn for_tests(name: &str, code: Vec<u32>, calls: Vec<u32>) -> Function {
        Function { name: name.to_owned(), bytes: 0, code, calls }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_followed() {
        // bl +0x10, then b.w -0x100, at 0x1000: targets count from the instruction's address and 4.
        let body = [0x00, 0xf0, 0x06, 0xf8, 0xff, 0xf7, 0x7e, 0xbf];
        assert_eq!(calls(0x1000, &body), [0x1010, 0x1004 + 4 - 0x104]);
        assert!(calls(0, &[0x00, 0xbf, 0x70, 0x47]).is_empty());
    }

    #[test]
    fn what_is_called_counts_once() {
        let function = |name: &str, bytes, calls: &[u32]| {
            let function = Function::for_tests(name, Vec::new(), calls.to_vec());
            Function { bytes, ..function }
        };
        let code = Code::for_tests([
            (0, function("kernel::a", 10, &[8, 100])),
            (8, function("shared", 5, &[0])),
            (100, function("deep", 3, &[])),
            (200, function("kernel::b", 7, &[8])),
            (300, function("other", 1000, &[])),
        ]);
        assert_eq!(code.closure_bytes(&["kernel::a"]), Some(18));
        assert_eq!(code.closure_bytes(&["kernel::a", "kernel::b"]), Some(25));
        assert_eq!(code.closure_bytes(&["nothing"]), None);
        let deep = ("deep".to_owned(), vec!["kernel::a".to_owned()]);
        assert_eq!(code.callers(&["deep", "nothing"]), [deep]);
    }
}
