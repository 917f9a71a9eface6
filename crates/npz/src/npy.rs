//! The `.npy` format, versions 1.0 to 3.0 (`numpy.lib.format`).
//!
//! ```text
//! 6 bytes   \x93NUMPY
//! 2 bytes   version, major and minor
//! 2 bytes   length of the header (4 bytes from version 2.0), little-endian
//! header    a Python dictionary with `descr`, `fortran_order` and `shape`, padded with spaces, ended by a newline
//! the rest  the elements
//! ```

use crate::array::{Array, ArrayError, MAX_RANK, size_bytes};
use cortado_contract::DType;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Headers of the element types read here take about a hundred bytes; versions 2.0 and 3.0 could announce 4 GiB.
const MAX_HEADER_BYTES: usize = 65_535;
/// NumPy starts the elements at a multiple of this.
const ALIGNMENT: usize = 64;

/// Why a `.npy` file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NpyError {
    /// The file does not start with NumPy's magic bytes.
    #[error("not a .npy array: it does not start with \\x93NUMPY")]
    Magic,
    /// The file ends within the header.
    #[error("the file ends within the .npy header")]
    Truncated,
    /// The format version is none that NumPy has.
    #[error(".npy format version {major}.{minor} is unknown; 1.0, 2.0 and 3.0 are read")]
    Version {
        /// The major version.
        major: u8,
        /// The minor version.
        minor: u8,
    },
    /// The header is not what NumPy writes.
    #[error("the .npy header is damaged at byte {at}: {expected} is expected")]
    Header {
        /// The place in the header.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The element type is none of those that Cortado handles.
    #[error(
        "element type `{descr}` is not supported; \
         convert the array to uint8, int8, int16, int32, int64, float32, float64 or bool"
    )]
    DType {
        /// NumPy's description of the type.
        descr: String,
    },
    /// The file does not hold as many bytes as shape and element type ask for.
    #[error("{dtype} of shape {shape:?} takes {expected} bytes and the file holds {found}")]
    Size {
        /// The element type.
        dtype: DType,
        /// The shape.
        shape: Vec<usize>,
        /// Bytes that the elements take.
        expected: usize,
        /// Bytes after the header.
        found: usize,
    },
    /// The elements or the shape are impossible.
    #[error(transparent)]
    Array(#[from] ArrayError),
}

impl Array {
    /// Reads a `.npy` file.
    ///
    /// Takes memory in proportion to `bytes`, whatever the header says.
    ///
    /// # Errors
    /// The first thing that is wrong or unsupported.
    pub fn read_npy(bytes: &[u8]) -> Result<Self, NpyError> {
        let (header, content) = split(bytes)?;
        let header = Header::parse(header)?;
        let Header { dtype, big_endian, fortran_order, shape } = header;
        let expected =
            size_bytes(dtype, &shape).ok_or_else(|| ArrayError::Shape { shape: shape.clone() })?;
        if content.len() != expected {
            return Err(NpyError::Size { dtype, shape, expected, found: content.len() });
        }
        let mut content = content.to_vec();
        if big_endian {
            content.chunks_exact_mut(dtype.size_bytes() as usize).for_each(<[u8]>::reverse);
        }
        Ok(if fortran_order {
            let strides = column_major_strides(&shape);
            Array::from_strided(dtype, shape, &strides, 0, &content)?
        } else {
            Array::new(dtype, shape, content)?
        })
    }

    /// The array as a `.npy` file, byte for byte as `numpy.save` writes it.
    pub fn to_npy(&self) -> Vec<u8> {
        let shape = match self.shape() {
            [extent] => format!("({extent},)"),
            extents => {
                let extents: Vec<String> = extents.iter().map(usize::to_string).collect();
                format!("({})", extents.join(", "))
            }
        };
        let descr = descr(self.dtype());
        let mut header =
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        // With at most 64 axes of 20 digits the header fits version 1.0, whose length has 16 bits.
        let fixed = MAGIC.len() + 4;
        let padding = (fixed + header.len() + 1).next_multiple_of(ALIGNMENT) - fixed - header.len();
        header.extend(std::iter::repeat_n(' ', padding - 1));
        header.push('\n');

        let mut file = MAGIC.to_vec();
        file.extend([1, 0]);
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(self.bytes());
        file
    }
}

/// Splits a file into header and elements.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), NpyError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(NpyError::Magic)?;
    let (version, rest) = rest.split_first_chunk().ok_or(NpyError::Truncated)?;
    let (length, rest) = match *version {
        [1, 0] => {
            let (length, rest) = rest.split_first_chunk().ok_or(NpyError::Truncated)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        }
        [2 | 3, 0] => {
            let (length, rest) = rest.split_first_chunk().ok_or(NpyError::Truncated)?;
            (u32::from_le_bytes(*length) as usize, rest)
        }
        [major, minor] => return Err(NpyError::Version { major, minor }),
    };
    if length > MAX_HEADER_BYTES {
        return Err(NpyError::Header { at: 0, expected: "a header of at most 65535 bytes" });
    }
    rest.split_at_checked(length).ok_or(NpyError::Truncated)
}

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    dtype: DType,
    big_endian: bool,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &[u8]) -> Result<Self, NpyError> {
        let mut parser = Parser { text, at: 0 };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        parser.expect(b'{', "{")?;
        while !parser.accept(b'}') {
            let key = parser.string()?;
            parser.expect(b':', ":")?;
            match key {
                b"descr" if descr.is_none() => descr = Some(parser.descr()?),
                b"fortran_order" if fortran_order.is_none() => {
                    fortran_order = Some(parser.boolean()?);
                }
                b"shape" if shape.is_none() => shape = Some(parser.shape()?),
                _ => return Err(parser.error("each of descr, fortran_order and shape once")),
            }
            if !parser.accept(b',') {
                parser.expect(b'}', "} or ,")?;
                break;
            }
        }
        parser.skip_space();
        if parser.at != text.len() {
            return Err(parser.error("nothing after the dictionary"));
        }
        let ((dtype, big_endian), fortran_order, shape) = descr
            .zip(fortran_order)
            .zip(shape)
            .map(|((descr, fortran_order), shape)| (descr, fortran_order, shape))
            .ok_or_else(|| parser.error("each of descr, fortran_order and shape once"))?;
        Ok(Self { dtype, big_endian, fortran_order, shape })
    }
}

/// A reader of the few kinds of Python literals that a header has.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, expected: &'static str) -> NpyError {
        NpyError::Header { at: self.at, expected }
    }

    fn skip_space(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, name: &'static str) -> Result<(), NpyError> {
        if self.accept(byte) { Ok(()) } else { Err(self.error(name)) }
    }

    /// A quoted string without escapes.
    fn string(&mut self) -> Result<&'a [u8], NpyError> {
        let quote = if self.accept(b'\'') {
            b'\''
        } else if self.accept(b'"') {
            b'"'
        } else {
            return Err(self.error("a quoted string"));
        };
        let rest = &self.text[self.at..];
        let end = rest
            .iter()
            .position(|&byte| byte == quote)
            .ok_or_else(|| self.error("a closing quote"))?;
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn word(&mut self, word: &[u8]) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn boolean(&mut self) -> Result<bool, NpyError> {
        if self.word(b"True") {
            Ok(true)
        } else if self.word(b"False") {
            Ok(false)
        } else {
            Err(self.error("True or False"))
        }
    }

    /// An element type, and whether it is big-endian.
    fn descr(&mut self) -> Result<(DType, bool), NpyError> {
        self.skip_space();
        let rest = &self.text[self.at..];
        if rest.starts_with(b"[") {
            // Records are described by a list of their fields.
            let end = rest.iter().position(|&byte| byte == b']').map_or(rest.len(), |end| end + 1);
            let descr = String::from_utf8_lossy(&rest[..end]).into_owned();
            return Err(NpyError::DType { descr });
        }
        let descr = self.string()?;
        dtype(descr)
            .ok_or_else(|| NpyError::DType { descr: String::from_utf8_lossy(descr).into_owned() })
    }

    fn shape(&mut self) -> Result<Vec<usize>, NpyError> {
        self.expect(b'(', "(")?;
        let mut shape = Vec::new();
        while !self.accept(b')') {
            if shape.len() == MAX_RANK {
                return Err(self.error("a shape of at most 64 axes"));
            }
            shape.push(self.number()?);
            if !self.accept(b',') {
                if shape.len() == 1 {
                    return Err(self.error(","));
                }
                self.expect(b')', ") or ,")?;
                break;
            }
        }
        Ok(shape)
    }

    fn number(&mut self) -> Result<usize, NpyError> {
        self.skip_space();
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = str::from_utf8(&self.text[self.at..][..digits])
            .ok()
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| self.error("an extent"))?;
        self.at += digits;
        Ok(number)
    }
}

/// The element type behind NumPy's description, and whether it is big-endian.
fn dtype(descr: &[u8]) -> Option<(DType, bool)> {
    let (&order, kind) = descr.split_first()?;
    let dtype =
        DType::ALL.into_iter().find(|&dtype| &self::descr(dtype).as_bytes()[1..] == kind)?;
    match (order, dtype.size_bytes()) {
        (b'|', 1) | (b'<', _) => Some((dtype, false)),
        (b'>', _) => Some((dtype, true)),
        _ => None,
    }
}

/// NumPy's description of an element type.
fn descr(dtype: DType) -> &'static str {
    match dtype {
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::Bool => "|b1",
    }
}

/// Elements from one item of an axis to the next, the first axis fastest.
fn column_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut stride = 1usize;
    shape
        .iter()
        .map(|&extent| {
            let this = stride;
            // Only shapes without elements can wrap around, and their strides are not used.
            stride = stride.wrapping_mul(extent);
            this
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Header, NpyError> {
        Header::parse(text.as_bytes())
    }

    fn file(header: &str, content: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0][..], &length, header.as_bytes(), content].concat()
    }

    #[test]
    fn headers_are_parsed() {
        let header = parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n");
        let expected = Header {
            dtype: DType::F32,
            big_endian: false,
            fortran_order: false,
            shape: vec![3, 4],
        };
        assert_eq!(header.unwrap(), expected);
        let header = parse("{\"shape\":(7,),\"fortran_order\":True,\"descr\":\">i2\"}").unwrap();
        assert_eq!((header.big_endian, header.fortran_order), (true, true));
        let header = parse("{'shape': (), 'fortran_order': True, 'descr': '|b1'}").unwrap();
        assert_eq!((header.dtype, header.shape), (DType::Bool, vec![]));
    }

    #[test]
    fn damaged_headers_are_placed() {
        let cases = [
            ("", "at byte 0: { is expected"),
            ("{", "at byte 1: a quoted string is expected"),
            ("{'descr", "at byte 2: a closing quote is expected"),
            ("{'descr' '<f4'", "at byte 9: : is expected"),
            ("{'other': 1}", "at byte 9: each of descr, fortran_order and shape once is expected"),
            ("{'shape': (1,), 'shape': (1,)}", "at byte 24: each of descr"),
            ("{'shape': (1,)}", "at byte 15: each of descr"),
            ("{'shape': 1}", "at byte 10: ( is expected"),
            ("{'shape': (1)}", "at byte 12: , is expected"),
            ("{'shape': (-1,)}", "at byte 11: an extent is expected"),
            ("{'shape': (99999999999999999999,)}", "at byte 11: an extent is expected"),
            ("{'shape': (1,2 3)}", "at byte 15: ) or , is expected"),
            ("{'fortran_order': 0}", "at byte 18: True or False is expected"),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x",
                "at byte 54: nothing after the dictionary is expected",
            ),
        ];
        for (text, expected) in cases {
            let message = parse(text).unwrap_err().to_string();
            let expected = format!("the .npy header is damaged {expected}");
            assert!(message.starts_with(&expected), "{text}: {message}");
        }
        let many = format!("{{'shape': ({})}}", "1,".repeat(65));
        let message = parse(&many).unwrap_err().to_string();
        assert!(message.ends_with("a shape of at most 64 axes is expected"), "{message}");
    }

    #[test]
    fn unsupported_types_are_named() {
        for descr in ["|O", "<f2", "<c8", "<u4", "<U3", "<M8[s]", "=f4", "|f4", "", "<"] {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ()}}");
            assert_eq!(parse(&header), Err(NpyError::DType { descr: descr.to_owned() }));
        }
        let fields = "[('x', '<f4'), ('y', '<i4')]";
        let header = format!("{{'descr': {fields}, 'fortran_order': False, 'shape': ()}}");
        assert_eq!(parse(&header), Err(NpyError::DType { descr: fields.to_owned() }));
    }

    #[test]
    fn lying_files_are_refused() {
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}";
        let message = |bytes: &[u8]| Array::read_npy(bytes).unwrap_err().to_string();
        let short = message(&file(header, &[0; 7]));
        assert_eq!(short, "float32 of shape [2] takes 8 bytes and the file holds 7");
        let long = message(&file(header, &[0; 9]));
        assert_eq!(long, "float32 of shape [2] takes 8 bytes and the file holds 9");
        let huge = header.replace("(2,)", "(9999999999, 9999999999)");
        let huge = message(&file(&huge, &[]));
        assert_eq!(huge, "shape [9999999999, 9999999999] is too large");
        assert_eq!(message(b"PK"), "not a .npy array: it does not start with \\x93NUMPY");
        let newer = message(b"\x93NUMPY\x04\x00\x00\x00");
        assert_eq!(newer, ".npy format version 4.0 is unknown; 1.0, 2.0 and 3.0 are read");
        let long_header = message(b"\x93NUMPY\x02\x00\xff\xff\xff\xff");
        assert!(long_header.ends_with("a header of at most 65535 bytes is expected"));
        let whole = file(header, &[0; 8]);
        for end in MAGIC.len()..whole.len() - 8 {
            assert_eq!(Array::read_npy(&whole[..end]), Err(NpyError::Truncated), "{end}");
        }
    }

    #[test]
    fn fortran_order_and_big_endian_are_converted() {
        let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3)}";
        let content: Vec<u8> = (0..6i16).flat_map(i16::to_be_bytes).collect();
        let array = Array::read_npy(&file(header, &content)).unwrap();
        assert_eq!(array.values::<i16>().unwrap(), [0, 2, 4, 1, 3, 5]);
    }

    #[test]
    fn elements_start_at_multiples_of_64() {
        for rank in 0..=MAX_RANK {
            let array = Array::from_values(vec![1; rank], &[5i32]).unwrap();
            let file = array.to_npy();
            assert_eq!((file.len() - 4) % ALIGNMENT, 0);
            assert_eq!(Array::read_npy(&file).unwrap(), array);
        }
    }
}
