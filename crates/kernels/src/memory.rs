//! The memory that a program computes in: its file, read in place, and regions that it reads and writes.
//!
//! A region is a bank of the arena, or a buffer that the caller lends for one execution. An operator names memory by
//! [`Location`]s. [`Memory::write`] borrows one span of a region for writing and hands out a [`Reader`] for everything else, so a
//! kernel's output can never be one of its inputs. Operators that go through their elements from the first to the last may
//! write over what they have read: [`Memory::map`] and [`Source`] give them the elements in pieces that are copied
//! aside first. All of it is bounds-checked and, apart from seeing bytes as other number types, safe Rust.

#![allow(unsafe_code, reason = "sees aligned bytes as integers and floats")]

use crate::micro::Micro;
use core::ops::Range;

/// The most regions that a program may compute in.
pub const MAX_REGIONS: usize = 8;

/// Where an operand starts: in a region or in the program's file.
///
/// One word, so that prepared operators stay small: the top bit says file, and the rest is a byte offset; else three bits
/// say which region, and the rest is a byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location(u32);

impl Location {
    const IN_PROGRAM: u32 = 1 << 31;
    const REGION_SHIFT: u32 = 28;
    /// The location of an operand that is absent.
    const ABSENT: u32 = u32::MAX;

    /// The start of the first region.
    pub(crate) const START: Location = Location(0);

    /// The size that a region may have at most, in bytes.
    pub const REGION_BYTES_MAX: u32 = 1 << Self::REGION_SHIFT;

    /// A byte offset into a region, or `None` past [`MAX_REGIONS`] or [`Self::REGION_BYTES_MAX`].
    pub fn region(index: usize, offset_bytes: u32) -> Option<Location> {
        let fits = index < MAX_REGIONS && offset_bytes < Self::REGION_BYTES_MAX;
        fits.then_some(Location((index as u32) << Self::REGION_SHIFT | offset_bytes))
    }

    /// A byte offset into the program's file, or `None` from `2^31 - 1` on.
    pub fn program(offset_bytes: u32) -> Option<Location> {
        (offset_bytes < Self::IN_PROGRAM - 1).then_some(Location(offset_bytes | Self::IN_PROGRAM))
    }

    /// The location this many bytes further on in the same memory, or `None` past its end.
    pub fn offset_by(self, bytes: u32) -> Option<Location> {
        let offset = (self.offset_bytes() as u32).checked_add(bytes)?;
        match self.region_index() {
            None => Location::program(offset),
            Some(index) => Location::region(index, offset),
        }
    }

    /// Whether the operand is a constant in the program's file.
    pub const fn is_constant(self) -> bool {
        self.0 & Self::IN_PROGRAM != 0
    }

    /// The region, `None` for the file.
    pub const fn region_index(self) -> Option<usize> {
        if self.is_constant() { None } else { Some((self.0 >> Self::REGION_SHIFT) as usize) }
    }

    /// The byte offset into the region or the file.
    pub const fn offset_bytes(self) -> usize {
        let mask = if self.is_constant() { Self::IN_PROGRAM } else { Self::REGION_BYTES_MAX } - 1;
        (self.0 & mask) as usize
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

/// One region of memory.
#[derive(Debug, Default)]
pub enum Region<'m> {
    /// There is none of this index.
    #[default]
    Absent,
    /// A buffer that is only read.
    Read(&'m [u8]),
    /// A buffer that is read and written.
    Write(&'m mut [u8]),
}

impl Region<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Region::Absent => &[],
            Region::Read(bytes) => bytes,
            Region::Write(bytes) => bytes,
        }
    }
}

/// A program's file and the regions that it computes in.
#[derive(Debug)]
pub struct Memory<'m> {
    program: &'m [u8],
    regions: [Region<'m>; MAX_REGIONS],
}

impl<'m> Memory<'m> {
    /// Memory over a program's file and regions.
    pub fn new(program: &'m [u8], regions: [Region<'m>; MAX_REGIONS]) -> Self {
        Memory { program, regions }
    }

    /// All bytes of a region; `None` where it is only read, or there is none.
    pub fn region_mut(&mut self, index: usize) -> Option<&mut [u8]> {
        match self.regions.get_mut(index)? {
            Region::Write(bytes) => Some(bytes),
            Region::Read(_) | Region::Absent => None,
        }
    }

    /// Borrows `count` elements of a region for writing, and everything else for reading.
    ///
    /// `None` when the location is a constant, out of bounds or misaligned, or its region is only read.
    #[inline]
    pub fn write<T: Element>(
        &mut self,
        location: Location,
        count: usize,
    ) -> Option<(Reader<'_>, &mut [T])> {
        let start = location.offset_bytes();
        let end = start.checked_add(count.checked_mul(size_of::<T>())?)?;
        let (reader, out) = self.split(location, start..end)?;
        Some((reader, cast_mut(out)?))
    }

    fn split(
        &mut self,
        location: Location,
        range: Range<usize>,
    ) -> Option<(Reader<'_>, &mut [u8])> {
        let index = location.region_index()?;
        let (lower, rest) = self.regions.split_at_mut_checked(index)?;
        let (Region::Write(bytes), upper) = rest.split_first_mut()? else { return None };
        let (rest, after) = bytes.split_at_mut_checked(range.end)?;
        let (before, out) = rest.split_at_mut_checked(range.start)?;
        let (lower, upper): (&[_], &[_]) = (lower, upper);
        let program = self.program;
        Some((Reader { program, lower, upper, before, after, after_start: range.end }, out))
    }

    /// Calls `apply(reader, input, out)` with all `count` elements of both operands: at once if they lie apart, else in
    /// pieces from the first to the last, with each piece of the input copied aside before its result is written.
    ///
    /// The operands may overlap as [`may_overlap_spans`] says; then each input element is read before it is written over.
    /// `None` when a location is out of bounds or misaligned, or the output cannot be written; nothing is applied then.
    #[inline(always)]
    pub fn map<M: Micro, I: Element + Default, O: Element>(
        &mut self,
        input: Location,
        out: Location,
        count: usize,
        mut apply: impl FnMut(&Reader<'_>, &[I], &mut [O]),
    ) -> Option<()> {
        let (in_span, out_span) = (span::<I>(input, count)?, span::<O>(out, count)?);
        let is_apart = input.region_index() != out.region_index()
            || in_span.end <= out_span.start
            || out_span.end <= in_span.start;
        let base = if is_apart { out_span.start } else { in_span.start.min(out_span.start) };
        let end = if is_apart { out_span.end } else { in_span.end.max(out_span.end) };
        let (reader, bytes) = self.split(out, base..end)?;
        let apart = if is_apart { Some(reader.read::<I>(input, count)?) } else { None };
        let (in_start, out_start) =
            (in_span.start.wrapping_sub(base), out_span.start.wrapping_sub(base));
        let mut stage = [I::default(); STAGE_ELEMENTS];
        let mut done = 0;
        // One loop for both cases, so that what is applied stands in the image once.
        while done < count {
            let piece = match apart {
                Some(input) => input,
                None => {
                    let stage = stage.get_mut(..STAGE_ELEMENTS.min(count - done))?;
                    let from = bytes.get(in_start + done * size_of::<I>()..)?;
                    let from = from.get(..size_of_val(stage))?;
                    copy_aside::<M, I>(cast(from)?, stage)?;
                    stage
                }
            };
            let to = bytes.get_mut(out_start + done * size_of::<O>()..)?;
            let to = to.get_mut(..piece.len() * size_of::<O>())?;
            apply(&reader, piece, cast_mut(to)?);
            done += piece.len();
        }
        Some(())
    }
}

/// The elements that are copied aside at a time where an operator writes over its input.
pub const STAGE_ELEMENTS: usize = 64;

/// Copies elements by the instruction set's own loop; `None` if there is less room.
#[inline(always)]
pub(crate) fn copy_aside<M: Micro, T: Element>(from: &[T], to: &mut [T]) -> Option<()> {
    // Where flash is smallest, there is `memcpy` anyhow, and not always a loop for rows.
    if cfg!(cortado_thumb = "1") {
        return copy(from, to);
    }
    let (from, to) = (cast::<i8>(bytes_of(from))?, cast_mut::<i8>(bytes_of_mut(to))?);
    let bytes = from.len();
    M::copy_rows((from, 0), (to, 0), 1, bytes)
}

/// Copies as many elements as there is room for; `None` if there are more or fewer.
#[inline(always)]
pub(crate) fn copy<T: Copy>(from: &[T], to: &mut [T]) -> Option<()> {
    if from.len() != to.len() {
        return None;
    }
    to.copy_from_slice(from);
    Some(())
}

/// Whether an operator that goes through its elements from the first to the last may read and write these bytes of one
/// region, with as many elements in both: they lie apart, or no element of the input is written over before it was read.
///
/// Where the result's elements are not larger, the result may start where the input starts or before; where they are larger, it
/// may end where the input ends or before.
pub fn may_overlap_spans(read: Range<usize>, written: Range<usize>) -> bool {
    let is_apart = read.end <= written.start || written.end <= read.start;
    let shrinks = written.len() <= read.len();
    is_apart || if shrinks { written.start <= read.start } else { written.end <= read.end }
}

fn span<T>(location: Location, count: usize) -> Option<Range<usize>> {
    let start = location.offset_bytes();
    Some(start..start.checked_add(count.checked_mul(size_of::<T>())?)?)
}

/// Where an operand of an element-by-element operator is.
#[derive(Clone, Copy, Debug)]
pub enum Source<'m, T> {
    /// Apart from the result.
    Apart(&'m [T]),
    /// Where the result is: element `i` of the result holds element `i` of the operand until it is written.
    InPlace,
}

impl<T> Source<'_, T> {
    /// The elements from position `start` on, or the copies of them that were put aside.
    #[inline(always)]
    pub(crate) fn after<'s>(&'s self, start: usize, staged: &'s [T]) -> Option<&'s [T]> {
        match self {
            Source::Apart(elements) => elements.get(start..),
            Source::InPlace => Some(staged),
        }
    }
}

impl<'m, T, S: AsRef<[T]> + ?Sized> From<&'m S> for Source<'m, T> {
    fn from(elements: &'m S) -> Self {
        Source::Apart(elements.as_ref())
    }
}

/// Memory for reading, less a span that is being written.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'m> {
    program: &'m [u8],
    /// The regions before the one that is being written, and those behind it.
    lower: &'m [Region<'m>],
    upper: &'m [Region<'m>],
    before: &'m [u8],
    after: &'m [u8],
    after_start: usize,
}

impl<'m> Reader<'m> {
    /// `count` elements from `location` on; `None` when they are out of bounds, misaligned, or overlap the span
    /// that is being written.
    #[inline]
    pub fn read<T: Element>(&self, location: Location, count: usize) -> Option<&'m [T]> {
        cast(self.bytes(location, count.checked_mul(size_of::<T>())?)?)
    }

    /// As [`Self::read`] of a constant in the program's file; `None` for what is none as well.
    #[inline]
    pub fn read_constant<T: Element>(&self, location: Location, count: usize) -> Option<&'m [T]> {
        if !location.is_constant() {
            return None;
        }
        let size = count.checked_mul(size_of::<T>())?;
        cast(self.program.get(location.offset_bytes()..)?.get(..size)?)
    }

    /// Not generic: once in an image that is made small.
    fn bytes(&self, location: Location, size: usize) -> Option<&'m [u8]> {
        let start = location.offset_bytes();
        let (part, start) = match location.region_index() {
            None => (self.program, start),
            Some(index) => match index.checked_sub(self.lower.len()) {
                None => (self.lower.get(index)?.bytes(), start),
                Some(0) if start >= self.after_start => (self.after, start - self.after_start),
                Some(0) => (self.before, start),
                Some(behind) => (self.upper.get(behind - 1)?.bytes(), start),
            },
        };
        part.get(start..)?.get(..size)
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
    let (start, count) = whole::<T>(bytes.as_ptr(), bytes.len())?;
    // SAFETY: the bytes are those of `count` aligned numbers, and `T: Element`, so any of them are valid values.
    Some(unsafe { core::slice::from_raw_parts(start, count) })
}

/// Where bytes start that are numbers, and how many; `None` when they are misaligned or end within a number.
#[inline(always)]
fn whole<T: Element>(start: *const u8, bytes: usize) -> Option<(*const T, usize)> {
    let start = start.cast::<T>();
    let is_whole = start.is_aligned() && bytes.is_multiple_of(size_of::<T>());
    is_whole.then_some((start, bytes / size_of::<T>()))
}

/// The bytes of numbers.
#[inline]
pub fn bytes_of<T: Element>(numbers: &[T]) -> &[u8] {
    // SAFETY: `T: Element` has no padding, so all of its bytes are initialised, and any of them are a `u8`.
    let (_, bytes, _) = unsafe { numbers.align_to::<u8>() };
    bytes
}

/// The bytes of numbers, for writing.
#[inline]
fn bytes_of_mut<T: Element>(numbers: &mut [T]) -> &mut [u8] {
    // SAFETY: as for `bytes_of`, and any bytes are valid values.
    let (_, bytes, _) = unsafe { numbers.align_to_mut::<u8>() };
    bytes
}

/// Bytes as numbers for writing, or `None` when they are misaligned or end within a number.
#[inline]
pub fn cast_mut<T: Element>(bytes: &mut [u8]) -> Option<&mut [T]> {
    let (_, count) = whole::<T>(bytes.as_ptr(), bytes.len())?;
    // SAFETY: as in `cast`; any value leaves valid bytes behind.
    Some(unsafe { core::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), count) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(16))]
    struct Aligned([u8; 64]);

    fn regions<'m>(given: impl IntoIterator<Item = Region<'m>>) -> [Region<'m>; MAX_REGIONS] {
        let mut regions = [const { Region::Absent }; MAX_REGIONS];
        regions.iter_mut().zip(given).for_each(|(region, given)| *region = given);
        regions
    }

    fn at(offset: u32) -> Location {
        Location::region(0, offset).unwrap()
    }

    #[test]
    fn the_written_span_cannot_be_read() {
        let mut arena = Aligned([0; 64]);
        let program = Aligned([7; 64]);
        let mut memory = Memory::new(&program.0, regions([Region::Write(&mut arena.0)]));
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
    fn regions_are_read_beside_the_written_one() {
        let (mut first, mut third) = (Aligned([1; 64]), Aligned([3; 64]));
        let second = Aligned([2; 64]);
        let given =
            [Region::Write(&mut first.0), Region::Read(&second.0), Region::Write(&mut third.0)];
        let mut memory = Memory::new(&[], regions(given));
        let region = |index| Location::region(index, 16).unwrap();
        for written in [0, 2] {
            let (reader, _) = memory.write::<u8>(region(written), 16).unwrap();
            assert_eq!(reader.read::<u8>(region(written), 1), None);
            for read in (0..3).filter(|read| *read != written) {
                assert_eq!(reader.read(region(read), 2), Some(&[read as u8 + 1; 2][..]));
            }
            assert_eq!(reader.read::<u8>(region(3), 1), None);
        }
        assert!(memory.write::<u8>(region(1), 1).is_none());
        assert!(memory.write::<u8>(region(3), 0).is_none());
    }

    /// Maps `count` numbers `0, 1, …` from one place of a region to another, each plus one.
    fn increment<I: Element + Default, O: Element>(
        bytes: &mut [u8],
        (input, out, count): (u32, u32, usize),
        convert: fn(I) -> O,
    ) -> Option<()> {
        let mut memory = Memory::new(&[], regions([Region::Write(bytes)]));
        memory.map::<crate::arch::Scalar, I, O>(at(input), at(out), count, |_, input, out| {
            out.iter_mut().zip(input).for_each(|(out, input)| *out = convert(*input));
        })
    }

    #[test]
    fn maps_may_write_over_what_they_have_read() {
        #[repr(align(16))]
        struct Large([u8; 2048]);
        let count = 3 * STAGE_ELEMENTS + 5;
        let mut bytes = Large([0; 2048]);
        for (input, out) in [(0, 0), (16, 0), (20, 16), (0, 1024), (1024, 0)] {
            let numbers: &mut [i32] = cast_mut(&mut bytes.0[input..][..4 * count]).unwrap();
            (0..).zip(numbers).for_each(|(value, number)| *number = value);
            let places = (input as u32, out as u32, count);
            increment::<i32, i32>(&mut bytes.0, places, |value| value + 1).unwrap();
            let out: &[i32] = cast(&bytes.0[out..][..4 * count]).unwrap();
            assert!((1..).zip(out).all(|(value, number)| value == *number), "{places:?}");
        }
        // To smaller elements in front, and to larger ones that end where the input ends.
        let numbers: &mut [i32] = cast_mut(&mut bytes.0[..4 * count]).unwrap();
        (0..).zip(numbers).for_each(|(value, number)| *number = value);
        increment::<i32, i16>(&mut bytes.0, (0, 0, count), |value| value as i16).unwrap();
        let shorts: &[i16] = cast(&bytes.0[..2 * count]).unwrap();
        assert!((0..).zip(shorts).all(|(value, number)| value == *number));
        bytes.0.copy_within(..2 * count, 2 * count);
        increment::<i16, i32>(&mut bytes.0, (2 * count as u32, 0, count), i32::from).unwrap();
        let numbers: &[i32] = cast(&bytes.0[..4 * count]).unwrap();
        assert!((0..).zip(numbers).all(|(value, number)| value == *number));
        assert!(increment::<i32, i32>(&mut bytes.0, (0, 1024, 300), |value| value).is_none());
        assert!(increment::<i32, i32>(&mut bytes.0, (1, 0, 3), |value| value).is_none());
    }

    #[test]
    fn overlaps_that_lose_elements_are_told_apart() {
        for (read, written, may) in [
            (0..16, 16..32, true),
            (0..16, 0..16, true),
            (4..20, 0..16, true),
            (0..16, 4..20, false),
            (0..64, 0..16, true),
            (0..64, 1..17, false),
            (48..64, 0..64, true),
            (47..63, 0..64, false),
            (0..16, 0..64, false),
        ] {
            assert_eq!(
                may_overlap_spans(read.clone(), written.clone()),
                may,
                "{read:?} {written:?}"
            );
        }
    }

    #[test]
    fn locations_fit_one_word() {
        for location in [
            Location::region(0, 0),
            Location::region(7, Location::REGION_BYTES_MAX - 1),
            Location::program(0),
            Location::program(77),
            None,
        ] {
            assert_eq!(Location::from_word(Location::to_word(location)), location);
        }
        assert_eq!(Location::region(0, Location::REGION_BYTES_MAX), None);
        assert_eq!(Location::region(MAX_REGIONS, 0), None);
        assert_eq!(Location::program((1 << 31) - 1), None);
        assert_eq!(at(8).offset_by(3), Some(at(11)));
        assert_eq!(Location::region(3, 8).and_then(|at| at.offset_by(3)), Location::region(3, 11));
        assert_eq!(Location::program(8).and_then(|at| at.offset_by(3)), Location::program(11));
        assert_eq!(at(8).offset_by(u32::MAX), None);
        assert_eq!(at(8).offset_by(Location::REGION_BYTES_MAX), None);
    }
}
