//! Memory that C hands over: pointers with lengths, checked before they are slices.

#![allow(unsafe_code, reason = "C's pointers become slices here")]

use crate::error::{Code, Failure};
use core::ops::Range;
use core::slice;
use cortado_runtime::Aligned;

/// A piece of memory: `cortado_memory` in C.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawMemory {
    /// Its first byte.
    pub data: *mut u8,
    /// Its length.
    pub bytes: usize,
}

/// A piece of memory that is only read: `cortado_bytes` in C.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawBytes {
    /// Its first byte.
    pub data: *const u8,
    /// Its length.
    pub bytes: usize,
}

/// The largest piece of memory, less one. The runtime counts in 31 bits.
const BYTES_END: usize = 1 << 31;

/// A piece of memory that exists as far as its numbers tell: it is not null unless it is empty, and ends in the address space.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    data: *mut u8,
    bytes: usize,
    parameter: u8,
}

impl Piece {
    /// Memory that is given as this parameter of a function, counted from 0.
    ///
    /// # Errors
    /// Null without being empty, or a length that no memory has.
    pub fn new(data: *const u8, bytes: usize, parameter: u8) -> Result<Piece, Failure> {
        if bytes == 0 {
            // As aligned as anything must be.
            return Ok(Piece {
                data: core::ptr::dangling_mut::<Aligned<1>>().cast(),
                bytes,
                parameter,
            });
        }
        if data.is_null() {
            return Err(Failure::Parameter(Code::Null, parameter));
        }
        if bytes >= BYTES_END || data.addr().checked_add(bytes).is_none() {
            return Err(Failure::Parameter(Code::Size, parameter));
        }
        Ok(Piece { data: data.cast_mut(), bytes, parameter })
    }

    /// Its addresses.
    pub fn range(&self) -> Range<usize> {
        self.data.addr()..self.data.addr() + self.bytes
    }

    /// Its first byte; some address that is not null where it has none.
    pub fn as_ptr(&self) -> *const u8 {
        self.data
    }

    /// Fails where it has a byte in common with another piece.
    ///
    /// # Errors
    /// The first one that it overlaps.
    pub fn check_apart(&self, others: impl Iterator<Item = Range<usize>>) -> Result<(), Failure> {
        let own = self.range();
        let mut overlapping =
            others.filter(|other| own.start.max(other.start) < own.end.min(other.end));
        match overlapping.next() {
            Some(_) => Err(Failure::Parameter(Code::Overlap, self.parameter)),
            None => Ok(()),
        }
    }

    /// Its bytes, for reading.
    ///
    /// # Safety
    /// The memory exists and can be read, and nobody writes it as long as the slice is used.
    pub unsafe fn as_slice<'m>(self) -> &'m [u8] {
        // SAFETY: not null and not beyond the address space by construction, aligned for bytes, fewer than 2^31 of them; the caller
        // promises the rest. C's memory has no uninitialised bytes as far as this compiler can know: they come from outside.
        unsafe { slice::from_raw_parts(self.data, self.bytes) }
    }

    /// Its bytes, for writing.
    ///
    /// # Safety
    /// The memory exists and can be written, and nobody else reads or writes it as long as the slice is used.
    pub unsafe fn as_mut_slice<'m>(self) -> &'m mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.data, self.bytes) }
    }

    /// Its words, for writing; bytes behind the last whole word are left out.
    ///
    /// # Errors
    /// It is not aligned for words.
    ///
    /// # Safety
    /// As [`Self::as_mut_slice`].
    pub unsafe fn as_words<'m>(self) -> Result<&'m mut [u32], Failure> {
        let words = self.data.cast::<u32>();
        if !words.is_aligned() {
            return Err(Failure::Parameter(Code::Misaligned, self.parameter));
        }
        // SAFETY: as above, and aligned for words, of which any bytes are one.
        Ok(unsafe { slice::from_raw_parts_mut(words, self.bytes / size_of::<u32>()) })
    }
}

/// A list of C's, of no more than `N` items; an empty one may be null.
///
/// # Errors
/// Null, misaligned, or more items than that.
///
/// # Safety
/// As many items exist and can be read.
pub unsafe fn list<'m, T: Copy, const N: usize>(
    items: *const T,
    count: usize,
    parameter: u8,
) -> Result<&'m [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    check_pointer(items, parameter)?;
    if count > N {
        // The count is the parameter behind the list.
        return Err(Failure::Parameter(Code::Value, parameter + 1));
    }
    // SAFETY: not null and aligned, as checked; the caller promises that the items exist, and a list that small ends in the address
    // space if it does. `T` is one of the structs above or below: numbers and pointers, of which any bytes are a value.
    Ok(unsafe { slice::from_raw_parts(items, count) })
}

/// Checks a pointer that something will be read from or written through.
///
/// # Errors
/// Null, or misaligned.
pub fn check_pointer<T>(pointer: *const T, parameter: u8) -> Result<(), Failure> {
    let problem = match (pointer.is_null(), pointer.is_aligned()) {
        (true, _) => Code::Null,
        (false, false) => Code::Misaligned,
        (false, true) => return Ok(()),
    };
    Err(Failure::Parameter(problem, parameter))
}
