//! Strict reading of zip archives that are wholly in memory, and plain writing of them.
//!
//! [`ZipArchive::new`] checks the whole directory: number of entries, names, methods, that the local headers
//! agree, that no two entries share a name or a byte, and that the announced sizes stay within [`Limits`].
//! [`Entry::read`] then yields exactly as many bytes as were announced, with the right checksum, or an error.
//! Encrypted entries and methods other than stored and deflated are refused.

use rawzip::{CompressionMethod, ZipFileHeaderRecord, ZipSliceArchive};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The checksum that zip archives use (CRC-32 of ISO 3309).
pub fn crc32(bytes: &[u8]) -> u32 {
    rawzip::crc32(bytes)
}

/// How much an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most entries.
    pub entries: usize,
    /// The most bytes of all entries together, decompressed.
    pub total_bytes: u64,
}

/// Why an archive or an entry cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZipError {
    /// The end record or the directory is missing or damaged.
    #[error("not a whole zip archive: {detail}")]
    Structure {
        /// What is wrong.
        detail: String,
    },
    /// There are more entries than allowed.
    #[error("the zip archive has more than {limit} entries")]
    TooManyEntries {
        /// The most that is allowed.
        limit: usize,
    },
    /// The entries are larger together than allowed.
    #[error("the entries of the zip archive are larger together than {limit} bytes")]
    TooLarge {
        /// The most that is allowed.
        limit: u64,
    },
    /// An entry's name is no text.
    #[error("the name of entry {index} of the zip archive is not UTF-8")]
    Name {
        /// The place in the directory, from 0.
        index: usize,
    },
    /// Two entries have one name.
    #[error("entry `{entry}` occurs more than once in the zip archive")]
    Duplicate {
        /// The entry's name.
        entry: String,
    },
    /// Two entries share bytes.
    #[error("entries `{first}` and `{second}` of the zip archive overlap")]
    Overlap {
        /// The entry that starts first.
        first: String,
        /// The entry that starts inside of it.
        second: String,
    },
    /// An entry is encrypted.
    #[error("entry `{entry}` of the zip archive is encrypted")]
    Encrypted {
        /// The entry's name.
        entry: String,
    },
    /// An entry is compressed in an unsupported way.
    #[error(
        "entry `{entry}` of the zip archive uses compression method {method}; only stored and deflated entries are read"
    )]
    Method {
        /// The entry's name.
        entry: String,
        /// The method's number.
        method: u16,
    },
    /// The directory and an entry's own header disagree, or the entry reaches beyond the data.
    #[error("entry `{entry}` of the zip archive is damaged: {detail}")]
    Entry {
        /// The entry's name.
        entry: String,
        /// What is wrong.
        detail: &'static str,
    },
    /// An entry does not hold as many bytes as the directory says.
    #[error(
        "entry `{entry}` of the zip archive does not hold the {declared} bytes that the directory announces"
    )]
    Size {
        /// The entry's name.
        entry: String,
        /// The size that the directory announces.
        declared: u64,
    },
    /// An entry's bytes are not those that were written.
    #[error("entry `{entry}` of the zip archive is damaged: its checksum is wrong")]
    Checksum {
        /// The entry's name.
        entry: String,
    },
}

/// A zip archive whose directory has been checked.
#[derive(Clone, Debug)]
pub struct ZipArchive<'a> {
    entries: Vec<Entry<'a>>,
    by_name: BTreeMap<String, usize>,
}

/// An entry of a zip archive.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    name: String,
    compressed: &'a [u8],
    /// Where the local header starts and where the compressed bytes end.
    span: (u64, u64),
    deflated: bool,
    size: usize,
    crc32: u32,
}

impl<'a> ZipArchive<'a> {
    /// Checks the directory of an archive.
    ///
    /// # Errors
    /// The first thing that is wrong, unsupported or above a limit.
    pub fn new(data: &'a [u8], limits: &Limits) -> Result<Self, ZipError> {
        let structure = |error: rawzip::Error| ZipError::Structure { detail: error.to_string() };
        let archive = rawzip::ZipArchive::from_slice(data).map_err(structure)?;
        let mut entries = Vec::new();
        let mut by_name = BTreeMap::new();
        let mut total_bytes = 0u64;
        let mut records = archive.entries();
        while let Some(record) = records.next_entry().map_err(structure)? {
            if entries.len() >= limits.entries {
                return Err(ZipError::TooManyEntries { limit: limits.entries });
            }
            let entry = Entry::new(data, &archive, &record, entries.len())?;
            total_bytes = total_bytes.saturating_add(entry.size as u64);
            if total_bytes > limits.total_bytes {
                return Err(ZipError::TooLarge { limit: limits.total_bytes });
            }
            if by_name.insert(entry.name.clone(), entries.len()).is_some() {
                return Err(ZipError::Duplicate { entry: entry.name });
            }
            entries.push(entry);
        }
        if entries.len() as u64 != archive.entries_hint() {
            let (announced, found) = (archive.entries_hint(), entries.len());
            let detail = format!("{announced} entries are announced and {found} are there");
            return Err(ZipError::Structure { detail });
        }
        check_overlaps(&entries, archive.directory_offset())?;
        Ok(Self { entries, by_name })
    }

    /// The entries in the order of the directory.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry<'a>> {
        self.entries.iter()
    }

    /// The entry with this name.
    pub fn entry(&self, name: &str) -> Option<&Entry<'a>> {
        self.by_name.get(name).map(|&index| &self.entries[index])
    }
}

impl<'a> Entry<'a> {
    fn new(
        data: &'a [u8],
        archive: &ZipSliceArchive<&'a [u8]>,
        record: &ZipFileHeaderRecord<'_>,
        index: usize,
    ) -> Result<Self, ZipError> {
        let path = record.file_path();
        let name = str::from_utf8(path.as_bytes()).map_err(|_| ZipError::Name { index })?;
        let entry = || name.to_owned();
        let damaged = |detail| ZipError::Entry { entry: entry(), detail };
        let method = record.compression_method();
        if record.flags().is_encrypted() {
            return Err(ZipError::Encrypted { entry: entry() });
        }
        if method != CompressionMethod::STORE && method != CompressionMethod::DEFLATE {
            return Err(ZipError::Method { entry: entry(), method: method.as_u16() });
        }
        let local = archive
            .get_entry(record.wayfinder())
            .map_err(|_| damaged("its data lie outside of the archive"))?;
        let header = local.local_header();
        if header.file_path().as_bytes() != path.as_bytes() || header.compression_method() != method
        {
            return Err(damaged("its own header disagrees with the directory"));
        }
        let (start, end) = local.compressed_data_range();
        // `local` borrows from the archive object, the slice must come from the data themselves.
        let compressed = usize::try_from(start)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(start, end)| data.get(start..end))
            .ok_or_else(|| damaged("its data lie outside of the archive"))?;
        let declared = record.uncompressed_size_hint();
        let deflated = method == CompressionMethod::DEFLATE;
        if !deflated && declared != compressed.len() as u64 {
            return Err(ZipError::Size { entry: entry(), declared });
        }
        let size =
            usize::try_from(declared).map_err(|_| ZipError::Size { entry: entry(), declared })?;
        let span = (record.local_header_offset(), end);
        Ok(Self { name: entry(), compressed, span, deflated, size, crc32: record.crc32() })
    }

    /// The entry's name, with `/` between folders.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of bytes that [`Entry::read`] yields.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The bytes of the entry: borrowed where they are stored, else decompressed.
    ///
    /// Takes no more memory than [`Entry::size`] says.
    ///
    /// # Errors
    /// [`ZipError::Size`] or [`ZipError::Checksum`] if the bytes are not those that were written.
    pub fn read(&self) -> Result<Cow<'a, [u8]>, ZipError> {
        let entry = || self.name.clone();
        let bytes = if self.deflated {
            miniz_oxide::inflate::decompress_to_vec_with_limit(self.compressed, self.size)
                .map(Cow::Owned)
                .map_err(|_| ZipError::Size { entry: entry(), declared: self.size as u64 })?
        } else {
            Cow::Borrowed(self.compressed)
        };
        if bytes.len() != self.size {
            return Err(ZipError::Size { entry: entry(), declared: self.size as u64 });
        }
        if crc32(&bytes) != self.crc32 {
            return Err(ZipError::Checksum { entry: entry() });
        }
        Ok(bytes)
    }
}

/// Checks that no byte belongs to two entries, or to an entry and the directory.
fn check_overlaps(entries: &[Entry<'_>], directory: u64) -> Result<(), ZipError> {
    let mut order: Vec<&Entry<'_>> = entries.iter().collect();
    order.sort_by_key(|entry| entry.span);
    for pair in order.windows(2) {
        if pair[0].span.1 > pair[1].span.0 {
            let (first, second) = (pair[0].name.clone(), pair[1].name.clone());
            return Err(ZipError::Overlap { first, second });
        }
    }
    match order.last() {
        Some(last) if last.span.1 > directory => Err(ZipError::Entry {
            entry: last.name.clone(),
            detail: "it reaches into the directory",
        }),
        _ => Ok(()),
    }
}

/// Writes an archive of stored entries, in the given order.
///
/// The bytes depend on names and contents alone: every entry bears the format's first day, 1980-01-01, and no owner.
///
/// # Errors
/// [`ZipError::Duplicate`], or [`ZipError::Structure`] for a name, a number of entries or a size that the format
/// without its 64-bit extension cannot express.
pub fn write_stored<'a>(
    entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<u8>, ZipError> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    for (name, content) in entries {
        if !names.insert(name) {
            return Err(ZipError::Duplicate { entry: name.to_owned() });
        }
        let too_large = || ZipError::Structure {
            detail: format!(
                "entry `{name}` does not fit: names of 65535 bytes and archives of 4 GiB are the most"
            ),
        };
        let offset = u32::try_from(archive.len()).map_err(|_| too_large())?;
        let size = u32::try_from(content.len()).map_err(|_| too_large())?;
        let name_bytes = u16::try_from(name.len()).map_err(|_| too_large())?;
        let common = common_header(name, crc32(content), size, name_bytes);

        archive.extend(LOCAL_SIGNATURE.to_le_bytes());
        archive.extend(&common);
        archive.extend(name.as_bytes());
        archive.extend(content);

        directory.extend(CENTRAL_SIGNATURE.to_le_bytes());
        directory.extend(VERSION.to_le_bytes());
        directory.extend(&common);
        // Comment length, disk and internal attributes, two bytes each, and four of external attributes.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let too_large =
        |_| ZipError::Structure { detail: "65535 entries and 4 GiB are the most".to_owned() };
    let count = u16::try_from(names.len()).map_err(too_large)?;
    let offset = u32::try_from(archive.len()).map_err(too_large)?;
    let size = u32::try_from(directory.len()).map_err(too_large)?;
    archive.append(&mut directory);
    archive.extend(END_SIGNATURE.to_le_bytes());
    // The numbers of this disk and of the directory's.
    archive.extend([0; 4]);
    archive.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    archive.extend([size.to_le_bytes(), offset.to_le_bytes()].concat());
    // The length of the comment.
    archive.extend([0; 2]);
    Ok(archive)
}

const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;
/// 2.0, the version of the format that knows nothing newer than folders and deflate.
const VERSION: u16 = 20;
/// 1980-01-01, as year since 1980, month and day in 7, 4 and 5 bits.
const FIRST_DAY: u16 = 0x0021;
/// The flag for names in UTF-8, where they are more than ASCII.
const UTF8_FLAG: u16 = 0x0800;

/// What the local and the central header of a stored entry have in common, from the version needed to the extra length.
fn common_header(name: &str, crc32: u32, size: u32, name_bytes: u16) -> Vec<u8> {
    let flags = if name.is_ascii() { 0 } else { UTF8_FLAG };
    let (method, time, extra_bytes) = (0u16, 0u16, 0u16);
    let mut header = Vec::new();
    for half in [VERSION, flags, method, time, FIRST_DAY] {
        header.extend(half.to_le_bytes());
    }
    for word in [crc32, size, size] {
        header.extend(word.to_le_bytes());
    }
    for half in [name_bytes, extra_bytes] {
        header.extend(half.to_le_bytes());
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { entries: 8, total_bytes: 1000 };

    /// An archive with two entries.
    fn sample() -> Vec<u8> {
        write_stored([("a", &b"first"[..]), ("folder/\u{e9}", &b"second"[..])]).unwrap()
    }

    fn error(bytes: &[u8]) -> String {
        ZipArchive::new(bytes, &LIMITS).unwrap_err().to_string()
    }

    /// Replaces every occurrence of `from`.
    fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from) {
            bytes[at + found..][..to.len()].copy_from_slice(to);
            at += found + to.len();
        }
        bytes
    }

    #[test]
    fn round_trip() {
        let bytes = sample();
        let archive = ZipArchive::new(&bytes, &LIMITS).unwrap();
        let names: Vec<&str> = archive.entries().map(Entry::name).collect();
        assert_eq!(names, ["a", "folder/\u{e9}"]);
        assert_eq!(*archive.entry("a").unwrap().read().unwrap(), *b"first");
        assert_eq!(*archive.entry("folder/\u{e9}").unwrap().read().unwrap(), *b"second");
        assert!(archive.entry("b").is_none());
        assert!(ZipArchive::new(&write_stored([]).unwrap(), &LIMITS).unwrap().entries.is_empty());
    }

    #[test]
    fn limits_hold() {
        let bytes = sample();
        let few = Limits { entries: 1, ..LIMITS };
        let small = Limits { total_bytes: 10, ..LIMITS };
        let error = |limits| ZipArchive::new(&bytes, &limits).unwrap_err();
        assert_eq!(error(few), ZipError::TooManyEntries { limit: 1 });
        assert_eq!(error(small), ZipError::TooLarge { limit: 10 });
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert_eq!(error(b""), "not a whole zip archive: Missing end of central directory");
        let bytes = sample();
        assert!(error(&bytes[..bytes.len() - 1]).starts_with("not a whole zip archive: "));
        // The end record announces three entries.
        let mut more = bytes.clone();
        let count = more.len() - 12;
        more[count] = 3;
        let message = "not a whole zip archive: 3 entries are announced and 2 are there";
        assert_eq!(error(&more), message);
    }

    #[test]
    fn duplicates_are_refused() {
        let twice = write_stored([("a", &[][..]), ("a", &[])]);
        assert_eq!(twice, Err(ZipError::Duplicate { entry: "a".to_owned() }));
        let bytes = write_stored([("a", &b"first"[..]), ("b", &b"second"[..])]).unwrap();
        let message = "entry `a` occurs more than once in the zip archive";
        // An entry's name follows the length of its extra field (local) or its offset (central).
        let mut bytes = patched(&bytes, b"\0bsecond", b"\0a");
        let central = bytes.len() - END_RECORD_BYTES - 1;
        assert_eq!(bytes[central], b'b');
        bytes[central] = b'a';
        assert_eq!(error(&bytes), message);
    }

    /// Length of the end record without a comment.
    const END_RECORD_BYTES: usize = 22;
    /// Length of a directory record without its name.
    const RECORD_BYTES: usize = 46;

    #[test]
    fn lies_in_the_directory_are_refused() {
        let bytes = write_stored([("a", &b"first"[..])]).unwrap();
        let record = bytes.len() - END_RECORD_BYTES - 1 - RECORD_BYTES;
        let with = |at: usize, value: u8| {
            let mut bytes = bytes.clone();
            bytes[record + at] = value;
            bytes
        };
        let encrypted = "entry `a` of the zip archive is encrypted";
        assert_eq!(error(&with(8, 1)), encrypted);
        let method = "entry `a` of the zip archive uses compression method 12; \
                      only stored and deflated entries are read";
        assert_eq!(error(&with(10, 12)), method);
        let disagrees =
            "entry `a` of the zip archive is damaged: its own header disagrees with the directory";
        assert_eq!(error(&with(10, 8)), disagrees);
        assert_eq!(error(&with(46, b'b')), disagrees.replace("`a`", "`b`"));
        let size =
            "entry `a` of the zip archive does not hold the 6 bytes that the directory announces";
        assert_eq!(error(&with(24, 6)), size);
        let outside =
            "entry `a` of the zip archive is damaged: its data lie outside of the archive";
        assert_eq!(error(&with(22, 1)), outside);
        let name = "the name of entry 0 of the zip archive is not UTF-8";
        assert_eq!(error(&with(46, 0xff)), name);
        // The compressed and the decompressed size, so that the data include the directory's first byte.
        let mut longer = with(20, 6);
        longer[record + 24] = 6;
        let into = "entry `a` of the zip archive is damaged: it reaches into the directory";
        assert_eq!(error(&longer), into);
    }

    #[test]
    fn overlaps_are_refused() {
        let bytes = write_stored([("a", &b"xxxx"[..]), ("b", &b"xxxx"[..])]).unwrap();
        let second = bytes.len() - END_RECORD_BYTES - 1 - RECORD_BYTES;
        let first = second - 1 - RECORD_BYTES;
        let mut bytes = bytes;
        for size in [first + 20, first + 24] {
            bytes[size] += 1;
        }
        let message = "entries `a` and `b` of the zip archive overlap";
        assert_eq!(error(&bytes), message);
    }

    #[test]
    fn content_is_verified() {
        let bytes = patched(&sample(), b"first", b"forst");
        let archive = ZipArchive::new(&bytes, &LIMITS).unwrap();
        let checksum = ZipError::Checksum { entry: "a".to_owned() };
        assert_eq!(archive.entry("a").unwrap().read(), Err(checksum));
    }

    #[test]
    fn bombs_unfold_no_further_than_announced() {
        let deflated = miniz_oxide::deflate::compress_to_vec(&vec![0; 100_000], 9);
        let entry = |size| Entry {
            name: "bomb".to_owned(),
            compressed: &deflated,
            span: (0, 0),
            deflated: true,
            size,
            crc32: super::crc32(&vec![0; size]),
        };
        assert_eq!(entry(100_000).read().unwrap().len(), 100_000);
        for size in [0, 10, 99_999, 100_001] {
            let error = ZipError::Size { entry: "bomb".to_owned(), declared: size as u64 };
            assert_eq!(entry(size).read(), Err(error));
        }
    }
}
