//! The memory that a program computes in: its file, read in place, and an arena.
//!
//! An operator names memory by [`Location`]s. [`Memory::write`] borrows one span of the arena for writing and hands out a
//! [`Reader`] for everything else, so a kernel's output can never be one of its inputs; all of it is bounds-checked
//! and, apart from seeing bytes as other number types, safe Rust.

#![allow(unsafe_code, reason = "sees aligned bytes as integers and floats")]

use core::ops::Range;

/// Where an operand starts: in the arena or in the program's file.
///
/// One word, so that prepared operators stay small: the top bit says file, the rest is a byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location(u32);

impl Location {
    const IN_PROGRAM: u32 = 1 << 31;
    /// The location of an operand that is absent.
    const ABSENT: u32 = u32::MAX;

    /// A byte offset into the arena, or `None` from `2^31` on.
    pub fn arena(offset_bytes: u32) -> Option<Location> {
        (offset_bytes < Self::IN_PROGRAM).then_some(Location(offset_bytes))
    }

    /// A byte offset into the program's file, or `None` from `2^31 - 1` on.
    pub fn program(offset_bytes: u32) -> Option<Location> {
        (offset_bytes < Self::IN_PROGRAM - 1).then_some(Location(offset_bytes | Self::IN_PROGRAM))
    }

    /// The location this many bytes further on in the same memory, or `None` past its end.
    pub fn offset_by(self, bytes: u32) -> Option<Location> {
        let offset = (self.0 & !Self::IN_PROGRAM).checked_add(bytes)?;
        if self.is_constant() { Location::program(offset) } else { Location::arena(offset) }
    }

    /// Whether the operand is a constant in the program's file.
    pub const fn is_constant(self) -> bool {
        self.0 & Self::IN_PROGRAM != 0
    }

    /// The byte offset into the arena or the file.
    pub const fn offset_bytes(self) -> usize {
        (self.0 & !Self::IN_PROGRAM) as usize
    }

    /// The word that prepared state stores.
    pub const fn to_word(location: Option<Location>) -> u32 {
        match location {
            Some(Location(word)) => word,
            None => Self::ABSENT,
        }
    }

    /// The location in a word of prepared state.
    pub const fn from_word(word: u32) -> Option<Location> {
        if word == Self::ABSENT { None } else { Some(Location(word)) }
    }
}

/// A program's file and the arena that it computes in.
#[derive(Debug)]
pub struct Memory<'m> {
    program: &'m [u8],
    arena: &'m mut [u8],
}

impl<'m> Memory<'m> {
    /// Memory over a program's file and an arena.
    pub fn new(program: &'m [u8], arena: &'m mut [u8]) -> Self {
        Memory { program, arena }
    }

    /// Borrows `count` elements of the arena for writing, and everything else for reading.
    ///
    /// `None` when the location is a constant, out of bounds or misaligned.
    #[inline]
    pub fn write<T: Element>(
        &mut self,
        location: Location,
        count: usize,
    ) -> Option<(Reader<'_>, &mut [T])> {
        if location.is_constant() {
            return None;
        }
        let start = location.offset_bytes();
        let end = start.checked_add(count.checked_mul(size_of::<T>())?)?;
        let (rest, after) = self.arena.split_at_mut_checked(end)?;
        let (before, out) = rest.split_at_mut_checked(start)?;
        Some((Reader { program: self.program, before, after, after_start: end }, cast_mut(out)?))
    }
}

/// Memory for reading, less a span that is being written.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'m> {
    program: &'m [u8],
    before: &'m [u8],
    after: &'m [u8],
    after_start: usize,
}

impl<'m> Reader<'m> {
    /// `count` elements from `location` on; `None` when they are out of bounds, misaligned, or overlap the span
    /// that is being written.
    #[inline]
    pub fn read<T: Element>(&self, location: Location, count: usize) -> Option<&'m [T]> {
        let start = location.offset_bytes();
        let size = count.checked_mul(size_of::<T>())?;
        let (part, start) = if location.is_constant() {
            (self.program, start)
        } else if start >= self.after_start {
            (self.after, start - self.after_start)
        } else {
            (self.before, start)
        };
        let range: Range<usize> = start..start.checked_add(size)?;
        cast(part.get(range)?)
    }
}

/// A number type of which any bytes are a value.
///
/// # Safety
/// Every bit pattern of `size_of::<Self>()` bytes must be a valid value without padding.
pub unsafe trait Element: Copy + 'static {}

// SAFETY: integers and IEEE 754 floats have neither padding nor invalid bit patterns.
unsafe impl Element for u8 {}
// SAFETY: as above.
unsafe impl Element for i8 {}
// SAFETY: as above.
unsafe impl Element for i16 {}
// SAFETY: as above.
unsafe impl Element for i32 {}
// SAFETY: as above.
unsafe impl Element for u32 {}
// SAFETY: as above.
unsafe impl Element for i64 {}
// SAFETY: as above.
unsafe impl Element for f32 {}

#[cfg(target_endian = "big")]
compile_error!(
    "programs store little-endian numbers and are read in place: big-endian targets are not supported"
);

/// Bytes as numbers, or `None` when they are misaligned or end within a number.
#[inline]
pub fn cast<T: Element>(bytes: &[u8]) -> Option<&[T]> {
    // SAFETY: `T: Element`, so any bytes that `align_to` puts into the middle are valid values.
    let (head, numbers, tail) = unsafe { bytes.align_to::<T>() };
    (head.is_empty() && tail.is_empty()).then_some(numbers)
}

/// Bytes as numbers for writing, or `None` when they are misaligned or end within a number.
#[inline]
pub fn cast_mut<T: Element>(bytes: &mut [u8]) -> Option<&mut [T]> {
    // SAFETY: `T: Element`, so any bytes are valid values, and any value leaves valid bytes behind.
    let (head, numbers, tail) = unsafe { bytes.align_to_mut::<T>() };
    (head.is_empty() && tail.is_empty()).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(16))]
    struct Aligned([u8; 64]);

    #[test]
    fn the_written_span_cannot_be_read() {
        let mut arena = Aligned([0; 64]);
        let program = Aligned([7; 64]);
        let mut memory = Memory::new(&program.0, &mut arena.0);
        let at = |offset| Location::arena(offset).unwrap();
        let (reader, out) = memory.write::<i8>(at(16), 16).unwrap();
        out.fill(1);
        assert_eq!(reader.read::<i8>(at(0), 16).unwrap().len(), 16);
        assert_eq!(reader.read::<i8>(at(32), 32).unwrap().len(), 32);
        for (offset, count) in
            [(0, 17), (15, 2), (16, 1), (31, 1), (20, 30), (32, 33), (64, 1), (8, 40)]
        {
            assert!(reader.read::<i8>(at(offset), count).is_none(), "{offset}+{count}");
        }
        assert_eq!(
            reader.read::<i32>(Location::program(4).unwrap(), 2),
            Some(&[0x0707_0707; 2][..])
        );
        assert!(reader.read::<i32>(Location::program(2).unwrap(), 2).is_none());
        assert!(memory.write::<i8>(Location::program(0).unwrap(), 4).is_none());
        assert!(memory.write::<i32>(at(2), 1).is_none());
        assert!(memory.write::<i32>(at(0), usize::MAX / 2).is_none());
        assert!(memory.write::<i8>(at(65), 0).is_none());
    }

    #[test]
    fn locations_fit_one_word() {
        for location in [Location::arena(0), Location::program(0), Location::program(77), None] {
            assert_eq!(Location::from_word(Location::to_word(location)), location);
        }
        assert_eq!(Location::arena(1 << 31), None);
        assert_eq!(Location::program((1 << 31) - 1), None);
        assert_eq!(Location::arena(8).and_then(|at| at.offset_by(3)), Location::arena(11));
        assert_eq!(Location::program(8).and_then(|at| at.offset_by(3)), Location::program(11));
        assert_eq!(Location::arena(8).and_then(|at| at.offset_by(u32::MAX)), None);
    }
}
