//! A file: headers, segments, constants and the way to the plans.

use crate::MAX_VERSION;
use crate::error::{Error, ErrorKind};
use crate::flatbuffer::{Scalar, Scalars, Table, Text, Vector, View};
use crate::plan::{DataReference, Plan};
use crate::schema::{
    self, data_segment, header, inline_data, named_data, program, subsegment_offsets,
};

/// A program, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    root: Table<'a>,
    program_size: usize,
    segment_base: usize,
    segment_data: Bytes<'a>,
    segments: Vector<'a, Segment>,
    constant_offsets: Scalars<'a, u64>,
    constant_data: Bytes<'a>,
}

impl<'a> Program<'a> {
    /// Reads the headers, the root table and where segments and constants are.
    ///
    /// # Errors
    ///
    /// Where one of these is missing, damaged or lies outside of the file. What the root table leads
    /// to is not read: the accessors check it as they go.
    pub fn parse(file: &'a [u8]) -> Result<Self, Error> {
        let layout = Layout::read(file)?;
        let root = Table::root(layout.program)?;
        if root.scalar(program::VERSION, 0)? > MAX_VERSION {
            return Err(root.error(ErrorKind::Version));
        }
        let mut parsed = Self {
            root,
            program_size: layout.program.len(),
            segment_base: layout.segment_base,
            segment_data: Bytes(layout.segment_data),
            segments: root.vector(program::SEGMENTS)?,
            constant_offsets: Scalars::EMPTY,
            constant_data: Bytes(&[]),
        };
        if let Some(constants) = parsed.constant_segment()? {
            parsed.constant_offsets = constants.offsets;
            // A single offset is the placeholder of a program without constants, whose segment
            // index means nothing.
            if constants.offsets.len() > 1 {
                parsed.constant_data = Bytes(parsed.segment(constants.segment_index)?);
            }
        }
        Ok(parsed)
    }

    /// Version of the schema.
    pub fn version(&self) -> Result<u32, Error> {
        self.root.scalar(program::VERSION, 0)
    }

    /// The methods.
    pub fn plans(&self) -> Result<Vector<'a, Plan<'a>>, Error> {
        self.root.vector(program::EXECUTION_PLAN)
    }

    /// The method of this name; models have one called `forward`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Missing`] where there is none.
    pub fn plan(&self, name: &str) -> Result<Plan<'a>, Error> {
        for plan in self.plans()?.iter() {
            let plan = plan?;
            if plan.name()? == name {
                return Ok(plan);
            }
        }
        Err(self.root.error(ErrorKind::Missing))
    }

    /// Constant data, from the start of this buffer on: to the end of the constant segment, or of
    /// the inline buffer in files made before September 2024. The file has no length for it; cut it
    /// to what the tensor that uses it needs. Buffer 0 is reserved and has no data.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Index`] for 0 and where there is no such buffer, [`ErrorKind::Segment`] where it
    /// starts outside of the constant segment.
    pub fn constant(&self, buffer_index: u32) -> Result<&'a [u8], Error> {
        if buffer_index == 0 {
            return Err(self.root.error(ErrorKind::Index));
        }
        if self.constant_offsets.is_empty() {
            let buffers = self.root.vector::<InlineData>(program::CONSTANT_BUFFER)?;
            return Ok(buffers.get(buffer_index as usize)?.bytes);
        }
        self.buffer(self.constant_offsets, buffer_index, self.constant_data.0)
    }

    /// The segment with the constants, `None` where constants are inline.
    pub fn constant_segment(&self) -> Result<Option<Subsegments<'a>>, Error> {
        self.root.table(program::CONSTANT_SEGMENT)?.map(Subsegments::view).transpose()
    }

    /// Offsets of the constant buffers in their segment, the reserved buffer 0 included; empty where
    /// constants are inline.
    pub fn constant_offsets(&self) -> Scalars<'a, u64> {
        self.constant_offsets
    }

    /// The bytes of the constant segment, empty where there is none.
    #[cfg(feature = "write")]
    pub(crate) fn constant_data(&self) -> &'a [u8] {
        self.constant_data.0
    }

    /// Constants inside of the flatbuffer, as in files made before September 2024; else empty.
    pub fn inline_constants(&self) -> Result<Vector<'a, InlineData<'a>>, Error> {
        self.root.vector(program::CONSTANT_BUFFER)
    }

    /// Segments with initial data of tensors that the program changes. Upstream uses at most one.
    pub fn mutable_segments(&self) -> Result<Vector<'a, Subsegments<'a>>, Error> {
        self.root.vector(program::MUTABLE_DATA_SEGMENTS)
    }

    /// Initial data of a tensor, from the start of this buffer of this mutable segment to the end of
    /// the segment. Buffer 0 is reserved.
    ///
    /// # Errors
    ///
    /// As for [`constant`](Self::constant).
    pub fn mutable_data(&self, segment: u64, buffer_index: u32) -> Result<&'a [u8], Error> {
        let segment = usize::try_from(segment).map_err(|_| self.root.error(ErrorKind::Index))?;
        let part = self.mutable_segments()?.get(segment)?;
        if buffer_index == 0 {
            return Err(self.root.error(ErrorKind::Index));
        }
        self.buffer(part.offsets, buffer_index, self.segment(part.segment_index)?)
    }

    /// Data with a name. [`segment`](Self::segment) gives an entry's bytes.
    pub fn named_data(&self) -> Result<Vector<'a, NamedData<'a>>, Error> {
        self.root.vector(program::NAMED_DATA)
    }

    /// The data of this name, `None` where there is none.
    pub fn named(&self, key: &str) -> Result<Option<&'a [u8]>, Error> {
        for entry in self.named_data()?.iter() {
            let entry = entry?;
            if entry.key == key {
                return self.segment(entry.segment_index).map(Some);
            }
        }
        Ok(None)
    }

    /// Data of a delegate.
    pub fn delegate_data(&self, reference: DataReference) -> Result<&'a [u8], Error> {
        match reference {
            DataReference::Segment(index) => self.segment(index),
            DataReference::Inline(index) => {
                Ok(self.inline_delegate_data()?.get(index as usize)?.bytes)
            }
        }
    }

    /// Data of delegates inside of the flatbuffer.
    pub fn inline_delegate_data(&self) -> Result<Vector<'a, InlineData<'a>>, Error> {
        self.root.vector(program::BACKEND_DELEGATE_DATA)
    }

    /// Where the segments are.
    pub fn segments(&self) -> Vector<'a, Segment> {
        self.segments
    }

    /// The bytes of a segment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Index`] where there is no such segment, [`ErrorKind::Segment`] where it lies
    /// outside of the segment data, [`ErrorKind::TooLarge`] where it cannot be in a device's memory.
    pub fn segment(&self, index: u32) -> Result<&'a [u8], Error> {
        let segment = self.segments.get(index as usize)?;
        let offset = self.narrow(segment.offset)?;
        let size = self.narrow(segment.size)?;
        self.segment_data
            .0
            .get(offset..)
            .and_then(|rest| rest.get(..size))
            .ok_or(self.root.error(ErrorKind::Segment))
    }

    /// Bytes of headers and flatbuffer, from the start of the file.
    pub fn program_size(&self) -> usize {
        self.program_size
    }

    /// Bytes of the whole file.
    #[cfg(any(feature = "write", feature = "dump"))]
    pub(crate) fn file_size(&self) -> usize {
        self.program_size.max(self.segment_base + self.segment_data.0.len())
    }

    /// Byte position of the first segment, 0 in a file without segments.
    pub fn segment_base(&self) -> usize {
        self.segment_base
    }

    /// The bytes of `data` from the offset of this buffer on.
    fn buffer(
        &self,
        offsets: Scalars<'a, u64>,
        buffer_index: u32,
        data: &'a [u8],
    ) -> Result<&'a [u8], Error> {
        let offset = offsets.get(buffer_index as usize);
        let offset = self.narrow(offset.ok_or(self.root.error(ErrorKind::Index))?)?;
        data.get(offset..).ok_or(self.root.error(ErrorKind::Segment))
    }

    /// A 64-bit size or offset as 32 bits, on hosts as on devices.
    fn narrow(&self, number: u64) -> Result<usize, Error> {
        match u32::try_from(number) {
            Ok(number) => Ok(number as usize),
            Err(_) => Err(self.root.error(ErrorKind::TooLarge)),
        }
    }
}

/// Bytes that [`Debug`] does not print.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl core::fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Where a segment is (schema `DataSegment`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Bytes from the first segment's start.
    pub offset: u64,
    /// Bytes of data, without the padding behind it.
    pub size: u64,
}

impl<'a> View<'a> for Segment {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self {
            offset: table.scalar(data_segment::OFFSET, 0)?,
            size: table.scalar(data_segment::SIZE, 0)?,
        })
    }
}

/// Buffers that share a segment (schema `SubsegmentOffsets`).
#[derive(Clone, Copy, Debug)]
pub struct Subsegments<'a> {
    /// Index of the segment.
    pub segment_index: u32,
    /// Byte offset in the segment of each buffer.
    pub offsets: Scalars<'a, u64>,
}

impl<'a> View<'a> for Subsegments<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self {
            segment_index: table.scalar(subsegment_offsets::SEGMENT_INDEX, 0)?,
            offsets: table.scalars(subsegment_offsets::OFFSETS)?,
        })
    }
}

/// Data with a name.
#[derive(Clone, Copy, Debug)]
pub struct NamedData<'a> {
    /// The name, unique in the program.
    pub key: Text<'a>,
    /// Index of the segment with the data.
    pub segment_index: u32,
}

impl<'a> View<'a> for NamedData<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self {
            key: table.text(named_data::KEY)?,
            segment_index: table.scalar(named_data::SEGMENT_INDEX, 0)?,
        })
    }
}

/// Data inside of the flatbuffer (schema `Buffer` and `BackendDelegateInlineData`).
#[derive(Clone, Copy, Debug)]
pub struct InlineData<'a> {
    /// The data.
    pub bytes: &'a [u8],
}

impl<'a> View<'a> for InlineData<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self { bytes: table.bytes(inline_data::BYTES)? })
    }
}

/// The parts of a file, as its extended header has them.
struct Layout<'a> {
    program: &'a [u8],
    segment_base: usize,
    segment_data: &'a [u8],
}

impl<'a> Layout<'a> {
    fn read(file: &'a [u8]) -> Result<Self, Error> {
        if u32::try_from(file.len()).is_err() {
            return Err(Error::new(ErrorKind::TooLarge, 0));
        }
        if array_at(file, schema::IDENTIFIER_AT) != Some(schema::IDENTIFIER) {
            return Err(Error::new(ErrorKind::Identifier, schema::IDENTIFIER_AT));
        }
        if array_at(file, header::AT) != Some(header::MAGIC) {
            return Ok(Self { program: file, segment_base: 0, segment_data: &[] });
        }
        let length = u32::read(file, header::LENGTH_AT).unwrap_or(0);
        if length < header::LENGTH_MIN {
            return Err(Error::new(ErrorKind::Header, header::LENGTH_AT));
        }
        let program_size = size_at(file, header::PROGRAM_SIZE_AT)?;
        let program = file
            .get(..program_size)
            .ok_or(Error::new(ErrorKind::Truncated, header::PROGRAM_SIZE_AT))?;
        let segment_base = size_at(file, header::SEGMENT_BASE_AT)?;
        // Older headers end here: then the segments are all that follows.
        let segment_size =
            if length < header::LENGTH { 0 } else { size_at(file, header::SEGMENT_SIZE_AT)? };
        if segment_base == 0 {
            return Ok(Self { program, segment_base, segment_data: &[] });
        }
        if segment_base < program_size {
            return Err(Error::new(ErrorKind::Header, header::SEGMENT_BASE_AT));
        }
        let truncated = Error::new(ErrorKind::Truncated, header::SEGMENT_BASE_AT);
        let rest = file.get(segment_base..).ok_or(truncated)?;
        let segment_data =
            if segment_size == 0 { rest } else { rest.get(..segment_size).ok_or(truncated)? };
        Ok(Self { program, segment_base, segment_data })
    }
}

fn array_at(file: &[u8], at: usize) -> Option<[u8; 4]> {
    file.get(at..)?.first_chunk().copied()
}

/// A 64-bit size in the header, which must fit a 32-bit device.
fn size_at(file: &[u8], at: usize) -> Result<usize, Error> {
    let size = u64::read(file, at).ok_or(Error::new(ErrorKind::Truncated, at))?;
    match u32::try_from(size) {
        Ok(size) => Ok(size as usize),
        Err(_) => Err(Error::new(ErrorKind::TooLarge, at)),
    }
}
