//! Memory for cases, with guard bytes.

use cortado_kernels::memory::{Element, cast_mut};

/// The number of guard bytes on each side of an output.
pub const GUARD_BYTES: usize = 32;
const GUARD: u8 = 0xa5;

/// Memory that one case after the other uses.
#[derive(Debug)]
pub struct Workspace<'w> {
    memory: &'w mut [u8],
}

impl<'w> Workspace<'w> {
    /// A workspace over this memory.
    pub fn new(memory: &'w mut [u8]) -> Self {
        Workspace { memory }
    }

    /// The bytes that a case may take.
    pub fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// All of the memory, for one case.
    pub fn start(&mut self) -> Case<'_> {
        Case { rest: self.memory }
    }
}

/// The memory of one case.
#[derive(Debug)]
pub struct Case<'c> {
    rest: &'c mut [u8],
}

impl<'c> Case<'c> {
    /// Room for `count` elements.
    ///
    /// # Panics
    /// When the workspace is too small for the case, a defect of the case list.
    pub fn take<T: Element>(&mut self, count: usize) -> &'c mut [T] {
        let memory = core::mem::take(&mut self.rest);
        let skip = memory.as_ptr().align_offset(align_of::<T>());
        let (_, memory) = memory.split_at_mut(skip);
        let (taken, rest) = memory.split_at_mut(count * size_of::<T>());
        self.rest = rest;
        cast_mut(taken).expect("it was aligned above")
    }

    /// Room for an output of `count` elements between guard bytes, filled with `fill`.
    pub fn guarded<T: Element>(&mut self, count: usize, fill: u8) -> Guarded<'c, T> {
        let before = self.take::<u8>(GUARD_BYTES);
        before.fill(GUARD);
        let skip = self.rest.as_ptr().align_offset(align_of::<T>());
        let gap = self.take::<u8>(skip);
        gap.fill(GUARD);
        let bytes = self.take::<u8>(count * size_of::<T>());
        bytes.fill(fill);
        let after = self.take::<u8>(GUARD_BYTES);
        after.fill(GUARD);
        Guarded { before, gap, values: cast_mut(bytes).expect("it was aligned above"), after }
    }
}

/// An output between guard bytes.
#[derive(Debug)]
pub struct Guarded<'c, T> {
    before: &'c [u8],
    gap: &'c [u8],
    /// The output itself.
    pub values: &'c mut [T],
    after: &'c [u8],
}

impl<T> Guarded<'_, T> {
    /// Whether nothing was written outside of the output.
    pub fn is_intact(&self) -> bool {
        [self.before, self.gap, self.after].into_iter().flatten().all(|byte| *byte == GUARD)
    }
}
