//! What can be wrong with a file.

use core::fmt;

/// Why a file cannot be read, and where.
///
/// Small and [`Copy`], so a device can pass it on for nothing; the words are only in
/// [`Display`](fmt::Display).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// Byte position in the file of the offset, table or field that is wrong.
    pub at: u32,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file does not start like a program of this format generation (`ET12` at byte 4).
    Identifier,
    /// The schema version is above [`MAX_VERSION`](crate::MAX_VERSION).
    Version,
    /// The extended header contradicts itself.
    Header,
    /// The file ends before what its extended header announces.
    Truncated,
    /// The file, or a size or offset in it, does not fit the address space of a 32-bit device.
    TooLarge,
    /// An offset or a length leads outside of the program data.
    Offset,
    /// A field that the format requires is absent.
    Missing,
    /// The type code of a value or instruction, or an enumerator, is none that the format has.
    Code,
    /// A string is not UTF-8.
    Text,
    /// An index is not in the list that it points into.
    Index,
    /// A value is of another type than its place calls for.
    ValueType,
    /// A segment, or a buffer in a segment, lies outside of the segment data.
    Segment,
    /// A tensor has more than [`MAX_RANK`](crate::MAX_RANK) dimensions.
    Rank,
    /// Parts of the file are referred to so often that it would unfold to far more than its size.
    /// Only the readers that allocate report this.
    Expansion,
}

impl Error {
    pub(crate) const fn new(kind: ErrorKind, at: usize) -> Self {
        // Files of 4 GiB and more are refused before any position in them is reported.
        Self { kind, at: at as u32 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {:#x}: {}", self.at, self.kind)
    }
}

impl core::error::Error for Error {}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identifier => "not an ExecuTorch program of format ET12",
            Self::Version => "the program's schema version is newer than this reader",
            Self::Header => "the extended header contradicts itself",
            Self::Truncated => "the file is shorter than its extended header says",
            Self::TooLarge => "a size or offset is too large for a 32-bit device",
            Self::Offset => "an offset or length leads outside of the program data",
            Self::Missing => "a required field is absent",
            Self::Code => "unknown type code",
            Self::Text => "a string is not UTF-8",
            Self::Index => "an index is outside of its list",
            Self::ValueType => "a value is of another type than its place calls for",
            Self::Segment => "a segment or buffer lies outside of the segment data",
            Self::Rank => "a tensor has more dimensions than ExecuTorch allows",
            Self::Expansion => "the program unfolds to far more than the size of its file",
        })
    }
}
