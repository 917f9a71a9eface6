//! Loading and executing.

#![allow(unsafe_code, reason = "C's functions take pointers")]

use crate::error::{Code, Failure, FailureReport};
use crate::handle::{self, Loaded, RawMethod};
use crate::memory::{Piece, RawBytes, RawMemory, check_pointer, list};
use core::ffi::c_char;
use core::fmt::{self, Write};
use core::ops::Range;
use cortado_runtime::{Banks, LayoutPolicy, MAX_REGIONS, Program, Requirements};

/// What a program needs: `cortado_needs` in C.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Needs {
    /// Bytes of state.
    pub state_bytes: u32,
    /// Bytes of all banks together.
    pub arena_bytes: u32,
    /// The number of banks.
    pub bank_count: u32,
    /// Bytes of each bank.
    pub bank_bytes: [u32; MAX_REGIONS],
}

impl From<Requirements> for Needs {
    fn from(needed: Requirements) -> Self {
        let sizes = needed.banks.as_slice();
        let mut bank_bytes = [0; MAX_REGIONS];
        bank_bytes.iter_mut().zip(sizes).for_each(|(bank, size)| *bank = *size);
        Needs {
            state_bytes: needed.state_words.saturating_mul(size_of::<u32>() as u32),
            arena_bytes: needed.arena_bytes,
            bank_count: sizes.len() as u32,
            bank_bytes,
        }
    }
}

/// What a function returns.
pub(crate) fn code(result: Result<(), i32>) -> i32 {
    result.err().unwrap_or(Code::Ok as i32)
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `program` has `program_bytes` bytes, and `needs` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_requirements(
    program: *const u8,
    program_bytes: usize,
    needs: *mut Needs,
) -> i32 {
    let requirements = || {
        check_pointer(needs, 2)?;
        // SAFETY: not null and aligned, and the caller promises that it can be written.
        unsafe { needs.write(Needs::default()) };
        check_pointer(program, 0)?;
        let program = Piece::new(program, program_bytes, 0)?;
        // SAFETY: the caller promises the memory; nobody writes it during this call.
        let file = unsafe { program.as_slice() };
        let requirements = Program::parse(file).and_then(|program| program.requirements());
        let requirements = requirements.map_err(Failure::Load)?;
        // SAFETY: as above; the file is not looked at any more.
        unsafe { needs.write(Needs::from(requirements)) };
        Ok(())
    };
    code(requirements().map_err(|failure: Failure| failure.code()))
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: all memory exists, is not written by anybody else as long as the method is used, and is not used for anything else
/// where it is not `const`; `method` is cleared memory or one that was loaded before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_load(
    method: *mut RawMethod,
    program: *const u8,
    program_bytes: usize,
    policy: i32,
    state: *mut u8,
    state_bytes: usize,
    banks: *const RawMemory,
    bank_count: usize,
) -> i32 {
    // SAFETY: the caller promises it.
    let handle = match unsafe { handle::at(method) } {
        Ok(handle) => handle,
        Err(code) => return code,
    };
    let load = || {
        let policy = match policy {
            0 => LayoutPolicy::Refuse,
            1 => LayoutPolicy::Adapt,
            _ => return Err(Failure::Parameter(Code::Value, 3)),
        };
        check_pointer(program, 1)?;
        let program = Piece::new(program, program_bytes, 1)?;
        let state = Piece::new(state, state_bytes, 4)?;
        program.check_apart([handle.range()].into_iter())?;
        state.check_apart([handle.range(), program.range()].into_iter())?;
        let used = [handle.range(), program.range(), state.range()];
        // SAFETY: the caller promises the list and the banks.
        let slices = unsafe { take_banks(banks, bank_count, 6, &used)? };
        // SAFETY: the caller promises the memory to the method for as long as that is used; it is none of the other pieces.
        let state = unsafe { state.as_words()? };
        // SAFETY: as above, and the program is written by nobody.
        let file: &'static [u8] = unsafe { program.as_slice() };
        let program = Program::parse(file).map_err(Failure::Load)?;
        let method = program.load(policy, state, Banks::from(slices)).map_err(Failure::Load)?;
        Ok(Loaded { method, file })
    };
    code(handle.fill(load))
}

/// The banks in a list of C's, which is this parameter of a function; they are apart from each other and from what is `used`.
///
/// # Errors
/// A bank that is null, that no memory has, or that overlaps another piece.
///
/// # Safety
/// The list has as many items, and the memory that they name exists and is used for nothing else for as long as it is used here.
pub(crate) unsafe fn take_banks(
    banks: *const RawMemory,
    count: usize,
    parameter: u8,
    used: &[Range<usize>],
) -> Result<[&'static mut [u8]; MAX_REGIONS], Failure> {
    // SAFETY: the caller promises as many items as it says.
    let banks = unsafe { list::<RawMemory, MAX_REGIONS>(banks, count, parameter)? };
    let mut slices: [&'static mut [u8]; MAX_REGIONS] = Default::default();
    for (index, (slice, bank)) in slices.iter_mut().zip(banks).enumerate() {
        let before = banks.iter().take(index).filter_map(range);
        let piece = Piece::new(bank.data, bank.bytes, parameter)?;
        piece.check_apart(used.iter().cloned().chain(before))?;
        // SAFETY: the caller promises the memory, and it is none of the other pieces.
        *slice = unsafe { piece.as_mut_slice() };
    }
    Ok(slices)
}

/// The addresses of memory that was looked at before; `None` for memory that is not there.
fn range(memory: &RawMemory) -> Option<Range<usize>> {
    Piece::new(memory.data, memory.bytes, 0).ok().map(|piece| piece.range())
}

/// See `cortado.h`.
///
/// # Safety
/// As [`cortado_execute_with`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_execute(method: *mut RawMethod) -> i32 {
    // SAFETY: the caller promises the method; there is no other memory.
    let handle = unsafe { handle::at(method) };
    code(
        handle.and_then(|handle| {
            handle.with(|loaded| loaded.method.execute().map_err(Failure::Execute))
        }),
    )
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `method` is one, used by nobody else; the lists have as many items as is said, and the memory that they name exists and
/// is used by nobody else during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_execute_with(
    method: *mut RawMethod,
    inputs: *const RawBytes,
    input_count: usize,
    outputs: *const RawMemory,
    output_count: usize,
) -> i32 {
    // SAFETY: the caller promises it.
    let handle = match unsafe { handle::at(method) } {
        Ok(handle) => handle,
        Err(code) => return code,
    };
    let execute = |loaded: &mut Loaded| {
        // SAFETY: the caller promises as many items as it says.
        let inputs = unsafe { list::<RawBytes, MAX_REGIONS>(inputs, input_count, 1)? };
        // SAFETY: as above.
        let outputs = unsafe { list::<RawMemory, MAX_REGIONS>(outputs, output_count, 3)? };
        let mut read: [&[u8]; MAX_REGIONS] = Default::default();
        let mut written: [&mut [u8]; MAX_REGIONS] = Default::default();
        let Loaded { method, file } = loaded;
        let own = || {
            let own = [handle.range(), range_of(file)].into_iter();
            own.chain(method.memory().map(range_of))
        };
        for (slice, input) in read.iter_mut().zip(inputs) {
            let piece = Piece::new(input.data, input.bytes, 1)?;
            // The program's own file is written by nobody, but is no input either.
            piece.check_apart(own())?;
            // SAFETY: the caller promises the memory for this call; nothing that is written overlaps it.
            *slice = unsafe { piece.as_slice() };
        }
        for (index, (slice, output)) in written.iter_mut().zip(outputs).enumerate() {
            let piece = Piece::new(output.data, output.bytes, 3)?;
            let before = outputs.iter().take(index).filter_map(range);
            piece
                .check_apart(own().chain(read.iter().map(|input| range_of(input))).chain(before))?;
            // SAFETY: the caller promises the memory for this call, and it is none of the other pieces.
            *slice = unsafe { piece.as_mut_slice() };
        }
        let read = read.get(..input_count).unwrap_or(&[]);
        let written = written.get_mut(..output_count).unwrap_or(&mut []);
        method.execute_with(read, written).map_err(Failure::Execute)
    };
    code(handle.with(execute))
}

pub(crate) fn range_of(bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr().addr();
    start..start + bytes.len()
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `method` is one, used by nobody else, and `failure` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_last_failure(
    method: *mut RawMethod,
    failure: *mut FailureReport,
) -> i32 {
    if let Err(failure) = check_pointer(failure, 1) {
        return failure.code();
    }
    // SAFETY: the caller promises the method.
    let found = unsafe { handle::at(method) }.and_then(|handle| handle.failure());
    let report = match found {
        Ok(failure) => failure.report(),
        Err(error) => FailureReport { error, ..Failure::None.report() },
    };
    // SAFETY: not null and aligned, and the caller promises that it can be written.
    unsafe { failure.write(report) };
    code(found.map(|_| ()))
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `method` is one, used by nobody else, and `text` has `text_bytes` bytes that can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_explain(
    method: *mut RawMethod,
    text: *mut c_char,
    text_bytes: usize,
) -> usize {
    // SAFETY: the caller promises the method.
    let failure = unsafe { handle::at(method) }.and_then(|handle| handle.failure());
    let bytes = if text.is_null() { 0 } else { text_bytes };
    let buffer = match Piece::new(text.cast(), bytes, 1) {
        // SAFETY: the caller promises the memory for this call.
        Ok(piece) => unsafe { piece.as_mut_slice() },
        Err(_) => &mut [],
    };
    let mut sentence = Sentence { buffer, bytes: 0 };
    // Writing to a buffer does not fail.
    let _ = match failure {
        Ok(failure) => write!(sentence, "{failure}"),
        Err(_) => Ok(()),
    };
    sentence.end()
}

/// Text that is cut short where its buffer ends.
struct Sentence<'b> {
    buffer: &'b mut [u8],
    /// Of all of it, what was cut off included.
    bytes: usize,
}

impl Write for Sentence<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.buffer.iter_mut().skip(self.bytes);
        room.zip(text.bytes()).for_each(|(to, from)| *to = from);
        self.bytes += text.len();
        Ok(())
    }
}

impl Sentence<'_> {
    /// Puts a 0 behind the text, and no part of a character before it.
    fn end(self) -> usize {
        let Some(last) = self.buffer.len().checked_sub(1) else { return self.bytes };
        let mut end = self.bytes.min(last);
        if end < self.bytes {
            // The text goes on: what starts before the cut and does not end there goes as well.
            while end > 0 && self.buffer.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
                end -= 1;
            }
        }
        if let Some(byte) = self.buffer.get_mut(end) {
            *byte = 0;
        }
        self.bytes
    }
}
