//! The `.npz` format: a zip archive of `.npy` files.

use crate::array::Array;
use crate::file::{self, FileError};
use crate::npy::NpyError;
use crate::zip::{self, Limits, ZipArchive, ZipError};
use std::path::Path;

/// The most bytes of a file, and of all members of an archive together, that are read.
pub const MAX_ARCHIVE_BYTES: u64 = 1 << 30;
/// The most members that are read.
const MAX_MEMBERS: usize = 65_535;
/// What follows an array's name in the archive.
const SUFFIX: &str = ".npy";

/// Why a `.npz` file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The zip archive is broken or unsupported.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// A member is no array by its name.
    #[error("member `{member}` of the .npz archive is not named like an array, such as `x.npy`")]
    Name {
        /// The member's name.
        member: String,
    },
    /// A member cannot be read.
    #[error("member `{member}` of the .npz archive: {source}")]
    Member {
        /// The member's name.
        member: String,
        /// What is wrong with it.
        source: NpyError,
    },
}

/// Arrays by name, in the order in which they were added or stand in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    arrays: Vec<(String, Array)>,
}

impl Archive {
    /// An archive without arrays.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a `.npz` file of at most [`MAX_ARCHIVE_BYTES`].
    ///
    /// # Errors
    /// As [`Archive::read`], or the operating system's.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::read(&file::read_bounded(path.as_ref(), MAX_ARCHIVE_BYTES)?)
    }

    /// Reads the bytes of a `.npz` file.
    ///
    /// # Errors
    /// The first thing that is wrong, unsupported or larger than [`MAX_ARCHIVE_BYTES`], with the member's name.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let limits = Limits { entries: MAX_MEMBERS, total_bytes: MAX_ARCHIVE_BYTES };
        let archive = ZipArchive::new(bytes, &limits)?;
        let mut arrays = Vec::with_capacity(archive.entries().len());
        for entry in archive.entries() {
            let member = || entry.name().to_owned();
            let name = entry.name().strip_suffix(SUFFIX);
            let name = name.ok_or_else(|| Error::Name { member: member() })?;
            let array = Array::read_npy(&entry.read()?)
                .map_err(|source| Error::Member { member: member(), source })?;
            arrays.push((name.to_owned(), array));
        }
        Ok(Self { arrays })
    }

    /// The archive as the bytes of a `.npz` file, its members stored as `numpy.savez` stores them.
    ///
    /// # Errors
    /// [`ZipError::Structure`] if the archive is too large for the format.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let members: Vec<(String, Vec<u8>)> = self
            .arrays
            .iter()
            .map(|(name, array)| (format!("{name}{SUFFIX}"), array.to_npy()))
            .collect();
        let members = members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        Ok(zip::write_stored(members)?)
    }

    /// Writes a `.npz` file, whole or not at all.
    ///
    /// # Errors
    /// As [`Archive::to_bytes`], or the operating system's.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        Ok(file::write_atomically(path.as_ref(), &self.to_bytes()?)?)
    }

    /// The array with this name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.iter().find(|(other, _)| other == name).map(|(_, array)| array)
    }

    /// Adds an array, or puts it in the place of the one with the same name, which is returned.
    pub fn insert(&mut self, name: impl Into<String>, array: Array) -> Option<Array> {
        let name = name.into();
        match self.arrays.iter_mut().find(|(other, _)| *other == name) {
            Some((_, place)) => Some(std::mem::replace(place, array)),
            None => {
                self.arrays.push((name, array));
                None
            }
        }
    }

    /// Names and arrays, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Array)> {
        self.arrays.iter().map(|(name, array)| (name.as_str(), array))
    }

    /// The names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.arrays.iter().map(|(name, _)| name.as_str())
    }

    /// The number of arrays.
    pub fn len(&self) -> usize {
        self.arrays.len()
    }

    /// Whether there is no array.
    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty()
    }
}
