//! The method's opaque memory: `cortado_method` in C.

#![allow(unsafe_code, reason = "C's opaque memory holds a method")]

use crate::error::{Code, Failure};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};
use cortado_runtime::MAX_REGIONS;

/// A method as C has it: over any number of banks.
pub type Method = cortado_runtime::Method<'static, MAX_REGIONS>;

/// What a handle holds.
#[derive(Debug)]
pub struct Loaded {
    /// The method.
    pub method: Method,
    /// The program's file, which the method itself needs no more; none of a linked program.
    pub file: &'static [u8],
}

/// The size of `cortado_method`; `CORTADO_METHOD_BYTES` in C.
pub const METHOD_BYTES: usize = if size_of::<usize>() > 4 { 768 } else { 448 };

/// `cortado_method` as C declares it.
#[derive(Debug)]
#[repr(C)]
pub struct RawMethod([u64; METHOD_BYTES / 8]);

const _: () = assert!(size_of::<Handle>() <= METHOD_BYTES, "CORTADO_METHOD_BYTES is too small");
const _: () = assert!(align_of::<Handle>() <= align_of::<RawMethod>(), "C aligns it to 8 bytes");
// Memory is loaded over without looking at what is there.
const _: () = assert!(!core::mem::needs_drop::<Handle>());

/// What is in it.
///
/// Everything lies in cells, so that an interrupt may look at `tag` and `is_busy` while the method is in use.
#[derive(Debug)]
#[repr(C)]
pub struct Handle {
    /// [`LOADED`] or [`REFUSED`], exclusive or the address of this very memory; anything else for memory without a method.
    tag: AtomicU32,
    /// 1 while the method is in use. No flag of one bit, so that any memory is a value of it.
    is_busy: AtomicU32,
    failure: UnsafeCell<Failure>,
    /// A method exactly when the tag is that of [`LOADED`].
    loaded: UnsafeCell<MaybeUninit<Loaded>>,
}

const LOADED: u32 = 0x434f_5254;
const REFUSED: u32 = 0x4144_4f21;

/// The tag of a handle at this address.
fn tag(state: u32, handle: *const Handle) -> u32 {
    state ^ handle.addr() as u32
}

/// The handle in C's memory, of which nothing is known but that it is there.
///
/// # Errors
/// Null, or misaligned; there is no place to note it then.
///
/// # Safety
/// The memory has [`METHOD_BYTES`] bytes and nobody else writes it as long as the handle is used. What it holds is what this crate left
/// there, or does not look like it: cleared memory does not.
pub unsafe fn at<'h>(method: *mut RawMethod) -> Result<&'h Handle, i32> {
    if method.is_null() {
        return Err(Code::Null as i32);
    }
    if !method.is_aligned() {
        return Err(Code::Misaligned as i32);
    }
    // SAFETY: not null, aligned, and the caller promises the memory, which is no smaller than a handle. Any number is a tag and a
    // flag; the other fields are in cells and are looked at only under a tag that this crate set.
    Ok(unsafe { &*method.cast::<Handle>() })
}

impl Handle {
    /// Its addresses, all that C has reserved.
    pub fn range(&self) -> Range<usize> {
        let start = core::ptr::from_ref(self).addr();
        start..start.saturating_add(METHOD_BYTES)
    }

    fn is(&self, state: u32) -> bool {
        self.tag.load(Ordering::Acquire) == tag(state, self)
    }

    /// Puts a method there, or notes why there is none.
    ///
    /// # Errors
    /// As `load` has it, or [`Code::Busy`].
    pub fn fill(&self, load: impl FnOnce() -> Result<Loaded, Failure>) -> Result<(), i32> {
        if self.is(LOADED) && self.is_busy.load(Ordering::Acquire) != 0 {
            return Err(Code::Busy as i32);
        }
        // Until it is loaded, it is no method, for an interrupt neither.
        self.tag.store(0, Ordering::Release);
        self.is_busy.store(0, Ordering::Release);
        let (state, failure) = match load() {
            Ok(loaded) => {
                // SAFETY: nobody holds a reference to the field: references are handed out by `with` alone, which ends before it
                // returns, and which the check above shows not to be running below this call.
                unsafe { self.loaded.get().write(MaybeUninit::new(loaded)) };
                (LOADED, Failure::None)
            }
            Err(failure) => (REFUSED, failure),
        };
        // SAFETY: as above.
        unsafe { self.failure.get().write(failure) };
        self.tag.store(tag(state, self), Ordering::Release);
        match failure {
            Failure::None => Ok(()),
            failure => Err(failure.code()),
        }
    }

    /// Does something with the method, and notes it when that fails.
    ///
    /// # Errors
    /// As `act` has it, [`Code::NotLoaded`] or [`Code::Busy`].
    pub fn with<T>(&self, act: impl FnOnce(&mut Loaded) -> Result<T, Failure>) -> Result<T, i32> {
        if !self.is(LOADED) {
            return Err(Code::NotLoaded as i32);
        }
        if self.is_busy.load(Ordering::Acquire) != 0 {
            return Err(Code::Busy as i32);
        }
        self.is_busy.store(1, Ordering::Release);
        // SAFETY: the tag says that there is a method, and the flag that nobody else has a reference to it: whoever comes in between, an
        // interrupt, is turned away above, or is through before the flag is set. The header asks for one thread at a time.
        let loaded = unsafe { (*self.loaded.get()).assume_init_mut() };
        let result = act(loaded).map_err(|failure| {
            // SAFETY: as for the method.
            unsafe { self.failure.get().write(failure) };
            failure.code()
        });
        self.is_busy.store(0, Ordering::Release);
        result
    }

    /// Why the last call failed, of a method that was loaded or refused.
    ///
    /// # Errors
    /// [`Code::NotLoaded`] or [`Code::Busy`].
    pub fn failure(&self) -> Result<Failure, i32> {
        if self.is(LOADED) && self.is_busy.load(Ordering::Acquire) != 0 {
            return Err(Code::Busy as i32);
        }
        if !self.is(LOADED) && !self.is(REFUSED) {
            return Err(Code::NotLoaded as i32);
        }
        // SAFETY: under either tag there is a failure, and nobody is writing it: see `with`.
        Ok(unsafe { *self.failure.get() })
    }
}
