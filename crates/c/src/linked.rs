//! Programs that were loaded when they were compiled, as `cortado compile --c-header` writes them.
//!
//! A program is tables in flash: its constants, its prepared state, and the kernels that it uses, each of which is a function of its
//! own here. So a linker takes just these into the firmware, and nothing that reads files.

#![allow(unsafe_code, reason = "C's tables become slices here")]

use crate::error::{Code, Failure};
use crate::handle::{self, Loaded, RawMethod};
use crate::memory::{Piece, RawMemory, check_pointer, list};
use crate::method::{code, range_of, take_banks};
use core::slice;
use cortado_contract::for_each_operator;
use cortado_kernels::{Memory, for_each_narrowed_kernel, generic};
use cortado_runtime::{
    ALIGNMENT, Banks, Kernel, Linked, Micro, Native, OperatorKind, STATE_VERSION, bytes_of, digest,
};

/// A row of the table of kernels: `cortado_kernel` in C, and a [`Kernel`] once it has been looked at.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawKernel {
    /// The discriminant of an [`OperatorKind`].
    pub kind: u8,
    /// The words of its state.
    pub state_words: u8,
    /// The forms that it runs.
    pub forms: u16,
    /// One of the functions of [`kernels`].
    pub execute: Option<unsafe extern "C" fn()>,
}

const _: () = assert!(
    size_of::<RawKernel>() == size_of::<Kernel>()
        && align_of::<RawKernel>() == align_of::<Kernel>(),
    "a table of C's is one of Rust's"
);

/// A program: `cortado_linked` in C.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct RawLinked {
    /// The [`STATE_VERSION`] of the runtime that prepared it.
    pub state_version: u32,
    /// The discriminant of the instruction set that it was compiled for.
    pub isa: u32,
    /// The [`digest`]s of constants and state in one, low word first: that of the constants rotated left by a bit, exclusive or that of
    /// the state's bytes.
    pub digest: [u32; 2],
    /// The program's constants.
    pub constants: *const u8,
    /// The bytes of the constants.
    pub constants_bytes: usize,
    /// The prepared state.
    pub state: *const u32,
    /// The words of the state.
    pub state_words: usize,
    /// The kernels.
    pub kernels: *const RawKernel,
    /// The number of kernels.
    pub kernel_count: usize,
}

/// The operators' kernels, each a symbol `cortado_kernel_…`: what C's tables point to. Only Rust can call them.
pub mod kernels {
    use super::*;

    macro_rules! export_kernels {
        ($($variant:ident = $module:ident,)*) => {
            $(
                #[doc = concat!("The kernel of [`OperatorKind::", stringify!($variant), "`].")]
                #[unsafe(export_name = concat!("cortado_kernel_", stringify!($module)))]
                pub fn $module(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
                    const KERNEL: Kernel = Kernel::of::<Native>(OperatorKind::$variant);
                    KERNEL.execute(state, memory).ok()
                }
            )*
        };
    }
    for_each_operator!(export_kernels);

    macro_rules! export_narrowed {
        ($($name:ident = $variant:ident: $forms:literal,)*) => {
            $(
                #[doc = concat!("The kernel of [`OperatorKind::", stringify!($variant), "`] for the forms ", stringify!($forms), " only.")]
                #[unsafe(export_name = concat!("cortado_kernel_", stringify!($name)))]
                pub fn $name(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
                    const KERNEL: Kernel = Kernel::narrowed::<Native>(OperatorKind::$variant, $forms);
                    KERNEL.execute(state, memory).ok()
                }
            )*
        };
    }
    for_each_narrowed_kernel!(export_narrowed);
}

/// See `cortado.h`.
///
/// # Safety
/// See `cortado.h`: `program` and the tables that it names are what `cortado compile` wrote, for ever; `method` is cleared memory or one that was
/// loaded before, and the banks exist and are used for nothing else as long as the method is used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cortado_link(
    method: *mut RawMethod,
    program: *const RawLinked,
    banks: *const RawMemory,
    bank_count: usize,
) -> i32 {
    // SAFETY: the caller promises it.
    let handle = match unsafe { handle::at(method) } {
        Ok(handle) => handle,
        Err(code) => return code,
    };
    let link = || {
        check_pointer(program, 1)?;
        // SAFETY: not null and aligned; the caller promises the rest. All of it is numbers and pointers.
        let program = unsafe { program.read() };
        let wrong = |code| Failure::Parameter(code, 1);
        if program.state_version != STATE_VERSION {
            return Err(wrong(Code::Version));
        }
        if program.isa != Native::ISA as u32 {
            return Err(wrong(Code::Isa));
        }
        let constants = Piece::new(program.constants, program.constants_bytes, 1)?;
        if !constants.range().start.is_multiple_of(ALIGNMENT) {
            return Err(Failure::Load(cortado_runtime::LoadError::ProgramMisaligned));
        }
        // SAFETY: the caller promises the tables, which nobody writes. `list` checks the pointers.
        let (constants, state, kernels) = unsafe {
            let state = list::<u32, STATE_WORDS_MAX>(program.state, program.state_words, 1)?;
            (constants.as_slice(), state, take_kernels(program.kernels, program.kernel_count)?)
        };
        let [low, high] = program.digest;
        let found = digest(constants).rotate_left(1) ^ digest(bytes_of(state));
        if found != u64::from(high) << 32 | u64::from(low) {
            return Err(wrong(Code::Prepared));
        }
        let used = [handle.range(), range_of(constants)];
        // SAFETY: the caller promises the list and the banks.
        let slices = unsafe { take_banks(banks, bank_count, 2, &used)? };
        let linked = Linked::checked(constants, state, kernels).ok_or(wrong(Code::Prepared))?;
        let method = linked.method_with(Banks::from(slices)).map_err(Failure::Load)?;
        Ok(Loaded { method, file: &[] })
    };
    code(handle.fill(link))
}

/// More words than the state of any program: 65,535 instructions of 255 words.
const STATE_WORDS_MAX: usize = 1 << 24;

/// A table of kernels, each row of which is one.
///
/// # Safety
/// The table exists, for ever; its pointers are to functions of [`kernels`].
unsafe fn take_kernels(rows: *const RawKernel, count: usize) -> Result<&'static [Kernel], Failure> {
    // SAFETY: the caller promises the table.
    let rows: &'static [RawKernel] = unsafe { list::<RawKernel, 255>(rows, count, 1)? };
    for row in rows {
        let kind = OperatorKind::ALL.get(usize::from(row.kind));
        let is_sound = kind.is_some_and(|kind| {
            generic::state_words(*kind) == usize::from(row.state_words) && row.execute.is_some()
        });
        if !is_sound {
            return Err(Failure::Parameter(Code::Prepared, 1));
        }
    }
    // SAFETY: `Kernel` has the layout of C and the same fields in the same order, of the same size as above. Each row's kind has been
    // checked to be an operator's, the numbers may be any, and the pointer is not null; the caller promises that it is to a function
    // of the type that `Kernel` has, of which any will do: they check what they are given.
    Ok(unsafe { slice::from_raw_parts(rows.as_ptr().cast::<Kernel>(), rows.len()) })
}

/// The offsets in a row are those that the table of C's has; the header is held against [`RawKernel`], and this against [`Kernel`].
#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn rows_are_kernels() {
        for kind in OperatorKind::ALL {
            let kernel = Kernel::of::<Native>(*kind);
            // SAFETY: both have the layout of C and the same size, and any kernel's bytes are a row.
            let row = unsafe { core::mem::transmute::<Kernel, RawKernel>(kernel) };
            assert_eq!(row.kind, *kind as u8);
            assert_eq!(usize::from(row.state_words), kernel.state_words());
            assert_eq!(row.forms, u16::MAX);
            assert!(row.execute.is_some());
        }
        assert_eq!(offset_of!(RawKernel, execute), size_of::<usize>().max(4));
    }
}
