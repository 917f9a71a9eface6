//! The head of a method's state: what the method knows of its memory and its boundary.
//!
//! State is words. Behind the head follow the prepared operators, one after the other; the low byte of an operator's first word is the
//! position of its kernel. A loader writes all of it, here or on a host ahead of time.
//!
//! | word | holds |
//! |---|---|
//! | 0 | the numbers of inputs, outputs, banks and lent tensors, a byte each |
//! | 1 | one bit per input that has memory of the program's |
//! | 2 | the words of the head |
//! | 3… | the bytes of each bank |
//! | … | a record for each input, then for each output |
//!
//! A record is a word of element type, rank and order of axes, the location, the bytes, and the extents.

use crate::context::{BankSizes, Context};
use crate::error::{ArgumentCause, LoadError, OperatorProblem, Unsupported};
use crate::method::TensorInfo;
use core::ops::Range;
use cortado_contract::DType;
use cortado_kernels::memory::{Location, MAX_REGIONS};
use cortado_kernels::operand::MAX_RANK;
use cortado_pte::Scalars;

const FIRST_BANK: usize = 3;
const RECORD_WORDS: usize = 3;

/// The head of some state.
#[derive(Clone, Copy)]
pub(crate) struct Head<'s>(pub(crate) &'s [u32]);

impl<'s> Head<'s> {
    const fn word(self, index: usize) -> u32 {
        // Not `get`, which is no constant function.
        if index < self.0.len() { self.0[index] } else { 0 }
    }

    const fn count(self, byte: u32) -> usize {
        (self.word(0) >> (8 * byte) & 0xff) as usize
    }

    pub(crate) const fn inputs(self) -> usize {
        self.count(0)
    }

    pub(crate) const fn outputs(self) -> usize {
        self.count(1)
    }

    pub(crate) const fn banks(self) -> usize {
        self.count(2)
    }

    /// The number of inputs and outputs that the caller lends.
    pub(crate) const fn lent(self) -> usize {
        self.count(3)
    }

    /// One bit per input that has memory of the program's.
    pub(crate) const fn planned_inputs(self) -> u32 {
        self.word(1)
    }

    /// The bytes of a bank.
    pub(crate) const fn bank_bytes(self, bank: usize) -> u32 {
        if bank < self.banks() { self.word(FIRST_BANK + bank) } else { 0 }
    }

    /// The prepared operators.
    pub(crate) fn operators(self) -> &'s [u32] {
        self.0.get(self.word(2) as usize..).unwrap_or(&[])
    }

    pub(crate) fn input(self, index: usize) -> Option<Record> {
        if index < self.inputs() { self.record(index) } else { None }
    }

    pub(crate) fn output(self, index: usize) -> Option<Record> {
        if index < self.outputs() { self.record(self.inputs() + index) } else { None }
    }

    /// Inputs, then outputs.
    #[inline(never)]
    fn record(self, index: usize) -> Option<Record> {
        let mut at = FIRST_BANK + self.banks();
        for _ in 0..index {
            at += RECORD_WORDS + Record::rank(*self.0.get(at)?);
        }
        let words = self.0.get(at..)?.first_chunk::<RECORD_WORDS>()?;
        let [meta, location, bytes] = *words;
        Some(Record { meta, location: Location::from_word(location)?, bytes, at })
    }

    /// Type and extents of an input or output.
    pub(crate) fn info(self, record: &Record) -> Option<TensorInfo> {
        let rank = Record::rank(record.meta);
        let extents = self.0.get(record.at + RECORD_WORDS..)?.get(..rank)?;
        let mut info = TensorInfo {
            dtype: DType::from_scalar_type(i64::from(record.dtype_code()))?,
            rank: rank as u8,
            dims: [0; MAX_RANK],
            dim_order: [0; MAX_RANK],
            location: record.location,
        };
        info.dims.iter_mut().zip(extents).for_each(|(dim, extent)| *dim = *extent);
        for (position, axis) in info.dim_order.iter_mut().take(rank).enumerate() {
            *axis = (record.meta >> (11 + 3 * position) & 7) as u8;
        }
        Some(info)
    }

    /// Whether the head is whole, and as long as it says.
    pub(crate) const fn is_sound(self) -> bool {
        let mut at = FIRST_BANK + self.banks();
        let mut index = 0;
        while index < self.inputs() + self.outputs() {
            if at >= self.0.len() {
                return false;
            }
            at += RECORD_WORDS + Record::rank(self.0[at]);
            index += 1;
        }
        at == self.word(2) as usize && at <= self.0.len() && self.banks() <= MAX_REGIONS
    }
}

/// An input or output: its element type and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    meta: u32,
    pub(crate) location: Location,
    pub(crate) bytes: u32,
    /// Its position in the head.
    at: usize,
}

impl Record {
    const fn rank(meta: u32) -> usize {
        (meta >> 8 & 7) as usize
    }

    fn dtype_code(&self) -> u8 {
        self.meta as u8
    }

    pub(crate) fn is(&self, dtype: DType) -> bool {
        self.dtype_code() == dtype.scalar_type()
    }

    /// Its bytes in the region or among the constants.
    pub(crate) fn span(&self) -> Range<usize> {
        let start = self.location.offset_bytes();
        start..start.saturating_add(self.bytes as usize)
    }
}

/// Writes the head of a program's state, as far as there is room. Returns how many words it takes.
///
/// # Errors
/// There are too many inputs, outputs or regions, or one cannot be served.
pub(crate) fn write(context: &Context<'_>, state: &mut [u32]) -> Result<usize, LoadError> {
    let unsupported = |part| Err(LoadError::Unsupported(part));
    let (inputs, outputs, lent) =
        (context.inputs.len(), context.outputs.len(), context.lent_tensors().count());
    let banks = context.banks.as_slice();
    if inputs > 32 {
        return unsupported(Unsupported::Inputs);
    }
    if outputs > usize::from(u8::MAX) {
        return unsupported(Unsupported::Outputs);
    }
    if banks.len() + lent > MAX_REGIONS {
        return unsupported(Unsupported::Regions);
    }
    let mut writer = Writer { state, at: FIRST_BANK };
    for bytes in banks {
        writer.push(*bytes);
    }
    let planned = write_records(context, context.inputs, false, &mut writer)?;
    write_records(context, context.outputs, true, &mut writer)?;
    let words = writer.at;
    writer.at = 0;
    let counts = [inputs, outputs, banks.len(), lent].map(|count| count as u8);
    writer.push(u32::from_le_bytes(counts));
    writer.push(planned);
    writer.push(words as u32);
    Ok(words)
}

/// Writes the records of one side. Returns one bit for each that has memory of the program's.
fn write_records(
    context: &Context<'_>,
    list: Scalars<'_, i32>,
    is_output: bool,
    writer: &mut Writer<'_>,
) -> Result<u32, LoadError> {
    let banks = context.banks.as_slice().len();
    let mut planned = 0;
    for (position, index) in (0..).zip(list.iter()) {
        let fail = |cause| LoadError::Boundary {
            is_output,
            index: position,
            problem: OperatorProblem::Argument { position: 0, cause },
        };
        let info = context.tensor_at(index).map_err(fail)?;
        match info.location.region_index() {
            None if !is_output => return Err(fail(ArgumentCause::Unsupported)),
            Some(region) if region < banks => planned |= 1u32.wrapping_shl(u32::from(position)),
            _ => {}
        }
        let mut meta = u32::from(info.dtype.scalar_type()) | u32::from(info.rank) << 8;
        for (place, axis) in info.dim_order.iter().take(usize::from(info.rank)).enumerate() {
            meta |= u32::from(*axis) << (11 + 3 * place);
        }
        writer.push(meta);
        writer.push(Location::to_word(Some(info.location)));
        writer.push(info.size_bytes().unwrap_or(0));
        info.dims.iter().take(usize::from(info.rank)).for_each(|extent| writer.push(*extent));
    }
    Ok(planned)
}

/// Puts words one after the other, and counts those that have no room.
struct Writer<'s> {
    state: &'s mut [u32],
    at: usize,
}

impl Writer<'_> {
    fn push(&mut self, word: u32) {
        if let Some(place) = self.state.get_mut(self.at) {
            *place = word;
        }
        self.at += 1;
    }
}

/// The banks of some state.
pub(crate) fn bank_sizes(head: Head<'_>) -> BankSizes {
    BankSizes::from_fn(head.banks(), |bank| head.bank_bytes(bank))
}
