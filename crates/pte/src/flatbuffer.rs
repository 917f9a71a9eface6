//! Flatbuffers' binary encoding, read without trust and without a verification pass.
//!
//! The encoding in short. All numbers are little-endian. A reference is a `u32`: the distance from
//! itself forward to its target. A *table* starts with an `i32`: the distance back to its *vtable*.
//! A vtable is `u16`s: its own length in bytes, the table's, then for each field the distance from
//! the table's start, 0 for an absent field; fields beyond its end are absent too. A *vector* is a
//! `u32` count, then the elements; a *string* is a vector of bytes, then a NUL.
//!
//! # Promise
//!
//! Every function is total: whatever the bytes, it returns a value or an [`Error`]. Nothing outside
//! of the slice is read, and since references only lead to fixed kinds of things and nothing here
//! recurses, the work per call is bounded by a small constant. What is *not* checked is that parts
//! do not overlap, or that fields lie inside of their table's stated length: that costs time on the
//! device and buys no safety, as a damaged file can hold well-formed nonsense anyway.
//!
//! Sums of a position and a small constant use wrapping arithmetic: positions are within a slice,
//! so below `isize::MAX`, and what comes out is checked against the slice again.

use core::fmt;
use core::marker::PhantomData;

use crate::error::{Error, ErrorKind};

/// A table, with its vtable found.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    buffer: &'a [u8],
    at: usize,
    vtable: &'a [u8],
}

impl<'a> Table<'a> {
    /// The table that the reference at byte 0 leads to.
    pub(crate) fn root(buffer: &'a [u8]) -> Result<Self, Error> {
        Self::behind(buffer, 0)
    }

    /// The table that the reference at byte `at` leads to.
    #[inline(always)]
    fn behind(buffer: &'a [u8], at: usize) -> Result<Self, Error> {
        let at = follow(buffer, at)?;
        // The distance is signed: `as usize` extends the sign, and the difference wraps to the sum.
        match i32::read(buffer, at).and_then(|back| vtable(buffer, at.wrapping_sub(back as usize)))
        {
            Some(vtable) => Ok(Self { buffer, at, vtable }),
            None => Err(Error::new(ErrorKind::Offset, at)),
        }
    }

    /// Byte position of the table.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// An error about this table.
    pub(crate) fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, self.at)
    }

    /// Byte position of a field, `None` where it is absent.
    #[inline(always)]
    fn field(&self, slot: u16) -> Option<usize> {
        match u16::read(self.vtable, usize::from(slot)) {
            None | Some(0) => None,
            Some(offset) => Some(self.at.wrapping_add(usize::from(offset))),
        }
    }

    /// A scalar field, or `default` where it is absent.
    #[inline]
    pub(crate) fn scalar<T: Scalar>(&self, slot: u16, default: T) -> Result<T, Error> {
        self.scalar_inline(slot, default)
    }

    /// [`scalar`](Self::scalar) where speed counts more than size.
    #[inline(always)]
    pub(crate) fn scalar_inline<T: Scalar>(&self, slot: u16, default: T) -> Result<T, Error> {
        match self.field(slot) {
            None => Ok(default),
            Some(at) => T::read(self.buffer, at).ok_or(Error::new(ErrorKind::Offset, at)),
        }
    }

    /// A field that is a table, `None` where it is absent.
    #[inline]
    pub(crate) fn table(&self, slot: u16) -> Result<Option<Table<'a>>, Error> {
        match self.field(slot) {
            None => Ok(None),
            Some(at) => Table::behind(self.buffer, at).map(Some),
        }
    }

    /// A field that is a table and must be there.
    pub(crate) fn required_table(&self, slot: u16) -> Result<Table<'a>, Error> {
        self.table(slot)?.ok_or(self.error(ErrorKind::Missing))
    }

    /// [`required_table`](Self::required_table) where speed counts more than size.
    #[inline(always)]
    pub(crate) fn required_table_inline(&self, slot: u16) -> Result<Table<'a>, Error> {
        match self.field(slot) {
            None => Err(self.error(ErrorKind::Missing)),
            Some(at) => Table::behind(self.buffer, at),
        }
    }

    /// A field that is a string, `None` where it is absent.
    pub(crate) fn optional_text(&self, slot: u16) -> Result<Option<Text<'a>>, Error> {
        match self.field(slot) {
            None => Ok(None),
            Some(at) => {
                let Elements { first, bytes } = Elements::behind(self.buffer, at, 1)?;
                Ok(Some(Text { bytes, at: first }))
            }
        }
    }

    /// A field that is a string, empty where it is absent.
    pub(crate) fn text(&self, slot: u16) -> Result<Text<'a>, Error> {
        let Elements { first, bytes } = self.elements(slot, 1)?;
        Ok(Text { bytes, at: first })
    }

    /// A field that is a vector of bytes, empty where it is absent.
    pub(crate) fn bytes(&self, slot: u16) -> Result<&'a [u8], Error> {
        Ok(self.elements(slot, 1)?.bytes)
    }

    /// A field that is a vector of scalars, empty where it is absent.
    #[inline(always)]
    pub(crate) fn scalars<T: Scalar>(&self, slot: u16) -> Result<Scalars<'a, T>, Error> {
        Ok(Scalars { bytes: self.elements(slot, T::SIZE)?.bytes, kind: PhantomData })
    }

    /// A field that is a vector of tables, empty where it is absent.
    #[inline(always)]
    pub(crate) fn vector<T>(&self, slot: u16) -> Result<Vector<'a, T>, Error> {
        let references = self.elements(slot, size_of::<u32>())?;
        Ok(Vector {
            buffer: self.buffer,
            first: references.first,
            len: references.bytes.len() / size_of::<u32>(),
            kind: PhantomData,
        })
    }

    /// A field that is a vector of views and must be there.
    pub(crate) fn required_vector<T>(&self, slot: u16) -> Result<Vector<'a, T>, Error> {
        match self.field(slot) {
            None => Err(self.error(ErrorKind::Missing)),
            Some(_) => self.vector(slot),
        }
    }

    /// The elements of a field that is a vector, each of `size` bytes; empty where it is absent.
    #[inline(never)]
    fn elements(&self, slot: u16, size: usize) -> Result<Elements<'a>, Error> {
        match self.field(slot) {
            None => Ok(Elements { first: self.at, bytes: &[] }),
            Some(at) => Elements::behind(self.buffer, at, size),
        }
    }
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table at {:#x}", self.at)
    }
}

/// A vector of views, read on access.
///
/// Random access costs one bounds check and the reading of the one element.
pub struct Vector<'a, T> {
    buffer: &'a [u8],
    first: usize,
    len: usize,
    kind: PhantomData<fn() -> T>,
}

impl<'a, T: View<'a>> Vector<'a, T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads the element at `index`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Index`] at or beyond the length, else what is wrong with the element.
    pub fn get(&self, index: usize) -> Result<T, Error> {
        if index >= self.len {
            return Err(Error::new(ErrorKind::Index, self.first));
        }
        let at = self.first.wrapping_add(index.wrapping_mul(size_of::<u32>()));
        T::view(Table::behind(self.buffer, at)?)
    }

    /// Reads the elements in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<T, Error>> + use<'a, T> {
        let vector = *self;
        (0..self.len).map(move |index| vector.get(index))
    }
}

impl<T> Clone for Vector<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Vector<'_, T> {}

impl<T> fmt::Debug for Vector<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements at {:#x}", self.len, self.first)
    }
}

/// A vector of numbers, at any alignment.
pub struct Scalars<'a, T> {
    /// A whole number of elements.
    bytes: &'a [u8],
    kind: PhantomData<fn() -> T>,
}

impl<'a, T: Scalar> Scalars<'a, T> {
    pub(crate) const EMPTY: Self = Self { bytes: &[], kind: PhantomData };

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / T::SIZE
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The element at `index`, `None` at or beyond the length.
    #[inline]
    pub fn get(&self, index: usize) -> Option<T> {
        T::read(self.bytes, index.checked_mul(T::SIZE)?)
    }

    /// The elements in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + use<'a, T> {
        let scalars = *self;
        // An index below the length always reads; the default is never seen.
        (0..self.len()).map(move |index| scalars.get(index).unwrap_or_default())
    }

    /// The encoded elements: little-endian, without gaps.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<T> Clone for Scalars<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Scalars<'_, T> {}

impl<T: Scalar + fmt::Debug> fmt::Debug for Scalars<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A string whose bytes are not yet known to be UTF-8.
///
/// Comparing with a `str` needs no check, so a device never pays for one.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    /// The bytes, without the NUL that follows them in the file.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The string.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Text`] where it is not UTF-8.
    pub fn as_str(&self) -> Result<&'a str, Error> {
        core::str::from_utf8(self.bytes).map_err(|_| Error::new(ErrorKind::Text, self.at))
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.bytes == other.as_bytes()
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.bytes == other.as_bytes()
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match core::str::from_utf8(self.bytes) {
            Ok(text) => fmt::Debug::fmt(text, f),
            Err(_) => fmt::Debug::fmt(self.bytes, f),
        }
    }
}

/// What a table can be seen as. Only this crate's views are.
pub trait View<'a>: Sized {
    /// Reads what the view keeps.
    fn view(table: Table<'a>) -> Result<Self, Error>;
}

/// A number as flatbuffers encode it. Only this crate's own implementations are.
pub trait Scalar: Copy + Default {
    /// Bytes of one.
    const SIZE: usize;

    /// Reads the number at byte `at`, `None` where it is not wholly within the bytes.
    fn read(bytes: &[u8], at: usize) -> Option<Self>;
}

macro_rules! scalars {
    ($($number:ty),*) => {
        $(impl Scalar for $number {
            const SIZE: usize = size_of::<$number>();

            #[inline(always)]
            fn read(bytes: &[u8], at: usize) -> Option<Self> {
                let chunk = bytes.get(at..)?.first_chunk()?;
                Some(<$number>::from_le_bytes(*chunk))
            }
        })*
    };
}

scalars!(u8, i8, u16, i32, u32, i64, u64, f64);

impl Scalar for bool {
    const SIZE: usize = 1;

    #[inline(always)]
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        bytes.get(at).map(|&byte| byte != 0)
    }
}

/// Target of the reference at byte `at`. Zero is no reference: nothing can contain itself.
#[inline(always)]
fn follow(buffer: &[u8], at: usize) -> Result<usize, Error> {
    let target = match u32::read(buffer, at) {
        None | Some(0) => None,
        // Files are smaller than 4 GiB, so a position that was read from fits.
        Some(distance) => (at as u32).checked_add(distance),
    };
    match target {
        Some(target) => Ok(target as usize),
        None => Err(Error::new(ErrorKind::Offset, at)),
    }
}

/// The vtable at byte `at`, with its two lengths, cut to its own length.
#[inline(always)]
fn vtable(buffer: &[u8], at: usize) -> Option<&[u8]> {
    let rest = buffer.get(at..)?;
    let len = usize::from(u16::read(rest, 0)?);
    rest.get(..len)
}

/// The elements of a vector, encoded.
struct Elements<'a> {
    /// Byte position of the first.
    first: usize,
    bytes: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements, each of `size` bytes, of the vector that the reference at byte `at` leads to.
    fn behind(buffer: &'a [u8], at: usize, size: usize) -> Result<Self, Error> {
        let vector = follow(buffer, at)?;
        let bytes = || {
            let rest = buffer.get(vector..)?;
            let bytes = (u32::read(rest, 0)? as usize).checked_mul(size)?;
            rest.get(size_of::<u32>()..)?.get(..bytes)
        };
        match bytes() {
            Some(bytes) => Ok(Self { first: vector.wrapping_add(size_of::<u32>()), bytes }),
            None => Err(Error::new(ErrorKind::Offset, vector)),
        }
    }
}
